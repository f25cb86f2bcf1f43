package io.millrace.flink;

import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.Gauge;
import org.apache.flink.metrics.Metric;
import org.apache.flink.metrics.MetricConfig;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.metrics.reporter.MetricReporter;
import org.apache.flink.metrics.reporter.MetricReporterFactory;

/** Keeps the metrics of the jobs in this process, also when they have ended, until {@link #clear}. */
public final class TestMetrics implements MetricReporter {
    private static final Map<String, Metric> ALL = new ConcurrentHashMap<>();

    /** Found by Flink as a service. */
    public static final class Factory implements MetricReporterFactory {
        @Override
        public MetricReporter createMetricReporter(Properties properties) {
            return new TestMetrics();
        }
    }

    /** Lets the jobs of {@code configuration} report to this. */
    public static void reportTo(Configuration configuration) {
        configuration.setString("metrics.reporters", "test");
        configuration.setString("metrics.reporter.test.factory.class", Factory.class.getName());
    }

    public static void clear() {
        ALL.clear();
    }

    /** Sum of the counters whose full name ends so. */
    public static long sum(String end) {
        return ALL.entrySet().stream().filter(entry -> entry.getKey().endsWith(end)).mapToLong(entry -> ((Counter) entry.getValue()).getCount()).sum();
    }

    /** Largest of the gauges of that name that have a number to show. */
    public static long largest(String end) {
        return ALL.entrySet().stream().filter(entry -> entry.getKey().endsWith(end) && entry.getValue() instanceof Gauge)
                .map(entry -> ((Gauge<?>) entry.getValue()).getValue()).filter(value -> value instanceof Number)
                .mapToLong(value -> ((Number) value).longValue()).max().orElse(-1);
    }

    @Override
    public void open(MetricConfig config) {}

    @Override
    public void close() {}

    @Override
    public void notifyOfAddedMetric(Metric metric, String name, MetricGroup group) {
        ALL.put(group.getMetricIdentifier(name), metric);
    }

    @Override
    public void notifyOfRemovedMetric(Metric metric, String name, MetricGroup group) {}
}
