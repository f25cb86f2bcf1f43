package io.millrace.flink;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.millrace.flink.sink.MillraceSink;
import io.millrace.flink.source.MillraceSource;
import io.millrace.flink.source.MillraceSourceBuilder;
import io.millrace.flink.source.Position;
import io.pravega.client.stream.EventStreamWriter;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.util.Collector;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Source and sink under checkpoints that overtake events, and under watermarks that wait for each other. */
class CheckpointsIT extends ServerTest {
    private static final int KEYS = 6;
    private static final int NUMBERS = 150;
    /** Most bytes that a checkpoint found on their way, and kept. */
    private static final AtomicLong OVERTAKEN = new AtomicLong();
    private static final AtomicInteger PASSED = new AtomicInteger();
    private static final AtomicInteger FAILURES_LEFT = new AtomicInteger();
    private static final ConcurrentLinkedQueue<String> SEEN = new ConcurrentLinkedQueue<>();

    private static MillraceSourceBuilder<String> source(String... streams) {
        return MillraceSource.<String>builder().controller(store.controller).stream(streams).deserializer(new SimpleStringSchema());
    }

    private static String key(String event) {
        return event.substring(0, event.indexOf(':'));
    }

    private static int number(String event) {
        return Integer.parseInt(event.substring(event.indexOf(':') + 1));
    }

    /** Slow, so that events wait before it and barriers overtake them; fails in between. Counts each key in Flink's state. */
    private static final class SlowCount extends KeyedProcessFunction<String, String, String> {
        private static final long serialVersionUID = 1L;
        private transient ValueState<Integer> next;

        @Override
        public void processElement(String event, Context context, Collector<String> out) throws Exception {
            if (next == null) {
                next = getRuntimeContext().getState(new ValueStateDescriptor<>("next", Types.INT));
            }
            Thread.sleep(5);
            OVERTAKEN.accumulateAndGet(TestMetrics.largest("lastCheckpointPersistedData"), Math::max);
            if (PASSED.incrementAndGet() % 300 == 299 && FAILURES_LEFT.getAndDecrement() > 0) {
                throw new IllegalStateException("a failure of the test");
            }
            int expected = next.value() == null ? 0 : next.value();
            next.update(expected + 1);
            out.collect(number(event) == expected ? event : event + "!" + expected);
        }
    }

    private static StreamExecutionEnvironment unaligned() {
        Configuration configuration = TestJobs.configuration(10);
        TestMetrics.clear();
        TestMetrics.reportTo(configuration);
        configuration.setString("execution.checkpointing.unaligned.enabled", "true");
        configuration.setString("execution.checkpointing.aligned-checkpoint-timeout", "0 ms");
        // Full buffers, so that there is something to overtake.
        configuration.setString("taskmanager.memory.segment-size", "4 kb");
        configuration.setString("taskmanager.network.memory.buffer-debloat.enabled", "false");
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(2, configuration);
        environment.enableCheckpointing(200);
        PASSED.set(0);
        OVERTAKEN.set(0);
        FAILURES_LEFT.set(2);
        return environment;
    }

    private static void assertOvertakenAndFailed() {
        assertTrue(OVERTAKEN.get() > 0, "no checkpoint overtook anything");
        assertTrue(FAILURES_LEFT.get() <= 0, "the job has not failed");
    }

    @Test
    void sourceWithUnalignedCheckpoints() throws Exception {
        String stream = store.createStream("unaligned-source", 3);
        store.writeSequences("unaligned-source", KEYS, 0, NUMBERS);
        StreamExecutionEnvironment environment = unaligned();
        SEEN.clear();
        environment.fromSource(source(stream).endAt(Position.tail()).build(), WatermarkStrategy.noWatermarks(), "in")
                .keyBy(CheckpointsIT::key).process(new SlowCount()).returns(Types.STRING)
                .map(event -> {
                    SEEN.add(event);
                    return event;
                }).returns(Types.STRING).sinkTo(new DiscardingSink<>());
        environment.execute();
        assertOvertakenAndFailed();
        // What came twice came before a failure; but nothing was counted twice or out of order.
        assertEquals(List.of(), SEEN.stream().filter(event -> event.contains("!")).toList());
        assertEquals(KEYS * NUMBERS, SEEN.stream().distinct().count());
    }

