package io.millrace.flink.sink;

import java.io.Serializable;
import org.apache.flink.api.common.serialization.SerializationSchema;

/** Turns records into events, and says by which key they are routed. */
public interface MillraceSerializationSchema<T> extends Serializable {

    default void open(SerializationSchema.InitializationContext context) throws Exception {}

    /** @return the event's bytes, without framing; null to write nothing */
    byte[] serialize(T record);

    /** @return events of the same key keep their order; null for none: then the event goes to any segment */
    default String routingKey(T record) {
        return null;
    }

    /** One of Flink's schemas, and a function for the key, which may be null. */
    static <T> MillraceSerializationSchema<T> of(SerializationSchema<T> schema, RoutingKey<T> key) {
        return new Simple<>(schema, key);
    }

    /** See {@link #of}. */
    @FunctionalInterface
    interface RoutingKey<T> extends Serializable {
        String of(T record);
    }

    /** See {@link #of}. */
    final class Simple<T> implements MillraceSerializationSchema<T> {
        private static final long serialVersionUID = 1L;
        private final SerializationSchema<T> schema;
        private final RoutingKey<T> key;

        Simple(SerializationSchema<T> schema, RoutingKey<T> key) {
            this.schema = schema;
            this.key = key;
        }

        @Override
        public void open(SerializationSchema.InitializationContext context) throws Exception {
            schema.open(context);
        }

        @Override
        public byte[] serialize(T record) {
            return schema.serialize(record);
        }

        @Override
        public String routingKey(T record) {
            return key == null ? null : key.of(record);
        }
    }
}
