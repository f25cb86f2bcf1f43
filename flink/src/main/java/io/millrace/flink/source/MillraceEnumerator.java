package io.millrace.flink.source;

import io.millrace.flink.client.StoreClient;
import io.millrace.flink.client.StoreClient.Successor;
import io.millrace.flink.client.StreamName;
import io.millrace.flink.source.SegmentGraph.Node;
import io.millrace.flink.source.SegmentGraph.Status;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.flink.api.connector.source.SourceEvent;
import org.apache.flink.api.connector.source.SplitEnumerator;
import org.apache.flink.api.connector.source.SplitEnumeratorContext;
import org.apache.flink.util.FlinkRuntimeException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Holds the position of the streams and gives segments to readers. Runs in the coordinator's thread; calls to the store run beside it.
 *
 * <p>A checkpoint takes its state first and that of the readers later, and a reader that restarts alone goes back while this does not.
 * So the word of the readers counts: each says with its {@code Hello} what it holds, and until all have, no segment is given out after a
 * restore, for it could be a successor of one that is being read again.
 */
class MillraceEnumerator implements SplitEnumerator<SegmentSplit, EnumeratorState> {
    private static final Logger LOG = LoggerFactory.getLogger(MillraceEnumerator.class);
    private static final long STALL_CHECK_MILLIS = 1000;

    private final SplitEnumeratorContext<SegmentSplit> context;
    private final SourceSettings settings;
    private final SegmentSplitSerializer serializer = new SegmentSplitSerializer();
    private final TreeMap<StreamName, SegmentGraph> graphs = new TreeMap<>();
    private final Set<Integer> settled = new HashSet<>();
    private final Set<Integer> ended = new HashSet<>();
    private final Set<String> expanding = new HashSet<>();
    private record End(SegmentGraph graph, long id) {}

    /** Finished segment to the readers that wait to hear that it is known, which they do when its successors are with readers. */
    private final Map<End, Set<Integer>> unanswered = new HashMap<>();
    /** Readers that know that they are needed for nothing now. */
    private final Set<Integer> toldAllGiven = new HashSet<>();
    /** Final offsets of finished segments, for reporting progress. */
    private final Map<String, Long> ends = new HashMap<>();
    /** Checkpoint to the segments that were done when it was taken. */
    private final TreeMap<Long, Map<StreamName, Set<Long>>> doneAt = new TreeMap<>();
    private boolean everyReaderMustSettle;
    private boolean unclaimedChecked;
    private boolean discovered;
    private int stalls;
    /** Newest checkpoint that was begun, and newest that is complete; before the first one, all may be given out at once. */
    private long latest = -1;
    private long completed;
    private StoreClient client;
    private ProgressReporter progress;

    MillraceEnumerator(SplitEnumeratorContext<SegmentSplit> context, SourceSettings settings, EnumeratorState restored) throws IOException {
        this.context = context;
        this.settings = settings;
        if (restored == null) {
            unclaimedChecked = true;
            return;
        }
        everyReaderMustSettle = true;
        for (SegmentGraph graph : restored.graphs()) {
            graphs.put(graph.stream, graph);
        }
        // A checkpoint may be older than the first look at the streams.
        discovered = !graphs.isEmpty();
    }

    @Override
    public void start() {
        client = new StoreClient(settings.store);
        if (settings.readerGroup != null) {
            progress = new ProgressReporter(client, settings);
        }
        for (SegmentGraph graph : graphs.values()) {
            expandAll(graph);
        }
        if (settings.pattern != null && !settings.bounded() && settings.discoveryMillis > 0) {
            context.callAsync(this::discover, this::onDiscovered, 0, settings.discoveryMillis);
        } else {
            context.callAsync(this::discover, this::onDiscovered);
        }
        if (settings.bounded()) {
            context.callAsync(() -> true, (ok, error) -> stealIfStalled(), STALL_CHECK_MILLIS, STALL_CHECK_MILLIS);
        }
    }

    /** Asks the store; not in the coordinator's thread. */
    List<Successor> successors(StreamName stream, long id) throws IOException {
        return client.successors(stream, id);
    }

