package io.millrace.flink.source;

import io.pravega.client.segment.impl.SegmentInfo;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.metrics.groups.SourceReaderMetricGroup;

/** How far the segments of one reader are behind, in Flink's metrics. Fed by the fetcher's thread and by the task's, read by reporters'. */
final class LagTracker {
    private static final int HEADER = 8;
    private static final int SAMPLED = 16; // one of so many events is taken for the average size

    static final class Segment {
        final AtomicLong offset = new AtomicLong();
        volatile long tail;
        volatile boolean open = true;
        volatile CompletableFuture<?> asking;

        long lag() {
            return open ? Math.max(0, tail - offset.get()) : 0;
        }
    }

    private final Map<String, Segment> segments = new ConcurrentHashMap<>();
    private final MetricGroup group;
    private final Counter skippedBytes;
    private final Counter skippedSegments;
    private volatile double eventSize = 1024;
    private long emitted;

    LagTracker(SourceReaderMetricGroup metrics) {
        group = metrics.addGroup("MillraceSourceReader");
        skippedBytes = group.counter("skippedBytes");
        skippedSegments = group.counter("skippedSegments");
        metrics.setPendingBytesGauge(this::bytes);
        // The store counts bytes only: events are estimated by the size of those that came by.
        metrics.setPendingRecordsGauge(() -> Math.round(bytes() / (eventSize + HEADER)));
    }

    private long bytes() {
        return segments.values().stream().mapToLong(Segment::lag).sum();
    }

    void opened(SegmentSplit split) {
        Segment fresh = new Segment();
        fresh.offset.set(split.offset());
        fresh.tail = split.offset();
        Segment before = segments.put(split.splitId(), fresh);
        if (before == null) {
            String name = split.splitId();
            MetricGroup own = group.addGroup("stream", split.stream().toString()).addGroup("segment", split.segment().toString());
            own.gauge("currentOffset", () -> segments.get(name).offset.get());
            own.gauge("lagBytes", () -> segments.get(name).lag());
        }
    }

    /** What {@link #emitted} takes, of a segment that was opened; or null. */
    Segment of(String name) {
        return segments.get(name);
    }

    /** For each event: without locks, fences and look-ups. By the task's thread alone. */
    void emitted(Segment segment, long next, int size) {
        if (segment != null) {
            segment.offset.lazySet(next);
        }
        if (emitted++ % SAMPLED == 0) {
            eventSize += 0.1 * (size - eventSize);
        }
    }

    /** Retention deleted so many bytes before they were read. For the fetcher's thread. */
    void skipped(long bytes) {
        skippedBytes.inc(bytes);
    }

    /** Retention deleted what was left of a segment, of unknown length. For the fetcher's thread. */
    void skippedSegment() {
        skippedSegments.inc();
    }

    void closed(String name) {
        Segment segment = segments.get(name);
        if (segment != null) {
            segment.open = false;
        }
    }

    /** Asks where the segment ends now, unless an answer is still awaited. */
    void ask(SegmentSplit split, Function<io.pravega.client.segment.impl.Segment, CompletableFuture<SegmentInfo>> info) {
        Segment segment = segments.get(split.splitId());
        if (segment == null || !segment.open || (segment.asking != null && !segment.asking.isDone())) {
            return;
        }
        segment.asking = info.apply(split.segment()).thenAccept(answer -> segment.tail = Math.min(answer.getWriteOffset(), split.end()));
    }
}
