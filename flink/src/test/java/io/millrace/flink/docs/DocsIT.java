package io.millrace.flink.docs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.millrace.flink.ServerTest;
import io.millrace.flink.TestJobs;
import io.millrace.flink.TestStore;
import io.millrace.flink.migration.SavepointCuts;
import io.millrace.flink.sink.MillraceSink;
import io.millrace.flink.source.MillraceSource;
import io.millrace.flink.source.Position;
import io.pravega.client.ClientConfig;
import io.pravega.client.admin.ReaderGroupManager;
import io.pravega.client.stream.Checkpoint;
import io.pravega.client.stream.EventRead;
import io.pravega.client.stream.EventStreamReader;
import io.pravega.client.stream.EventStreamWriter;
import io.pravega.client.stream.ReaderConfig;
import io.pravega.client.stream.ReaderGroup;
import io.pravega.client.stream.ReaderGroupConfig;
import io.pravega.client.stream.impl.UTF8StringSerializer;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.runtime.checkpoint.Checkpoints;
import org.apache.flink.runtime.checkpoint.MasterState;
import org.apache.flink.runtime.checkpoint.metadata.CheckpointMetadata;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.util.CloseableIterator;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Runs what the pages show. */
class DocsIT extends ServerTest {
    @Test
    @Tag("transactions")
    void sourceAndSink() throws Exception {
        String orders = store.createStream("orders", 2);
        String results = store.createStream("results", 1);
        store.writeSequences("orders", 2, 0, 5);
        StreamExecutionEnvironment env = TestJobs.environment(1, 0);
        env.enableCheckpointing(300);
        Samples.copy(env, store.controller, orders, results);
        JobClient job = env.executeAsync();
        store.awaitEvents(results, 10);
        job.cancel().get();
        assertTrue(store.contents(results).contains("K1:4"));
    }

    @Test
    void streamsThatAppear() throws Exception {
        String orders = store.createStream("orders-1", 1);
        store.writeSequences("orders-1", 1, 0, 3);
        String copy = store.createStream("copied", 1);
        StreamExecutionEnvironment env = TestJobs.environment(1, 0);
        env.fromSource(Samples.pattern(store.controller, store.scope), Samples.aligned(), "in")
                .sinkTo(MillraceSink.<String>builder().controller(store.controller).stream(copy).serializer(new SimpleStringSchema(), event -> null).build());
        JobClient job = env.executeAsync();
        // From the tail: what was there before does not come. When the job has begun to read is not known; so write until something comes.
        for (int i = 3; store.contents(copy).isEmpty(); i++) {
            assertTrue(i < 300);
            store.writeSequences("orders-1", 1, i, i + 1);
        }
        job.cancel().get();
        assertTrue(store.contents(copy).stream().noneMatch(event -> event.equals("k0:0")), orders);
    }

    @Test
    void connection() {
        assertEquals(store.controller, Samples.connection(store.controller).controller().toString());
    }

    @Test
    void unreadableEventsAside() throws Exception {
        String prices = store.createStream("prices", 1);
        try (EventStreamWriter<String> writer = store.writer("prices")) {
            for (String event : List.of(new String(new Samples.Order().serialize(org.apache.flink.api.java.tuple.Tuple2.of("bread", 2.5))), "flour:much")) {
                writer.writeEvent("k", event).join();
            }
        }
        TreeSet<String> found = new TreeSet<>();
        try (CloseableIterator<String> events = Samples.aside(TestJobs.environment(1, 0), store.controller, prices).executeAndCollect()) {
            events.forEachRemaining(found::add);
        }
        assertEquals(2, found.size(), found.toString());
        assertTrue(found.contains("price 2.5") && found.first().startsWith(prices + "/0.#epoch.0:17-"), found.toString());
    }

