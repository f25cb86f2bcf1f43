package io.millrace.conformance;

import io.pravega.client.ClientConfig;
import io.pravega.client.EventStreamClientFactory;
import io.pravega.client.admin.ReaderGroupManager;
import io.pravega.client.admin.StreamManager;
import io.pravega.client.stream.EventStreamReader;
import io.pravega.client.stream.EventStreamWriter;
import io.pravega.client.stream.EventWriterConfig;
import io.pravega.client.stream.ReaderConfig;
import io.pravega.client.stream.ReaderGroupConfig;
import io.pravega.client.stream.ScalingPolicy;
import io.pravega.client.stream.Stream;
import io.pravega.client.stream.StreamConfiguration;
import io.pravega.client.stream.impl.UTF8StringSerializer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.IntSupplier;

/**
 * The main job: every departure from New York in 2013 goes into a fresh stream, keyed by airport, and comes back through a reader
 * group; nothing may be lost, doubled, altered or out of its airport's order. Exits with 1 when a number is wrong.
 */
public final class FlightsPipeline {
    private static final String USAGE = "usage: FlightsPipeline [--segments 3] [--readers 3] [--expect EWR=N,JFK=N,...]"
            + " CONTROLLER flights.csv[.zip|.gz]";
    private static final String SCOPE = "flights";
    private static final int IN_FLIGHT = 20_000;
    private static final long STALLED_MS = 60_000;
    private static final int QUIET_MS = 500;
    private static final UTF8StringSerializer TEXT = new UTF8StringSerializer();

    private final long begun = System.nanoTime();
    private final Ledger ledger = new Ledger();
    private final AtomicLong bytesWritten = new AtomicLong();
    private final AtomicLong bytesRead = new AtomicLong();
    private final AtomicLong lastRead = new AtomicLong();
    private int segments = 3;
    private int readers = 3;
    private final Map<String, Integer> expected = new TreeMap<>();

    public static void main(String[] args) {
        int status;
        try {
            status = new FlightsPipeline().run(args) ? 0 : 1;
        } catch (IllegalArgumentException e) {
            System.err.println(e.getMessage());
            status = 2;
        } catch (Exception e) {
            System.err.println("FlightsPipeline: " + e.getMessage());
            if (!"off".equals(System.getProperty("org.slf4j.simpleLogger.defaultLogLevel", "off"))) {
                e.printStackTrace();
            }
            status = 1;
        }
        System.exit(status);
    }

    private boolean run(String[] args) throws Exception {
        List<String> plain = parse(args);
        ClientConfig config = Endpoint.reach(plain.get(0));
        String stream = "departures-" + UUID.randomUUID().toString().substring(0, 8);
        try (StreamManager streams = StreamManager.create(config)) {
            streams.createScope(SCOPE);
            streams.createStream(SCOPE, stream,
                    StreamConfiguration.builder().scalingPolicy(ScalingPolicy.fixed(segments)).build());
        }
        say("stream %s/%s with %d segments", SCOPE, stream, segments);

        double writing;
        double reading;
        try (EventStreamClientFactory events = EventStreamClientFactory.withScope(SCOPE, config);
                ReaderGroupManager groups = ReaderGroupManager.withScope(SCOPE, config)) {
            writing = write(events, stream, Path.of(plain.get(1)));
            say("written: %,d events", ledger.written());
            reading = read(events, groups, stream);
            say("read: %,d events", ledger.read());
        }
        return report(writing, reading);
    }

    private List<String> parse(String[] args) {
        List<String> plain = new ArrayList<>();
        try {
            for (int i = 0; i < args.length; i++) {
                switch (args[i]) {
                    case "--segments" -> segments = Integer.parseInt(args[++i]);
                    case "--readers" -> readers = Integer.parseInt(args[++i]);
                    case "--expect" -> {
                        for (String part : args[++i].split(",")) {
                            String[] pair = part.split("=");
                            expected.put(pair[0], Integer.parseInt(pair[1]));
                        }
                    }
                    default -> plain.add(args[i]);
                }
            }
        } catch (ArrayIndexOutOfBoundsException | NumberFormatException e) {
            throw new IllegalArgumentException(USAGE, e);
        }
        if (plain.size() != 2 || segments < 1 || readers < 1) {
            throw new IllegalArgumentException(USAGE);
        }
        return plain;
    }

    /** Returns the seconds from the first write to the last acknowledgement. */
    private double write(EventStreamClientFactory events, String stream, Path csv) throws Exception {
        Semaphore room = new Semaphore(IN_FLIGHT);
        AtomicReference<Throwable> failure = new AtomicReference<>();
        long start = System.nanoTime();
        AtomicLong acknowledged = new AtomicLong();
        try (Flights flights = new Flights(csv);
                Progress progress = new Progress("acknowledged", acknowledged::intValue);
                EventStreamWriter<String> writer = events.createEventWriter(stream, TEXT, EventWriterConfig.builder().build())) {
            while (failure.get() == null && flights.next()) {
                if (!room.tryAcquire(STALLED_MS, TimeUnit.MILLISECONDS)) {
                    throw new IllegalStateException("no acknowledgement for " + STALLED_MS / 1000 + " s");
                }
                String event = ledger.write(flights.origin(), flights.row());
                bytesWritten.addAndGet(event.length());
                writer.writeEvent(flights.origin(), event).whenComplete((done, error) -> {
                    if (error != null) {
                        failure.compareAndSet(null, error);
                    }
                    acknowledged.incrementAndGet();
                    room.release();
                });
            }
            if (failure.get() == null && !room.tryAcquire(IN_FLIGHT, STALLED_MS, TimeUnit.MILLISECONDS)) {
                throw new IllegalStateException("no acknowledgement for " + STALLED_MS / 1000 + " s");
            }
            if (failure.get() != null) {
                throw new IllegalStateException("a write failed: " + failure.get(), failure.get());
            }
            return (System.nanoTime() - start) / 1e9;
        }
    }

