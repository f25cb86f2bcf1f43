package io.millrace.flink.table;

import io.millrace.flink.client.StoreClient;
import io.millrace.flink.client.StreamName;
import io.pravega.client.state.Revision;
import io.pravega.client.state.RevisionedStreamClient;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Iterator;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataOutputSerializer;

/**
 * The definitions of a scope's tables, as a log in a stream of that scope, so that every catalog on it sees the same. Each record holds one
 * table: version (1), name, and its properties, or none when it was dropped. Records are written on condition that none came between.
 */
final class TableDefinitions {
    static final String STREAM = "flink-catalog";
    private static final int VERSION = 1;

    private final StoreClient client;
    private final StreamName stream;

    TableDefinitions(StoreClient client, String scope) {
        this.client = client;
        this.stream = new StreamName(scope, STREAM);
    }

    /** Table name to properties. */
    TreeMap<String, Map<String, String>> read() throws IOException {
        if (!client.exists(stream)) {
            return new TreeMap<>();
        }
        try (RevisionedStreamClient<byte[]> log = client.revisions(stream)) {
            TreeMap<String, Map<String, String>> result = new TreeMap<>();
            replay(log, result);
            return result;
        }
    }

    private static Revision replay(RevisionedStreamClient<byte[]> log, Map<String, Map<String, String>> into) throws IOException {
        Revision last = log.fetchOldestRevision();
        Iterator<Map.Entry<Revision, byte[]>> records = log.readFrom(last);
        while (records.hasNext()) {
            Map.Entry<Revision, byte[]> record = records.next();
            last = record.getKey();
            apply(record.getValue(), into);
        }
        return last;
    }

    /** @param change gets the properties, or null, and gives the new ones, or null for none; it may be called again after a conflict */
    void update(String table, Function<Map<String, String>, Map<String, String>> change) throws IOException {
        client.createStream(stream, 1);
        try (RevisionedStreamClient<byte[]> log = client.revisions(stream)) {
            while (true) {
                TreeMap<String, Map<String, String>> now = new TreeMap<>();
                Revision last = replay(log, now);
                byte[] record = record(table, change.apply(now.get(table)));
                if (log.writeConditionally(last, record) != null) {
                    return;
                }
            }
        }
    }

    private static byte[] record(String table, Map<String, String> properties) throws IOException {
        DataOutputSerializer out = new DataOutputSerializer(512);
        out.writeByte(VERSION);
        write(out, table);
        out.writeInt(properties == null ? -1 : properties.size());
        if (properties != null) {
            for (Map.Entry<String, String> entry : properties.entrySet()) {
                write(out, entry.getKey());
                write(out, entry.getValue());
            }
        }
        return out.getCopyOfBuffer();
    }

    private static void apply(byte[] record, Map<String, Map<String, String>> into) throws IOException {
        DataInputDeserializer in = new DataInputDeserializer(record);
        int version = in.readByte();
        if (version != VERSION) {
            throw new IOException("a table's definition of version " + version + ": written by a newer connector");
        }
        String table = read(in);
        int count = in.readInt();
        if (count < 0) {
            into.remove(table);
            return;
        }
        Map<String, String> properties = new TreeMap<>();
        for (int i = 0; i < count; i++) {
            String key = read(in);
            properties.put(key, read(in));
        }
        into.put(table, properties);
    }

    private static void write(DataOutputSerializer out, String text) throws IOException {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        out.writeInt(bytes.length);
        out.write(bytes);
    }

    private static String read(DataInputDeserializer in) throws IOException {
        int length = in.readInt();
        if (length < 0 || length > in.available()) {
            throw new IOException("not a table's definition");
        }
        byte[] bytes = new byte[length];
        in.readFully(bytes);
        return new String(bytes, StandardCharsets.UTF_8);
    }
}
