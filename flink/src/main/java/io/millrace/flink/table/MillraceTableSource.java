package io.millrace.flink.table;

import io.millrace.flink.source.MillraceDeserializationSchema;
import io.millrace.flink.source.MillraceSource;
import io.millrace.flink.source.MillraceSourceBuilder;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.DataStreamSource;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.ProviderContext;
import org.apache.flink.table.connector.format.DecodingFormat;
import org.apache.flink.table.connector.source.DataStreamScanProvider;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.connector.source.ScanTableSource;
import org.apache.flink.table.connector.source.abilities.SupportsReadingMetadata;
import org.apache.flink.table.connector.source.abilities.SupportsSourceWatermark;
import org.apache.flink.table.connector.source.abilities.SupportsWatermarkPushDown;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.data.utils.JoinedRowData;
import org.apache.flink.table.types.DataType;
import org.apache.flink.util.Collector;

/** A scan: the format's columns, then its metadata columns, then those of the connector. */
final class MillraceTableSource implements ScanTableSource, SupportsReadingMetadata, SupportsWatermarkPushDown, SupportsSourceWatermark {
    private static final String VALUE_PREFIX = "value.";

    /** The connector's metadata columns. */
    private enum Metadata {
        EVENT_POINTER("event-pointer", DataTypes.STRING().notNull()),
        STREAM("stream", DataTypes.STRING().notNull()),
        SEGMENT("segment", DataTypes.STRING().notNull()),
        OFFSET("offset", DataTypes.BIGINT().notNull()),
        ROUTING_KEY("routing-key", DataTypes.STRING().nullable()),
        EVENT_TIME("event-time", DataTypes.TIMESTAMP_LTZ(3).nullable());

        final String key;
        final DataType type;

        Metadata(String key, DataType type) {
            this.key = key;
            this.type = type;
        }

        static Metadata of(String key) {
            for (Metadata value : values()) {
                if (value.key.equals(key)) {
                    return value;
                }
            }
            throw new IllegalArgumentException("no metadata column " + key);
        }

        Object read(MillraceDeserializationSchema.Origin origin, RowData row, RoutingKeys keys) {
            return switch (this) {
                case EVENT_POINTER -> StringData.fromString(origin.eventPointer());
                case STREAM -> StringData.fromString(origin.stream());
                case SEGMENT -> StringData.fromString(origin.segment());
                case OFFSET -> origin.offset();
                // The store does not keep keys; what the event says of itself is all there is.
                case ROUTING_KEY -> keys == null ? null : StringData.fromString(keys.of(row));
                case EVENT_TIME -> origin.lowerTimeBound() == Long.MIN_VALUE ? null : TimestampData.fromEpochMillis(origin.lowerTimeBound());
            };
        }
    }

    private final MillraceSourceBuilder<RowData> source;
    private final boolean bounded;
    private final Integer parallelism;
    private final DecodingFormat<DeserializationSchema<RowData>> format;
    private final DataType physical;
    private final RoutingKeys keys;
    private final String table;
    private DataType produced;
    private List<Metadata> metadata = List.of();
    private WatermarkStrategy<RowData> watermarks;
    private boolean marks;

    MillraceTableSource(MillraceSourceBuilder<RowData> source, boolean bounded, Integer parallelism,
            DecodingFormat<DeserializationSchema<RowData>> format, DataType physical, RoutingKeys keys, String table) {
        this.source = source;
        this.bounded = bounded;
        this.parallelism = parallelism;
        this.format = format;
        this.physical = physical;
        this.produced = physical;
        this.keys = keys;
        this.table = table;
    }

    @Override
    public ChangelogMode getChangelogMode() {
        return format.getChangelogMode();
    }

