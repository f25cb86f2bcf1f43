package io.millrace.flink.sink;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.millrace.flink.ServerTest;
import io.millrace.flink.TestJobs;
import io.millrace.flink.client.StoreOptions;
import io.millrace.flink.client.StreamName;
import io.millrace.flink.source.MillraceSource;
import io.millrace.flink.source.Position;
import io.pravega.client.stream.EventStreamReader;
import io.pravega.client.stream.ReaderConfig;
import io.pravega.client.stream.ReaderGroupConfig;
import io.pravega.client.admin.ReaderGroupManager;
import io.pravega.client.stream.Transaction;
import io.pravega.client.stream.impl.UTF8StringSerializer;
import io.pravega.client.ClientConfig;
import java.io.IOException;
import java.net.URI;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.connector.sink2.Committer;
import org.apache.flink.api.connector.sink2.Committer.CommitRequest;
import org.apache.flink.api.connector.sink2.CommitterInitContext;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.util.CloseableIterator;
import org.apache.flink.util.ExceptionUtils;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

class SinkIT extends ServerTest {
    private static MillraceSinkBuilder<String> sink(String stream) {
        return MillraceSink.<String>builder().controller(store.controller).stream(stream)
                .serializer(new SimpleStringSchema(), event -> event.substring(0, Math.max(0, event.indexOf(':'))));
    }

    private static List<String> contents(String stream) throws Exception {
        return TestJobs.collect(MillraceSource.<String>builder().controller(store.controller).stream(stream).deserializer(new SimpleStringSchema())
                .endAt(Position.tail()).build(), 1);
    }

    private static void writeNumbers(MillraceSink<String> sink, int keys, int numbers) throws Exception {
        StreamExecutionEnvironment environment = TestJobs.environment(1);
        environment.fromSequence(0, (long) keys * numbers - 1).map(i -> "k" + i % keys + ":" + i / keys).returns(Types.STRING).sinkTo(sink);
        environment.execute();
    }

    @Test
    void atLeastOnceInOrderOfKeys() throws Exception {
        String stream = store.createStream("plain", 4);
        writeNumbers(sink(stream).build(), 7, 300);
        TestJobs.assertSequences(TestJobs.byKey(contents(stream)), 7, 0, 300);
    }

    @Test
    void aSmallWindowHoldsTheJobBack() throws Exception {
        String stream = store.createStream("window", 2);
        writeNumbers(sink(stream).maxInFlight(3, 1 << 20).build(), 5, 100);
        TestJobs.assertSequences(TestJobs.byKey(contents(stream)), 5, 0, 100);
    }

    @Test
    void ordinaryReadersUnderstandTheEvents() throws Exception {
        String stream = store.createStream("ordinary", 1);
        writeNumbers(sink(stream).build(), 1, 20);
        ClientConfig config = ClientConfig.builder().controllerURI(URI.create(store.controller)).build();
        try (ReaderGroupManager groups = ReaderGroupManager.withScope(store.scope, config)) {
            groups.createReaderGroup("ordinary-group", ReaderGroupConfig.builder().stream(stream).disableAutomaticCheckpoints().build());
            try (EventStreamReader<String> reader = store.factory().createReader("r", "ordinary-group", new UTF8StringSerializer(),
                    ReaderConfig.builder().build())) {
                for (int i = 0; i < 20; i++) {
                    String event = null;
                    for (int tries = 0; event == null && tries < 20; tries++) {
                        event = reader.readNextEvent(1000).getEvent();
                    }
                    assertEquals("k0:" + i, event);
                }
            }
        }
    }

