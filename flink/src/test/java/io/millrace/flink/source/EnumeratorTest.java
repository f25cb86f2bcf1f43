package io.millrace.flink.source;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.millrace.flink.client.StoreClient.Successor;
import io.millrace.flink.client.StoreOptions;
import io.millrace.flink.client.StreamName;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.function.BiConsumer;
import org.apache.flink.api.connector.source.ReaderInfo;
import org.apache.flink.api.connector.source.SourceEvent;
import org.apache.flink.api.connector.source.SplitEnumeratorContext;
import org.apache.flink.api.connector.source.SplitsAssignment;
import org.apache.flink.metrics.groups.SplitEnumeratorMetricGroup;
import org.junit.jupiter.api.Test;

/** The enumerator against readers and a store that the test plays. */
class EnumeratorTest {
    private static final StreamName STREAM = new StreamName("s", "t");

    private final TreeMap<Long, List<Successor>> followers = new TreeMap<>();
    private final List<String> said = new ArrayList<>();
    /** Readers that heard that each segment is with a reader. */
    private final List<Integer> told = new ArrayList<>();
    private final Map<Integer, ReaderInfo> registered = new HashMap<>();
    private final SourceSettings settings = new SourceSettings();
    private final Context context = new Context();
    private int parallelism = 2;
    private Map<Long, Long> start = Map.of(0L, 0L, 1L, 0L);

    EnumeratorTest() {
        settings.store = StoreOptions.of("tcp://127.0.0.1:1");
        settings.streams = List.of(STREAM);
    }

    private final class Context implements SplitEnumeratorContext<SegmentSplit> {
        @Override
        public SplitEnumeratorMetricGroup metricGroup() {
            return null;
        }

        @Override
        public void sendEventToSourceReader(int subtask, SourceEvent event) {
            if (event instanceof SourceEvents.AllGiven) {
                told.add(subtask);
                return;
            }
            said.add("noted " + ((SourceEvents.FinishedNoted) event).splitId.charAt(4) + " to " + subtask);
        }

        @Override
        public int currentParallelism() {
            return parallelism;
        }

        @Override
        public Map<Integer, ReaderInfo> registeredReaders() {
            return registered;
        }

        @Override
        public void assignSplits(SplitsAssignment<SegmentSplit> assignment) {
            assignment.assignment().forEach((reader, splits) -> splits.forEach(split -> said.add(split.segmentId() + "@" + split.offset() + " to " + reader)));
        }

        @Override
        public void signalNoMoreSplits(int subtask) {
            said.add("end to " + subtask);
        }

        @Override
        public <T> void callAsync(Callable<T> callable, BiConsumer<T, Throwable> handler) {
            T result;
            try {
                result = callable.call();
            } catch (Exception e) {
                handler.accept(null, e);
                return;
            }
            handler.accept(result, null);
        }

        @Override
        public <T> void callAsync(Callable<T> callable, BiConsumer<T, Throwable> handler, long delay, long period) {}

        @Override
        public void runInCoordinatorThread(Runnable task) {
            task.run();
        }
    }

    private MillraceEnumerator enumerator(EnumeratorState restored) throws IOException {
        MillraceEnumerator result = new MillraceEnumerator(context, settings, restored) {
            private boolean found = restored != null;

            @Override
            List<Successor> successors(StreamName stream, long id) {
                return followers.getOrDefault(id, List.of());
            }

            @Override
            List<SegmentGraph> discover() {
                if (found) {
                    return List.of();
                }
                found = true;
                SegmentGraph graph = new SegmentGraph(STREAM, null);
                graph.start(start, true);
                return List.of(graph);
            }
        };
        result.start();
        return result;
    }

    private void hello(MillraceEnumerator enumerator, int reader, SegmentSplit... splits) throws IOException {
        registered.put(reader, new ReaderInfo(reader, "here"));
        enumerator.addReader(reader);
        List<byte[]> bytes = new ArrayList<>();
        for (SegmentSplit split : splits) {
            bytes.add(new SegmentSplitSerializer().serialize(split));
        }
        enumerator.handleSourceEvent(reader, new SourceEvents.Hello(bytes));
    }

    private static SegmentSplit split(long id, long offset, boolean finished) {
        return new SegmentSplit(STREAM, id, offset, Long.MAX_VALUE, false, finished);
    }

    private static void finish(MillraceEnumerator enumerator, int reader, long id) throws IOException {
        enumerator.handleSourceEvent(reader, new SourceEvents.Finished(new SegmentSplitSerializer().serialize(split(id, 100, true))));
    }

    private void follows(long id, Long... predecessors) {
        for (long predecessor : predecessors) {
            followers.computeIfAbsent(predecessor, p -> new ArrayList<>()).add(new Successor(id, Double.NaN, Double.NaN, List.of(predecessors)));
        }
    }

    private List<String> said() {
        List<String> result = List.copyOf(said);
        said.clear();
        return result;
    }

