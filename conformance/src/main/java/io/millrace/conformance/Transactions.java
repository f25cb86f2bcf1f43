package io.millrace.conformance;

import io.pravega.client.ClientConfig;
import io.pravega.client.EventStreamClientFactory;
import io.pravega.client.admin.StreamManager;
import io.pravega.client.stream.EventWriterConfig;
import io.pravega.client.stream.ScalingPolicy;
import io.pravega.client.stream.StreamConfiguration;
import io.pravega.client.stream.Transaction;
import io.pravega.client.stream.TransactionalEventStreamWriter;
import io.pravega.client.stream.impl.UTF8StringSerializer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.UUID;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Transactions per second: committers that each begin a transaction, write some events with different keys, commit, and go on when
 * the stream has them. Prints one line of key=value. Any server of Pravega's protocol can be asked.
 */
public final class Transactions {
    private static final UTF8StringSerializer TEXT = new UTF8StringSerializer();
    /**
     * Otherwise each segment of each open transaction has a connection with a megabyte of buffers, and that client's memory is measured.
     * But a shared connection is closed by the client after 2,000 segments, under the hands of whoever writes: so each committer has
     * some for itself, and others in time.
     */
    private static final EventWriterConfig POOLED = EventWriterConfig.builder().enableConnectionPooling(true).build();
    private static final int CONNECTIONS = 4;
    private static final int TRANSACTIONS_OF_A_FACTORY = 500;

    private Transactions() {
    }

    public static void main(String[] args) throws Exception {
        if (args.length < 1 || args.length > 6) {
            System.err.println("usage: Transactions CONTROLLER [COMMITTERS 1] [SEGMENTS 10] [EVENTS 10] [SECONDS 10] [WARMUP 5]");
            System.exit(2);
        }
        ClientConfig config = Endpoint.reach(args[0]).toBuilder().maxConnectionsPerSegmentStore(CONNECTIONS).build();
        int committers = number(args, 1, 1);
        int segments = number(args, 2, 10);
        int events = number(args, 3, 10);
        int seconds = number(args, 4, 10);
        int warmup = number(args, 5, 5);
        String scope = "transactions-" + UUID.randomUUID().toString().substring(0, 8);
        try (StreamManager streams = StreamManager.create(config)) {
            streams.createScope(scope);
            streams.createStream(scope, "s",
                    StreamConfiguration.builder().scalingPolicy(ScalingPolicy.fixed(segments)).build());
        }
        run(config, scope, committers, events, seconds, warmup, segments);
        System.exit(0); // the client's threads may linger
    }

    private static int number(String[] args, int at, int otherwise) {
        return args.length > at ? Integer.parseInt(args[at]) : otherwise;
    }

    private static void run(ClientConfig config, String scope, int committers, int events, int seconds, int warmup, int segments)
            throws Exception {
        AtomicBoolean over = new AtomicBoolean();
        long from = System.nanoTime() + TimeUnit.SECONDS.toNanos(warmup);
        List<Future<List<Long>>> runs = new ArrayList<>();
        ExecutorService threads = Executors.newFixedThreadPool(committers);
        try {
            for (int i = 0; i < committers; i++) {
                runs.add(threads.submit(() -> commit(config, scope, events, from, over)));
            }
            Thread.sleep(TimeUnit.SECONDS.toMillis(warmup + seconds));
            over.set(true);
            List<Long> all = new ArrayList<>();
            for (Future<List<Long>> run : runs) {
                all.addAll(run.get());
            }
            long[] micros = all.stream().mapToLong(nanos -> nanos / 1_000).sorted().toArray();
            System.out.printf(Locale.ROOT,
                    "committers=%d segments=%d events=%d seconds=%d transactions=%d txn_per_s=%.1f p50_ms=%.2f p99_ms=%.2f%n",
                    committers, segments, events, seconds, micros.length, (double) micros.length / seconds,
                    at(micros, 0.5), at(micros, 0.99));
        } finally {
            threads.shutdownNow();
        }
    }

    private static double at(long[] sortedMicros, double share) {
        return sortedMicros.length == 0 ? 0 : sortedMicros[(int) (share * (sortedMicros.length - 1))] / 1000.0;
    }

    /** Nanoseconds of each transaction that began after {@code from}: until its commit was accepted. */
    private static List<Long> commit(ClientConfig config, String scope, int events, long from, AtomicBoolean over) throws Exception {
        List<Long> took = new ArrayList<>();
        while (!over.get()) {
            try (EventStreamClientFactory factory = EventStreamClientFactory.withScope(scope, config);
                    TransactionalEventStreamWriter<String> writer = factory.createTransactionalEventWriter("s", TEXT, POOLED)) {
                commit(writer, events, from, over, took);
            }
        }
        return took;
    }

    private static void commit(TransactionalEventStreamWriter<String> writer, int events, long from, AtomicBoolean over, List<Long> took)
            throws Exception {
        List<Transaction<String>> committing = new ArrayList<>();
        for (int count = 0; count < TRANSACTIONS_OF_A_FACTORY && !over.get(); count++) {
            long begun = System.nanoTime();
            Transaction<String> txn = writer.beginTxn();
            for (int i = 0; i < events; i++) {
                txn.writeEvent("key-" + i, "event " + i);
            }
            txn.commit();
            if (begun >= from) {
                took.add(System.nanoTime() - begun);
            }
            committing.add(txn);
            if (committing.size() > 100) {
                committing = awaitAll(committing); // nobody gets far ahead of what is merged
            }
        }
        awaitAll(committing);
    }

    private static List<Transaction<String>> awaitAll(List<Transaction<String>> committing) throws InterruptedException {
        for (Transaction<String> txn : committing) {
            for (Transaction.Status status = txn.checkStatus(); status != Transaction.Status.COMMITTED; status = txn.checkStatus()) {
                if (Arrays.asList(Transaction.Status.ABORTED, Transaction.Status.ABORTING).contains(status)) {
                    throw new IllegalStateException("transaction " + txn.getTxnId() + " is " + status);
                }
                Thread.sleep(5);
            }
        }
        return new ArrayList<>();
    }
}
