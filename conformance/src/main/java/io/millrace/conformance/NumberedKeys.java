package io.millrace.conformance;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Keys whose events are numbered from 0. Each key has one writer, and one reader at a time: every event read must be the next one of its
 * key. Cheap enough for each event; {@link Ledger} also looks at contents.
 */
final class NumberedKeys {
    private static final long PATIENCE_NS = TimeUnit.SECONDS.toNanos(180);
    private final AtomicIntegerArray written;
    private final AtomicIntegerArray next;
    private final AtomicLong read = new AtomicLong();
    private final AtomicLong verified = new AtomicLong();
    private final AtomicLong twice = new AtomicLong();
    private final AtomicLong disordered = new AtomicLong();

    NumberedKeys(int count) {
        written = new AtomicIntegerArray(count);
        next = new AtomicIntegerArray(count);
    }

    int count() {
        return written.length();
    }

    int nextToWrite(int key) {
        return written.getAndIncrement(key);
    }

    void read(int key, int number) {
        read.incrementAndGet();
        int expected = next.get(key);
        if (number == expected) {
            next.set(key, number + 1);
            verified.incrementAndGet();
        } else if (number < expected) {
            twice.incrementAndGet(); // or behind a later one, which was counted as disorder then
        } else {
            disordered.incrementAndGet(); // those between are missing, or come late
            next.set(key, number + 1);
        }
    }

    /** Until as many events were read as were written, or none has come for minutes. */
    void awaitAll(Background background) throws InterruptedException {
        long before = -1;
        long since = System.nanoTime();
        while (read.get() < total() && System.nanoTime() - since < PATIENCE_NS) {
            if (read.get() != before) {
                before = read.get();
                since = System.nanoTime();
            }
            background.sleep(0.1);
        }
    }

    private long total() {
        long sum = 0;
        for (int key = 0; key < count(); key++) {
            sum += written.get(key);
        }
        return sum;
    }

    long verified() {
        return verified.get();
    }

    /** Events that were not read as their key's next one, at the end. */
    long missing() {
        return total() - verified.get();
    }

    long twice() {
        return twice.get();
    }

    long disordered() {
        return disordered.get();
    }

    boolean right() {
        return missing() == 0 && twice() == 0 && disordered() == 0;
    }
}
