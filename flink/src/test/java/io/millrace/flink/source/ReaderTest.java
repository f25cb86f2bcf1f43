package io.millrace.flink.source;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.millrace.flink.client.StoreOptions;
import io.millrace.flink.client.StreamName;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.api.connector.source.ReaderOutput;
import org.apache.flink.api.connector.source.SourceEvent;
import org.apache.flink.api.connector.source.SourceReaderContext;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.metrics.groups.UnregisteredMetricsGroup;
import org.junit.jupiter.api.Test;

class ReaderTest {
    private static final StreamName STREAM = new StreamName("s", "t");

    private final List<String> sent = new ArrayList<>();

    private MillraceReader<String> reader() {
        SourceSettings settings = new SourceSettings();
        settings.store = StoreOptions.of("tcp://127.0.0.1:1");
        SourceReaderContext context = (SourceReaderContext) Proxy.newProxyInstance(getClass().getClassLoader(), new Class<?>[] {SourceReaderContext.class},
                (proxy, method, arguments) -> switch (method.getName()) {
                    case "metricGroup" -> UnregisteredMetricsGroup.createSourceReaderMetricGroup();
                    case "getConfiguration" -> new Configuration();
                    case "sendSourceEventToCoordinator" -> {
                        SourceEvent event = (SourceEvent) arguments[0];
                        sent.add(event instanceof SourceEvents.Hello hello ? "hello " + hello.splits.size() : event.getClass().getSimpleName());
                        yield null;
                    }
                    default -> throw new UnsupportedOperationException(method.getName());
                });
        return new MillraceReader<>(settings, MillraceDeserializationSchema.valueOnly(new SimpleStringSchema()), context);
    }

    @Test
    void aFinishedSegmentIsInCheckpointsUntilItIsNoted() throws Exception {
        SegmentSplit split = new SegmentSplit(STREAM, 0, 0, Long.MAX_VALUE, false, false);
        List<SegmentSplit> checkpoint;
        try (MillraceReader<String> reader = reader()) {
            reader.start();
            SplitState state = new SplitState(split);
            state.offset = 70;
            reader.onSplitFinished(Map.of(split.splitId(), state));
            checkpoint = reader.snapshotState(1);
            assertEquals(List.of(new SegmentSplit(STREAM, 0, 70, Long.MAX_VALUE, false, true)), checkpoint);
            reader.handleSourceEvents(new SourceEvents.FinishedNoted(split.splitId()));
            assertEquals(List.of(), reader.snapshotState(2));
        }
        assertEquals(List.of("hello 0", "Finished"), sent);
        sent.clear();
        try (MillraceReader<String> restored = reader()) {
            restored.addSplits(checkpoint);
            restored.start();
            assertEquals(checkpoint, restored.snapshotState(3));
        }
        assertEquals(List.of("hello 1"), sent);
    }

    /** Writes down what the reader does with its outputs. */
    @SuppressWarnings("unchecked")
    private static ReaderOutput<String> output(List<String> done) {
        return (ReaderOutput<String>) Proxy.newProxyInstance(ReaderTest.class.getClassLoader(), new Class<?>[] {ReaderOutput.class},
                (proxy, method, arguments) -> {
                    done.add(method.getName() + (arguments == null ? "" : " " + arguments[0]));
                    return null;
                });
    }

    @Test
    void aReaderWithoutSegmentsIsIdleWhenAllAreGivenAndNotBefore() throws Exception {
        List<String> done = new ArrayList<>();
        try (MillraceReader<String> reader = reader()) {
            reader.start();
            ReaderOutput<String> output = output(done);
            reader.pollNext(output);
            assertEquals(List.of(), done, "idle, it would let the watermark pass by a segment that is on its way to it");
            reader.handleSourceEvents(new SourceEvents.AllGiven());
            assertEquals(List.of("markIdle"), done, "nobody polls it again: it has nothing");
            reader.pollNext(output);
            assertEquals(List.of("markIdle"), done);
        }
    }

    @Test
    void afterARestoreTheEndOfASegmentHoldsTheWatermarkUntilItIsNoted() throws Exception {
        SegmentSplit split = new SegmentSplit(STREAM, 0, 70, Long.MAX_VALUE, false, true);
        List<String> done = new ArrayList<>();
        try (MillraceReader<String> reader = reader()) {
            reader.addSplits(List.of(split));
            reader.start();
            reader.pollNext(output(done));
            reader.handleSourceEvents(new SourceEvents.AllGiven());
            assertEquals(List.of("createOutputForSplit " + split.splitId()), done);
            reader.handleSourceEvents(new SourceEvents.FinishedNoted(split.splitId()));
            assertEquals(List.of("createOutputForSplit " + split.splitId(), "releaseOutputForSplit " + split.splitId(), "markIdle"), done);
        }
    }
}
