package io.millrace.conformance;

import io.pravega.client.BatchClientFactory;
import io.pravega.client.ByteStreamClientFactory;
import io.pravega.client.ClientConfig;
import io.pravega.client.EventStreamClientFactory;
import io.pravega.client.SynchronizerClientFactory;
import io.pravega.client.admin.ReaderGroupManager;
import io.pravega.client.admin.StreamManager;
import io.pravega.client.byteStream.ByteStreamReader;
import io.pravega.client.byteStream.ByteStreamWriter;
import io.pravega.client.state.Revision;
import io.pravega.client.state.RevisionedStreamClient;
import io.pravega.client.state.SynchronizerConfig;
import io.pravega.client.stream.EventStreamReader;
import io.pravega.client.stream.EventStreamWriter;
import io.pravega.client.stream.EventWriterConfig;
import io.pravega.client.stream.ReaderConfig;
import io.pravega.client.stream.ReaderGroupConfig;
import io.pravega.client.stream.ScalingPolicy;
import io.pravega.client.stream.Stream;
import io.pravega.client.stream.StreamConfiguration;
import io.pravega.client.stream.impl.UTF8StringSerializer;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;

/** Each of the client's ways in and out once, in a scope of its own that is deleted at the end. One line for each. */
public final class Smoke {
    private interface Check {
        void run() throws Exception;
    }

    private static final UTF8StringSerializer TEXT = new UTF8StringSerializer();
    private static final int EVENTS = 1_000;
    private final String scope = "smoke-" + UUID.randomUUID().toString().substring(0, 8);
    private final ClientConfig config;
    private int failed;

    private Smoke(ClientConfig config) {
        this.config = config;
    }

    public static void main(String[] args) throws Exception {
        if (args.length != 1) {
            System.err.println("usage: Smoke CONTROLLER");
            System.exit(2);
        }
        Smoke smoke = new Smoke(Endpoint.reach(args[0]));
        smoke.check("scope and stream are created", smoke::create);
        smoke.check("events come back in their keys' order", smoke::events);
        smoke.check("a second reader group reads from the head", smoke::secondGroup);
        smoke.check("bytes come back", smoke::bytes);
        smoke.check("a revisioned stream takes one of two writers", smoke::revisions);
        smoke.check("a batch reader sees every segment", smoke::batch);
        smoke.check("streams and scope are deleted", smoke::delete);
        System.exit(smoke.failed == 0 ? 0 : 1);
    }

    private void check(String name, Check body) {
        try {
            body.run();
            System.out.println("ok " + name);
        } catch (Exception | AssertionError e) {
            failed++;
            System.out.println("FAILED " + name + ": " + e);
        }
    }

    private static void expect(Object wanted, Object got, String what) {
        if (!wanted.equals(got)) {
            throw new AssertionError(what + ": expected " + wanted + ", got " + got);
        }
    }

    private void create() {
        StreamConfiguration three = StreamConfiguration.builder().scalingPolicy(ScalingPolicy.fixed(3)).build();
        StreamConfiguration one = StreamConfiguration.builder().scalingPolicy(ScalingPolicy.fixed(1)).build();
        try (StreamManager streams = StreamManager.create(config)) {
            expect(true, streams.createScope(scope), "createScope");
            expect(false, streams.createScope(scope), "createScope again");
            expect(true, streams.createStream(scope, "events", three), "createStream");
            expect(false, streams.createStream(scope, "events", three), "createStream again");
            expect(true, streams.createStream(scope, "bytes", one), "createStream");
            expect(true, streams.createStream(scope, "revisions", one), "createStream");
        }
    }

    private void events() {
        try (EventStreamClientFactory factory = EventStreamClientFactory.withScope(scope, config);
                EventStreamWriter<String> writer =
                        factory.createEventWriter("events", TEXT, EventWriterConfig.builder().build())) {
            List<CompletableFuture<Void>> acks = new ArrayList<>();
            for (int i = 0; i < EVENTS; i++) {
                acks.add(writer.writeEvent("key-" + i % 5, i % 5 + " " + i));
            }
            acks.forEach(CompletableFuture::join);
        }
        readAll("first");
    }

    private void secondGroup() {
        readAll("second");
    }

    private void readAll(String group) {
        int[] last = {-1, -1, -1, -1, -1};
        try (ReaderGroupManager groups = ReaderGroupManager.withScope(scope, config)) {
            groups.createReaderGroup(group, ReaderGroupConfig.builder().stream(Stream.of(scope, "events")).build());
            try (EventStreamClientFactory factory = EventStreamClientFactory.withScope(scope, config);
                    EventStreamReader<String> reader =
                            factory.createReader("reader", group, TEXT, ReaderConfig.builder().build())) {
                long end = System.nanoTime() + 30_000_000_000L;
                for (int seen = 0; seen < EVENTS && System.nanoTime() < end;) {
                    String event = reader.readNextEvent(1_000).getEvent();
                    if (event != null) {
                        String[] parts = event.split(" ");
                        int key = Integer.parseInt(parts[0]);
                        int number = Integer.parseInt(parts[1]);
                        expect(last[key] < 0 ? key : last[key] + 5, number, "key " + key);
                        last[key] = number;
                        seen++;
                    }
                }
            }
            groups.deleteReaderGroup(group);
        }
        for (int key = 0; key < last.length; key++) {
            expect(EVENTS - 5 + key, last[key], "last event of key " + key);
        }
    }

    private void bytes() throws Exception {
        byte[] data = new byte[3_000_000];
        for (int i = 0; i < data.length; i++) {
            data[i] = (byte) (i * 31 + i / 251);
        }
        try (ByteStreamClientFactory factory = ByteStreamClientFactory.withScope(scope, config);
                ByteStreamWriter writer = factory.createByteStreamWriter("bytes");
                ByteStreamReader reader = factory.createByteStreamReader("bytes")) {
            writer.write(data);
            writer.flush();
            for (int at = 0; at < data.length; at++) {
                if (reader.read() != (data[at] & 0xff)) {
                    throw new AssertionError("another byte at " + at);
                }
            }
        }
    }

    private void revisions() {
        try (SynchronizerClientFactory factory = SynchronizerClientFactory.withScope(scope, config);
                RevisionedStreamClient<String> client =
                        factory.createRevisionedStreamClient("revisions", TEXT, SynchronizerConfig.builder().build())) {
            Revision start = client.fetchLatestRevision();
            expect(true, client.writeConditionally(start, "one") != null, "the first at a revision is taken");
            expect(true, client.writeConditionally(start, "two") == null, "the second at the same revision is refused");
            List<String> values = new ArrayList<>();
            client.readFrom(start).forEachRemaining(entry -> values.add(entry.getValue()));
            expect(List.of("one"), values, "values");
        }
    }

    private void batch() {
        Set<String> seen = new HashSet<>();
        try (BatchClientFactory factory = BatchClientFactory.withScope(scope, config)) {
            factory.getSegments(Stream.of(scope, "events"), null, null).getIterator().forEachRemaining(range -> {
                try (var events = factory.readSegment(range, TEXT)) {
                    for (Iterator<String> each = events; each.hasNext();) {
                        seen.add(each.next());
                    }
                }
            });
        }
        expect(EVENTS, seen.size(), "distinct events");
    }

    private void delete() {
        try (StreamManager streams = StreamManager.create(config)) {
            for (String stream : List.of("events", "bytes", "revisions")) {
                expect(true, streams.sealStream(scope, stream), "sealStream " + stream);
                expect(true, streams.deleteStream(scope, stream), "deleteStream " + stream);
            }
            expect(true, streams.deleteScope(scope), "deleteScope");
        }
    }
}
