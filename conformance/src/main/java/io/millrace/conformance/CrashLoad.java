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
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.atomic.AtomicReference;

/**
 * Load for a server that is killed and started again meanwhile by whoever runs this. Writers write without end, each its own routing key,
 * events numbered from 1; a reader reads along. A line "acknowledged N" answers each line "count" on standard input; "stop" ends the
 * writers. Then all that was acknowledged must have been read by the reader that was there all the time, and by a new group from the
 * head: each event once, in its key's order, as it was written.
 */
public final class CrashLoad {
    private static final UTF8StringSerializer TEXT = new UTF8StringSerializer();
    private static final int IN_FLIGHT = 500;
    private static final int KEYS = 4;
    private static final long PATIENCE_NS = 120_000_000_000L;
    private final ClientConfig config;
    private final String scope = "crash-" + UUID.randomUUID().toString().substring(0, 8);
    private final int writers;
    private final AtomicLongArray acknowledged;
    private final AtomicLongArray sent;
    private final AtomicBoolean ending = new AtomicBoolean();
    private final AtomicBoolean ended = new AtomicBoolean();
    private final AtomicReference<Throwable> trouble = new AtomicReference<>();

    private CrashLoad(ClientConfig config, int writers) {
        this.config = config;
        this.writers = writers;
        this.acknowledged = new AtomicLongArray(writers * KEYS);
        this.sent = new AtomicLongArray(writers * KEYS);
    }

    public static void main(String[] args) throws Exception {
        if (args.length != 3) {
            System.err.println("usage: CrashLoad CONTROLLER WRITERS SEGMENTS");
            System.exit(2);
        }
        new CrashLoad(Endpoint.reach(args[0]), Integer.parseInt(args[1])).run(Integer.parseInt(args[2]));
        System.exit(0);
    }

    private void run(int segments) throws Exception {
        try (StreamManager streams = StreamManager.create(config)) {
            streams.createScope(scope);
            streams.createStream(scope, "events",
                    StreamConfiguration.builder().scalingPolicy(ScalingPolicy.fixed(segments)).build());
        }
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < writers; i++) {
            int writer = i;
            threads.add(start(() -> write(writer)));
        }
        Thread along = start(() -> readAll("along"));
        System.out.println("ready");
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in));
        for (String order = orders.readLine(); order != null && !order.equals("stop"); order = orders.readLine()) {
            check();
            System.out.println("acknowledged " + total(acknowledged));
        }
        ending.set(true);
        for (Thread thread : threads) {
            join(thread, "a writer");
        }
        if (total(acknowledged) != total(sent)) {
            throw new AssertionError("after a flush " + acknowledged + " are acknowledged of " + sent);
        }
        ended.set(true);
        join(along, "the reader that reads along");
        readAll("afterwards");
        check();
        System.out.println("verified " + total(acknowledged));
    }

    private Thread start(Runnable body) {
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

    private void join(Thread thread, String what) throws InterruptedException {
        thread.join(PATIENCE_NS / 1_000_000);
        check();
        if (thread.isAlive()) {
            throw new AssertionError(what + " does not end; acknowledged " + acknowledged + ", sent " + sent);
        }
    }

    private void check() {
        if (trouble.get() != null) {
            throw new AssertionError(trouble.get());
        }
    }

    private static long total(AtomicLongArray numbers) {
        long sum = 0;
        for (int i = 0; i < numbers.length(); i++) {
            sum += numbers.get(i);
        }
        return sum;
    }

    private static String event(int key, long number) {
        return key + " " + number + " " + Long.toHexString(number * 2654435761L + key).repeat((int) (number % 60));
    }

    private void write(int index) {
        try (EventStreamClientFactory factory = EventStreamClientFactory.withScope(scope, config);
                EventStreamWriter<String> writer =
                        factory.createEventWriter("events", TEXT, EventWriterConfig.builder().build())) {
            Semaphore room = new Semaphore(IN_FLIGHT);
            long[] next = new long[KEYS];
            for (int turn = 0; !ending.get(); turn++) {
                int slot = turn % KEYS;
                int key = index * KEYS + slot;
                long number = ++next[slot];
                room.acquireUninterruptibly();
                sent.set(key, number);
                writer.writeEvent("key-" + key, event(key, number)).whenComplete((done, error) -> {
                    room.release();
                    if (error != null) {
                        trouble.compareAndSet(null, error);
                    } else {
                        acknowledged.incrementAndGet(key);  // counted only: the client tells of several at once, in no order
                    }
                });
            }
            writer.flush();
        }
    }

    /** Until everything that was sent is read, once all is sent. */
    private void readAll(String group) {
        long[] last = new long[writers * KEYS];
        try (ReaderGroupManager groups = ReaderGroupManager.withScope(scope, config)) {
            groups.createReaderGroup(group, ReaderGroupConfig.builder().stream(Stream.of(scope, "events")).build());
            try (EventStreamClientFactory factory = EventStreamClientFactory.withScope(scope, config);
                    EventStreamReader<String> reader =
                            factory.createReader("reader", group, TEXT, ReaderConfig.builder().build())) {
                long seen = 0;
                long quietSince = System.nanoTime();
                while (!(ended.get() && seen >= total(sent))) {
                    String event = reader.readNextEvent(500).getEvent();
                    if (event == null) {
                        if (ended.get() && System.nanoTime() - quietSince > PATIENCE_NS / 2) {
                            throw new AssertionError(group + ": " + seen + " events read, " + total(acknowledged)
                                    + " acknowledged: some are lost");
                        }
                        continue;
                    }
                    quietSince = System.nanoTime();
                    String[] parts = event.split(" ", 3);
                    int key = Integer.parseInt(parts[0]);
                    long number = Long.parseLong(parts[1]);
                    if (number != last[key] + 1) {
                        throw new AssertionError(group + ": key " + key + " has event " + number + " after " + last[key]);
                    }
                    if (!event.equals(event(key, number))) {
                        throw new AssertionError(group + ": event " + number + " of key " + key + " is altered");
                    }
                    last[key] = number;
                    seen++;
                }
                // Whatever came twice would come now.
                if (reader.readNextEvent(2_000).getEvent() != null) {
                    throw new AssertionError(group + ": more events than were sent");
                }
            }
        }
    }
}
