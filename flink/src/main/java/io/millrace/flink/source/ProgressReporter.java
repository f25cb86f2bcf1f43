package io.millrace.flink.source;

import io.millrace.flink.client.StoreClient;
import io.millrace.flink.client.StreamName;
import io.pravega.client.admin.ReaderGroupManager;
import io.pravega.client.segment.impl.Segment;
import io.pravega.client.stream.ReaderGroupConfig;
import io.pravega.client.stream.impl.StreamCutImpl;
import java.io.IOException;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Tells the streams what was consumed, as a reader group that subscribes to them, so that retention by consumption may delete what lies
 * before the last complete checkpoint. Nothing of the job depends on it: a report that fails is logged, and the next one covers it.
 */
final class ProgressReporter {
    private static final Logger LOG = LoggerFactory.getLogger(ProgressReporter.class);

    /** What the enumerator knew at a checkpoint, and what readers have reported of it since. */
    private static final class Pending {
        final EnumeratorState state;
        final Map<String, Long> ends;
        final Map<String, Long> offsets = new HashMap<>();
        final Set<Integer> reported = new HashSet<>();

        Pending(EnumeratorState state, Map<String, Long> ends) {
            this.state = state;
            this.ends = new HashMap<>(ends);
        }
    }

    private final StoreClient client;
    private final SourceSettings settings;
    private final StreamName group;
    private final TreeMap<Long, Pending> pending = new TreeMap<>();
    private CompletableFuture<ReaderGroupConfig> subscription;

    ProgressReporter(StoreClient client, SourceSettings settings) {
        this.client = client;
        this.settings = settings;
        this.group = StreamName.parse(settings.readerGroup);
    }

    void checkpointTaken(long checkpoint, EnumeratorState state, Map<String, Long> ends) {
        pending.put(checkpoint, new Pending(state, ends));
        while (pending.size() > 10) {
            pending.pollFirstEntry();
        }
    }

    void report(int subtask, int parallelism, SourceEvents.Progress report) throws IOException {
        Pending at = pending.get(report.checkpoint);
        if (at == null) {
            return;
        }
        at.offsets.putAll(report.offsets);
        at.reported.add(subtask);
        if (at.reported.size() < parallelism) {
            return;
        }
        pending.headMap(report.checkpoint, true).clear();
        for (SegmentGraph graph : at.state.graphs()) {
            TreeMap<Long, Long> cut = graph.cut(byId(graph.stream, at.offsets), byId(graph.stream, at.ends));
            if (cut != null) {
                send(graph.stream, cut);
            }
        }
    }

    private static Map<Long, Long> byId(StreamName stream, Map<String, Long> offsets) {
        Map<Long, Long> result = new HashMap<>();
        offsets.forEach((name, offset) -> {
            Segment segment = Segment.fromScopedName(name);
            if (segment.getStream().getScopedName().equals(stream.toString())) {
                result.put(segment.getSegmentId(), offset);
            }
        });
        return result;
    }

    private void send(StreamName stream, TreeMap<Long, Long> cut) {
        if (subscription == null || subscription.isCompletedExceptionally()) {
            subscription = CompletableFuture.supplyAsync(this::subscribe)
                    .thenCompose(ignored -> client.controller().getReaderGroupConfig(group.scope(), group.name()));
        }
        Map<Segment, Long> positions = new HashMap<>();
        cut.forEach((id, offset) -> positions.put(stream.segment(id), offset));
        subscription.thenCompose(config -> client.controller().updateSubscriberStreamCut(stream.scope(), stream.name(), group.toString(),
                        config.getReaderGroupId(), config.getGeneration(), new StreamCutImpl(stream.toStream(), positions)))
                .whenComplete((ok, error) -> {
                    if (error != null || !Boolean.TRUE.equals(ok)) {
                        LOG.warn("the progress in {} could not be reported for reader group {}", stream, group, error);
                    } else {
                        LOG.debug("reported for reader group {}: {} read to {}", group, stream, cut);
                    }
                });
    }

    private boolean subscribe() {
        ReaderGroupConfig.ReaderGroupConfigBuilder config = ReaderGroupConfig.builder()
                .retentionType(ReaderGroupConfig.StreamDataRetention.MANUAL_RELEASE_AT_USER_STREAMCUT)
                .disableAutomaticCheckpoints();
        try (ReaderGroupManager manager = ReaderGroupManager.withScope(group.scope(), StoreClient.clientConfig(settings.store))) {
            for (StreamName stream : streams()) {
                config.stream(stream.toString());
            }
            return manager.createReaderGroup(group.name(), config.build());
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    private Iterable<StreamName> streams() throws IOException {
        if (settings.pattern == null) {
            return settings.streams;
        }
        return client.streams(settings.scope).stream().filter(stream -> settings.pattern.matcher(stream.name()).matches()).toList();
    }
}