    @Test
    @Tag("transactions")
    void sinkWithUnalignedCheckpoints() throws Exception {
        String from = store.createStream("unaligned-from", 3);
        String to = store.createStream("unaligned-to", 2);
        store.writeSequences("unaligned-from", KEYS, 0, NUMBERS);
        StreamExecutionEnvironment environment = unaligned();
        environment.fromSource(source(from).endAt(Position.tail()).build(), WatermarkStrategy.noWatermarks(), "in")
                .keyBy(CheckpointsIT::key).process(new SlowCount()).returns(Types.STRING)
                // Over the network once more, so that barriers overtake events on their way to the sink too.
                .keyBy(event -> event)
                .sinkTo(MillraceSink.<String>builder().controller(store.controller).stream(to).serializer(new SimpleStringSchema(), CheckpointsIT::key)
                        .deliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE).build());
        environment.execute();
        assertOvertakenAndFailed();
        Map<String, List<Integer>> found = TestJobs.byKey(store.contents(to));
        found.values().forEach(numbers -> numbers.sort(null));
        TestJobs.assertSequences(found, KEYS, 0, NUMBERS);
    }

    private static StreamExecutionEnvironment streaming() {
        StreamExecutionEnvironment environment = TestJobs.environment(1, 0);
        environment.enableCheckpointing(300);
        environment.getConfig().setAutoWatermarkInterval(20);
        return environment;
    }

    /** The number of an event is its time, in seconds. */
    private static WatermarkStrategy<String> aligned(String group) {
        return WatermarkStrategy.<String>forMonotonousTimestamps().withTimestampAssigner((event, before) -> number(event) * 1000L)
                .withWatermarkAlignment(group, Duration.ofSeconds(20), Duration.ofMillis(50));
    }

    private static void write(EventStreamWriter<String> writer, String event) {
        writer.writeEvent("k", event).join();
    }

    private static void await(String what, java.util.function.BooleanSupplier ready) throws InterruptedException {
        for (int i = 0; !ready.getAsBoolean(); i++) {
            assertTrue(i < 600, what + " did not come: " + SEEN);
            Thread.sleep(100);
        }
    }

    /**
     * One stream is ahead of the other in time until Flink pauses it: what is written to it then comes behind what the other gets later.
     * Returns the last event that was held back.
     */
    private static String runAhead(String fast, String slow, java.util.function.Predicate<String> arrived) throws Exception {
        try (EventStreamWriter<String> ahead = store.writer(fast); EventStreamWriter<String> behind = store.writer(slow)) {
            write(behind, "slow:1");
            write(ahead, "fast:1");
            await("slow:1", () -> arrived.test("slow:1") && arrived.test("fast:1"));
            String held = null;
            for (int time = 100; held == null; time += 1) {
                String event = "fast:" + time;
                write(ahead, event);
                for (int i = 0; i < 30 && !arrived.test(event); i++) {
                    Thread.sleep(100);
                }
                held = arrived.test(event) ? null : event;
                assertTrue(time < 200, "the source is never paused");
            }
            write(behind, "slow:250");
            String last = held;
            await(held, () -> arrived.test(last) && arrived.test("slow:250"));
            return held;
        }
    }

    @Test
    void sourceWithAlignedWatermarks() throws Exception {
        String fast = store.createStream("fast", 1);
        String slow = store.createStream("slow", 1);
        SEEN.clear();
        StreamExecutionEnvironment environment = streaming();
        environment.fromSource(source(fast, slow).build(), aligned("source"), "in").map(event -> {
            SEEN.add(event);
            return event;
        }).returns(Types.STRING).sinkTo(new DiscardingSink<>());
        JobClient job = environment.executeAsync();
        String held = runAhead("fast", "slow", SEEN::contains);
        List<String> order = List.copyOf(SEEN);
        assertTrue(order.indexOf("slow:250") < order.indexOf(held), order.toString());
        job.cancel().get();
    }

    @Test
    @Tag("transactions")
    void sinkBehindAlignedWatermarks() throws Exception {
        String fast = store.createStream("fast-in", 1);
        String slow = store.createStream("slow-in", 1);
        String to = store.createStream("aligned-out", 1);
        StreamExecutionEnvironment environment = streaming();
        environment.fromSource(source(fast, slow).build(), aligned("sink"), "in")
                .sinkTo(MillraceSink.<String>builder().controller(store.controller).stream(to).serializer(new SimpleStringSchema(), event -> "one")
                        .deliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE).noteWatermarks().build());
        JobClient job = environment.executeAsync();
        String held = runAhead("fast-in", "slow-in", event -> written(to).contains(event));
        List<String> order = written(to);
        assertTrue(order.indexOf("slow:250") < order.indexOf(held), order.toString());
        assertEquals(order.size(), order.stream().distinct().count(), order.toString());
        job.cancel().get();
    }

    private static List<String> written(String stream) {
        try {
            return store.contents(stream);
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }
}
