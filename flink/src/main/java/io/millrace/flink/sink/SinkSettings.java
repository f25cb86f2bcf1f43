package io.millrace.flink.sink;

import io.millrace.flink.client.StoreOptions;
import io.millrace.flink.client.StreamName;
import java.io.Serializable;
import org.apache.flink.connector.base.DeliveryGuarantee;

/** Everything that the builder was told. */
final class SinkSettings implements Serializable, Cloneable {
    private static final long serialVersionUID = 1L;

    StoreOptions store;
    StreamName stream;
    DeliveryGuarantee guarantee = DeliveryGuarantee.AT_LEAST_ONCE;
    boolean largeEvents = true;
    boolean noteWatermarks;
    boolean unknownIsCommitted;
    int maxInFlight = 10_000;
    long maxInFlightBytes = 32L << 20;
    /** How long an event, a flush or a call may take before the job fails. */
    long timeoutMillis = 300_000;
    long openLeaseMillis = 120_000;
    long preparedLeaseMillis = 24 * 3600_000L;
    /** The user named that lease: less will not do. */
    boolean preparedLeaseNeeded;

    boolean transactional() {
        return guarantee == DeliveryGuarantee.EXACTLY_ONCE;
    }

    /** What a builder is told later does not change what it has built. */
    SinkSettings copy() {
        try {
            return (SinkSettings) clone();
        } catch (CloneNotSupportedException e) {
            throw new AssertionError(e);
        }
    }
}