    /** Returns the seconds from the group's creation to the last event. */
    private double read(EventStreamClientFactory events, ReaderGroupManager groups, String stream) throws Exception {
        String group = "readers-" + stream;
        long start = System.nanoTime();
        lastRead.set(start);
        groups.createReaderGroup(group, ReaderGroupConfig.builder().stream(Stream.of(SCOPE, stream))
                .groupRefreshTimeMillis(500).build());
        ExecutorService threads = Executors.newFixedThreadPool(readers);
        AtomicBoolean stop = new AtomicBoolean();
        try (Progress progress = new Progress("read", ledger::read)) {
            List<Future<?>> running = new ArrayList<>();
            for (int i = 0; i < readers; i++) {
                String id = "reader-" + i;
                running.add(threads.submit(() -> {
                    try (EventStreamReader<String> reader =
                            events.createReader(id, group, TEXT, ReaderConfig.builder().build())) {
                        drain(reader, stop);
                    } catch (RuntimeException e) {
                        stop.set(true);
                        throw e;
                    }
                }));
            }
            for (Future<?> one : running) {
                one.get();
            }
        } catch (ExecutionException e) {
            throw new IllegalStateException("a reader failed: " + e.getCause(), e.getCause());
        } finally {
            threads.shutdownNow();
        }
        return (lastRead.get() - start) / 1e9;
    }

    /** Reads on for a moment when all is there: what came twice would come now. Ends, too, when nothing comes for long. */
    private void drain(EventStreamReader<String> reader, AtomicBoolean stop) {
        while (!stop.get()) {
            String event = reader.readNextEvent(QUIET_MS).getEvent();
            if (event != null) {
                ledger.read(event);
                bytesRead.addAndGet(event.length());
                lastRead.set(System.nanoTime());
            } else if (ledger.complete()) {
                return;
            } else if (System.nanoTime() - lastRead.get() > TimeUnit.MILLISECONDS.toNanos(STALLED_MS)) {
                say("nothing came for %d s", STALLED_MS / 1000);
                stop.set(true);
            }
        }
    }

    private boolean report(double writing, double reading) {
        boolean right = true;
        System.out.printf("%n%-8s %12s %12s %10s %8s %12s%n", "origin", "departures", "read", "disordered", "lost", "duplicated");
        Ledger.Key sum = new Ledger.Key();
        int lost = 0;
        for (Map.Entry<String, Ledger.Key> entry : ledger.keys().entrySet()) {
            Ledger.Key key = entry.getValue();
            System.out.printf("%-8s %,12d %,12d %,10d %,8d %,12d%n", entry.getKey(), key.written, key.read,
                    key.orderViolations, key.lost(), key.duplicated);
            right &= key.right();
            sum.written += key.written;
            sum.read += key.read;
            sum.orderViolations += key.orderViolations;
            sum.duplicated += key.duplicated;
            lost += key.lost();
        }
        System.out.printf("%-8s %,12d %,12d %,10d %,8d %,12d%n%n", "all", sum.written, sum.read, sum.orderViolations, lost,
                sum.duplicated);
        System.out.printf("in:  %6.1f s  %,9.0f events/s  %6.1f MB/s%n", writing, sum.written / writing,
                bytesWritten.get() / 1e6 / writing);
        System.out.printf("out: %6.1f s  %,9.0f events/s  %6.1f MB/s%n%n", reading, sum.read / reading,
                bytesRead.get() / 1e6 / reading);
        for (Map.Entry<String, Integer> entry : expected.entrySet()) {
            Ledger.Key key = ledger.keys().get(entry.getKey());
            int seen = key == null ? 0 : key.seen.cardinality();
            if (seen != entry.getValue()) {
                System.out.printf("WRONG: %s has %,d departures, not %,d%n", entry.getKey(), seen, entry.getValue());
                right = false;
            }
        }
        System.out.println(right ? "RIGHT: every departure once, in its airport's order" : "WRONG: see the table");
        return right;
    }

    private void say(String format, Object... args) {
        System.out.printf("[%6.1f s] %s%n", (System.nanoTime() - begun) / 1e9, String.format(format, args));
    }

    /** One line every two seconds. */
    private final class Progress implements AutoCloseable {
        private final Thread thread;

        Progress(String what, IntSupplier count) {
            thread = new Thread(() -> {
                try {
                    while (true) {
                        TimeUnit.SECONDS.sleep(2);
                        say("%s: %,d", what, count.getAsInt());
                    }
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
            }, "progress");
            thread.setDaemon(true);
            thread.start();
        }

        @Override
        public void close() {
            thread.interrupt();
        }
    }
}
