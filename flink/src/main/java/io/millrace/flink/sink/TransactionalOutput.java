package io.millrace.flink.sink;

import io.millrace.flink.client.StoreClient;
import io.pravega.client.security.auth.DelegationTokenProvider;
import io.pravega.client.stream.impl.TxnSegments;
import java.io.IOException;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Events go into a transaction for each checkpoint. The one after the next checkpoint is begun before that checkpoint is taken, and named in
 * it: so a restored job knows which one its predecessor was writing, and aborts it. For the sender thread, but {@link #handOver},
 * {@link #current} and {@link #time}, which the task's thread calls while the sender is idle.
 */
final class TransactionalOutput implements EventOutput {
    private static final Logger LOG = LoggerFactory.getLogger(TransactionalOutput.class);

    private final StoreClient client;
    private final SinkSettings settings;
    private final TransactionLeases leases;
    private final DelegationTokenProvider token;
    private final String writerId = UUID.randomUUID().toString();
    private volatile OpenTransaction current;
    private volatile OpenTransaction next;
    private volatile long granted;
    private volatile long time = Long.MIN_VALUE;

    TransactionalOutput(StoreClient client, SinkSettings settings, Consumer<IOException> onGone) {
        this.client = client;
        this.settings = settings;
        this.leases = new TransactionLeases(client, settings, onGone);
        this.token = client.writeToken(settings.stream);
    }

    TransactionLeases leases() {
        return leases;
    }

    private OpenTransaction begin() throws IOException {
        TxnSegments segments = leases.begin();
        LOG.debug("began transaction {} of {}", segments.getTxnId(), settings.stream);
        return new OpenTransaction(client, settings.stream, segments, token);
    }

    @Override
    public CompletableFuture<Void> write(String key, byte[] event) throws IOException {
        if (current == null) {
            current = begin();
        }
        return current.write(key, event);
    }

    @Override
    public void flush() throws IOException {
        if (current != null) {
            current.flush();
        }
    }

    /** After a flush: what was written will outlast an outage, and the next transaction is there. */
    void prepare(boolean more) throws IOException {
        if (current == null || current.empty()) {
            return;
        }
        granted = leases.prepared(current.id);
        if (more && next == null) {
            next = begin();
        }
    }

    @Override
    public void noteTime(long to) {
        time = to;
    }

    /** The prepared transaction, if events were written; what comes goes into the next one. */
    Optional<Committable> handOver() {
        OpenTransaction done = current;
        if (done == null || done.empty()) {
            return Optional.empty();
        }
        current = next;
        next = null;
        done.close();
        return Optional.of(new Committable(settings.stream, done.id, writerId, time, System.currentTimeMillis(), granted));
    }

    /** The transaction that takes what comes next, or null. */
    UUID current() {
        OpenTransaction transaction = current;
        return transaction == null ? null : transaction.id;
    }

    /** Gives up what is not prepared. */
    @Override
    public void close() {
        for (OpenTransaction transaction : new OpenTransaction[] {current, next}) {
            if (transaction != null) {
                try {
                    leases.abort(transaction.id).get(5, TimeUnit.SECONDS);
                } catch (Exception e) {
                    LOG.debug("transaction {} is left to its lease", transaction.id, e);
                    if (e instanceof InterruptedException) {
                        Thread.currentThread().interrupt();
                    }
                }
            }
        }
        current = null;
        next = null;
    }
}
