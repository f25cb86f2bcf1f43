package io.millrace.flink.source;

/** A split as it is read; belongs to the task's thread. */
final class SplitState {
    final SegmentSplit split;
    final String segmentName;
    /** Behind the last event that was emitted. */
    long offset;
    /** For the figures, found with the first event. */
    LagTracker.Segment lag;

    SplitState(SegmentSplit split) {
        this.split = split;
        this.segmentName = split.splitId();
        this.offset = split.offset();
    }
}
