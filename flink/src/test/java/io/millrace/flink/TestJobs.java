package io.millrace.flink;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.millrace.flink.source.MillraceSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.util.CloseableIterator;
import org.apache.flink.util.Collector;

/** What tests with jobs in this process share. */
public final class TestJobs {
    public static final AtomicBoolean FAIL = new AtomicBoolean();

    private TestJobs() {}

    /** Throws once, when {@link #FAIL} is set. */
    public static final class FailOnce extends ProcessFunction<String, String> {
        private static final long serialVersionUID = 1L;

        @Override
        public void processElement(String event, Context context, Collector<String> out) {
            if (FAIL.compareAndSet(true, false)) {
                throw new IllegalStateException("a failure of the test");
            }
            out.collect(event);
        }
    }

    public static StreamExecutionEnvironment environment(int parallelism) {
        return environment(parallelism, 5);
    }

    public static Configuration configuration(int restarts) {
        Configuration configuration = new Configuration();
        configuration.setString("restart-strategy.type", restarts == 0 ? "none" : "fixed-delay");
        configuration.setString("restart-strategy.fixed-delay.attempts", String.valueOf(restarts));
        configuration.setString("restart-strategy.fixed-delay.delay", "100 ms");
        configuration.setString("taskmanager.memory.network.min", "32m");
        configuration.setString("taskmanager.memory.network.max", "32m");
        configuration.setString("taskmanager.memory.managed.size", "64m");
        return configuration;
    }

    public static StreamExecutionEnvironment environment(int parallelism, int restarts) {
        return StreamExecutionEnvironment.createLocalEnvironment(parallelism, configuration(restarts));
    }

    public static List<String> collect(MillraceSource<String> source, int parallelism) throws Exception {
        List<String> result = new ArrayList<>();
        try (CloseableIterator<String> events = environment(parallelism).fromSource(source, WatermarkStrategy.noWatermarks(), "in")
                .executeAndCollect()) {
            events.forEachRemaining(result::add);
        }
        return result;
    }

    /** Per key, the numbers in the order of arrival. */
    public static Map<String, List<Integer>> byKey(Iterable<String> events) {
        Map<String, List<Integer>> result = new TreeMap<>();
        for (String event : events) {
            int colon = event.indexOf(':');
            result.computeIfAbsent(event.substring(0, colon), key -> new ArrayList<>()).add(Integer.parseInt(event.substring(colon + 1)));
        }
        return result;
    }

    public static void assertSequences(Map<String, List<Integer>> found, int keys, int from, int to) {
        List<Integer> expected = new ArrayList<>();
        for (int i = from; i < to; i++) {
            expected.add(i);
        }
        assertEquals(keys, found.size(), "keys");
        found.forEach((key, numbers) -> assertEquals(expected, numbers, key));
    }
}
