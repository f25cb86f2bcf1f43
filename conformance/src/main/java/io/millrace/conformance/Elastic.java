package io.millrace.conformance;

import io.pravega.client.ClientConfig;
import io.pravega.client.EventStreamClientFactory;
import io.pravega.client.admin.ReaderGroupManager;
import io.pravega.client.admin.StreamManager;
import io.pravega.client.control.impl.Controller;
import io.pravega.client.control.impl.ControllerImpl;
import io.pravega.client.control.impl.ControllerImplConfig;
import io.pravega.client.stream.EventStreamReader;
import io.pravega.client.stream.EventStreamWriter;
import io.pravega.client.stream.EventWriterConfig;
import io.pravega.client.stream.ReaderConfig;
import io.pravega.client.stream.ReaderGroupConfig;
import io.pravega.client.stream.ScalingPolicy;
import io.pravega.client.stream.Stream;
import io.pravega.client.stream.StreamConfiguration;
import io.pravega.client.stream.impl.ByteArraySerializer;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.UUID;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * A load that steps from the target rate of one segment to ten times that, and falls back. Writers send at a fixed rate, many keys,
 * each event with its key's number; a group of readers reads along, and demands of each event that it is the next one of its key.
 * Meanwhile the stream's segments are counted, and acknowledgements, in tenths of a second. Prints a line for each change of the number
 * of segments on standard error, and one line of key=value. What fails is loss, duplication, order and a stream that does not split for
 * minutes; other times are only told.
 */
public final class Elastic {
    private static final int WRITERS = 4;
    private static final int READERS = 2;
    private static final int STEP = 10;
    private static final int EVENT_BYTES = 100;
    private static final int SETTLED_SECONDS = 120; // longer than two merges are apart
    private static final double PATIENCE_SECONDS = 180; // for the splits, whatever else the machine does
    private static final double MARGIN_SECONDS = 5; // after the last split: writers go over to the new segments
    private static final ReaderGroupConfig.ReaderGroupConfigBuilder GROUP =
            ReaderGroupConfig.builder().groupRefreshTimeMillis(1_000).automaticCheckpointIntervalMillis(1_000);

    private final ClientConfig config;
    private final Stream stream = Stream.of("elastic-" + UUID.randomUUID().toString().substring(0, 8), "s");
    private final int target;
    private final NumberedKeys keys;
    private final Timeline timeline = new Timeline();
    private final Background background = new Background();
    private volatile double rate;
    private volatile boolean writing = true;
    private volatile boolean reading = true;
    private volatile boolean counting = true;

    private Elastic(ClientConfig config, int target, int keyCount) {
        this.config = config;
        this.target = target;
        this.keys = new NumberedKeys(keyCount);
        this.rate = target;
    }

    public static void main(String[] args) throws Exception {
        if (args.length < 1 || args.length > 6) {
            System.err.println("usage: Elastic CONTROLLER [TARGET 1000] [KEYS 1000] [SECONDS BEFORE 15] [HIGH 40] [LOW 400]");
            System.exit(2);
        }
        int[] numbers = {1000, 1000, 15, 40, 400};
        for (int i = 1; i < args.length; i++) {
            numbers[i - 1] = Integer.parseInt(args[i]);
        }
        boolean right = new Elastic(Endpoint.reach(args[0]), numbers[0], numbers[1]).run(numbers[2], numbers[3], numbers[4]);
        System.exit(right ? 0 : 1);
    }

    private boolean run(int before, int high, int low) throws Exception {
        try (StreamManager streams = StreamManager.create(config)) {
            streams.createScope(stream.getScope());
            streams.createStream(stream.getScope(), stream.getStreamName(),
                    StreamConfiguration.builder().scalingPolicy(ScalingPolicy.byEventRate(target, 2, 1)).build());
        }
        try (ReaderGroupManager groups = ReaderGroupManager.withScope(stream.getScope(), config)) {
            groups.createReaderGroup("along", GROUP.stream(stream).build());
        }
        List<Thread> writers = new ArrayList<>();
        List<Thread> readers = new ArrayList<>();
        for (int i = 0; i < WRITERS; i++) {
            int writer = i;
            writers.add(background.start(() -> write(writer)));
        }
        for (int i = 0; i < READERS; i++) {
            String reader = "reader-" + i;
            readers.add(background.start(() -> read(reader)));
        }
        Thread counter = background.start(this::countSegments);

        background.sleep(before);
        double step = timeline.seconds();
        rate = (double) STEP * target;
        background.sleep(high);
        while (timeline.segmentsAt(timeline.seconds()) < STEP && timeline.seconds() - step < PATIENCE_SECONDS) {
            background.sleep(1);
        }
        double fall = timeline.seconds();
        rate = target;
        while (timeline.seconds() - fall < low && timeline.seconds() - Math.max(fall, timeline.lastChange()) < SETTLED_SECONDS) {
            background.sleep(1);
        }
        double end = timeline.seconds();
        counting = false;
        background.join(counter);
        writing = false;
        for (Thread writer : writers) {
            background.join(writer);
        }
        keys.awaitAll(background);
        background.sleep(2); // for what would come twice
        reading = false;
        for (Thread reader : readers) {
            background.join(reader);
        }
        report(step, fall, end);
        return keys.right() && timeline.segmentsAt(fall) >= STEP;
    }

