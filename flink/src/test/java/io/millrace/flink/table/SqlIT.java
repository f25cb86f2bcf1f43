package io.millrace.flink.table;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.millrace.flink.ServerTest;
import io.millrace.flink.TestJobs;
import io.pravega.client.stream.EventPointer;
import io.pravega.client.stream.EventStreamWriter;
import io.pravega.client.stream.impl.UTF8StringSerializer;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;
import org.apache.flink.util.ExceptionUtils;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

class SqlIT extends ServerTest {
    private static TableEnvironment tables(boolean batch) {
        var builder = EnvironmentSettings.newInstance().withConfiguration(TestJobs.configuration(0));
        TableEnvironment result = TableEnvironment.create((batch ? builder.inBatchMode() : builder.inStreamingMode()).build());
        result.getConfig().set("parallelism.default", "1");
        return result;
    }

    private static String with(String stream, String format, String... more) {
        StringBuilder options = new StringBuilder(" WITH ('connector' = 'millrace', 'controller' = '" + store.controller + "', 'stream' = '" + stream
                + "', 'format' = '" + format + "'");
        for (int i = 0; i < more.length; i += 2) {
            options.append(", '").append(more[i]).append("' = '").append(more[i + 1]).append("'");
        }
        return options.append(")").toString();
    }

    private static List<String> rows(TableEnvironment tables, String query) throws Exception {
        List<String> result = new ArrayList<>();
        try (CloseableIterator<Row> rows = tables.executeSql(query).collect()) {
            rows.forEachRemaining(row -> result.add(row.toString()));
        }
        return result;
    }

    private static void insert(TableEnvironment tables, String statement) throws Exception {
        tables.executeSql(statement).await(60, TimeUnit.SECONDS);
    }

    @Test
    void jsonWithMetadata() throws Exception {
        String stream = store.createStream("json", 2);
        TableEnvironment tables = tables(true);
        tables.executeSql("CREATE TABLE t (id INT, name STRING, rk STRING METADATA FROM 'routing-key', ptr STRING METADATA FROM 'event-pointer' VIRTUAL,"
                + " seg STRING METADATA FROM 'segment' VIRTUAL, off BIGINT METADATA FROM 'offset' VIRTUAL, st STRING METADATA FROM 'stream' VIRTUAL)"
                + with(stream, "json", "scan.bounded.mode", "tail", "sink.routing-key.fields", "name"));
        insert(tables, "INSERT INTO t VALUES (1, 'a', CAST(NULL AS STRING)), (2, 'b', 'x'), (3, 'a', CAST(NULL AS STRING))");
        assertEquals(List.of("+I[1, a, a]", "+I[2, b, b]", "+I[3, a, a]"), rows(tables, "SELECT id, name, rk FROM t ORDER BY id"));
        List<String> found = rows(tables, "SELECT ptr, seg, off, st FROM t WHERE id = 1");
        assertEquals(1, found.size());
        String[] fields = found.get(0).substring(3, found.get(0).length() - 1).split(", ");
        assertEquals(fields[0], fields[1] + ":" + fields[2] + fields[0].substring(fields[0].lastIndexOf('-')));
        assertEquals(stream, fields[3]);
        // The client finds the event by its pointer.
        String event = store.streams.fetchEvent(EventPointer.fromBytes(pointer(fields[0])), new UTF8StringSerializer()).get(30, TimeUnit.SECONDS);
        assertEquals("{\"id\":1,\"name\":\"a\"}", event);
    }

    private static java.nio.ByteBuffer pointer(String text) {
        return io.pravega.client.stream.impl.EventPointerImpl.fromString(text).toBytes();
    }

    @Test
    void csvAndAvro() throws Exception {
        TableEnvironment tables = tables(true);
        for (String format : List.of("csv", "avro")) {
            String stream = store.createStream(format, 1);
            tables.executeSql("CREATE TABLE " + format + " (id INT, name STRING)" + with(stream, format, "scan.bounded.mode", "tail"));
            insert(tables, "INSERT INTO " + format + " VALUES (1, 'one'), (2, 'two')");
            assertEquals(List.of("+I[1, one]", "+I[2, two]"), rows(tables, "SELECT * FROM " + format + " ORDER BY id"));
        }
    }

    @Test
    void changelogs() throws Exception {
        String stream = store.createStream("changes", 3);
        TableEnvironment tables = tables(false);
        tables.executeSql("CREATE TABLE changes (name STRING, total BIGINT, PRIMARY KEY (name) NOT ENFORCED)"
                + with(stream, "debezium-json", "scan.bounded.mode", "tail"));
        insert(tables, "INSERT INTO changes SELECT name, SUM(n) FROM (VALUES ('a', 1), ('b', 2), ('a', 3), ('a', 4)) AS v (name, n) GROUP BY name");
        List<String> all = rows(tables, "SELECT name, total FROM changes");
        TreeSet<String> state = new TreeSet<>();
        for (String change : all) {
            String row = change.substring(2);
            if (change.startsWith("+")) {
                state.add(row);
            } else {
                state.remove(row);
            }
        }
        assertEquals(new TreeSet<>(List.of("[a, 8]", "[b, 2]")), state, all.toString());
    }

