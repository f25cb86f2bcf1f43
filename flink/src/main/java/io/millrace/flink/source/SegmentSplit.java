package io.millrace.flink.source;

import io.millrace.flink.client.StreamName;
import io.pravega.client.segment.impl.Segment;
import java.util.Objects;
import org.apache.flink.api.connector.source.SourceSplit;

/**
 * A segment with the offset from which it is to be read. Immutable.
 *
 * <p>A finished split is read to its end and stays in its reader's checkpoints only until the enumerator knows so: the two halves of a
 * checkpoint are taken one after the other, and what is on its way between them would be in neither.
 */
public final class SegmentSplit implements SourceSplit {
    private final StreamName stream;
    private final long segmentId;
    private final long offset;
    private final long end;
    private final boolean movable;
    private final boolean finished;

    /**
     * @param end offset at which reading stops; Long.MAX_VALUE for the segment's end
     * @param movable the split starts at the head of the stream, wherever that has moved to by the time it is opened
     */
    public SegmentSplit(StreamName stream, long segmentId, long offset, long end, boolean movable, boolean finished) {
        this.stream = Objects.requireNonNull(stream);
        this.segmentId = segmentId;
        this.offset = offset;
        this.end = end;
        this.movable = movable;
        this.finished = finished;
    }

    static String idOf(StreamName stream, long segmentId) {
        return stream.segment(segmentId).getScopedName();
    }

    @Override
    public String splitId() {
        return idOf(stream, segmentId);
    }

    public StreamName stream() {
        return stream;
    }

    public long segmentId() {
        return segmentId;
    }

    public Segment segment() {
        return stream.segment(segmentId);
    }

    public long offset() {
        return offset;
    }

    public long end() {
        return end;
    }

    public boolean movable() {
        return movable;
    }

    public boolean finished() {
        return finished;
    }

    SegmentSplit at(long newOffset) {
        return new SegmentSplit(stream, segmentId, newOffset, end, movable && newOffset == offset, finished);
    }

    SegmentSplit asFinished(long newOffset) {
        return new SegmentSplit(stream, segmentId, newOffset, end, false, true);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof SegmentSplit o && stream.equals(o.stream) && segmentId == o.segmentId && offset == o.offset && end == o.end
                && movable == o.movable && finished == o.finished;
    }

    @Override
    public int hashCode() {
        return Objects.hash(stream, segmentId, offset, end, movable, finished);
    }

    @Override
    public String toString() {
        return splitId() + "@" + offset + (end == Long.MAX_VALUE ? "" : ".." + end) + (finished ? " finished" : "");
    }
}