    @Test
    void history() throws Exception {
        String orders = store.createStream("history", 3);
        store.writeSequences("history", 4, 0, 25);
        assertEquals(Map.of("k0", 25, "k1", 25, "k2", 25, "k3", 25), Samples.count(TestJobs.environment(2, 0), store.controller, orders));
        String cut = Samples.tailOf(store.controller, store.scope, "history");
        store.writeSequences("history", 4, 25, 30);
        List<String> rest = TestJobs.collect(MillraceSource.<String>builder().controller(store.controller).stream(orders)
                .startAt(Position.streamCut(orders, cut)).endAt(Position.tail()).deserializer(new SimpleStringSchema()).build(), 1);
        TestJobs.assertSequences(TestJobs.byKey(rest), 4, 25, 30);
    }

    @Test
    @Tag("prepared")
    void transactions() {
        Samples.keepPrepared(store.controller, store.scope, "kept");
        assertNotNull(Samples.leases(store.controller, store.scope + "/kept"));
        assertTrue(store.streams.getStreamTags(store.scope, "kept").contains("millrace.prepared=keep"));
    }

    /** @param events that lie before the checkpoint; @param given those that the reader gave out in all */
    private record Left(Checkpoint checkpoint, int events, int given) {}

    /** Reads {@code count} events, or some more, as the older connector's reader does, and leaves a checkpoint behind. */
    private static Left leave(ReaderGroup group, String name, int count) throws Exception {
        // The client's own thread for it may be the one that it waits for, on a small machine.
        ScheduledExecutorService executor = Executors.newSingleThreadScheduledExecutor();
        try (EventStreamReader<String> reader = store.factory().createReader("r", name, new UTF8StringSerializer(), ReaderConfig.builder().build())) {
            int events = 0;
            CompletableFuture<Checkpoint> checkpoint = null;
            for (int i = 0; i < 2000; i++) {
                if (checkpoint == null && events >= count) {
                    checkpoint = group.initiateCheckpoint("PVG-CHK-1", executor);
                }
                // Slowly, so that there is something left.
                Thread.sleep(20);
                EventRead<String> read = reader.readNextEvent(100);
                if (read.isCheckpoint()) {
                    // The next call says that it was taken; what it may read is not part of it.
                    int given = reader.readNextEvent(0).getEvent() == null ? events : events + 1;
                    return new Left(checkpoint.get(60, TimeUnit.SECONDS), events, given);
                }
                events += read.getEvent() == null ? 0 : 1;
                assertTrue(events < 1000, "no checkpoint");
            }
            throw new AssertionError("no checkpoint");
        } finally {
            executor.shutdownNow();
        }
    }

    @Test
    void migration(@TempDir Path folder) throws Exception {
        String stream = store.createStream("old", 1);
        store.writeSequences("old", 1, 0, 1000);
        int last;
        ClientConfig config = ClientConfig.builder().controllerURI(URI.create(store.controller)).build();
        try (ReaderGroupManager groups = ReaderGroupManager.withScope(store.scope, config)) {
            groups.createReaderGroup("old-job", ReaderGroupConfig.builder().stream(stream).groupRefreshTimeMillis(200).disableAutomaticCheckpoints().build());
            try (ReaderGroup group = groups.getReaderGroup("old-job")) {
                Left left = leave(group, "old-job", 7);
                last = left.given();
                assertTrue(last < 1000);

                // From the savepoint: exact.
                byte[] bytes = new byte[left.checkpoint().toBytes().remaining()];
                left.checkpoint().toBytes().get(bytes);
                try (var out = Files.newOutputStream(folder.resolve("_metadata"))) {
                    Checkpoints.storeCheckpointMetadata(new CheckpointMetadata(1, List.of(), List.of(new MasterState("old-uid", bytes, 2))), out);
                }
                Map<String, Map<String, String>> found = SavepointCuts.of(folder);
                assertEquals(List.of(stream), List.copyOf(found.get("old-uid").keySet()));
                String cut = found.get("old-uid").get(stream);
                TestJobs.assertSequences(TestJobs.byKey(TestJobs.collect(MillraceSource.<String>builder().controller(store.controller).stream(stream)
                        .startAt(Position.streamCut(stream, cut)).endAt(Position.tail()).deserializer(new SimpleStringSchema()).build(), 1)), 1, left.events(), 1000);
            }
        }
        // By the reader group: where its readers stood when they were closed, at or before what they gave out last.
        String copy = store.createStream("continued", 1);
        StreamExecutionEnvironment env = TestJobs.environment(1, 0);
        env.fromSource(Samples.continued(store.controller, store.scope, "old-job"), WatermarkStrategy.noWatermarks(), "in").returns(Types.STRING)
                .sinkTo(MillraceSink.<String>builder().controller(store.controller).stream(copy).serializer(new SimpleStringSchema(), event -> "k").build());
        JobClient job = env.executeAsync();
        for (int i = 0; !store.contents(copy).contains("k0:999"); i++) {
            assertTrue(i < 200);
            Thread.sleep(200);
        }
        job.cancel().get();
        List<String> continued = store.contents(copy);
        int first = Integer.parseInt(continued.get(0).substring(3));
        assertTrue(first <= last, "lost: " + first);
        TestJobs.assertSequences(TestJobs.byKey(continued), 1, first, 1000);
    }

