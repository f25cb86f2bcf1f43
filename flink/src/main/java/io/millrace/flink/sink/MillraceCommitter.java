package io.millrace.flink.sink;

import io.millrace.flink.client.StoreClient;
import io.pravega.client.stream.Transaction.Status;
import io.pravega.client.stream.TxnFailedException;
import java.io.IOException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.flink.api.connector.sink2.Committer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Commits prepared transactions, in their order; again after a restore, where most of them turn out to be committed. One that is gone fails
 * the job: its events were taken for written when the checkpoint was completed.
 */
final class MillraceCommitter implements Committer<Committable> {
    private static final Logger LOG = LoggerFactory.getLogger(MillraceCommitter.class);
    private static final long CALL_SECONDS = 30;
    private static final long VISIBLE_MILLIS = 5_000;

    private final SinkSettings settings;
    /** By the last call. Not waited for there: the writer often has the same thread. */
    private final List<Committable> accepted = new ArrayList<>();
    private StoreClient client;

    MillraceCommitter(SinkSettings settings) {
        this.settings = settings;
    }

    @Override
    public void commit(Collection<CommitRequest<Committable>> requests) throws IOException, InterruptedException {
        if (requests.isEmpty()) {
            return;
        }
        if (client == null) {
            client = new StoreClient(settings.store);
        }
        accepted.clear();
        boolean blocked = false;
        for (CommitRequest<Committable> request : requests) {
            // Transactions become visible in the order of their commits: none may overtake one that has to be repeated.
            if (blocked || !commit(request)) {
                blocked = true;
                request.retryLater();
            }
        }
    }

    /** @return false to try again later */
    private boolean commit(CommitRequest<Committable> request) throws IOException, InterruptedException {
        Committable what = request.getCommittable();
        try {
            get(client.controller().commitTransaction(what.stream().toStream(), what.writer(), what.time() == Long.MIN_VALUE ? null : what.time(),
                    what.transaction()));
            accepted.add(what);
            return true;
        } catch (TimeoutException e) {
            LOG.warn("no answer to the commit of transaction {} of {} in {} s; it is repeated", what.transaction(), what.stream(), CALL_SECONDS);
            return false;
        } catch (ExecutionException e) {
            Throwable cause = TransactionLeases.unwrap(e.getCause());
            if (!(cause instanceof TxnFailedException)) {
                LOG.warn("transaction {} of {} could not be committed yet; it is repeated", what.transaction(), what.stream(), cause);
                return false;
            }
            return committedBefore(request, cause);
        }
    }

    private boolean committedBefore(CommitRequest<Committable> request, Throwable refusal) throws IOException, InterruptedException {
        Committable what = request.getCommittable();
        Status status;
        try {
            status = get(client.controller().checkTransactionStatus(what.stream().toStream(), what.transaction()));
        } catch (TimeoutException e) {
            return false;
        } catch (ExecutionException e) {
            Throwable cause = TransactionLeases.unwrap(e.getCause());
            if (!TransactionLeases.isUnknown(cause)) {
                LOG.warn("the state of transaction {} of {} could not be found", what.transaction(), what.stream(), cause);
                return false;
            }
            if (settings.unknownIsCommitted) {
                LOG.warn("transaction {} of {} is unknown to the server; taken for committed, as configured", what.transaction(), what.stream());
                request.signalAlreadyCommitted();
                return true;
            }
            throw gone(what, "unknown to the server. It forgets a transaction some time after its end, by default a day: if this job is restored"
                    + " from a savepoint older than that, and ran on after it was taken, the transaction was most likely committed then. To go on"
                    + " in this case, let the sink take unknown transactions for committed (sink.transaction.unknown = assume-committed)", cause);
        }
        switch (status) {
            case COMMITTED, COMMITTING -> {
                request.signalAlreadyCommitted();
                return true;
            }
            case OPEN -> {
                LOG.warn("transaction {} of {} is open, but its commit was refused; it is repeated", what.transaction(), what.stream(), refusal);
                return false;
            }
            default -> throw gone(what, status.toString(), refusal);
        }
    }

    private static TransactionGoneException gone(Committable what, String state, Throwable cause) {
        return new TransactionGoneException("DATA IS LOST: transaction " + what.transaction() + " of " + what.stream() + ", prepared at "
                + Instant.ofEpochMilli(what.preparedAt()) + " with a lease of " + what.lease() / 1000 + " s, cannot be committed: it is " + state
                + ". A complete checkpoint counts its events as written, and they are not in the stream", cause);
    }

    private static <T> T get(CompletableFuture<T> future) throws ExecutionException, InterruptedException, TimeoutException {
        return future.get(CALL_SECONDS, TimeUnit.SECONDS);
    }

    /** An accepted commit cannot fail any more; a job that ends should still not end before its events can be read. */
    private void awaitVisible() throws InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(VISIBLE_MILLIS);
        long pause = 5;
        for (Committable what : accepted) {
            while (System.nanoTime() < deadline) {
                try {
                    Status status = get(client.controller().checkTransactionStatus(what.stream().toStream(), what.transaction()));
                    if (status != Status.COMMITTING) {
                        break;
                    }
                } catch (ExecutionException | TimeoutException e) {
                    break;
                }
                Thread.sleep(pause);
                pause = Math.min(200, pause * 2);
            }
        }
    }

    @Override
    public void close() {
        if (client == null) {
            return;
        }
        try {
            awaitVisible();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt(); // the task is cancelled
        } finally {
            client.close();
        }
    }
}