    @Test
    void catalog() throws Exception {
        store.createStream("plain-stream", 1);
        try (EventStreamWriter<String> writer = store.writer("plain-stream")) {
            writer.writeEvent("hello").get(30, TimeUnit.SECONDS);
        }
        TableEnvironment tables = tables(true);
        String create = "CREATE CATALOG c WITH ('type' = 'millrace', 'controller' = '" + store.controller + "', 'default-database' = '" + store.scope + "')";
        tables.executeSql(create);
        tables.executeSql("USE CATALOG c");
        assertTrue(rows(tables, "SHOW DATABASES").contains("+I[" + store.scope + "]"));
        tables.executeSql("CREATE TABLE orders (id INT, item STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('format' = 'json', 'stream.segments' = '2',"
                + " 'scan.bounded.mode' = 'tail')");
        assertThrows(Exception.class, () -> tables.executeSql("CREATE TABLE orders (id INT) WITH ('format' = 'json')"));
        insert(tables, "INSERT INTO orders VALUES (1, 'mill'), (2, 'race')");

        TableEnvironment others = tables(true);
        others.executeSql(create);
        others.executeSql("USE CATALOG c");
        List<String> shown = rows(others, "SHOW TABLES");
        assertTrue(shown.contains("+I[orders]") && shown.contains("+I[plain-stream]"), shown.toString());
        assertEquals(List.of("+I[1, mill]", "+I[2, race]"), rows(others, "SELECT * FROM orders ORDER BY id"));
        List<String> raw = new ArrayList<>();
        try (CloseableIterator<Row> rows = others.executeSql("SELECT event FROM `plain-stream` /*+ OPTIONS('scan.bounded.mode' = 'tail') */").collect()) {
            rows.forEachRemaining(row -> raw.add(new String((byte[]) row.getField(0), StandardCharsets.UTF_8)));
        }
        assertEquals(List.of("hello"), raw);

        others.executeSql("DROP TABLE orders");
        assertTrue(rows(tables, "DESCRIBE orders").get(0).startsWith("+I[event"), "the stream stays, without its definition");
        assertThrows(Exception.class, () -> others.executeSql("DROP TABLE `plain-stream`"));
    }

    @Test
    @Tag("marks")
    void watermarksFromTheStreamsMarks() throws Exception {
        String stream = store.createStream("marks", 1);
        long begin = Instant.parse("2026-01-01T00:00:00Z").toEpochMilli();
        TableEnvironment tables = tables(false);
        tables.executeSql("CREATE TABLE timed (id INT, ms BIGINT, ts AS TO_TIMESTAMP_LTZ(ms, 3), WATERMARK FOR ts AS SOURCE_WATERMARK())"
                + with(stream, "json"));
        try (EventStreamWriter<String> writer = store.writer("marks");
                CloseableIterator<Row> rows = tables.executeSql("SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE timed, DESCRIPTOR(ts),"
                        + " INTERVAL '10' SECOND)) GROUP BY window_start, window_end").collect()) {
            for (int i = 0; i < 60; i++) {
                writer.writeEvent("k", "{\"id\":" + i + ",\"ms\":" + (begin + i * 1000L) + "}");
                writer.flush();
                writer.noteTime(begin + i * 1000L);
                Thread.sleep(500);
            }
            assertTrue(rows.hasNext());
            assertEquals(10L, rows.next().getField(1));
        }
    }

    @Test
    void unreadableEvents() throws Exception {
        String stream = store.createStream("unreadable", 1);
        try (EventStreamWriter<String> writer = store.writer("unreadable")) {
            for (String event : List.of("{\"id\":1}", "no json", "{\"id\":2}")) {
                writer.writeEvent("k", event).join();
            }
        }
        TableEnvironment tables = tables(true);
        tables.executeSql("CREATE TABLE strict (id INT)" + with(stream, "json", "scan.bounded.mode", "tail"));
        String failure = ExceptionUtils.stringifyException(assertThrows(Exception.class, () -> rows(tables, "SELECT * FROM strict")));
        assertTrue(failure.contains("the event at " + stream + "/0.#epoch.0:16-15 could not be deserialized"), failure);
        tables.executeSql("CREATE TABLE lenient (id INT)" + with(stream, "json", "scan.bounded.mode", "tail", "scan.unreadable-events", "skip"));
        assertEquals(List.of("+I[1]", "+I[2]"), rows(tables, "SELECT * FROM lenient"));
    }

    @Test
    @Tag("transactions")
    void aMissingStreamAndARefusedLeaseAreSaid() throws Exception {
        TableEnvironment tables = tables(true);
        tables.executeSql("CREATE TABLE missing (id INT)" + with(store.scope + "/no-such-stream", "json", "scan.bounded.mode", "tail"));
        String failure = ExceptionUtils.stringifyException(assertThrows(Exception.class, () -> rows(tables, "SELECT * FROM missing")));
        assertTrue(failure.contains("stream " + store.scope + "/no-such-stream does not exist"), failure);
        String stream = store.createStream("leases", 1);
        tables.executeSql("CREATE TABLE leases (id INT)" + with(stream, "json", "sink.delivery-guarantee", "exactly-once",
                "sink.transaction.prepared-lease", "3 d"));
        failure = ExceptionUtils.stringifyException(assertThrows(Exception.class, () -> insert(tables, "INSERT INTO leases VALUES (1)")));
        assertTrue(failure.contains("the server refuses a lease of 259200 s for prepared transactions"), failure);
    }

    @Test
    void wrongOptionsAreSaid() {
        TableEnvironment tables = tables(true);
        tables.executeSql("CREATE TABLE w (id INT)" + with("s/t", "json", "scan.startup.mode", "timestamp"));
        String failure = ExceptionUtils.stringifyException(assertThrows(Exception.class, () -> tables.executeSql("SELECT * FROM w")));
        assertTrue(failure.contains("scan.startup.timestamp-millis"), failure);
    }
}
