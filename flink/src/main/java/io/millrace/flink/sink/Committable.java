package io.millrace.flink.sink;

import io.millrace.flink.client.StreamName;
import java.io.IOException;
import java.util.UUID;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataOutputSerializer;

/**
 * A transaction whose events are all stored, to be committed when the checkpoint is complete.
 *
 * @param time noted with the commit, in milliseconds; Long.MIN_VALUE for none
 * @param preparedAt wall clock in milliseconds, for messages
 */
public record Committable(StreamName stream, UUID transaction, String writer, long time, long preparedAt, long lease) {

    /** Version 1. */
    static final class Serializer implements SimpleVersionedSerializer<Committable> {
        @Override
        public int getVersion() {
            return 1;
        }

        @Override
        public byte[] serialize(Committable value) throws IOException {
            DataOutputSerializer out = new DataOutputSerializer(128);
            out.writeUTF(value.stream.scope());
            out.writeUTF(value.stream.name());
            out.writeLong(value.transaction.getMostSignificantBits());
            out.writeLong(value.transaction.getLeastSignificantBits());
            out.writeUTF(value.writer);
            out.writeLong(value.time);
            out.writeLong(value.preparedAt);
            out.writeLong(value.lease);
            return out.getCopyOfBuffer();
        }

        @Override
        public Committable deserialize(int version, byte[] bytes) throws IOException {
            if (version != 1) {
                throw new IOException("a transaction's record of version " + version + ": written by a newer connector");
            }
            DataInputDeserializer in = new DataInputDeserializer(bytes);
            StreamName stream = new StreamName(in.readUTF(), in.readUTF());
            UUID transaction = new UUID(in.readLong(), in.readLong());
            return new Committable(stream, transaction, in.readUTF(), in.readLong(), in.readLong(), in.readLong());
        }
    }
}
