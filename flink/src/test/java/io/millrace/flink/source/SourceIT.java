package io.millrace.flink.source;

import static io.millrace.flink.TestJobs.FAIL;
import static io.millrace.flink.TestJobs.assertSequences;
import static io.millrace.flink.TestJobs.byKey;
import static io.millrace.flink.TestJobs.collect;
import static io.millrace.flink.TestJobs.environment;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.millrace.flink.ServerTest;
import io.millrace.flink.TestJobs.FailOnce;
import io.pravega.client.stream.EventStreamWriter;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.regex.Pattern;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.CloseableIterator;
import org.apache.flink.util.Collector;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

class SourceIT extends ServerTest {
    private static MillraceSourceBuilder<String> source(String... streams) {
        return MillraceSource.<String>builder().controller(store.controller).stream(streams).deserializer(new SimpleStringSchema());
    }

    @Test
    void bounded() throws Exception {
        String stream = store.createStream("bounded", 4);
        store.writeSequences("bounded", 10, 0, 200);
        assertSequences(byKey(collect(source(stream).endAt(Position.tail()).build(), 3)), 10, 0, 200);
    }

    @Test
    void boundedWithMoreReadersThanSlots() throws Exception {
        // Segments meant for readers that get no slot are read by those that have one.
        String stream = store.createStream("slots", 4);
        store.writeSequences("slots", 10, 0, 50);
        StreamExecutionEnvironment environment = environment(1);
        environment.setRuntimeMode(org.apache.flink.api.common.RuntimeExecutionMode.BATCH);
        List<String> found = new ArrayList<>();
        try (CloseableIterator<String> events = environment
                .fromSource(source(stream).endAt(Position.tail()).build(), WatermarkStrategy.noWatermarks(), "in").setParallelism(3)
                .map(event -> event).returns(Types.STRING).setParallelism(1).executeAndCollect()) {
            events.forEachRemaining(found::add);
        }
        assertSequences(byKey(found), 10, 0, 50);
    }

    @Test
    void betweenStreamCuts() throws Exception {
        String stream = store.createStream("cuts", 2);
        store.writeSequences("cuts", 5, 0, 20);
        String from = cut(stream);
        store.writeSequences("cuts", 5, 20, 50);
        String to = cut(stream);
        store.writeSequences("cuts", 5, 50, 60);
        var source = source(stream).startAt(Position.streamCut(stream, from)).endAt(Position.streamCut(stream, to)).build();
        assertSequences(byKey(collect(source, 2)), 5, 20, 50);
    }

    private static String cut(String stream) {
        String[] parts = stream.split("/");
        return store.streams.fetchStreamInfo(parts[0], parts[1]).join().getTailStreamCut().asText();
    }

    @Test
    void severalStreamsByPattern() throws Exception {
        store.createStream("many-a", 1);
        store.createStream("many-b", 2);
        store.createStream("other", 1);
        store.writeSequences("many-a", 1, 0, 10);
        store.writeSequences("many-b", 1, 10, 20);
        store.writeSequences("other", 1, 20, 30);
        var source = MillraceSource.<String>builder().controller(store.controller).streamPattern(store.scope, Pattern.compile("many-.*"))
                .deserializer(new SimpleStringSchema()).endAt(Position.tail()).build();
        List<String> found = collect(source, 2);
        assertEquals(20, found.size());
    }

    @Test
    void aSealedStreamEnds() throws Exception {
        String stream = store.createStream("sealed", 2);
        store.writeSequences("sealed", 4, 0, 30);
        store.streams.sealStream(store.scope, "sealed");
        assertSequences(byKey(collect(source(stream).build(), 2)), 4, 0, 30);
    }

    @Test
    void aStreamThatDoesNotExistFailsTheJob() {
        Exception failure = org.junit.jupiter.api.Assertions.assertThrows(Exception.class, () -> {
            Configuration configuration = new Configuration();
            configuration.setString("restart-strategy.type", "none");
            StreamExecutionEnvironment.createLocalEnvironment(1, configuration)
                    .fromSource(source(store.scope + "/missing").build(), WatermarkStrategy.noWatermarks(), "in").print();
            var environment = StreamExecutionEnvironment.createLocalEnvironment(1, configuration);
            environment.fromSource(source(store.scope + "/missing").build(), WatermarkStrategy.noWatermarks(), "in")
                    .sinkTo(new org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink<>());
            environment.execute();
        });
        assertTrue(org.apache.flink.util.ExceptionUtils.stringifyException(failure).contains("could not be opened"), failure.toString());
    }

