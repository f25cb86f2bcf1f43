package io.millrace.conformance;

import io.pravega.client.BatchClientFactory;
import io.pravega.client.ClientConfig;
import io.pravega.client.EventStreamClientFactory;
import io.pravega.client.admin.StreamManager;
import io.pravega.client.batch.SegmentIterator;
import io.pravega.client.batch.SegmentRange;
import io.pravega.client.control.impl.Controller;
import io.pravega.client.control.impl.ControllerImpl;
import io.pravega.client.control.impl.ControllerImplConfig;
import io.pravega.client.stream.EventStreamWriter;
import io.pravega.client.stream.EventWriterConfig;
import io.pravega.client.stream.ScalingPolicy;
import io.pravega.client.stream.Stream;
import io.pravega.client.stream.StreamConfiguration;
import io.pravega.client.stream.StreamCut;
import io.pravega.client.stream.impl.UTF8StringSerializer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/**
 * How long a scale takes, as a writer sees it: from the request until an event is acknowledged that lies in one of the new segments. One
 * segment is split, the two are merged, and so on, while a writer sends one event after the other; where each event lies is looked up
 * at the end. Prints one line of key=value. Any server of Pravega's protocol can be asked.
 */
public final class ScaleTimes {
    private static final UTF8StringSerializer TEXT = new UTF8StringSerializer();
    private static final long BETWEEN_MS = 500;
    private static final int EVENTS_BETWEEN = 3; // scales
    private static final int MOST_EVENTS = 10_000_000;

    private final ClientConfig config;
    private final Stream stream = Stream.of("scales-" + UUID.randomUUID().toString().substring(0, 8), "s");
    private final Background background = new Background();
    private final List<Long> acknowledged = new ArrayList<>(); // by the writer's thread alone until it ends
    private final List<Long> requested = new ArrayList<>();
    private final List<Long> answered = new ArrayList<>();
    private volatile int written;
    private volatile boolean writing = true;

    private ScaleTimes(ClientConfig config) {
        this.config = config;
    }

    public static void main(String[] args) throws Exception {
        if (args.length < 1 || args.length > 2) {
            System.err.println("usage: ScaleTimes CONTROLLER [SCALES 20]");
            System.exit(2);
        }
        new ScaleTimes(Endpoint.reach(args[0])).run(args.length > 1 ? Integer.parseInt(args[1]) : 20);
        System.exit(0); // the client's threads may linger
    }

    private void run(int scales) throws Exception {
        try (StreamManager streams = StreamManager.create(config)) {
            streams.createScope(stream.getScope());
            streams.createStream(stream.getScope(), stream.getStreamName(),
                    StreamConfiguration.builder().scalingPolicy(ScalingPolicy.fixed(1)).build());
        }
        Thread writer = background.start(this::write);
        scale(scales);
        writing = false;
        background.join(writer);
        Map<Integer, Long> first = firstOfEachEpoch();
        long[] visible = new long[scales];
        long[] answers = new long[scales];
        for (int i = 0; i < scales; i++) {
            visible[i] = (first.get(i + 1) - requested.get(i)) / 1_000;
            answers[i] = (answered.get(i) - requested.get(i)) / 1_000;
        }
        Arrays.sort(visible);
        Arrays.sort(answers);
        System.out.printf(Locale.ROOT, "scales=%d events=%d visible_p50_ms=%.1f visible_min_ms=%.1f visible_max_ms=%.1f answer_p50_ms=%.1f%n",
                scales, acknowledged.size(), visible[scales / 2] / 1e3, visible[0] / 1e3, visible[scales - 1] / 1e3,
                answers[scales / 2] / 1e3);
    }

    private void write() throws Exception {
        try (EventStreamClientFactory factory = EventStreamClientFactory.withScope(stream.getScope(), config);
                EventStreamWriter<String> out =
                        factory.createEventWriter(stream.getStreamName(), TEXT, EventWriterConfig.builder().build())) {
            for (int i = 0; writing && i < MOST_EVENTS; i++) {
                out.writeEvent("key-" + i, Integer.toString(i)).get(180, TimeUnit.SECONDS);
                acknowledged.add(System.nanoTime());
                written = acknowledged.size();
            }
        }
    }

    private void scale(int scales) throws Exception {
        ScheduledExecutorService executor = Executors.newScheduledThreadPool(2);
        try (Controller controller = new ControllerImpl(ControllerImplConfig.builder().clientConfig(config).build(), executor)) {
            for (int i = 0; i < scales; i++) {
                background.sleep(BETWEEN_MS / 1e3);
                List<Long> now = new ArrayList<>();
                controller.getCurrentSegments(stream.getScope(), stream.getStreamName()).get(180, TimeUnit.SECONDS).getSegments()
                        .forEach(segment -> now.add(segment.getSegmentId()));
                Map<Double, Double> ranges = new TreeMap<>(now.size() == 1 ? Map.of(0.0, 0.5, 0.5, 1.0) : Map.of(0.0, 1.0));
                requested.add(System.nanoTime());
                if (!controller.startScale(stream, now, ranges).get(180, TimeUnit.SECONDS)) {
                    throw new IllegalStateException("the scale of " + now + " is refused");
                }
                answered.add(System.nanoTime());
                while (!controller.checkScaleStatus(stream, i).get(180, TimeUnit.SECONDS)) {
                    background.sleep(0.01);
                }
                for (int before = written; written < before + EVENTS_BETWEEN;) { // the first may have been on its way
                    background.sleep(0.01);
                }
            }
        } finally {
            executor.shutdownNow();
        }
    }

    /** When the first event in a segment of each epoch was acknowledged. */
    private Map<Integer, Long> firstOfEachEpoch() {
        Map<Integer, Long> first = new TreeMap<>();
        try (BatchClientFactory batch = BatchClientFactory.withScope(stream.getScope(), config)) {
            Iterator<SegmentRange> ranges = batch.getSegments(stream, StreamCut.UNBOUNDED, StreamCut.UNBOUNDED).getIterator();
            while (ranges.hasNext()) {
                SegmentRange range = ranges.next();
                try (SegmentIterator<String> events = batch.readSegment(range, TEXT)) {
                    if (events.hasNext()) {
                        int epoch = (int) (range.getSegmentId() >> 32);
                        first.merge(epoch, acknowledged.get(Integer.parseInt(events.next())), Math::min);
                    }
                }
            }
        }
        return first;
    }
}
