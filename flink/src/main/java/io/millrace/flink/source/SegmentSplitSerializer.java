package io.millrace.flink.source;

import io.millrace.flink.client.StreamName;
import java.io.IOException;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataOutputSerializer;

/** Version 1: scope, stream, segment id, offset, end, flags (1 movable, 2 finished). */
final class SegmentSplitSerializer implements SimpleVersionedSerializer<SegmentSplit> {
    static final int VERSION = 1;

    @Override
    public int getVersion() {
        return VERSION;
    }

    @Override
    public byte[] serialize(SegmentSplit split) throws IOException {
        DataOutputSerializer out = new DataOutputSerializer(96);
        out.writeUTF(split.stream().scope());
        out.writeUTF(split.stream().name());
        out.writeLong(split.segmentId());
        out.writeLong(split.offset());
        out.writeLong(split.end());
        out.writeByte((split.movable() ? 1 : 0) | (split.finished() ? 2 : 0));
        return out.getCopyOfBuffer();
    }

    @Override
    public SegmentSplit deserialize(int version, byte[] bytes) throws IOException {
        if (version != VERSION) {
            throw new IOException("a split of version " + version + ": written by a newer connector");
        }
        DataInputDeserializer in = new DataInputDeserializer(bytes);
        StreamName stream = new StreamName(in.readUTF(), in.readUTF());
        long segment = in.readLong();
        long offset = in.readLong();
        long end = in.readLong();
        int flags = in.readByte();
        return new SegmentSplit(stream, segment, offset, end, (flags & 1) != 0, (flags & 2) != 0);
    }
}
