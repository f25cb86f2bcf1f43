package io.millrace.conformance;

import io.pravega.client.ClientConfig;
import io.pravega.client.EventStreamClientFactory;
import io.pravega.client.admin.ReaderGroupManager;
import io.pravega.client.admin.StreamManager;
import io.pravega.client.control.impl.Controller;
import io.pravega.client.control.impl.ControllerImpl;
import io.pravega.client.control.impl.ControllerImplConfig;
import io.pravega.client.stream.EventStreamReader;
import io.pravega.client.stream.EventWriterConfig;
import io.pravega.client.stream.ReaderConfig;
import io.pravega.client.stream.ReaderGroupConfig;
import io.pravega.client.stream.ScalingPolicy;
import io.pravega.client.stream.Stream;
import io.pravega.client.stream.StreamConfiguration;
import io.pravega.client.stream.Transaction;
import io.pravega.client.stream.TransactionalEventStreamWriter;
import io.pravega.client.stream.TxnFailedException;
import io.pravega.client.stream.impl.UTF8StringSerializer;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

/**
 * Transactions on a server that is killed and started again meanwhile by whoever runs this, and on a stream that is split and merged all
 * the time, so that many are committed across a scale. Each committer has keys of its own, and writes one event of each key in each of
 * its transactions, numbered; every fourth it aborts. A line "acknowledged N" answers each line "count" on standard input; after "stop"
 * a new reader must find, for each key, the transactions that were committed, each once, in their order, and no other.
 */
public final class CrashTransactions {
    private static final UTF8StringSerializer TEXT = new UTF8StringSerializer();
    private static final int KEYS = 3;
    /** A reader leaves a sealed segment at a checkpoint; there are many. */
    private static final ReaderGroupConfig.ReaderGroupConfigBuilder GROUP =
            ReaderGroupConfig.builder().groupRefreshTimeMillis(500).automaticCheckpointIntervalMillis(500);
    private static final long PATIENCE_NS = 180_000_000_000L;
    private final ClientConfig config;
    private final String scope = "crash-" + UUID.randomUUID().toString().substring(0, 8);
    private final Stream stream = Stream.of(scope, "transactions");
    private final List<List<Integer>> committed = new ArrayList<>();
    private final AtomicLong acknowledged = new AtomicLong();
    private final AtomicBoolean ending = new AtomicBoolean();
    private final AtomicReference<Throwable> trouble = new AtomicReference<>();

    private CrashTransactions(ClientConfig config) {
        this.config = config;
    }

    public static void main(String[] args) throws Exception {
        if (args.length != 2) {
            System.err.println("usage: CrashTransactions CONTROLLER COMMITTERS");
            System.exit(2);
        }
        new CrashTransactions(Endpoint.reach(args[0])).run(Integer.parseInt(args[1]));
        System.exit(0);
    }

