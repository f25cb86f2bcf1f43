package io.millrace.flink.sink;

import io.millrace.flink.client.StreamName;
import java.io.IOException;
import java.util.UUID;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataOutputSerializer;

/** The transaction that takes what comes after the checkpoint. A job restored from it never commits that one, and aborts it. */
public record WriterState(StreamName stream, UUID transaction) {

    /** Version 1. */
    static final class Serializer implements SimpleVersionedSerializer<WriterState> {
        @Override
        public int getVersion() {
            return 1;
        }

        @Override
        public byte[] serialize(WriterState value) throws IOException {
            DataOutputSerializer out = new DataOutputSerializer(64);
            out.writeUTF(value.stream.scope());
            out.writeUTF(value.stream.name());
            out.writeLong(value.transaction.getMostSignificantBits());
            out.writeLong(value.transaction.getLeastSignificantBits());
            return out.getCopyOfBuffer();
        }

        @Override
        public WriterState deserialize(int version, byte[] bytes) throws IOException {
            if (version != 1) {
                throw new IOException("a writer's state of version " + version + ": written by a newer connector");
            }
            DataInputDeserializer in = new DataInputDeserializer(bytes);
            return new WriterState(new StreamName(in.readUTF(), in.readUTF()), new UUID(in.readLong(), in.readLong()));
        }
    }
}
