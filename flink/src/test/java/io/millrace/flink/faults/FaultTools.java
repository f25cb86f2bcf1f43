package io.millrace.flink.faults;

import io.millrace.flink.client.StoreClient;
import io.millrace.flink.client.StoreOptions;
import io.millrace.flink.client.StreamName;
import io.pravega.client.ClientConfig;
import io.pravega.client.EventStreamClientFactory;
import io.pravega.client.admin.ReaderGroupManager;
import io.pravega.client.stream.EventRead;
import io.pravega.client.stream.EventStreamReader;
import io.pravega.client.stream.EventStreamWriter;
import io.pravega.client.stream.EventWriterConfig;
import io.pravega.client.stream.ReaderConfig;
import io.pravega.client.stream.ReaderGroupConfig;
import io.pravega.client.stream.impl.UTF8StringSerializer;
import java.net.URI;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/** What the fault test does with streams. First argument: create, feed, scale or verify. */
public final class FaultTools {
    private static final int HEAD = 1;

    private FaultTools() {}

    public static void main(String[] args) throws Exception {
        String controller = args[HEAD];
        try (StoreClient client = new StoreClient(StoreOptions.of(controller))) {
            switch (args[0]) {
                case "create" -> create(client, args);
                case "feed" -> feed(controller, args);
                case "scale" -> scale(client, StreamName.parse(args[2]), Integer.parseInt(args[3]));
                case "verify" -> verify(controller, args);
                default -> throw new IllegalArgumentException(args[0]);
            }
        }
        System.exit(0);
    }

    /** create CONTROLLER STREAM SEGMENTS... */
    private static void create(StoreClient client, String[] args) throws Exception {
        for (int i = 2; i + 1 < args.length; i += 2) {
            StreamName stream = StreamName.parse(args[i]);
            client.controller().createScope(stream.scope()).get(60, TimeUnit.SECONDS);
            client.createStream(stream, Integer.parseInt(args[i + 1]));
        }
    }

    /** feed CONTROLLER STREAM KEYS NUMBERS EVENTS-A-SECOND: k0:0, k1:0, ... k0:1, ... */
    private static void feed(String controller, String[] args) throws Exception {
        StreamName stream = StreamName.parse(args[2]);
        int keys = Integer.parseInt(args[3]);
        int numbers = Integer.parseInt(args[4]);
        double rate = Double.parseDouble(args[5]);
        ClientConfig config = ClientConfig.builder().controllerURI(URI.create(controller)).build();
        long begun = System.nanoTime();
        long written = 0;
        try (EventStreamClientFactory factory = EventStreamClientFactory.withScope(stream.scope(), config);
                EventStreamWriter<String> writer = factory.createEventWriter(stream.name(), new UTF8StringSerializer(),
                        EventWriterConfig.builder().retryAttempts(100).maxBackoffMillis(2000).build())) {
            for (int number = 0; number < numbers; number++) {
                for (int key = 0; key < keys; key++) {
                    writer.writeEvent("k" + key, "k" + key + ":" + number);
                    written++;
                }
                long ahead = (long) (written / rate * 1e9) - (System.nanoTime() - begun);
                if (ahead > 0) {
                    TimeUnit.NANOSECONDS.sleep(ahead);
                }
            }
            writer.flush();
        }
        System.out.println("fed " + written);
    }

    private static void scale(StoreClient client, StreamName stream, int segments) throws Exception {
        List<Long> old = client.controller().getCurrentSegments(stream.scope(), stream.name()).get(60, TimeUnit.SECONDS).getSegments().stream()
                .map(segment -> segment.getSegmentId()).toList();
        Map<Double, Double> ranges = new HashMap<>();
        for (int i = 0; i < segments; i++) {
            ranges.put((double) i / segments, i + 1 == segments ? 1.0 : (double) (i + 1) / segments);
        }
        ScheduledExecutorService executor = Executors.newScheduledThreadPool(1);
        System.out.println("scaled " + client.controller().scaleStream(stream.toStream(), old, ranges, executor).getFuture().get(120, TimeUnit.SECONDS));
        executor.shutdownNow();
    }

    /** verify CONTROLLER STREAM KEYS NUMBERS SECONDS: reads till all is there, or nothing came for so long. Ends with one line of JSON. */
    private static void verify(String controller, String[] args) throws Exception {
        StreamName stream = StreamName.parse(args[2]);
        int keys = Integer.parseInt(args[3]);
        int numbers = Integer.parseInt(args[4]);
        long patience = TimeUnit.SECONDS.toNanos(Long.parseLong(args[5]));
        ClientConfig config = ClientConfig.builder().controllerURI(URI.create(controller)).build();
        String group = UUID.randomUUID().toString();
        Map<String, Integer> next = new HashMap<>();
        List<String> wrong = new ArrayList<>();
        long found = 0;
        long expected = (long) keys * numbers;
        try (ReaderGroupManager groups = ReaderGroupManager.withScope(stream.scope(), config)) {
            groups.createReaderGroup(group, ReaderGroupConfig.builder().stream(stream.toString()).groupRefreshTimeMillis(500).build());
            try (EventStreamClientFactory factory = EventStreamClientFactory.withScope(stream.scope(), config);
                    EventStreamReader<String> reader = factory.createReader("r", group, new UTF8StringSerializer(), ReaderConfig.builder().build())) {
                long last = System.nanoTime();
                while (System.nanoTime() - last < (found >= expected ? Math.min(patience, TimeUnit.SECONDS.toNanos(5)) : patience)) {
                    EventRead<String> read = reader.readNextEvent(500);
                    if (read.getEvent() == null) {
                        continue;
                    }
                    last = System.nanoTime();
                    found++;
                    String event = read.getEvent();
                    String key = FaultJob.key(event);
                    int want = next.getOrDefault(key, 0);
                    if (!event.equals(key + ":" + want)) {
                        wrong.add(event + " instead of " + key + ":" + want);
                    }
                    String number = event.substring(event.indexOf(':') + 1);
                    next.put(key, Integer.parseInt(number.contains("!") ? number.substring(0, number.indexOf('!')) : number) + 1);
                }
            }
        }
        boolean complete = next.size() == keys && next.values().stream().allMatch(n -> n == numbers);
        System.out.println("{\"found\": " + found + ", \"expected\": " + expected + ", \"complete\": " + complete + ", \"wrong\": " + wrong.size()
                + ", \"first_wrong\": \"" + (wrong.isEmpty() ? "" : wrong.get(0)) + "\"}");
    }
}