    private void run(int committers) throws Exception {
        try (StreamManager streams = StreamManager.create(config)) {
            streams.createScope(scope);
            streams.createStream(scope, stream.getStreamName(),
                    StreamConfiguration.builder().scalingPolicy(ScalingPolicy.fixed(1)).build());
        }
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < committers; i++) {
            int committer = i;
            committed.add(new ArrayList<>());
            threads.add(start(() -> commit(committer)));
        }
        threads.add(start(this::scale));
        System.out.println("ready");
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in));
        for (String order = orders.readLine(); order != null && !order.equals("stop"); order = orders.readLine()) {
            check();
            System.out.println("acknowledged " + acknowledged.get());
        }
        ending.set(true);
        for (Thread thread : threads) {
            thread.join(PATIENCE_NS / 1_000_000);
            check();
            if (thread.isAlive()) {
                throw new AssertionError("a committer does not end");
            }
        }
        verify();
        System.out.println("verified " + committed.stream().mapToInt(List::size).sum());
    }

    private interface Body {
        void run() throws Exception;
    }

    private Thread start(Body body) {
        Thread thread = new Thread(() -> {
            try {
                body.run();
            } catch (Throwable e) {
                trouble.compareAndSet(null, e);
                ending.set(true);
            }
        });
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    private void check() {
        if (trouble.get() != null) {
            throw new AssertionError(trouble.get());
        }
    }

    private void commit(int committer) throws Exception {
        try (EventStreamClientFactory factory = EventStreamClientFactory.withScope(scope, config);
                TransactionalEventStreamWriter<String> writer =
                        factory.createTransactionalEventWriter(stream.getStreamName(), TEXT, EventWriterConfig.builder().build())) {
            for (int number = 0; !ending.get(); number++) {
                Transaction<String> txn = writer.beginTxn();
                for (int key = 0; key < KEYS; key++) {
                    txn.writeEvent("key-" + committer + "-" + key, committer + " " + key + " " + number);
                }
                if (number % 4 == 3) {
                    txn.abort();
                    continue;
                }
                boolean accepted = true;
                try {
                    txn.commit();
                } catch (TxnFailedException e) {
                    accepted = false;
                }
                Transaction.Status status = outcome(txn);
                if (accepted && status != Transaction.Status.COMMITTED) {
                    throw new AssertionError("transaction " + txn.getTxnId() + " was committed, and is " + status);
                }
                if (status == Transaction.Status.COMMITTED) {
                    committed.get(committer).add(number);
                    acknowledged.incrementAndGet();
                }
            }
        }
    }

    private static Transaction.Status outcome(Transaction<String> txn) throws InterruptedException {
        long end = System.nanoTime() + PATIENCE_NS;
        while (true) {
            Transaction.Status status = txn.checkStatus();
            if (status == Transaction.Status.COMMITTED || status == Transaction.Status.ABORTED) {
                return status;
            }
            if (System.nanoTime() > end) {
                throw new AssertionError("transaction " + txn.getTxnId() + " stays " + status);
            }
            Thread.sleep(5);
        }
    }

    private void scale() throws Exception {
        ScheduledExecutorService executor = Executors.newScheduledThreadPool(2);
        try (Controller controller = new ControllerImpl(ControllerImplConfig.builder().clientConfig(config).build(), executor)) {
            while (!ending.get()) {
                Thread.sleep(2_000);
                List<Long> now = new ArrayList<>();
                controller.getCurrentSegments(scope, stream.getStreamName()).get(120, TimeUnit.SECONDS).getSegments()
                        .forEach(segment -> now.add(segment.getSegmentId()));
                Map<Double, Double> ranges = new TreeMap<>(now.size() == 1 ? Map.of(0.0, 0.5, 0.5, 1.0) : Map.of(0.0, 1.0));
                // Refused when a commit made other segments meanwhile; then the next one.
                controller.startScale(stream, now, ranges).get(120, TimeUnit.SECONDS);
            }
        } finally {
            executor.shutdownNow();
        }
    }

    private void verify() {
        long expected = committed.stream().mapToLong(List::size).sum() * KEYS;
        int[][] seen = new int[committed.size()][KEYS];
        try (ReaderGroupManager groups = ReaderGroupManager.withScope(scope, config)) {
            groups.createReaderGroup("afterwards", GROUP.stream(stream).build());
            try (EventStreamClientFactory factory = EventStreamClientFactory.withScope(scope, config);
                    EventStreamReader<String> reader =
                            factory.createReader("reader", "afterwards", TEXT, ReaderConfig.builder().build())) {
                long quietSince = System.nanoTime();
                for (long read = 0; read < expected;) {
                    String event = reader.readNextEvent(500).getEvent();
                    if (event == null) {
                        if (System.nanoTime() - quietSince > PATIENCE_NS) {
                            throw new AssertionError(read + " events read of " + expected + ": some are lost");
                        }
                        continue;
                    }
                    quietSince = System.nanoTime();
                    String[] parts = event.split(" ");
                    int committer = Integer.parseInt(parts[0]);
                    int key = Integer.parseInt(parts[1]);
                    int place = seen[committer][key]++;
                    List<Integer> wanted = committed.get(committer);
                    if (place >= wanted.size() || wanted.get(place) != Integer.parseInt(parts[2])) {
                        throw new AssertionError("event " + event + " is event " + place + " of its key; committed in this order: " + wanted);
                    }
                    read++;
                }
                if (reader.readNextEvent(2_000).getEvent() != null) {
                    throw new AssertionError("more events than were committed");
                }
            }
        }
    }
}
