package io.millrace.flink.source;

import io.millrace.flink.client.StoreClient;
import io.millrace.flink.client.StreamName;
import io.pravega.client.segment.impl.EndOfSegmentException;
import io.pravega.client.segment.impl.EventSegmentReader;
import io.pravega.client.segment.impl.Segment;
import io.pravega.client.segment.impl.SegmentInfo;
import io.pravega.client.segment.impl.SegmentTruncatedException;
import io.pravega.shared.watermarks.SegmentWithRange;
import io.pravega.shared.watermarks.Watermark;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The time marks of a stream, as writers noted them: each says of a stream cut that what lies before is not newer than its upper bound,
 * and what lies behind not older than its lower bound. Not thread safe.
 */
final class MarkLog {
    /** @param cut segment id to offset */
    record Mark(long lower, long upper, TreeMap<Long, Long> cut) {}

    private final StoreClient client;
    private final StreamName stream;
    private final Map<Long, double[]> ranges = new HashMap<>();
    private Segment segment;
    private long offset = -1;

    MarkLog(StoreClient client, StreamName stream) {
        this.client = client;
        this.stream = stream;
    }

    /** What came since the call before, oldest first. */
    List<Mark> next() throws IOException {
        if (segment == null) {
            StreamName log = new StreamName(stream.scope(), "_MARK" + stream.name());
            segment = client.await(client.controller().getCurrentSegments(log.scope(), log.name()), "find the time marks of " + stream)
                    .getSegmentForKey(0.0);
        }
        SegmentInfo info = client.await(client.info(segment), "find the end of the time marks of " + stream);
        offset = Math.max(offset, info.getStartingOffset());
        List<Mark> result = new ArrayList<>();
        if (info.getWriteOffset() <= offset) {
            return result;
        }
        try (EventSegmentReader reader = client.open(segment, offset, info.getWriteOffset(), 64 * 1024)) {
            while (true) {
                ByteBuffer event = reader.read(30_000);
                if (event == null) {
                    break;
                }
                offset = reader.getOffset();
                result.add(parse(event));
            }
        } catch (EndOfSegmentException e) {
            // All that was there is read.
        } catch (SegmentTruncatedException e) {
            offset = -1;
        }
        return result;
    }

    private Mark parse(ByteBuffer event) {
        Watermark watermark = Watermark.fromByteBuf(event);
        TreeMap<Long, Long> cut = new TreeMap<>();
        for (Map.Entry<SegmentWithRange, Long> entry : watermark.getStreamCut().entrySet()) {
            cut.put(entry.getKey().getSegmentId(), entry.getValue());
            ranges.put(entry.getKey().getSegmentId(), new double[] {entry.getKey().getRangeLow(), entry.getKey().getRangeHigh()});
        }
        return new Mark(watermark.getLowerTimeBound(), watermark.getUpperTimeBound(), cut);
    }

    /** Whether all before {@code position} in a segment lies at or behind the mark there. */
    boolean passed(Mark mark, long segmentId, long position) {
        Long own = mark.cut().get(segmentId);
        if (own != null) {
            return own >= 0 && position >= own;
        }
        // The mark names the segments before or after this one, where their key ranges overlap.
        double[] range = ranges.get(segmentId);
        boolean any = false;
        for (long other : mark.cut().keySet()) {
            double[] otherRange = ranges.get(other);
            if (range != null && (otherRange[0] >= range[1] || otherRange[1] <= range[0])) {
                continue;
            }
            if (other > segmentId) {
                return false;
            }
            any = true;
        }
        return any;
    }
}
