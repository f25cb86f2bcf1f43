package io.millrace.flink;

import io.pravega.client.ClientConfig;
import io.pravega.client.EventStreamClientFactory;
import io.pravega.client.admin.StreamManager;
import io.pravega.client.admin.impl.StreamManagerImpl;
import io.pravega.client.segment.impl.EndOfSegmentException;
import io.pravega.client.segment.impl.EventSegmentReader;
import io.pravega.client.stream.EventStreamWriter;
import io.pravega.client.stream.EventWriterConfig;
import io.pravega.client.stream.ScalingPolicy;
import io.pravega.client.stream.StreamConfiguration;
import io.pravega.client.stream.impl.StreamImpl;
import io.pravega.client.stream.impl.UTF8StringSerializer;
import io.millrace.flink.client.StoreClient;
import io.millrace.flink.client.StoreOptions;
import io.millrace.flink.client.StreamName;
import java.io.IOException;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Assumptions;

/** A running server ({@code -Dmillrace.controller}) with a scope of its own for a test class. */
public final class TestStore implements AutoCloseable {
    public final String controller;
    public final String scope;
    public final StoreClient client;
    public final StreamManager streams;
    private final EventStreamClientFactory factory;
    private final ScheduledExecutorService executor = Executors.newScheduledThreadPool(1);

    public TestStore() {
        this(System.getProperty("millrace.controller", ""));
    }

    public TestStore(String controller) {
        this(controller, "flink" + UUID.randomUUID().toString().replace("-", "").substring(0, 12));
    }

    /** The same scope over new connections: after a long outage the old ones wait up to two minutes before they look again. */
    public TestStore again() {
        return new TestStore(controller, scope);
    }

    private TestStore(String controller, String scope) {
        this.controller = controller;
        this.scope = scope;
        Assumptions.assumeFalse(controller.isEmpty(), "no server: set -Dmillrace.controller");
        ClientConfig config = ClientConfig.builder().controllerURI(URI.create(controller)).build();
        streams = new StreamManagerImpl(config);
        client = new StoreClient(StoreOptions.of(controller));
        factory = EventStreamClientFactory.withScope(scope, config);
        streams.createScope(scope);
    }

    /** @return scope/name */
    public String createStream(String name, int segments) {
        streams.createStream(scope, name, StreamConfiguration.builder().scalingPolicy(ScalingPolicy.fixed(segments)).build());
        return scope + "/" + name;
    }

    public EventStreamWriter<String> writer(String name) {
        return factory.createEventWriter(name, new UTF8StringSerializer(), EventWriterConfig.builder().build());
    }

    public EventStreamClientFactory factory() {
        return factory;
    }

    /** Writes key:0, key:1, ... for keys k0 to k(keys-1), from {@code from} to below {@code to}. */
    public void writeSequences(String name, int keys, int from, int to) {
        try (EventStreamWriter<String> writer = writer(name)) {
            for (int i = from; i < to; i++) {
                for (int k = 0; k < keys; k++) {
                    writer.writeEvent("k" + k, "k" + k + ":" + i);
                }
            }
            writer.flush();
        }
    }

    /** Replaces all segments by {@code count} even ones. */
    public void scale(String name, int count) throws Exception {
        List<Long> old = client.controller().getCurrentSegments(scope, name).get(30, TimeUnit.SECONDS).getSegments().stream()
                .map(segment -> segment.getSegmentId()).toList();
        Map<Double, Double> ranges = java.util.stream.IntStream.range(0, count).boxed()
                .collect(Collectors.toMap(i -> (double) i / count, i -> i + 1 == count ? 1.0 : (double) (i + 1) / count));
        CompletableFuture<Boolean> done = client.controller().scaleStream(new StreamImpl(scope, name), old, ranges, executor).getFuture();
        if (!done.get(240, TimeUnit.SECONDS)) {
            throw new IllegalStateException("scaling failed");
        }
    }

    /** The events of a stream that was never scaled and is not sealed, segment by segment. Quicker than a job. */
    public List<String> contents(String scopedName) throws Exception {
        StreamName stream = StreamName.parse(scopedName);
        List<String> result = new ArrayList<>();
        for (Map.Entry<Long, Long> segment : client.tail(stream).entrySet()) {
            try (EventSegmentReader reader = client.open(stream.segment(segment.getKey()), 0, segment.getValue(), 1 << 20)) {
                while (segment.getValue() > 0) {
                    ByteBuffer event = reader.read(30_000);
                    if (event == null) {
                        throw new IOException("no answer while reading " + scopedName);
                    }
                    result.add(StandardCharsets.UTF_8.decode(event).toString());
                }
            } catch (EndOfSegmentException e) {
                // All that was there is read.
            }
        }
        return result;
    }

    /** Waits until the stream holds so many events; the same limits. */
    public List<String> awaitEvents(String scopedName, int count) throws Exception {
        for (int i = 0;; i++) {
            List<String> found = contents(scopedName);
            if (found.size() >= count) {
                return found;
            }
            if (i >= 1200) {
                throw new AssertionError("only " + found.size() + " of " + count + " events came to " + scopedName);
            }
            Thread.sleep(100);
        }
    }

    public StreamName name(String stream) {
        return new StreamName(scope, stream);
    }

    @Override
    public void close() {
        executor.shutdownNow();
        factory.close();
        streams.close();
        client.close();
    }
}