    /** All statements of a page, in their order; those that would never end are planned only. */
    private static List<String> run(String page, TableEnvironment tables, TestStore own) throws Exception {
        List<String> rows = new ArrayList<>();
        for (String block : Pages.blocks(Pages.ROOT.resolve("docs/flink/" + page), "sql")) {
            for (String line : block.replaceAll("--[^\\n]*", "").split(";\\s*(\\n|$)")) {
                String statement = line.strip().replace("tcp://127.0.0.1:9090", store.controller).replace("demo/", own.scope + "/")
                        .replace("'demo'", "'" + own.scope + "'").replace("demo.", "`" + own.scope + "`.");
                if (statement.isEmpty()) {
                    continue;
                }
                if (statement.startsWith("SET")) {
                    // The SQL client's own.
                    String[] setting = statement.split("'");
                    tables.getConfig().set(setting[1], setting[3]);
                    continue;
                }
                boolean query = statement.startsWith("SELECT");
                boolean endless = (query || statement.startsWith("INSERT")) && !statement.contains("scan.bounded.mode") && !statement.contains("VALUES");
                try {
                    if (endless) {
                        tables.explainSql(statement);
                        continue;
                    }
                    TableResult result = tables.executeSql(statement);
                    if (query) {
                        try (var found = result.collect()) {
                            found.forEachRemaining(row -> rows.add(row.toString()));
                        }
                    } else if (statement.startsWith("INSERT")) {
                        result.await(120, TimeUnit.SECONDS);
                    }
                } catch (Exception e) {
                    throw new AssertionError(page + ": " + statement, e);
                }
            }
        }
        return rows;
    }

    private static TableEnvironment tables(boolean batch) {
        var settings = EnvironmentSettings.newInstance().withConfiguration(TestJobs.configuration(0));
        TableEnvironment result = TableEnvironment.create((batch ? settings.inBatchMode() : settings.inStreamingMode()).build());
        result.getConfig().set("parallelism.default", "1");
        return result;
    }

    @Test
    @Tag("transactions")
    void sqlPage() throws Exception {
        try (TestStore own = new TestStore()) {
            for (String stream : List.of("orders", "orders-2026", "results", "changes")) {
                own.createStream(stream, 2);
            }
            List<String> rows = run("sql.md", tables(false), own);
            assertTrue(rows.contains("+I[1, bread]"), rows.toString());
            assertTrue(rows.stream().anyMatch(row -> row.contains(own.scope + "/orders/0.#epoch.0:")), rows.toString());
        }
    }

    @Test
    @Tag("transactions")
    void sqlOfTheBatchPage() throws Exception {
        try (TestStore own = new TestStore()) {
            own.createStream("orders", 2);
            List<String> rows = run("batch.md", tables(true), own);
            assertTrue(rows.containsAll(List.of("+I[bread, 3]", "+I[flour, 5]")), rows.toString());
        }
    }
}
