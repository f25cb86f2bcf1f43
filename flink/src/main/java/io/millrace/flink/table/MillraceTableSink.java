package io.millrace.flink.table;

import io.millrace.flink.sink.MillraceSerializationSchema;
import io.millrace.flink.sink.MillraceSinkBuilder;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.format.EncodingFormat;
import org.apache.flink.table.connector.sink.DynamicTableSink;
import org.apache.flink.table.connector.sink.SinkV2Provider;
import org.apache.flink.table.connector.sink.abilities.SupportsWritingMetadata;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.RowType;

/** A sink: physical columns go through the format, a routing key may come from a metadata column. */
final class MillraceTableSink implements DynamicTableSink, SupportsWritingMetadata {
    private static final String ROUTING_KEY = "routing-key";

    private final MillraceSinkBuilder<RowData> sink;
    private final Integer parallelism;
    private final EncodingFormat<SerializationSchema<RowData>> format;
    private final DataType physical;
    private final RoutingKeys keys;
    private boolean keyColumn;

    MillraceTableSink(MillraceSinkBuilder<RowData> sink, Integer parallelism, EncodingFormat<SerializationSchema<RowData>> format, DataType physical,
            RoutingKeys keys) {
        this.sink = sink;
        this.parallelism = parallelism;
        this.format = format;
        this.physical = physical;
        this.keys = keys;
    }

    @Override
    public ChangelogMode getChangelogMode(ChangelogMode requested) {
        return format.getChangelogMode();
    }

    @Override
    public SinkRuntimeProvider getSinkRuntimeProvider(Context context) {
        RowType row = (RowType) physical.getLogicalType();
        RowData.FieldGetter[] getters = new RowData.FieldGetter[row.getFieldCount()];
        for (int i = 0; i < getters.length; i++) {
            getters[i] = RowData.createFieldGetter(row.getTypeAt(i), i);
        }
        SerializationSchema<RowData> schema = format.createRuntimeEncoder(context, physical);
        return SinkV2Provider.of(sink.serializer(new RowSchema(schema, keyColumn ? getters : null, keys)).build(), parallelism);
    }

    @Override
    public Map<String, DataType> listWritableMetadata() {
        return Map.of(ROUTING_KEY, DataTypes.STRING().nullable());
    }

    @Override
    public void applyWritableMetadata(List<String> wanted, DataType consumed) {
        keyColumn = wanted.contains(ROUTING_KEY);
    }

    @Override
    public DynamicTableSink copy() {
        MillraceTableSink copy = new MillraceTableSink(sink, parallelism, format, physical, keys);
        copy.keyColumn = keyColumn;
        return copy;
    }

    @Override
    public String asSummaryString() {
        return "Millrace";
    }

    private static final class RowSchema implements MillraceSerializationSchema<RowData> {
        private static final long serialVersionUID = 1L;
        private final SerializationSchema<RowData> schema;
        /** Of the physical columns, if a metadata column follows them; else null. */
        private final RowData.FieldGetter[] getters;
        private final RoutingKeys keys;

        RowSchema(SerializationSchema<RowData> schema, RowData.FieldGetter[] getters, RoutingKeys keys) {
            this.schema = schema;
            this.getters = getters;
            this.keys = keys;
        }

        @Override
        public void open(SerializationSchema.InitializationContext context) throws Exception {
            schema.open(context);
        }

        @Override
        public byte[] serialize(RowData row) {
            if (getters == null) {
                return schema.serialize(row);
            }
            GenericRowData plain = new GenericRowData(row.getRowKind(), getters.length);
            for (int i = 0; i < getters.length; i++) {
                plain.setField(i, getters[i].getFieldOrNull(row));
            }
            return schema.serialize(plain);
        }

        @Override
        public String routingKey(RowData row) {
            if (getters != null && !row.isNullAt(getters.length)) {
                return row.getString(getters.length).toString();
            }
            return keys == null ? null : keys.of(row);
        }
    }
}