    /** Its share of the keys one after the other, at its share of the rate; late events are sent at once. */
    private void write(int writer) throws Exception {
        try (EventStreamClientFactory factory = EventStreamClientFactory.withScope(stream.getScope(), config);
                EventStreamWriter<byte[]> out = factory.createEventWriter(stream.getStreamName(), new ByteArraySerializer(),
                        EventWriterConfig.builder().build())) {
            double due = 0;
            long last = System.nanoTime();
            int key = writer;
            while (writing && !background.failed()) {
                LockSupport.parkNanos(2_000_000);
                long now = System.nanoTime();
                due += (now - last) / 1e9 * rate / WRITERS;
                last = now;
                for (; due >= 1; due--) {
                    byte[] event = ByteBuffer.allocate(EVENT_BYTES).putInt(key).putInt(keys.nextToWrite(key)).array();
                    long sent = System.nanoTime();
                    out.writeEvent("key-" + key, event).whenComplete((nothing, failure) -> {
                        if (failure != null) {
                            background.fail(failure);
                        }
                        timeline.acknowledged(System.nanoTime() - sent);
                    });
                    key = key + WRITERS < keys.count() ? key + WRITERS : writer;
                }
            }
            out.flush();
        }
    }

    private void read(String name) throws Exception {
        try (EventStreamClientFactory factory = EventStreamClientFactory.withScope(stream.getScope(), config);
                EventStreamReader<byte[]> in =
                        factory.createReader(name, "along", new ByteArraySerializer(), ReaderConfig.builder().build())) {
            while (reading && !background.failed()) {
                byte[] event = in.readNextEvent(200).getEvent();
                if (event != null) {
                    ByteBuffer fields = ByteBuffer.wrap(event);
                    keys.read(fields.getInt(), fields.getInt());
                }
            }
        }
    }

    private void countSegments() throws Exception {
        ScheduledExecutorService executor = Executors.newScheduledThreadPool(1);
        try (Controller controller = new ControllerImpl(ControllerImplConfig.builder().clientConfig(config).build(), executor)) {
            while (counting && !background.failed()) {
                int count = controller.getCurrentSegments(stream.getScope(), stream.getStreamName()).get(60, TimeUnit.SECONDS)
                        .getSegments().size();
                timeline.segments(count);
                Thread.sleep(50);
            }
        } finally {
            executor.shutdownNow();
        }
    }

    private void report(double step, double fall, double end) {
        double offered = (double) STEP * target;
        double enough = timeline.firstWithAtLeast(STEP, step);
        double split = timeline.firstWithAtLeast(2, step);
        double over = Math.min(Double.isNaN(enough) ? fall : timeline.lastChangeBefore(fall) + MARGIN_SECONDS, fall);
        double worst = timeline.worstSecond(step + 1, over);
        System.out.printf(Locale.ROOT, "target=%d keys=%d first_split_s=%.2f enough_s=%.2f segments_high=%d offered=%.0f"
                + " before_s=%.0f during_s=%.0f worst_during_s=%.0f dip=%.1f worst_after_s=%.0f dip_after=%.1f after_s=%.0f"
                + " ack_max_ms=%.0f first_merge_s=%.1f final_s=%.1f segments_final=%d verified=%d missing=%d twice=%d disordered=%d%n",
                target, keys.count(), split - step, enough - step, timeline.segmentsAt(fall), offered,
                timeline.rate(Math.max(0, step - 5), step), timeline.rate(step + 1, over), worst, 100 * (1 - worst / offered),
                timeline.worstSecond(over, fall), 100 * (1 - timeline.worstSecond(over, fall) / offered),
                timeline.rate(over, fall), timeline.slowestMs(step, over), timeline.firstBelow(timeline.segmentsAt(fall), fall) - fall,
                timeline.lastChange() > fall ? timeline.lastChange() - fall : Double.NaN, timeline.segmentsAt(end), keys.verified(), keys.missing(),
                keys.twice(), keys.disordered());
    }
}
