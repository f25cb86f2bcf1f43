package io.millrace.flink.sink;

import io.millrace.flink.client.StoreClient;
import io.millrace.flink.client.StreamName;
import io.grpc.Status;
import io.pravega.client.stream.PingFailedException;
import io.pravega.client.stream.Transaction.PingStatus;
import io.pravega.client.stream.impl.TxnSegments;
import java.io.IOException;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Keeps the transactions of one writer alive. One that is still written gets a short lease, so that what a dead job leaves behind is soon
 * cleaned up; one that is prepared gets the longest that the server grants, since nobody extends it while the job is down.
 */
final class TransactionLeases {
    private static final Logger LOG = LoggerFactory.getLogger(TransactionLeases.class);
    private static final long SHORTEST = 10_000;
    /** The most that Pravega and Millrace grant by default. */
    private static final long COMMON_LIMIT = 600_000;

    private static final String TOO_LARGE = "LEASE_TOO_LARGE";
    private static final String LIMITS = "Millrace: --transaction-lease-max, Pravega: controller.transaction.lease.count.max";
    /** Any server grants that at the begin. */
    private static final long FIRST_LEASE = 120_000;

    private final StoreClient client;
    private final StreamName stream;
    private final long openLease;
    private final boolean preparedLeaseNeeded;
    private final Consumer<IOException> onGone;
    private final Map<UUID, Long> leases = new ConcurrentHashMap<>();
    private volatile long preparedLease;

    /** @param onGone told when a transaction that is being written is gone */
    TransactionLeases(StoreClient client, SinkSettings settings, Consumer<IOException> onGone) {
        this.client = client;
        this.stream = settings.stream;
        this.openLease = settings.openLeaseMillis;
        this.preparedLeaseNeeded = settings.preparedLeaseNeeded;
        this.preparedLease = settings.preparedLeaseMillis;
        this.onGone = onGone;
    }

    long pingInterval() {
        return openLease / 4;
    }

    /**
     * Begins a transaction. One with a lease beyond the usual is begun with less and then extended: servers answer the begin with an error
     * that the client takes for a passing one, but say of an extension that it is too large.
     */
    TxnSegments begin() throws IOException {
        TxnSegments segments = client.await(client.controller().createTransaction(stream.toStream(), Math.min(openLease, FIRST_LEASE)),
                "begin a transaction on " + stream);
        if (openLease > FIRST_LEASE) {
            UUID id = segments.getTxnId();
            try {
                client.await(client.controller().pingTransaction(stream.toStream(), id, openLease), "extend the lease of transaction " + id);
            } catch (IOException e) {
                abort(id);
                if (String.valueOf(e.getMessage()).contains(TOO_LARGE)) {
                    throw new IOException("the server refuses a lease of " + openLease / 1000 + " s for transactions of " + stream
                            + ". Raise its limit (" + LIMITS + "), or ask for less with openLease(...) or sink.transaction.open-lease", e);
                }
                throw e;
            }
        }
        opened(segments.getTxnId());
        return segments;
    }

    void opened(UUID transaction) {
        leases.put(transaction, openLease);
    }

    void forget(UUID transaction) {
        leases.remove(transaction);
    }

    /** @return the lease that was granted, in milliseconds from now */
    long prepared(UUID transaction) throws IOException {
        long lease = preparedLease;
        for (int failures = 0;;) {
            // From here on the pings of others must not shorten it again.
            leases.put(transaction, lease);
            try {
                PingStatus status = client.await(client.controller().pingTransaction(stream.toStream(), transaction, lease),
                        "extend the lease of transaction " + transaction);
                if (status == PingStatus.OPEN) {
                    return lease;
                }
                throw new TransactionGoneException("transaction " + transaction + " of " + stream + " was " + status
                        + " before it was prepared. Its events are in no checkpoint; they are written again from the last one", null);
            } catch (IOException e) {
                String refusal = unwrap(e.getCause()) instanceof PingFailedException ? String.valueOf(e.getMessage()) : null;
                boolean limit = refusal != null && refusal.contains(TOO_LARGE);
                if (limit && preparedLeaseNeeded) {
                    throw new IOException("the server refuses a lease of " + lease / 1000 + " s for prepared transactions of " + stream
                            + ". Raise its limit (" + LIMITS + "), or ask for less with preparedLease(...) or sink.transaction.prepared-lease;"
                            + " without that the sink takes what the server grants", e);
                }
                if (lease > SHORTEST && (limit || (refusal != null && refusal.contains("MAX_EXECUTION_TIME")))) {
                    lease = shorter(lease);
                    if (limit) {
                        preparedLease = lease;
                        LOG.info("the server limits leases: a prepared transaction of {} outlasts an outage of {} s at most", stream, lease / 1000);
                    }
                } else if (refusal == null || ++failures > 20) {
                    throw e;
                } else {
                    pause();
                }
            }
        }
    }

    /** Half of it, but not past what most servers grant. */
    static long shorter(long lease) {
        return Math.max(SHORTEST, lease > COMMON_LIMIT ? Math.max(COMMON_LIMIT, lease / 2) : lease / 2);
    }

    private static void pause() throws IOException {
        try {
            Thread.sleep(500);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", e);
        }
    }

    /** Extends all. Does not wait. */
    void ping() {
        leases.forEach((transaction, lease) -> client.controller().pingTransaction(stream.toStream(), transaction, lease)
                .whenComplete((status, error) -> {
                    if (error == null && status == PingStatus.OPEN) {
                        return;
                    }
                    if (error != null && (unwrap(error) instanceof PingFailedException || !isUnknown(unwrap(error)))) {
                        LOG.warn("the lease of transaction {} of {} could not be extended", transaction, stream, error);
                        return;
                    }
                    Long was = leases.remove(transaction);
                    // A prepared one may have been committed meanwhile. If it was aborted, the committer finds out and says so.
                    if (was != null && was == openLease && status != PingStatus.COMMITTED) {
                        onGone.accept(new TransactionGoneException("transaction " + transaction + " of " + stream + " is gone ("
                                + (status == null ? "unknown to the server" : status) + ") while it was being written. Its events are in no"
                                + " checkpoint; they are written again from the last one", error));
                    }
                }));
    }

    /** Whether the server answered that it knows no such transaction, which the client reports as gRPC's NOT_FOUND. */
    static boolean isUnknown(Throwable error) {
        return error != null && Status.fromThrowable(error).getCode() == Status.Code.NOT_FOUND;
    }

    static Throwable unwrap(Throwable error) {
        Throwable result = error;
        while (result instanceof CompletionException && result.getCause() != null) {
            result = result.getCause();
        }
        return result;
    }

    /** Aborts, without waiting; what fails is left to the lease. */
    CompletableFuture<Void> abort(UUID transaction) {
        forget(transaction);
        return client.controller().abortTransaction(stream.toStream(), transaction).handle((ok, error) -> {
            if (error != null) {
                LOG.debug("transaction {} of {} was not aborted", transaction, stream, error);
            }
            return null;
        });
    }
}
