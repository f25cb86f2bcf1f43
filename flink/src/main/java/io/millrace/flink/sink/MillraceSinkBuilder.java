package io.millrace.flink.sink;

import io.millrace.flink.client.StoreOptions;
import io.millrace.flink.client.StreamName;
import java.time.Duration;
import java.util.Objects;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.connector.base.DeliveryGuarantee;

/** Builds a {@link MillraceSink}. Needed: the server, the stream and a serializer. */
public final class MillraceSinkBuilder<T> {
    private final SinkSettings settings = new SinkSettings();
    private MillraceSerializationSchema<T> schema;

    MillraceSinkBuilder() {}

    /** @param address as {@code tcp://host:9090} */
    public MillraceSinkBuilder<T> controller(String address) {
        return store(StoreOptions.of(address));
    }

    public MillraceSinkBuilder<T> store(StoreOptions options) {
        settings.store = options;
        return this;
    }

    /** @param name as scope/stream; it must exist */
    public MillraceSinkBuilder<T> stream(String name) {
        settings.stream = StreamName.parse(name);
        return this;
    }

    public MillraceSinkBuilder<T> serializer(MillraceSerializationSchema<T> serializer) {
        schema = serializer;
        return this;
    }

    /** @param key gives each record's routing key; null for none */
    public MillraceSinkBuilder<T> serializer(SerializationSchema<T> serializer, MillraceSerializationSchema.RoutingKey<T> key) {
        return serializer(MillraceSerializationSchema.of(serializer, key));
    }

    /** Default: at least once. Exactly once needs checkpoints, with whose completion events become visible. */
    public MillraceSinkBuilder<T> deliveryGuarantee(DeliveryGuarantee guarantee) {
        settings.guarantee = guarantee;
        return this;
    }

    /** Notes Flink's watermarks in the stream, as time marks for its readers. */
    public MillraceSinkBuilder<T> noteWatermarks() {
        settings.noteWatermarks = true;
        return this;
    }

    /** Whether events beyond 8 MiB are accepted, which needs a guarantee other than exactly once. Default: yes. */
    public MillraceSinkBuilder<T> largeEvents(boolean accepted) {
        settings.largeEvents = accepted;
        return this;
    }

    /** Most that is on its way to the store before the job is held back. Default 10,000 events or 32 MiB. */
    public MillraceSinkBuilder<T> maxInFlight(int events, long bytes) {
        settings.maxInFlight = events;
        settings.maxInFlightBytes = bytes;
        return this;
    }

    /** How long there may be no progress before the job fails. Default 5 minutes. */
    public MillraceSinkBuilder<T> timeout(Duration timeout) {
        settings.timeoutMillis = timeout.toMillis();
        return this;
    }

    /**
     * Lease of a transaction that is written: the writer keeps it alive, and so long after the writer it is gone. Default 2 minutes. A server
     * that refuses it fails the job.
     */
    public MillraceSinkBuilder<T> openLease(Duration lease) {
        settings.openLeaseMillis = lease.toMillis();
        return this;
    }

    /**
     * Lease of a prepared transaction, which has to outlast the time in which the job is down. A server that grants less fails the job.
     * Default: 24 hours, or the most that the server grants, which is 10 minutes where nobody changed it.
     */
    public MillraceSinkBuilder<T> preparedLease(Duration lease) {
        settings.preparedLeaseMillis = lease.toMillis();
        settings.preparedLeaseNeeded = true;
        return this;
    }

    /** Both: {@link #openLease} and {@link #preparedLease}. */
    public MillraceSinkBuilder<T> transactionLeases(Duration open, Duration prepared) {
        return openLease(open).preparedLease(prepared);
    }

    /** When a transaction of a checkpoint is unknown to the server, as after a day, take it for committed instead of failing the job. */
    public MillraceSinkBuilder<T> assumeUnknownCommitted() {
        settings.unknownIsCommitted = true;
        return this;
    }

    public MillraceSink<T> build() {
        Objects.requireNonNull(settings.store, "the server is missing: call controller(...)");
        Objects.requireNonNull(settings.stream, "the stream is missing");
        Objects.requireNonNull(schema, "the serializer is missing");
        if (settings.openLeaseMillis < 10_000 || settings.preparedLeaseMillis < settings.openLeaseMillis) {
            throw new IllegalStateException("leases must be 10 s or longer, and that of prepared transactions the longer one");
        }
        if (settings.maxInFlight < 1 || settings.maxInFlightBytes < 1 || settings.timeoutMillis < 1) {
            throw new IllegalStateException("limits must be positive");
        }
        return new MillraceSink<>(settings.copy(), schema);
    }
}
