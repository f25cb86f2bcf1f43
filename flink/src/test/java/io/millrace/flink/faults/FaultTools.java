package io.millrace.flink.faults;

import io.millrace.flink.client.StoreClient;
import io.millrace.flink.client.StoreOptions;
import io.millrace.flink.client.StreamName;
import io.pravega.client.ClientConfig;
import io.pravega.client.EventStreamClientFactory;
import io.pravega.client.admin.ReaderGroupManager;
import io.pravega.client.stream.EventStreamReader;
import io.pravega.client.stream.EventStreamWriter;
import io.pravega.client.stream.EventWriterConfig;
import io.pravega.client.stream.ReaderConfig;
import io.pravega.client.stream.ReaderGroupConfig;
import io.pravega.client.stream.impl.UTF8StringSerializer;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;

/**
 * What the fault test does with streams. First argument: create, feed, scale or verify. With the only argument serve: each line of stdin has the
 * arguments of one of these, or of {@link FaultJob} after the word job; its result is a line that begins with =, or with ! for an error.
 */
public final class FaultTools {
    private static final int HEAD = 1;

    private FaultTools() {}

    public static void main(String[] args) throws Exception {
        if (args[0].equals("serve")) {
            serve();
        } else {
            System.out.println(run(args));
        }
        System.exit(0);
    }

    private static String run(String[] args) throws Exception {
        if (args[0].equals("job")) {
            return FaultJob.submit(Arrays.copyOfRange(args, 1, args.length));
        }
        String controller = args[HEAD];
        if (args[0].equals("feed")) {
            return feed(controller, args);
        }
        if (args[0].equals("verify")) {
            return verify(controller, args);
        }
        try (StoreClient client = new StoreClient(StoreOptions.of(controller))) {
            return switch (args[0]) {
                case "create" -> create(client, args);
                case "scale" -> scale(client, StreamName.parse(args[2]), Integer.parseInt(args[3]));
                default -> throw new IllegalArgumentException(args[0]);
            };
        }
    }