    static final ConcurrentLinkedQueue<String> OUT = new ConcurrentLinkedQueue<>();
    static final Map<String, Integer> LAST = new ConcurrentHashMap<>();

    /** Counts per key in Flink's state; says when a number is not the next one. */
    static final class Check extends KeyedProcessFunction<String, String, String> {
        private static final long serialVersionUID = 1L;
        private transient ValueState<Integer> next;

        @Override
        public void processElement(String event, Context context, Collector<String> out) throws Exception {
            if (next == null) {
                next = getRuntimeContext().getState(new ValueStateDescriptor<>("next", Types.INT));
            }
            int number = Integer.parseInt(event.substring(event.indexOf(':') + 1));
            int expected = next.value() == null ? 0 : next.value();
            if (number != expected) {
                OUT.add(event + " instead of " + expected);
            }
            next.update(number + 1);
            LAST.put(context.getCurrentKey(), number);
        }
    }

    @Test
    @Tag("scaling")
    void orderPerKeyOverScalingAndFailures() throws Exception {
        String stream = store.createStream("scaled", 1);
        StreamExecutionEnvironment environment = environment(2);
        environment.enableCheckpointing(200);
        environment.fromSource(source(stream).spreadSuccessors().build(), WatermarkStrategy.noWatermarks(), "in")
                .process(new FailOnce()).returns(Types.STRING)
                .keyBy(event -> event.substring(0, event.indexOf(':'))).process(new Check()).returns(Types.STRING)
                .sinkTo(new org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink<>());
        OUT.clear();
        LAST.clear();
        JobClient job = environment.executeAsync();
        int written = 0;
        for (int segments : new int[] {3, 2, 5, 1}) {
            store.writeSequences("scaled", 12, written, written + 300);
            written += 300;
            store.scale("scaled", segments);
            FAIL.set(segments != 2);
        }
        store.writeSequences("scaled", 12, written, written + 300);
        written += 300;
        await(12, written);
        job.cancel().get();
        assertEquals(List.of(), List.copyOf(OUT));
    }

    private static void await(int keys, int to) throws InterruptedException {
        for (int i = 0; i < 3000; i++) {
            if (LAST.size() == keys && LAST.values().stream().allMatch(last -> last == to - 1)) {
                return;
            }
            Thread.sleep(100);
        }
        throw new AssertionError("not all came: " + new HashMap<>(LAST) + " " + OUT);
    }

    @Test
    void tailAndFailure() throws Exception {
        String stream = store.createStream("tail", 3);
        store.writeSequences("tail", 3, 0, 10);
        StreamExecutionEnvironment environment = environment(2);
        environment.enableCheckpointing(200);
        environment.fromSource(source(stream).startAt(Position.head()).reportProgressAs(store.scope + "/group").build(),
                        WatermarkStrategy.noWatermarks(), "in")
                .process(new FailOnce()).returns(Types.STRING)
                .keyBy(event -> event.substring(0, event.indexOf(':'))).process(new Check()).returns(Types.STRING)
                .sinkTo(new org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink<>());
        OUT.clear();
        LAST.clear();
        JobClient job = environment.executeAsync();
        await(3, 10);
        FAIL.set(true);
        store.writeSequences("tail", 3, 10, 20);
        await(3, 20);
        try (EventStreamWriter<String> writer = store.writer("tail")) {
            writer.writeEvent("k0", "k0:20").join();
        }
        for (int i = 0; LAST.get("k0") != 20 && i < 300; i++) {
            Thread.sleep(Duration.ofMillis(100).toMillis());
        }
        assertEquals(20, LAST.get("k0"));
        assertEquals(List.of(), List.copyOf(OUT));
        boolean subscribed = false;
        for (int i = 0; !subscribed && i < 100; i++) {
            Thread.sleep(100);
            subscribed = store.client.controller().listSubscribers(store.scope, "tail").join().contains(store.scope + "/group");
        }
        assertTrue(subscribed);
        job.cancel().get();
    }
}
