package io.millrace.flink.source;

import java.io.IOException;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.connector.source.Boundedness;
import org.apache.flink.api.connector.source.Source;
import org.apache.flink.api.connector.source.SourceReader;
import org.apache.flink.api.connector.source.SourceReaderContext;
import org.apache.flink.api.connector.source.SplitEnumerator;
import org.apache.flink.api.connector.source.SplitEnumeratorContext;
import org.apache.flink.api.java.typeutils.ResultTypeQueryable;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.util.UserCodeClassLoader;

/**
 * Reads streams of any server that speaks Pravega's protocols. Offsets are part of Flink's checkpoints, so each event has its effect on
 * Flink's state exactly once; the events of a routing key come in the order in which they were written, over splits and merges of segments.
 *
 * <pre>{@code
 * MillraceSource<String> source = MillraceSource.<String>builder()
 *         .controller("tcp://127.0.0.1:9090").stream("scope/stream").deserializer(new SimpleStringSchema()).build();
 * env.fromSource(source, WatermarkStrategy.noWatermarks(), "events");
 * }</pre>
 */
public final class MillraceSource<T> implements Source<T, SegmentSplit, EnumeratorState>, ResultTypeQueryable<T> {
    private static final long serialVersionUID = 1L;

    private final SourceSettings settings;
    private final MillraceDeserializationSchema<T> schema;

    MillraceSource(SourceSettings settings, MillraceDeserializationSchema<T> schema) {
        this.settings = settings;
        this.schema = schema;
    }

    public static <T> MillraceSourceBuilder<T> builder() {
        return new MillraceSourceBuilder<>();
    }

    @Override
    public Boundedness getBoundedness() {
        return settings.bounded() ? Boundedness.BOUNDED : Boundedness.CONTINUOUS_UNBOUNDED;
    }

    @Override
    public SourceReader<T, SegmentSplit> createReader(SourceReaderContext context) throws Exception {
        schema.open(new org.apache.flink.api.common.serialization.DeserializationSchema.InitializationContext() {
            @Override
            public org.apache.flink.metrics.MetricGroup getMetricGroup() {
                return context.metricGroup().addGroup("deserializer");
            }

            @Override
            public UserCodeClassLoader getUserCodeClassLoader() {
                return context.getUserCodeClassLoader();
            }
        });
        return new MillraceReader<>(settings, schema, context);
    }

    @Override
    public SplitEnumerator<SegmentSplit, EnumeratorState> createEnumerator(SplitEnumeratorContext<SegmentSplit> context) throws IOException {
        return new MillraceEnumerator(context, settings, null);
    }

    @Override
    public SplitEnumerator<SegmentSplit, EnumeratorState> restoreEnumerator(SplitEnumeratorContext<SegmentSplit> context,
            EnumeratorState state) throws IOException {
        return new MillraceEnumerator(context, settings, state);
    }

    @Override
    public SimpleVersionedSerializer<SegmentSplit> getSplitSerializer() {
        return new SegmentSplitSerializer();
    }

    @Override
    public SimpleVersionedSerializer<EnumeratorState> getEnumeratorCheckpointSerializer() {
        return new EnumeratorState.Serializer();
    }

    @Override
    public TypeInformation<T> getProducedType() {
        return schema.getProducedType();
    }
}
