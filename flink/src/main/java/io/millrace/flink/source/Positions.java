package io.millrace.flink.source;

import io.millrace.flink.client.StoreClient;
import io.millrace.flink.client.StreamName;
import java.io.IOException;
import java.util.TreeMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Finds the offsets that a position stands for. */
final class Positions {
    private static final Logger LOG = LoggerFactory.getLogger(Positions.class);

    private Positions() {}

    static SegmentGraph graph(StoreClient client, SourceSettings settings, StreamName stream, boolean later) throws IOException {
        TreeMap<Long, Long> end = end(client, settings.end, stream);
        SegmentGraph graph = new SegmentGraph(stream, end);
        // A stream that appears while the job runs is read from its first event: none of them was there at the start.
        Position start = later ? Position.head() : settings.start;
        TreeMap<Long, Long> cut = start(client, start, stream);
        if (end != null && !end.isEmpty()) {
            for (long id : cut.keySet()) {
                if (id > end.lastKey()) {
                    throw new IllegalArgumentException("the start of " + stream + " lies behind its end: segment " + stream.segment(id)
                            + " is newer than all of the end");
                }
            }
        }
        graph.start(cut, start.kind == Position.Kind.HEAD || start.kind == Position.Kind.TIME);
        LOG.info("reading {} from {}: {}{}", stream, start, cut, end == null ? "" : " to " + end);
        return graph;
    }

    private static TreeMap<Long, Long> start(StoreClient client, Position position, StreamName stream) throws IOException {
        return switch (position.kind) {
            case HEAD, NONE -> client.head(stream);
            case TAIL -> client.tail(stream);
            case CUT -> cut(position, stream);
            case TIME -> {
                TreeMap<Long, Long> best = null;
                for (MarkLog.Mark mark : new MarkLog(client, stream).next()) {
                    if (mark.upper() <= position.time) {
                        best = mark.cut();
                    }
                }
                yield best != null ? best : client.atTime(stream, position.time);
            }
        };
    }

    private static TreeMap<Long, Long> end(StoreClient client, Position position, StreamName stream) throws IOException {
        return switch (position.kind) {
            case NONE -> null;
            case HEAD -> client.head(stream);
            // Empty for a sealed stream: reading ends where there are no successors.
            case TAIL -> client.tail(stream);
            case CUT -> cut(position, stream);
            case TIME -> {
                for (MarkLog.Mark mark : new MarkLog(client, stream).next()) {
                    if (mark.lower() >= position.time) {
                        yield mark.cut();
                    }
                }
                // No mark says that all older events are there; what is there now is all that can be read without waiting.
                yield client.tail(stream);
            }
        };
    }

    private static TreeMap<Long, Long> cut(Position position, StreamName stream) {
        String text = position.cuts.get(stream.toString());
        if (text == null) {
            throw new IllegalArgumentException("there is no stream cut for " + stream + " among those of " + position.cuts.keySet());
        }
        return StoreClient.positions(stream, text);
    }
}
