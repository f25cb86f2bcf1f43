package io.millrace.flink;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.millrace.flink.client.StoreOptions;
import io.millrace.flink.sink.MillraceSink;
import io.millrace.flink.sink.MillraceSinkBuilder;
import io.millrace.flink.source.MillraceDeserializationSchema;
import io.millrace.flink.source.MillraceSource;
import io.millrace.flink.source.MillraceSourceBuilder;
import io.millrace.flink.source.Position;
import io.millrace.flink.source.UnreadableEvent;
import io.pravega.client.stream.EventStreamWriter;
import io.pravega.client.stream.StreamCut;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.util.CloseableIterator;
import org.apache.flink.util.Collector;
import org.apache.flink.util.ExceptionUtils;
import org.apache.flink.util.OutputTag;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What a user sees when something is wrong: the error of the job says it in a sentence, and what can go on does. */
class FaultsIT extends ServerTest {
    private static final String NOWHERE = "tcp://127.0.0.1:1";

    private static StoreOptions impatient(String controller) {
        return StoreOptions.of(controller).withRetryTimeout(Duration.ofSeconds(3));
    }

    private static MillraceSourceBuilder<String> source(String stream) {
        return MillraceSource.<String>builder().controller(store.controller).stream(stream).deserializer(new SimpleStringSchema());
    }

    private static MillraceSinkBuilder<String> sink(String stream, DeliveryGuarantee guarantee) {
        return MillraceSink.<String>builder().controller(store.controller).stream(stream).deliveryGuarantee(guarantee)
                .serializer(new SimpleStringSchema(), event -> event);
    }

    private static Configuration withMetrics() {
        Configuration configuration = TestJobs.configuration(0);
        TestMetrics.clear();
        TestMetrics.reportTo(configuration);
        return configuration;
    }

    /** Runs a job that must fail. @return all that its error says */
    private static String failure(MillraceSource<String> source) {
        StreamExecutionEnvironment environment = TestJobs.environment(1, 0);
        environment.fromSource(source, WatermarkStrategy.noWatermarks(), "in").sinkTo(new DiscardingSink<>());
        return said(assertThrows(Exception.class, environment::execute));
    }

    private static String failure(MillraceSink<String> sink) {
        StreamExecutionEnvironment environment = TestJobs.environment(1, 0);
        environment.fromData("a", "b").sinkTo(sink);
        return said(assertThrows(Exception.class, environment::execute));
    }

    private static String said(Throwable failure) {
        return ExceptionUtils.stringifyException(failure);
    }

    private static void assertSays(String sentence, String failure) {
        assertTrue(failure.contains(sentence), failure);
    }

    @Test
    void aSourceSaysThatNoServerAnswers() {
        assertSays("no server answers at " + NOWHERE,
                failure(MillraceSource.<String>builder().store(impatient(NOWHERE)).stream("s/t").deserializer(new SimpleStringSchema()).build()));
    }

    @ParameterizedTest
    @EnumSource(value = DeliveryGuarantee.class, names = {"AT_LEAST_ONCE", "EXACTLY_ONCE"})
    void aSinkSaysThatNoServerAnswers(DeliveryGuarantee guarantee) {
        assertSays("no server answers at " + NOWHERE, failure(sink("s/t", guarantee).store(impatient(NOWHERE)).build()));
    }

    @Test
    void aSourceSaysThatAScopeOrAStreamIsMissing() {
        assertSays("scope no-such-scope does not exist", failure(source("no-such-scope/t").build()));
        assertSays("stream " + store.scope + "/no-such-stream does not exist", failure(source(store.scope + "/no-such-stream").build()));
    }

    @ParameterizedTest
    @EnumSource(value = DeliveryGuarantee.class, names = {"AT_LEAST_ONCE", "EXACTLY_ONCE"})
    void aSinkSaysThatAScopeOrAStreamIsMissing(DeliveryGuarantee guarantee) {
        assertSays("scope no-such-scope does not exist", failure(sink("no-such-scope/t", guarantee).build()));
        assertSays("stream " + store.scope + "/no-such-stream does not exist", failure(sink(store.scope + "/no-such-stream", guarantee).build()));
    }

    @ParameterizedTest
    @EnumSource(value = DeliveryGuarantee.class, names = {"AT_LEAST_ONCE", "EXACTLY_ONCE"})
    void aSinkSaysThatTheStreamIsSealed(DeliveryGuarantee guarantee) {
        String name = "sealed-" + guarantee.ordinal();
        String stream = store.createStream(name, 2);
        store.streams.sealStream(store.scope, name);
        assertSays("stream " + stream + " is sealed: nothing can be written to it any more", failure(sink(stream, guarantee).build()));
    }