    @Test
    void readersShare() throws Exception {
        MillraceEnumerator enumerator = enumerator(null);
        hello(enumerator, 0);
        assertEquals(List.of("0@0 to 0"), said(), "what is meant for reader 1 waits for it");
        hello(enumerator, 1);
        assertEquals(List.of("1@0 to 1"), said());
        finish(enumerator, 0, 0);
        assertEquals(List.of("noted 0 to 0"), said());
        finish(enumerator, 1, 1);
        assertEquals(List.of("noted 1 to 1", "end to 0", "end to 1"), said());
    }

    @Test
    void nobodyMayBeIdleWhileASegmentIsWithNoReader() throws Exception {
        MillraceEnumerator enumerator = enumerator(null);
        hello(enumerator, 0);
        assertEquals(List.of(), told, "segment 1 waits for reader 1");
        hello(enumerator, 1);
        assertEquals(List.of(0, 1), told);
        enumerator.addSplitsBack(List.of(split(1, 0, false)), 1);
        hello(enumerator, 1);
        assertEquals(List.of(0, 1, 1), told, "a reader that restarts forgot it");
    }

    @Test
    void whatFollowsGoesToTheSameReaderBeforeItsEndIsNoted() throws Exception {
        follows(2, 0L);
        follows(3, 0L);
        MillraceEnumerator enumerator = enumerator(null);
        hello(enumerator, 0);
        hello(enumerator, 1);
        said();
        finish(enumerator, 0, 0);
        assertEquals(List.of("2@0 to 0", "3@0 to 0", "noted 0 to 0"), said());
    }

    @Test
    void aSpreadSuccessorWaitsForACheckpointThatBeganLater() throws Exception {
        settings.spread = true;
        start = Map.of(0L, 0L);
        follows(2, 0L);
        follows(3, 0L);
        MillraceEnumerator enumerator = enumerator(null);
        hello(enumerator, 0);
        hello(enumerator, 1);
        enumerator.snapshotState(7);
        said();
        finish(enumerator, 0, 0);
        assertEquals(List.of("2@0 to 0"), said(), "the end of segment 0 holds the watermark until segment 3 is with a reader");
        enumerator.notifyCheckpointComplete(7);
        assertEquals(List.of(), said(), "the checkpoint was begun before the segment was read");
        enumerator.snapshotState(8);
        enumerator.notifyCheckpointComplete(8);
        assertEquals(List.of("3@0 to 1", "noted 0 to 0"), said());
    }

    @Test
    void aMergeOfTwoReadersWaitsForACheckpoint() throws Exception {
        follows(2, 0L, 1L);
        MillraceEnumerator enumerator = enumerator(null);
        hello(enumerator, 0);
        hello(enumerator, 1);
        enumerator.snapshotState(1);
        enumerator.notifyCheckpointComplete(1);
        said();
        finish(enumerator, 0, 0);
        finish(enumerator, 1, 1);
        assertEquals(List.of("noted 0 to 0"), said(), "what follows segment 0 waits for segment 1, which holds the watermark itself");
        enumerator.snapshotState(2);
        enumerator.notifyCheckpointComplete(2);
        assertEquals(List.of("2@0 to 0", "noted 1 to 1"), said());
    }

    @Test
    void afterARestoreAllReadersAreHeardFirst() throws Exception {
        follows(2, 0L);
        MillraceEnumerator before = enumerator(null);
        hello(before, 0);
        hello(before, 1);
        EnumeratorState state = new EnumeratorState.Serializer().deserialize(1, new EnumeratorState.Serializer().serialize(before.snapshotState(1)));
        said();
        registered.clear();
        MillraceEnumerator enumerator = enumerator(state);
        // The end of segment 0 was on its way when the checkpoint was taken: the reader's half has it, the enumerator's not.
        hello(enumerator, 1, split(0, 100, true));
        assertEquals(List.of(), said(), "reader 0 may hold anything");
        hello(enumerator, 0, split(1, 50, false));
        assertEquals(List.of("2@0 to 1", "noted 0 to 1"), said());
    }

    @Test
    void aSegmentThatNoReaderHoldsIsReadFromWhereItWasGivenOut() throws Exception {
        MillraceEnumerator before = enumerator(null);
        hello(before, 0);
        hello(before, 1);
        EnumeratorState state = before.snapshotState(1);
        said();
        MillraceEnumerator enumerator = enumerator(state);
        hello(enumerator, 0, split(0, 30, false));
        hello(enumerator, 1);
        assertEquals(List.of("1@0 to 1"), said());
    }

    @Test
    void aFailedReaderHoldsUpWhatFollows() throws Exception {
        follows(2, 0L);
        MillraceEnumerator enumerator = enumerator(null);
        hello(enumerator, 0);
        hello(enumerator, 1);
        enumerator.snapshotState(1);
        enumerator.notifyCheckpointComplete(1);
        finish(enumerator, 0, 0);
        said();
        // All tasks restart from checkpoint 1: segment 2 comes back, and reader 0 has segment 0 again.
        enumerator.addSplitsBack(List.of(split(2, 0, false)), 0);
        enumerator.addSplitsBack(List.of(), 1);
        hello(enumerator, 1, split(1, 10, false));
        assertEquals(List.of(), said());
        hello(enumerator, 0, split(0, 40, false));
        assertEquals(List.of(), said());
        finish(enumerator, 0, 0);
        assertEquals(List.of("2@0 to 0", "noted 0 to 0"), said());
    }
}