    private static void serve() throws IOException {
        try (BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                String result;
                try {
                    result = "=" + run(line.split(" "));
                } catch (Exception e) {
                    e.printStackTrace();
                    result = "!" + e.toString().replace('\n', ' ');
                }
                System.out.println(result);
            }
        }
    }

    /** create CONTROLLER STREAM SEGMENTS... */
    private static String create(StoreClient client, String[] args) throws Exception {
        for (int i = 2; i + 1 < args.length; i += 2) {
            StreamName stream = StreamName.parse(args[i]);
            client.controller().createScope(stream.scope()).get(60, TimeUnit.SECONDS);
            client.createStream(stream, Integer.parseInt(args[i + 1]));
        }
        return "created";
    }

    /**
     * feed CONTROLLER STREAM KEYS NUMBERS EVENTS-A-SECOND: k0:0, k1:0, ... k0:1, ... until each key has so many numbers. With 0 numbers until
     * stdin ends; each line of stdin is another rate. Ends with a line that says how many numbers each key has.
     */
    private static String feed(String controller, String[] args) throws Exception {
        StreamName stream = StreamName.parse(args[2]);
        int keys = Integer.parseInt(args[3]);
        int numbers = Integer.parseInt(args[4]);
        AtomicReference<Double> rate = new AtomicReference<>(Double.parseDouble(args[5]));
        AtomicBoolean ended = new AtomicBoolean();
        if (numbers == 0) {
            numbers = Integer.MAX_VALUE;
            Thread listener = new Thread(() -> {
                try (BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
                    for (String line = in.readLine(); line != null; line = in.readLine()) {
                        rate.set(Double.parseDouble(line));
                    }
                } catch (IOException e) {
                    System.err.println(e);
                }
                ended.set(true);
            });
            listener.setDaemon(true);
            listener.start();
        }
        ClientConfig config = ClientConfig.builder().controllerURI(URI.create(controller)).build();
        long due = System.nanoTime();
        int number = 0;
        try (EventStreamClientFactory factory = EventStreamClientFactory.withScope(stream.scope(), config);
                EventStreamWriter<String> writer = factory.createEventWriter(stream.name(), new UTF8StringSerializer(),
                        EventWriterConfig.builder().retryAttempts(100).maxBackoffMillis(2000).build())) {
            for (; number < numbers && !ended.get(); number++) {
                for (int key = 0; key < keys; key++) {
                    writer.writeEvent("k" + key, "k" + key + ":" + number);
                }
                due += (long) (keys / rate.get() * 1e9);
                long ahead = due - System.nanoTime();
                if (ahead > 0) {
                    TimeUnit.NANOSECONDS.sleep(ahead);
                }
            }
            writer.flush();
        }
        return "fed " + number;
    }

    private static String scale(StoreClient client, StreamName stream, int segments) throws Exception {
        List<Long> old = client.controller().getCurrentSegments(stream.scope(), stream.name()).get(60, TimeUnit.SECONDS).getSegments().stream()
                .map(segment -> segment.getSegmentId()).toList();
        Map<Double, Double> ranges = new HashMap<>();
        for (int i = 0; i < segments; i++) {
            ranges.put((double) i / segments, i + 1 == segments ? 1.0 : (double) (i + 1) / segments);
        }
        ScheduledExecutorService executor = Executors.newScheduledThreadPool(1);
        try {
            return "scaled " + client.controller().scaleStream(stream.toStream(), old, ranges, executor).getFuture().get(120, TimeUnit.SECONDS);
        } finally {
            executor.shutdownNow();
        }
    }

    /**
     * verify CONTROLLER STREAM KEYS NUMBERS SECONDS: reads till all is there, or nothing came for so long. Ends with one line of JSON: how many
     * events were found, how many never (lost), how many again (duplicated), how many after a later one of their key (reordered, which also
     * counts what the job saw out of order).
     */
    private static String verify(String controller, String[] args) throws Exception {
        StreamName stream = StreamName.parse(args[2]);
        int keys = Integer.parseInt(args[3]);
        int numbers = Integer.parseInt(args[4]);
        long patience = TimeUnit.SECONDS.toNanos(Long.parseLong(args[5]));
        ClientConfig config = ClientConfig.builder().controllerURI(URI.create(controller)).build();
        String group = UUID.randomUUID().toString();
        Map<String, BitSet> seen = new HashMap<>();
        String firstWrong = "";
        long found = 0;
        long duplicated = 0;
        long reordered = 0;
        long foreign = 0;
        long expected = (long) keys * numbers;
        long begun = System.nanoTime();
        long complete = 0;
        try (ReaderGroupManager groups = ReaderGroupManager.withScope(stream.scope(), config)) {
            // A reader lets go of a segment that it has read to its end, and so gets what follows it, at the group's automatic checkpoints only.
            groups.createReaderGroup(group, ReaderGroupConfig.builder().stream(stream.toString()).groupRefreshTimeMillis(200)
                    .automaticCheckpointIntervalMillis(500).build());
            try (EventStreamClientFactory factory = EventStreamClientFactory.withScope(stream.scope(), config);
                    EventStreamReader<String> reader = factory.createReader("r", group, new UTF8StringSerializer(), ReaderConfig.builder().build())) {
                long last = System.nanoTime();
                while (System.nanoTime() - last < (found >= expected ? Math.min(patience, TimeUnit.SECONDS.toNanos(5)) : patience)) {
                    String event = reader.readNextEvent(500).getEvent();
                    if (event == null) {
                        continue;
                    }
                    last = System.nanoTime();
                    found++;
                    if (found == expected) {
                        complete = last - begun;
                    }
                    BitSet of = seen.computeIfAbsent(FaultJob.key(event), key -> new BitSet(numbers));
                    int mark = event.indexOf('!');
                    int number = Integer.parseInt(event.substring(event.indexOf(':') + 1, mark < 0 ? event.length() : mark));
                    boolean again = of.get(number);
                    boolean late = !again && of.length() > number;
                    boolean beyond = number >= numbers;
                    of.set(number);
                    duplicated += again ? 1 : 0;
                    reordered += late || mark >= 0 ? 1 : 0;
                    foreign += beyond ? 1 : 0;
                    if (firstWrong.isEmpty() && (again || late || beyond || mark >= 0)) {
                        firstWrong = "event " + found + " is " + event;
                    }
                }
            }
        }
        long there = 0;
        for (BitSet of : seen.values()) {
            there += of.get(0, numbers).cardinality();
        }
        return "{\"events\": " + expected + ", \"found\": " + found + ", \"lost\": " + (expected - there) + ", \"duplicated\": " + duplicated
                + ", \"reordered\": " + reordered + ", \"foreign\": " + (foreign + (seen.size() > keys ? seen.size() - keys : 0))
                + ", \"read_s\": " + complete / 100_000_000 / 10.0 + ", \"first_wrong\": \"" + firstWrong + "\"}";
    }
}