    @Test
    void largeEvents() throws Exception {
        String stream = store.createStream("large", 1);
        String large = "x".repeat(9 << 20);
        StreamExecutionEnvironment environment = TestJobs.environment(1);
        environment.fromData("before", large, "after").sinkTo(sink(stream).build());
        environment.execute();
        List<Integer> lengths = new ArrayList<>();
        try (CloseableIterator<Integer> found = TestJobs.environment(1)
                .fromSource(MillraceSource.<String>builder().controller(store.controller).stream(stream).deserializer(new SimpleStringSchema())
                        .endAt(Position.tail()).build(), WatermarkStrategy.noWatermarks(), "in")
                .map(String::length).returns(Types.INT).executeAndCollect()) {
            found.forEachRemaining(lengths::add);
        }
        assertEquals(List.of(6, 9 << 20, 5), lengths);

        StreamExecutionEnvironment second = TestJobs.environment(1, 0);
        second.fromData(large).sinkTo(sink(stream).deliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE).build());
        String failure = ExceptionUtils.stringifyException(assertThrows(Exception.class, second::execute));
        assertTrue(failure.contains("larger than"), failure);
    }

    @Test
    @Tag("transactions")
    void aBoundedJobCommitsAtItsEnd() throws Exception {
        String stream = store.createStream("once", 3);
        writeNumbers(sink(stream).deliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE).build(), 5, 100);
        TestJobs.assertSequences(TestJobs.byKey(contents(stream)), 5, 0, 100);
    }

    @Test
    @Tag("transactions")
    void exactlyOnceOverFailures() throws Exception {
        String from = store.createStream("from", 2);
        String to = store.createStream("to", 3);
        StreamExecutionEnvironment environment = TestJobs.environment(2);
        environment.enableCheckpointing(300);
        environment.fromSource(MillraceSource.<String>builder().controller(store.controller).stream(from).deserializer(new SimpleStringSchema()).build(),
                        WatermarkStrategy.noWatermarks(), "in")
                .process(new TestJobs.FailOnce()).returns(Types.STRING)
                .keyBy(event -> event.substring(0, event.indexOf(':')))
                .sinkTo(sink(to).deliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE).build());
        JobClient job = environment.executeAsync();
        int written = 0;
        for (int round = 0; round < 4; round++) {
            store.writeSequences("from", 8, written, written + 100);
            written += 100;
            Thread.sleep(400);
            TestJobs.FAIL.set(round < 3);
        }
        List<String> found = List.of();
        for (int i = 0; found.size() < 8 * written && i < 400; i++) {
            Thread.sleep(500);
            found = contents(to);
        }
        Thread.sleep(1000);
        found = contents(to);
        job.cancel().get();
        TestJobs.assertSequences(TestJobs.byKey(found), 8, 0, written);
    }

    private static final class Request implements CommitRequest<Committable> {
        final Committable committable;
        String outcome = "";

        Request(Committable committable) {
            this.committable = committable;
        }

        @Override
        public Committable getCommittable() {
            return committable;
        }

        @Override
        public int getNumberOfRetries() {
            return 0;
        }

        @Override
        public void signalFailedWithKnownReason(Throwable reason) {
            outcome += "known " + reason;
        }

        @Override
        public void signalFailedWithUnknownReason(Throwable reason) {
            outcome += "unknown " + reason;
        }

        @Override
        public void retryLater() {
            outcome += "retry";
        }

        @Override
        public void updateAndRetryLater(Committable other) {
            outcome += "update";
        }

        @Override
        public void signalAlreadyCommitted() {
            outcome += "already";
        }
    }

    private static String commit(SinkSettings settings, StreamName stream, UUID transaction) throws Exception {
        Request request = new Request(new Committable(stream, transaction, "w", Long.MIN_VALUE, System.currentTimeMillis(), 60_000));
        try (MillraceCommitter committer = new MillraceCommitter(settings)) {
            committer.commit(Collections.singleton(request));
        }
        return request.outcome;
    }

    @Test
    @Tag("transactions")
    void commitsAreIdempotentAndALostTransactionIsSaid() throws Exception {
        StreamName stream = store.name("commits");
        store.createStream("commits", 2);
        SinkSettings settings = settings(stream.toString());

        UUID good = begin(stream);
        assertEquals("", commit(settings, stream, good));
        String again = commit(settings, stream, good);
        assertTrue(again.isEmpty() || again.equals("already"), again);

        UUID aborted = begin(stream);
        store.client.controller().abortTransaction(stream.toStream(), aborted).get(30, TimeUnit.SECONDS);
        TransactionGoneException gone = assertThrows(TransactionGoneException.class, () -> commit(settings, stream, aborted));
        assertTrue(gone.getMessage().contains("DATA IS LOST") && gone.getMessage().contains("ABORT"), gone.getMessage());

        UUID unknown = new UUID(good.getMostSignificantBits(), 42);
        gone = assertThrows(TransactionGoneException.class, () -> commit(settings, stream, unknown));
        assertTrue(gone.getMessage().contains("unknown to the server"), gone.getMessage());
        settings.unknownIsCommitted = true;
        assertEquals("already", commit(settings, stream, unknown));
    }

    private static UUID begin(StreamName stream) throws Exception {
        return store.client.controller().createTransaction(stream.toStream(), 60_000).get(30, TimeUnit.SECONDS).getTxnId();
    }

    @Test
    @Tag("transactions")
    void aPreparedTransactionGetsTheLongestLease() throws Exception {
        StreamName stream = store.name("leases");
        store.createStream("leases", 1);
        SinkSettings settings = new SinkSettings();
        settings.stream = stream;
        List<Throwable> gone = Collections.synchronizedList(new ArrayList<>());
        TransactionLeases leases = new TransactionLeases(store.client, settings, gone::add);
        UUID transaction = begin(stream);
        leases.opened(transaction);
        assertTrue(leases.prepared(transaction) >= 300_000);
        UUID other = begin(stream);
        leases.opened(other);
        leases.ping();
        leases.abort(other).get(30, TimeUnit.SECONDS);
        for (int i = 0; status(stream, other) != Transaction.Status.ABORTED && i < 100; i++) {
            Thread.sleep(100);
        }
        leases.opened(other);
        for (int i = 0; gone.isEmpty() && i < 100; i++) {
            leases.ping();
            Thread.sleep(Duration.ofMillis(100).toMillis());
        }
        assertEquals(1, gone.size());
        assertTrue(gone.get(0).getMessage().contains("is gone"), gone.get(0).getMessage());
        assertEquals(Transaction.Status.OPEN, status(stream, transaction));
    }

    /** As the sink, but somebody else aborts each transaction before it is committed. */
    private static MillraceSink<String> robbed(String stream) {
        return new MillraceSink<>(settings(stream), MillraceSerializationSchema.of(new SimpleStringSchema(), null)) {
            private static final long serialVersionUID = 1L;

            @Override
            public Committer<Committable> createCommitter(CommitterInitContext context) {
                return new Robber(super.createCommitter(context));
            }
        };
    }

    private record Robber(Committer<Committable> committer) implements Committer<Committable> {
        @Override
        public void commit(Collection<CommitRequest<Committable>> requests) throws IOException, InterruptedException {
            for (CommitRequest<Committable> request : requests) {
                Committable what = request.getCommittable();
                store.client.await(store.client.controller().abortTransaction(what.stream().toStream(), what.transaction()), "abort");
            }
            committer.commit(requests);
        }

        @Override
        public void close() throws Exception {
            committer.close();
        }
    }

    private static SinkSettings settings(String stream) {
        SinkSettings settings = new SinkSettings();
        settings.store = StoreOptions.of(store.controller);
        settings.stream = StreamName.parse(stream);
        settings.guarantee = DeliveryGuarantee.EXACTLY_ONCE;
        return settings;
    }

    @Test
    @Tag("transactions")
    void aJobWhoseTransactionIsGoneFails() throws Exception {
        String stream = store.createStream("robbed", 1);
        StreamExecutionEnvironment environment = TestJobs.environment(1, 0);
        environment.fromData("a", "b").sinkTo(robbed(stream));
        String failure = ExceptionUtils.stringifyException(assertThrows(Exception.class, environment::execute));
        assertTrue(failure.contains("DATA IS LOST: transaction ") && failure.contains("cannot be committed: it is ABORT"), failure);
        assertEquals(List.of(), contents(stream));
    }

    @Test
    @Tag("transactions")
    void aCommitSucceedsLongAfterTheWritersLease() throws Exception {
        StreamName stream = StreamName.parse(store.createStream("late", 2));
        SinkSettings settings = settings(stream.toString());
        settings.openLeaseMillis = 10_000;
        TransactionalOutput output = new TransactionalOutput(store.client, settings, error -> { });
        output.write("k", "event".getBytes(java.nio.charset.StandardCharsets.UTF_8)).get(30, TimeUnit.SECONDS);
        output.flush();
        output.prepare(false);
        Committable prepared = output.handOver().orElseThrow();
        assertTrue(prepared.lease() > settings.openLeaseMillis);
        // Nobody extends it from here on, as when the job is down.
        Thread.sleep(15_000);
        assertEquals("", commit(settings, stream, prepared.transaction()));
        assertEquals(List.of("event"), contents(stream.toString()));
        String again = commit(settings, stream, prepared.transaction());
        assertTrue(again.isEmpty() || again.equals("already"), again);
        assertEquals(List.of("event"), contents(stream.toString()));
    }

    /** What Millrace alone does: with the stream's tag, the end of a lease ends no transaction that holds data. */
    @Test
    @Tag("transactions")
    @Tag("prepared")
    void aCommitSucceedsAfterItsOwnLeaseWherePreparedTransactionsAreKept() throws Exception {
        store.streams.createStream(store.scope, "kept", io.pravega.client.stream.StreamConfiguration.builder()
                .scalingPolicy(io.pravega.client.stream.ScalingPolicy.fixed(1)).tag("millrace.prepared=keep").build());
        StreamName stream = store.name("kept");
        SinkSettings settings = settings(stream.toString());
        settings.openLeaseMillis = 10_000;
        settings.preparedLeaseMillis = 10_000;
        TransactionalOutput output = new TransactionalOutput(store.client, settings, error -> { });
        output.write("k", "event".getBytes(java.nio.charset.StandardCharsets.UTF_8)).get(30, TimeUnit.SECONDS);
        output.flush();
        output.prepare(false);
        Committable prepared = output.handOver().orElseThrow();
        assertEquals(10_000, prepared.lease());
        Thread.sleep(20_000);
        assertEquals("", commit(settings, stream, prepared.transaction()));
        assertEquals(List.of("event"), contents(stream.toString()));
    }

    private static String failure(MillraceSink<String> sink) {
        StreamExecutionEnvironment environment = TestJobs.environment(1, 0);
        environment.fromData("a", "b").sinkTo(sink);
        return ExceptionUtils.stringifyException(assertThrows(Exception.class, environment::execute));
    }

    @Test
    @Tag("transactions")
    void aLeaseThatTheServerRefusesIsSaid() {
        String stream = store.createStream("refused", 1);
        MillraceSinkBuilder<String> sink = sink(stream).deliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE);
        String failure = failure(sink.preparedLease(Duration.ofDays(3)).build());
        assertTrue(failure.contains("the server refuses a lease of 259200 s for prepared transactions of " + stream)
                && failure.contains("--transaction-lease-max"), failure);
        failure = failure(sink.openLease(Duration.ofDays(2)).build());
        assertTrue(failure.contains("the server refuses a lease of 172800 s for transactions of " + stream), failure);
    }

    private static Transaction.Status status(StreamName stream, UUID transaction) throws Exception {
        return store.client.controller().checkTransactionStatus(stream.toStream(), transaction).get(30, TimeUnit.SECONDS);
    }
}
