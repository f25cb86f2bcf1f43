package io.millrace.conformance;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLongArray;

/** Acknowledgements in tenths of a second, and the number of a stream's segments. Times in seconds since the beginning. */
final class Timeline {
    private static final int SLOTS_PER_SECOND = 10;
    private static final int SLOTS = 3_600 * SLOTS_PER_SECOND;

    private record Change(double when, int segments) {
    }

    private final long begun = System.nanoTime();
    private final AtomicLongArray acknowledged = new AtomicLongArray(SLOTS);
    private final AtomicLongArray slowest = new AtomicLongArray(SLOTS); // nanoseconds
    private final List<Change> changes = new ArrayList<>();

    double seconds() {
        return (System.nanoTime() - begun) / 1e9;
    }

    private static int slot(double seconds) {
        return Math.min(SLOTS - 1, Math.max(0, (int) (seconds * SLOTS_PER_SECOND)));
    }

    void acknowledged(long tookNs) {
        int slot = slot(seconds());
        acknowledged.incrementAndGet(slot);
        slowest.accumulateAndGet(slot, tookNs, Math::max);
    }

    synchronized void segments(int count) {
        if (changes.isEmpty() || changes.get(changes.size() - 1).segments() != count) {
            changes.add(new Change(seconds(), count));
            System.err.printf("%8.2f s: %d segments%n", seconds(), count);
        }
    }

    synchronized int segmentsAt(double when) {
        return changes.stream().filter(change -> change.when() <= when).reduce((a, b) -> b).map(Change::segments).orElse(0);
    }

    synchronized double lastChange() {
        return lastChangeBefore(Double.MAX_VALUE);
    }

    synchronized double lastChangeBefore(double when) {
        return changes.stream().filter(change -> change.when() < when).reduce((a, b) -> b).map(Change::when).orElse(0.0);
    }

    /** NaN: never. */
    synchronized double firstWithAtLeast(int segments, double from) {
        return changes.stream().filter(change -> change.when() >= from && change.segments() >= segments).findFirst()
                .map(Change::when).orElse(Double.NaN);
    }

    synchronized double firstBelow(int segments, double from) {
        return changes.stream().filter(change -> change.when() >= from && change.segments() < segments).findFirst()
                .map(Change::when).orElse(Double.NaN);
    }

    /** Acknowledged a second. */
    double rate(double from, double to) {
        int first = slot(from);
        int end = slot(to);
        return first >= end ? Double.NaN : (double) sum(first, end) * SLOTS_PER_SECOND / (end - first);
    }

    /** Least number acknowledged within one second, of all seconds in between that begin at a tenth. */
    double worstSecond(double from, double to) {
        double worst = Double.NaN;
        for (int first = slot(from); first + SLOTS_PER_SECOND <= slot(to); first++) {
            worst = Math.min(Double.isNaN(worst) ? Double.MAX_VALUE : worst, sum(first, first + SLOTS_PER_SECOND));
        }
        return worst;
    }

    double slowestMs(double from, double to) {
        long most = 0;
        for (int i = slot(from); i < slot(to); i++) {
            most = Math.max(most, slowest.get(i));
        }
        return most / 1e6;
    }

    private long sum(int first, int end) {
        long sum = 0;
        for (int i = first; i < end; i++) {
            sum += acknowledged.get(i);
        }
        return sum;
    }
}