    /** From one stream to another, until somebody intervenes. */
    private static JobClient copy(Configuration configuration, String from, String to, DeliveryGuarantee guarantee) throws Exception {
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(1, configuration);
        environment.enableCheckpointing(300);
        environment.fromSource(source(from).build(), WatermarkStrategy.noWatermarks(), "in").sinkTo(sink(to, guarantee).build());
        return environment.executeAsync();
    }

    @ParameterizedTest
    @EnumSource(value = DeliveryGuarantee.class, names = {"AT_LEAST_ONCE", "EXACTLY_ONCE"})
    void aRunningSinkSaysThatTheStreamWasSealed(DeliveryGuarantee guarantee) throws Exception {
        String from = store.createStream("feed-" + guarantee.ordinal(), 1);
        String to = store.createStream("sealed-later-" + guarantee.ordinal(), 1);
        JobClient job = copy(TestJobs.configuration(0), from, to, guarantee);
        store.writeSequences("feed-" + guarantee.ordinal(), 1, 0, 10);
        store.awaitEvents(to, 10);
        store.streams.sealStream(store.scope, "sealed-later-" + guarantee.ordinal());
        store.writeSequences("feed-" + guarantee.ordinal(), 1, 10, 20);
        Exception failure = assertThrows(Exception.class, () -> job.getJobExecutionResult().get(120, TimeUnit.SECONDS));
        assertSays("stream " + to + " is sealed", said(failure));
    }

    @Test
    void aRunningSourceEndsWithItsStream() throws Exception {
        String from = store.createStream("ends", 2);
        String to = store.createStream("ends-copy", 1);
        JobClient job = copy(TestJobs.configuration(0), from, to, DeliveryGuarantee.AT_LEAST_ONCE);
        store.writeSequences("ends", 3, 0, 10);
        store.awaitEvents(to, 30);
        store.streams.sealStream(store.scope, "ends");
        job.getJobExecutionResult().get(120, TimeUnit.SECONDS);
        assertEquals(30, store.contents(to).size());
    }

    private static StreamCut tail(String name) {
        return store.streams.fetchStreamInfo(store.scope, name).join().getTailStreamCut();
    }

    @Test
    void aPositionBehindTheHeadFailsOrIsSkipped() throws Exception {
        String stream = store.createStream("behind", 1);
        String cut = tail("behind").asText();
        store.writeSequences("behind", 1, 0, 10);
        assertTrue(store.streams.truncateStream(store.scope, "behind", tail("behind")));
        store.writeSequences("behind", 1, 10, 15);
        MillraceSourceBuilder<String> source = source(stream).startAt(Position.streamCut(stream, cut));
        String said = failure(source.build());
        assertSays("events were deleted before they were read", said);
        assertSays("set scan.truncation = skip", said);

        assertEquals(List.of("k0:10", "k0:11", "k0:12", "k0:13", "k0:14"), readWhatIsLeft(source));
        assertEquals(10 * (8 + 4), TestMetrics.sum("MillraceSourceReader.skippedBytes"));
    }

    private static List<String> readWhatIsLeft(MillraceSourceBuilder<String> source) throws Exception {
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(1, withMetrics());
        List<String> found = new ArrayList<>();
        try (CloseableIterator<String> events = environment.fromSource(source.skipTruncated().endAt(Position.tail()).build(),
                WatermarkStrategy.noWatermarks(), "in").executeAndCollect()) {
            events.forEachRemaining(found::add);
        }
        return found;
    }

    @Test
    @Tag("scaling")
    void aSegmentThatIsGoneFailsOrIsSkipped() throws Exception {
        String stream = store.createStream("gone", 1);
        String cut = tail("gone").asText();
        store.writeSequences("gone", 1, 0, 10);
        store.scale("gone", 2);
        assertTrue(store.streams.truncateStream(store.scope, "gone", tail("gone")));
        store.writeSequences("gone", 1, 10, 15);
        MillraceSourceBuilder<String> source = source(stream).startAt(Position.streamCut(stream, cut));
        assertSays("events were deleted before they were read", failure(source.build()));

        assertEquals(List.of("k0:10", "k0:11", "k0:12", "k0:13", "k0:14"), readWhatIsLeft(source));
        assertEquals(1, TestMetrics.sum("MillraceSourceReader.skippedSegments"));
    }

    /** Reads whole numbers only. */
    static final class Numbers implements MillraceDeserializationSchema<Integer> {
        private static final long serialVersionUID = 1L;

        @Override
        public void deserialize(byte[] event, Origin origin, Collector<Integer> out) throws IOException {
            out.collect(Integer.parseInt(new String(event, java.nio.charset.StandardCharsets.UTF_8)));
        }