    /** Asks the store; not in the coordinator's thread. @return the graphs of streams that are not known yet */
    List<SegmentGraph> discover() throws IOException {
        List<StreamName> wanted = settings.streams;
        if (settings.pattern != null) {
            wanted = new ArrayList<>();
            for (StreamName stream : client.streams(settings.scope)) {
                if (settings.pattern.matcher(stream.name()).matches()) {
                    wanted.add(stream);
                }
            }
        }
        Set<StreamName> known;
        synchronized (graphs) {
            known = new HashSet<>(graphs.keySet());
        }
        List<SegmentGraph> result = new ArrayList<>();
        for (StreamName stream : wanted) {
            if (!known.contains(stream)) {
                result.add(graph(stream));
            }
        }
        return result;
    }

    private SegmentGraph graph(StreamName stream) throws IOException {
        try {
            return Positions.graph(client, settings, stream, discovered);
        } catch (IOException e) {
            // The server's own answers do not tell a missing scope from a missing stream.
            String diagnosis = StoreClient.unavailable(e) ? null : client.diagnosis(stream);
            throw diagnosis == null ? e : new IOException(diagnosis + " (" + e.getMessage() + ")", e);
        }
    }

    private void onDiscovered(List<SegmentGraph> found, Throwable error) {
        if (error != null) {
            if (discovered) {
                LOG.warn("looking for new streams failed; it will be repeated", error);
                return;
            }
            throw new FlinkRuntimeException("the streams to read could not be opened: " + error.getMessage(), error);
        }
        if (!discovered && found.isEmpty()) {
            LOG.warn("no stream of scope {} matches {}", settings.scope, settings.pattern);
        }
        discovered = true;
        for (SegmentGraph graph : found) {
            synchronized (graphs) {
                graphs.putIfAbsent(graph.stream, graph);
            }
            expandAll(graphs.get(graph.stream));
        }
        assign();
    }

    private boolean discovering() {
        return !discovered || (settings.pattern != null && !settings.bounded() && settings.discoveryMillis > 0);
    }

    private void expandAll(SegmentGraph graph) {
        for (long id : graph.toExpand()) {
            expand(graph, id);
        }
    }

    private void expand(SegmentGraph graph, long id) {
        String name = SegmentSplit.idOf(graph.stream, id);
        if (!expanding.add(name)) {
            return;
        }
        context.callAsync(() -> successors(graph.stream, id), (List<Successor> successors, Throwable error) -> {
            expanding.remove(name);
            if (error != null) {
                throw new FlinkRuntimeException("what follows segment " + name + " could not be found: " + error.getMessage(), error);
            }
            LOG.info("segment {} is read; it is followed by {}", name, successors);
            graph.expand(id, successors);
            expandAll(graph);
            assign();
        });
    }

    private void answer(int reader, String splitId) {
        if (context.registeredReaders().containsKey(reader)) {
            context.sendEventToSourceReader(reader, new SourceEvents.FinishedNoted(splitId));
        }
    }

    @Override
    public void handleSplitRequest(int subtask, String host) {
        // Readers are given segments without asking.
    }

    @Override
    public void addReader(int subtask) {
        // Its Hello follows.
    }

    @Override
    public void addSplitsBack(List<SegmentSplit> splits, int subtask) {
        LOG.info("reader {} was reset; it gives back {}", subtask, splits);
        settled.remove(subtask);
        ended.remove(subtask);
        toldAllGiven.remove(subtask);
        unanswered.values().forEach(readers -> readers.remove(subtask));
        for (SegmentSplit split : splits) {
            SegmentGraph graph = graphs.get(split.stream());
            if (graph != null) {
                graph.returned(split, subtask);
            }
        }
        assign();
    }

    @Override
    public void handleSourceEvent(int subtask, SourceEvent event) {
        try {
            if (event instanceof SourceEvents.Hello hello) {
                onHello(subtask, hello);
            } else if (event instanceof SourceEvents.Finished finished) {
                onFinished(subtask, serializer.deserialize(SegmentSplitSerializer.VERSION, finished.split));
            } else if (event instanceof SourceEvents.Progress report && progress != null) {
                progress.report(subtask, context.currentParallelism(), report);
            }
        } catch (IOException e) {
            throw new FlinkRuntimeException(e);
        }
    }

