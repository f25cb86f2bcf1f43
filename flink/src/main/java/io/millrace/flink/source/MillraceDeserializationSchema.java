package io.millrace.flink.source;

import java.io.IOException;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.functions.util.ListCollector;
import org.apache.flink.api.java.typeutils.EitherTypeInfo;
import org.apache.flink.api.java.typeutils.ResultTypeQueryable;
import org.apache.flink.types.Either;
import org.apache.flink.util.Collector;

/** Turns events into records; knows where each came from. */
public interface MillraceDeserializationSchema<T> extends Serializable, ResultTypeQueryable<T> {

    /** Where an event came from. */
    final class Origin {
        String segment;
        long offset;
        int length;
        long window;

        /** As scope/stream. */
        public String stream() {
            return segment.substring(0, segment.lastIndexOf('/'));
        }

        /** The segment's full name, as {@code scope/stream/0.#epoch.0}. */
        public String segment() {
            return segment;
        }

        /** Where the event starts in its segment. */
        public long offset() {
            return offset;
        }

        /** As the client writes and parses event pointers: {@code segment:offset-length}. */
        public String eventPointer() {
            return segment + ":" + offset + "-" + length;
        }

        /** Lower bound of the event's time by the stream's marks, in milliseconds; Long.MIN_VALUE if not known, or not asked for. */
        public long lowerTimeBound() {
            return window;
        }
    }

    default void open(DeserializationSchema.InitializationContext context) throws Exception {}

    /** @param origin valid during the call only */
    void deserialize(byte[] event, Origin origin, Collector<T> out) throws IOException;

    /** An event's bytes alone, by one of Flink's schemas. */
    static <T> MillraceDeserializationSchema<T> valueOnly(DeserializationSchema<T> schema) {
        return new ValueOnly<>(schema);
    }

    /**
     * Gives what {@code schema} cannot read as it is, instead of failing: on the right what is unreadable, on the left the others.
     * {@link UnreadableEvent#split} takes the two apart.
     */
    static <T> MillraceDeserializationSchema<Either<T, UnreadableEvent>> orUnreadable(MillraceDeserializationSchema<T> schema) {
        return new OrUnreadable<>(schema);
    }

    /** See {@link #orUnreadable}. */
    final class OrUnreadable<T> implements MillraceDeserializationSchema<Either<T, UnreadableEvent>> {
        private static final long serialVersionUID = 1L;
        private final MillraceDeserializationSchema<T> schema;

        OrUnreadable(MillraceDeserializationSchema<T> schema) {
            this.schema = schema;
        }

        @Override
        public void open(DeserializationSchema.InitializationContext context) throws Exception {
            schema.open(context);
        }

        @Override
        public void deserialize(byte[] event, Origin origin, Collector<Either<T, UnreadableEvent>> out) {
            List<T> records = new ArrayList<>(1);
            try {
                schema.deserialize(event, origin, new ListCollector<>(records));
            } catch (IOException | RuntimeException e) {
                out.collect(Either.Right(new UnreadableEvent(event, origin.eventPointer(), e.toString())));
                return;
            }
            records.forEach(record -> out.collect(Either.Left(record)));
        }

        @Override
        public TypeInformation<Either<T, UnreadableEvent>> getProducedType() {
            return new EitherTypeInfo<>(schema.getProducedType(), TypeInformation.of(UnreadableEvent.class));
        }
    }

    /** See {@link #valueOnly}. */
    final class ValueOnly<T> implements MillraceDeserializationSchema<T> {
        private static final long serialVersionUID = 1L;
        private final DeserializationSchema<T> schema;

        ValueOnly(DeserializationSchema<T> schema) {
            this.schema = schema;
        }

        @Override
        public void open(DeserializationSchema.InitializationContext context) throws Exception {
            schema.open(context);
        }

        @Override
        public void deserialize(byte[] event, Origin origin, Collector<T> out) throws IOException {
            schema.deserialize(event, out);
        }

        @Override
        public TypeInformation<T> getProducedType() {
            return schema.getProducedType();
        }
    }
}