        @Override
        public TypeInformation<Integer> getProducedType() {
            return Types.INT;
        }
    }

    private static String mixed(String name) {
        String stream = store.createStream(name, 1);
        try (EventStreamWriter<String> writer = store.writer(name)) {
            for (String event : List.of("1", "two", "3")) {
                writer.writeEvent("k", event).join();
            }
        }
        return stream;
    }

    private static MillraceSourceBuilder<Integer> numbers(String stream) {
        return MillraceSource.<Integer>builder().controller(store.controller).stream(stream).endAt(Position.tail()).deserializer(new Numbers());
    }

    @Test
    void anUnreadableEventFailsOrIsSkipped() throws Exception {
        String stream = mixed("mixed");
        StreamExecutionEnvironment failing = TestJobs.environment(1, 0);
        failing.fromSource(numbers(stream).build(), WatermarkStrategy.noWatermarks(), "in").sinkTo(new DiscardingSink<>());
        String said = said(assertThrows(Exception.class, failing::execute));
        assertSays("the event at " + stream + "/0.#epoch.0:9-11 could not be deserialized", said);

        StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(1, withMetrics());
        List<Integer> found = new ArrayList<>();
        try (CloseableIterator<Integer> events = environment.fromSource(numbers(stream).skipUnreadable().build(), WatermarkStrategy.noWatermarks(),
                "in").executeAndCollect()) {
            events.forEachRemaining(found::add);
        }
        assertEquals(List.of(1, 3), found);
        assertTrue(TestMetrics.sum("numRecordsInErrors") >= 1);
    }

    @Test
    void unreadableEventsGoToASideOutput() throws Exception {
        String stream = mixed("mixed-aside");
        var source = MillraceSource.<org.apache.flink.types.Either<Integer, UnreadableEvent>>builder().controller(store.controller).stream(stream)
                .endAt(Position.tail()).deserializer(MillraceDeserializationSchema.orUnreadable(new Numbers())).build();
        StreamExecutionEnvironment environment = TestJobs.environment(1, 0);
        var aside = new OutputTag<>("unreadable", TypeInformation.of(UnreadableEvent.class));
        var good = UnreadableEvent.split(environment.fromSource(source, WatermarkStrategy.noWatermarks(), "in"), aside);
        List<String> found = new ArrayList<>();
        try (CloseableIterator<String> events = good.map(String::valueOf).returns(Types.STRING)
                .union(good.getSideOutput(aside).map(event -> event.pointer + " " + new String(event.event)).returns(Types.STRING)).executeAndCollect()) {
            events.forEachRemaining(found::add);
        }
        found.sort(null);
        assertEquals(List.of("1", "3", stream + "/0.#epoch.0:9-11 two"), found);
    }

    @Test
    @Tag("outage")
    void aJobWaitsForAServerThatIsAway() throws Exception {
        try (TestServer server = new TestServer(); TestStore own = new TestStore(server.controller)) {
            String from = own.createStream("from", 2);
            String once = own.createStream("once", 1);
            String atLeast = own.createStream("at-least", 1);
            // No restarts: the job itself has to wait. By hand: -Dmillrace.outage=300.
            int seconds = Integer.getInteger("millrace.outage", 20);
            Duration patience = Duration.ofSeconds(120 + seconds);
            StoreOptions patient = StoreOptions.of(server.controller).withRetryTimeout(patience);
            StreamExecutionEnvironment environment = TestJobs.environment(1, 0);
            environment.enableCheckpointing(500);
            var events = environment.fromSource(MillraceSource.<String>builder().store(patient).stream(from)
                    .deserializer(new SimpleStringSchema()).build(), WatermarkStrategy.noWatermarks(), "in");
            events.sinkTo(sink(once, DeliveryGuarantee.EXACTLY_ONCE).store(patient).timeout(patience).build());
            events.sinkTo(sink(atLeast, DeliveryGuarantee.AT_LEAST_ONCE).store(patient).timeout(patience).build());
            JobClient job = environment.executeAsync();
            own.writeSequences("from", 5, 0, 50);
            own.awaitEvents(atLeast, 250);
            // In the middle of the job's writing.
            own.writeSequences("from", 5, 50, 100);
            server.kill();
            Thread.sleep(TimeUnit.SECONDS.toMillis(seconds));
            server.startAgain();
            try (TestStore again = own.again()) {
                again.writeSequences("from", 5, 100, 150);
                again.awaitEvents(atLeast, 750);
                again.awaitEvents(once, 750);
                TestJobs.assertSequences(TestJobs.byKey(again.contents(once)), 5, 0, 150);
            }
            assertEquals(org.apache.flink.api.common.JobStatus.RUNNING, job.getJobStatus().get());
            job.cancel().get();
        }
    }
}