    @Override
    public ScanRuntimeProvider getScanRuntimeProvider(ScanContext context) {
        DeserializationSchema<RowData> schema = format.createRuntimeDecoder(context, physical);
        TypeInformation<RowData> type = context.createTypeInformation(produced);
        if (marks || metadata.contains(Metadata.EVENT_TIME)) {
            source.watermarksFromMarks();
        }
        MillraceSource<RowData> built = source
                .deserializer(new RowSchema(schema, metadata.toArray(new Metadata[0]), metadata.contains(Metadata.ROUTING_KEY) ? keys : null, type)).build();
        WatermarkStrategy<RowData> strategy = watermarks == null ? WatermarkStrategy.noWatermarks() : watermarks;
        return new DataStreamScanProvider() {
            @Override
            public DataStream<RowData> produceDataStream(ProviderContext provider, StreamExecutionEnvironment environment) {
                DataStreamSource<RowData> stream = environment.fromSource(built, strategy, "millrace-" + table, type);
                provider.generateUid("millrace").ifPresent(stream::uid);
                return stream;
            }

            @Override
            public boolean isBounded() {
                return bounded;
            }

            @Override
            public Optional<Integer> getParallelism() {
                return Optional.ofNullable(parallelism);
            }
        };
    }

    @Override
    public Map<String, DataType> listReadableMetadata() {
        Map<String, DataType> result = new LinkedHashMap<>();
        format.listReadableMetadata().forEach((key, type) -> result.put(VALUE_PREFIX + key, type));
        for (Metadata value : Metadata.values()) {
            result.put(value.key, value.type);
        }
        return result;
    }

    @Override
    public void applyReadableMetadata(List<String> wanted, DataType type) {
        List<String> ofFormat = new ArrayList<>();
        metadata = new ArrayList<>();
        for (String key : wanted) {
            if (key.startsWith(VALUE_PREFIX)) {
                ofFormat.add(key.substring(VALUE_PREFIX.length()));
            } else {
                metadata.add(Metadata.of(key));
            }
        }
        if (!ofFormat.isEmpty()) {
            format.applyReadableMetadata(ofFormat);
        }
        produced = type;
    }

    @Override
    public boolean supportsMetadataProjection() {
        return false;
    }

    @Override
    public void applyWatermark(WatermarkStrategy<RowData> strategy) {
        watermarks = strategy;
    }

    @Override
    public void applySourceWatermark() {
        marks = true;
    }

    @Override
    public DynamicTableSource copy() {
        MillraceTableSource copy = new MillraceTableSource(source, bounded, parallelism, format, physical, keys, table);
        copy.produced = produced;
        copy.metadata = metadata;
        copy.watermarks = watermarks;
        copy.marks = marks;
        return copy;
    }

    @Override
    public String asSummaryString() {
        return "Millrace";
    }

    private static final class RowSchema implements MillraceDeserializationSchema<RowData> {
        private static final long serialVersionUID = 1L;
        private final DeserializationSchema<RowData> schema;
        private final Metadata[] metadata;
        private final RoutingKeys keys;
        private final TypeInformation<RowData> type;
        private transient Appender appender;

        RowSchema(DeserializationSchema<RowData> schema, Metadata[] metadata, RoutingKeys keys, TypeInformation<RowData> type) {
            this.schema = schema;
            this.metadata = metadata;
            this.keys = keys;
            this.type = type;
        }

        @Override
        public void open(DeserializationSchema.InitializationContext context) throws Exception {
            schema.open(context);
        }

        @Override
        public void deserialize(byte[] event, Origin origin, Collector<RowData> out) throws IOException {
            if (metadata.length == 0) {
                schema.deserialize(event, out);
                return;
            }
            if (appender == null) {
                appender = new Appender();
            }
            appender.origin = origin;
            appender.out = out;
            schema.deserialize(event, appender);
        }

        @Override
        public TypeInformation<RowData> getProducedType() {
            return type;
        }

        private final class Appender implements Collector<RowData> {
            private Origin origin;
            private Collector<RowData> out;

            @Override
            public void collect(RowData row) {
                GenericRowData more = new GenericRowData(metadata.length);
                for (int i = 0; i < metadata.length; i++) {
                    more.setField(i, metadata[i].read(origin, row, keys));
                }
                out.collect(new JoinedRowData(row.getRowKind(), row, more));
            }

            @Override
            public void close() {}
        }
    }
}
