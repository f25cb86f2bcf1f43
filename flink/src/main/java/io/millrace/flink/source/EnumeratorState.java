package io.millrace.flink.source;

import io.millrace.flink.client.StreamName;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.TreeMap;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataOutputSerializer;

/** The enumerator's part of a checkpoint: the graphs of all streams as they were. */
public final class EnumeratorState {
    private final byte[] graphs;

    private EnumeratorState(byte[] graphs) {
        this.graphs = graphs;
    }

    static EnumeratorState of(Collection<SegmentGraph> graphs) throws IOException {
        DataOutputSerializer out = new DataOutputSerializer(512);
        out.writeInt(graphs.size());
        for (SegmentGraph graph : graphs) {
            write(graph, out);
        }
        return new EnumeratorState(out.getCopyOfBuffer());
    }

    List<SegmentGraph> graphs() throws IOException {
        DataInputDeserializer in = new DataInputDeserializer(graphs);
        List<SegmentGraph> result = new ArrayList<>();
        for (int n = in.readInt(); n > 0; n--) {
            result.add(read(in));
        }
        return result;
    }

    private static void write(SegmentGraph graph, DataOutputSerializer out) throws IOException {
        out.writeUTF(graph.stream.scope());
        out.writeUTF(graph.stream.name());
        out.writeInt(graph.endCut == null ? -1 : graph.endCut.size());
        if (graph.endCut != null) {
            for (var entry : graph.endCut.entrySet()) {
                out.writeLong(entry.getKey());
                out.writeLong(entry.getValue());
            }
        }
        out.writeInt(graph.nodes.size());
        for (SegmentGraph.Node node : graph.nodes.values()) {
            out.writeLong(node.id);
            out.writeLong(node.offset);
            out.writeLong(node.end);
            out.writeByte(node.status.ordinal() | (node.movable ? 16 : 0) | (node.expanded ? 32 : 0));
            writeIds(node.predecessors, out);
            writeIds(node.remaining, out);
        }
    }

    private static SegmentGraph read(DataInputDeserializer in) throws IOException {
        StreamName stream = new StreamName(in.readUTF(), in.readUTF());
        int ends = in.readInt();
        TreeMap<Long, Long> endCut = ends < 0 ? null : new TreeMap<>();
        for (int i = 0; i < ends; i++) {
            long id = in.readLong();
            endCut.put(id, in.readLong());
        }
        SegmentGraph graph = new SegmentGraph(stream, endCut);
        for (int n = in.readInt(); n > 0; n--) {
            long id = in.readLong();
            long offset = in.readLong();
            long end = in.readLong();
            int flags = in.readByte();
            SegmentGraph.Status status = SegmentGraph.Status.values()[flags & 15];
            graph.nodes.put(id, new SegmentGraph.Node(id, offset, end, (flags & 16) != 0, status, (flags & 32) != 0, readIds(in), readIds(in)));
        }
        return graph;
    }

    private static void writeIds(Collection<Long> ids, DataOutputSerializer out) throws IOException {
        out.writeInt(ids.size());
        for (long id : ids) {
            out.writeLong(id);
        }
    }

    private static List<Long> readIds(DataInputDeserializer in) throws IOException {
        List<Long> result = new ArrayList<>();
        for (int n = in.readInt(); n > 0; n--) {
            result.add(in.readLong());
        }
        return result;
    }

    /** Version 1. */
    static final class Serializer implements SimpleVersionedSerializer<EnumeratorState> {
        @Override
        public int getVersion() {
            return 1;
        }

        @Override
        public byte[] serialize(EnumeratorState state) {
            return state.graphs.clone();
        }

        @Override
        public EnumeratorState deserialize(int version, byte[] bytes) throws IOException {
            if (version != 1) {
                throw new IOException("an enumerator's state of version " + version + ": written by a newer connector");
            }
            return new EnumeratorState(bytes.clone());
        }
    }
}