    private void onHello(int subtask, SourceEvents.Hello hello) throws IOException {
        settled.add(subtask);
        ended.remove(subtask);
        toldAllGiven.remove(subtask);
        for (byte[] bytes : hello.splits) {
            SegmentSplit split = serializer.deserialize(SegmentSplitSerializer.VERSION, bytes);
            SegmentGraph graph = graphs.get(split.stream());
            if (graph == null) {
                throw new FlinkRuntimeException("a reader's checkpoint has segment " + split.splitId() + ", but the enumerator's has no such stream");
            }
            if (split.finished()) {
                onFinished(subtask, split);
            } else {
                graph.claimed(split);
                graph.get(split.segmentId()).owner = subtask;
            }
        }
        assign();
    }

    private void onFinished(int subtask, SegmentSplit split) {
        SegmentGraph graph = graphs.get(split.stream());
        Node node = graph == null ? null : graph.get(split.segmentId());
        if (node == null) {
            answer(subtask, split.splitId());
            return;
        }
        ends.put(split.splitId(), split.offset());
        node.owner = subtask;
        graph.finish(split.segmentId());
        unanswered.computeIfAbsent(new End(graph, split.segmentId()), end -> new TreeSet<>()).add(subtask);
        if (node.expanded) {
            assign();
        } else {
            expand(graph, split.segmentId());
        }
    }

    /** A reader holds the watermark back at the end of a segment until what follows it is with a reader. */
    private void answerThoseThatWait() {
        unanswered.entrySet().removeIf(entry -> {
            End end = entry.getKey();
            Node node = end.graph.get(end.id);
            if (node != null && (!node.expanded || end.graph.with(Status.READY).stream().anyMatch(next -> next.predecessors.contains(end.id)))) {
                return false;
            }
            entry.getValue().forEach(reader -> answer(reader, SegmentSplit.idOf(end.graph.stream, end.id)));
            return true;
        });
        if (discovered && expanding.isEmpty() && graphs.values().stream().allMatch(graph -> graph.with(Status.READY).isEmpty())) {
            for (int reader : new TreeSet<>(settled)) {
                if (context.registeredReaders().containsKey(reader) && toldAllGiven.add(reader)) {
                    context.sendEventToSourceReader(reader, new SourceEvents.AllGiven());
                }
            }
        }
    }

    /** Gives out what can be given. */
    private void assign() {
        if (everyReaderMustSettle && settled.size() < context.currentParallelism()) {
            return;
        }
        requeueUnclaimed();
        int[] load = load();
        for (SegmentGraph graph : graphs.values()) {
            for (Node node : graph.with(Status.READY)) {
                if (node.owner < 0 || node.owner >= load.length) {
                    place(graph, node, load);
                    load[node.owner]++;
                }
                if (node.afterCheckpoint < completed && settled.contains(node.owner) && context.registeredReaders().containsKey(node.owner)) {
                    give(graph, node);
                }
            }
        }
        answerThoseThatWait();
        if (!discovering() && graphs.values().stream().allMatch(SegmentGraph::complete)) {
            for (int reader : new TreeSet<>(settled)) {
                if (context.registeredReaders().containsKey(reader) && ended.add(reader)) {
                    context.signalNoMoreSplits(reader);
                }
            }
        }
    }

    /**
     * Chooses the reader of a segment. Where that is not the one that read what came before, the two are connected to the operators behind
     * them by different channels, of which one may be faster: then the segment waits until a checkpoint has gone through, and with it all
     * that was read before. A job that takes no checkpoints does not wait.
     */
    private void place(SegmentGraph graph, Node node, int[] load) {
        Set<Integer> before = new TreeSet<>();
        for (long id : node.predecessors) {
            Node predecessor = graph.get(id);
            if (predecessor != null && predecessor.owner >= 0 && predecessor.owner < load.length) {
                before.add(predecessor.owner);
            }
        }
        int least = leastLoaded(load, null);
        if (before.isEmpty()) {
            node.owner = least;
            return;
        }
        node.owner = leastLoaded(load, before);
        if (settings.spread && load[node.owner] > load[least]) {
            node.owner = least;
        }
        if (before.size() > 1 || !before.contains(node.owner)) {
            node.afterCheckpoint = latest;
        }
    }

