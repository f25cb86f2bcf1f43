package io.millrace.flink.table;

import java.io.Serializable;
import java.util.HexFormat;
import java.util.List;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.catalog.ResolvedSchema;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;

/** A routing key made of columns: their values as text, joined by '|'; null values are empty. */
final class RoutingKeys implements Serializable {
    private static final long serialVersionUID = 1L;

    private final RowData.FieldGetter[] getters;

    private RoutingKeys(RowData.FieldGetter[] getters) {
        this.getters = getters;
    }

    /** By the option, else by the primary key; null for none. */
    static RoutingKeys fields(ReadableConfig options, ResolvedSchema schema, DataType physical) {
        List<String> names = options.getOptional(MillraceOptions.ROUTING_KEY)
                .orElseGet(() -> schema.getPrimaryKey().map(key -> key.getColumns()).orElse(List.of()));
        if (names.isEmpty()) {
            return null;
        }
        RowType row = (RowType) physical.getLogicalType();
        RowData.FieldGetter[] getters = new RowData.FieldGetter[names.size()];
        for (int i = 0; i < getters.length; i++) {
            int index = row.getFieldIndex(names.get(i));
            if (index < 0) {
                throw new ValidationException("Column '" + names.get(i) + "' of the routing key is not a physical column of the table.");
            }
            LogicalType type = row.getTypeAt(index);
            switch (type.getTypeRoot()) {
                case ARRAY, MAP, MULTISET, ROW, STRUCTURED_TYPE, RAW ->
                    throw new ValidationException("Column '" + names.get(i) + "' of type " + type + " cannot be part of a routing key.");
                default -> getters[i] = RowData.createFieldGetter(type, index);
            }
        }
        return new RoutingKeys(getters);
    }

    String of(RowData row) {
        if (getters.length == 1) {
            return text(getters[0].getFieldOrNull(row));
        }
        StringBuilder key = new StringBuilder();
        for (int i = 0; i < getters.length; i++) {
            if (i > 0) {
                key.append('|');
            }
            key.append(text(getters[i].getFieldOrNull(row)));
        }
        return key.toString();
    }

    private static String text(Object value) {
        if (value == null) {
            return "";
        }
        return value instanceof byte[] bytes ? HexFormat.of().formatHex(bytes) : value.toString();
    }
}