    private void give(SegmentGraph graph, Node node) {
        node.status = Status.ASSIGNED;
        LOG.info("segment {} from offset {} goes to reader {}", SegmentSplit.idOf(graph.stream, node.id), node.offset, node.owner);
        context.assignSplit(node.split(graph.stream), node.owner);
    }

    private int[] load() {
        int[] load = new int[Math.max(1, context.currentParallelism())];
        for (SegmentGraph graph : graphs.values()) {
            for (Node node : graph.nodes.values()) {
                if ((node.status == Status.ASSIGNED || node.status == Status.READY) && node.owner >= 0 && node.owner < load.length) {
                    load[node.owner]++;
                }
            }
        }
        return load;
    }

    private static int leastLoaded(int[] load, Set<Integer> among) {
        int best = -1;
        for (int i = 0; i < load.length; i++) {
            if ((among == null || among.contains(i)) && (best < 0 || load[i] < load[best])) {
                best = i;
            }
        }
        return best;
    }

    /** After a restore each assigned segment is in some reader's checkpoint. If one is not, it is read again from where it was given out. */
    private void requeueUnclaimed() {
        if (unclaimedChecked) {
            return;
        }
        unclaimedChecked = true;
        for (SegmentGraph graph : graphs.values()) {
            for (Node node : graph.with(Status.ASSIGNED)) {
                if (node.owner < 0) {
                    LOG.warn("no reader's checkpoint has segment {}, which was assigned; it is read from offset {}",
                            SegmentSplit.idOf(graph.stream, node.id), node.offset);
                    graph.returned(node.split(graph.stream), -1);
                }
            }
        }
    }

    /** Where a bounded job has fewer slots than readers, those that run take over what was meant for those that wait for a slot. */
    private void stealIfStalled() {
        if (everyReaderMustSettle || settled.isEmpty()) {
            return;
        }
        boolean active = false;
        List<Node> waiting = new ArrayList<>();
        for (SegmentGraph graph : graphs.values()) {
            active |= !graph.with(Status.ASSIGNED).isEmpty();
            for (Node node : graph.with(Status.READY)) {
                if (!settled.contains(node.owner)) {
                    waiting.add(node);
                }
            }
        }
        stalls = active || waiting.isEmpty() ? 0 : stalls + 1;
        if (stalls >= 3) {
            int[] load = load();
            for (Node node : waiting) {
                node.owner = leastLoaded(load, settled);
                load[node.owner]++;
            }
            stalls = 0;
            assign();
        }
    }

    @Override
    public EnumeratorState snapshotState(long checkpoint) throws IOException {
        everyReaderMustSettle = true;
        latest = checkpoint;
        Map<StreamName, Set<Long>> done = new HashMap<>();
        for (SegmentGraph graph : graphs.values()) {
            Set<Long> ids = new HashSet<>();
            graph.with(Status.DONE).forEach(node -> ids.add(node.id));
            done.put(graph.stream, ids);
        }
        doneAt.put(checkpoint, done);
        EnumeratorState state = EnumeratorState.of(graphs.values());
        if (progress != null) {
            progress.checkpointTaken(checkpoint, state, ends);
        }
        return state;
    }

    @Override
    public void notifyCheckpointComplete(long checkpoint) {
        Map<StreamName, Set<Long>> done = doneAt.get(checkpoint);
        doneAt.headMap(checkpoint, true).clear();
        if (done != null) {
            done.forEach((stream, ids) -> graphs.get(stream).prune(ids));
        }
        completed = Math.max(completed, checkpoint);
        assign();
    }

    @Override
    public void notifyCheckpointAborted(long checkpoint) {
        doneAt.remove(checkpoint);
    }

    @Override
    public void close() {
        if (client != null) {
            client.close();
        }
    }
}
