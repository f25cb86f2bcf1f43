package io.millrace.flink.source;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.millrace.flink.client.StoreClient.Successor;
import io.millrace.flink.client.StreamName;
import io.millrace.flink.source.SegmentGraph.Status;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

class SegmentGraphTest {
    private static final StreamName STREAM = new StreamName("s", "t");

    private static SegmentGraph graph(Map<Long, Long> start, Map<Long, Long> end) {
        SegmentGraph graph = new SegmentGraph(STREAM, end == null ? null : new TreeMap<>(end));
        graph.start(start, true);
        return graph;
    }

    private static Successor follows(long id, Long... predecessors) {
        return new Successor(id, Double.NaN, Double.NaN, List.of(predecessors));
    }

    private static List<Long> ready(SegmentGraph graph) {
        return graph.with(Status.READY).stream().map(node -> node.id).toList();
    }

    private static void take(SegmentGraph graph) {
        graph.with(Status.READY).forEach(node -> node.status = Status.ASSIGNED);
    }

    @Test
    void aSplitIsReadAfterItsPredecessor() {
        SegmentGraph graph = graph(Map.of(0L, 5L), null);
        assertEquals(List.of(0L), ready(graph));
        take(graph);
        assertTrue(graph.finish(0));
        assertFalse(graph.finish(0), "a second report of the same is no news");
        assertEquals(List.of(0L), graph.toExpand());
        graph.expand(0, List.of(follows(1, 0L), follows(2, 0L)));
        assertEquals(List.of(1L, 2L), ready(graph));
        assertFalse(graph.complete());
        take(graph);
        for (long id : List.of(1L, 2L)) {
            graph.finish(id);
            graph.expand(id, List.of());
        }
        assertTrue(graph.complete());
    }

    @Test
    void aMergeWaitsForAllPredecessors() {
        SegmentGraph graph = graph(Map.of(0L, 0L, 1L, 0L), null);
        take(graph);
        graph.finish(0);
        graph.expand(0, List.of(follows(2, 0L, 1L)));
        assertEquals(List.of(), ready(graph));
        graph.finish(1);
        assertEquals(List.of(2L), ready(graph));
        graph.expand(1, List.of(follows(2, 0L, 1L)));
        assertEquals(List.of(2L), ready(graph));
    }

    @Test
    void aMergeWaitsForAPredecessorThatIsNotKnownYet() {
        // 0 splits into 2 and 3; 4 merges 1 and 3. 1 is finished before 0, so 3 is not known when 4 is discovered.
        SegmentGraph graph = graph(Map.of(0L, 0L, 1L, 0L), null);
        take(graph);
        graph.finish(1);
        graph.expand(1, List.of(follows(4, 1L, 3L)));
        assertEquals(List.of(), ready(graph));
        graph.finish(0);
        graph.expand(0, List.of(follows(2, 0L), follows(3, 0L)));
        assertEquals(List.of(2L, 3L), ready(graph));
        take(graph);
        graph.finish(3);
        graph.expand(3, List.of(follows(4, 1L, 3L)));
        assertEquals(List.of(4L), ready(graph));
    }

    @Test
    void whatFollowsWaitsAgainWhenAReaderGoesBack() {
        SegmentGraph graph = graph(Map.of(0L, 0L), null);
        take(graph);
        graph.finish(0);
        graph.expand(0, List.of(follows(1, 0L)));
        take(graph);
        // Both readers restart from a checkpoint in which 0 was being read.
        graph.returned(new SegmentSplit(STREAM, 1, 0, Long.MAX_VALUE, false, false), 1);
        graph.claimed(new SegmentSplit(STREAM, 0, 77, Long.MAX_VALUE, false, false));
        assertEquals(List.of(), ready(graph));
        assertTrue(graph.finish(0), "its end is news again");
        assertEquals(List.of(1L), ready(graph));
    }

    @Test
    void returnedInAnyOrder() {
        SegmentGraph graph = graph(Map.of(0L, 3L), null);
        take(graph);
        graph.finish(0);
        graph.expand(0, List.of(follows(1, 0L)));
        take(graph);
        graph.returned(new SegmentSplit(STREAM, 1, 0, Long.MAX_VALUE, false, false), 0);
        graph.returned(new SegmentSplit(STREAM, 0, 3, Long.MAX_VALUE, true, false), 0);
        assertEquals(List.of(0L), ready(graph));
    }

    @Test
    void anEndCutStopsThere() {
        SegmentGraph graph = graph(Map.of(0L, 0L), Map.of(1L, 10L, 2L, 0L));
        take(graph);
        graph.finish(0);
        graph.expand(0, List.of(follows(1, 0L), follows(2, 0L)));
        assertEquals(List.of(1L), ready(graph), "of segment 2 there is nothing to read");
        assertEquals(10, graph.get(1).end);
        take(graph);
        assertFalse(graph.finish(1), "no successors are asked for");
        assertTrue(graph.complete());
    }

    @Test
    void aSegmentThatWasReadIsFollowed() {
        SegmentGraph graph = graph(Map.of(0L, -1L, 1L, 4L), null);
        assertEquals(List.of(0L), graph.toExpand());
        assertEquals(List.of(1L), ready(graph));
    }

    @Test
    void checkpointsKeepAll() throws Exception {
        SegmentGraph graph = graph(Map.of(0L, 7L, 1L, 0L), Map.of(2L, 10L, 3L, -1L));
        take(graph);
        graph.finish(0);
        graph.expand(0, List.of(follows(2, 0L, 1L)));
        SegmentGraph copy = EnumeratorState.of(List.of(graph)).graphs().get(0);
        assertEquals(graph.stream, copy.stream);
        assertEquals(graph.endCut, copy.endCut);
        assertEquals(graph.nodes.keySet(), copy.nodes.keySet());
        assertEquals(Status.ASSIGNED, copy.get(1).status);
        assertEquals(Status.DONE, copy.get(0).status);
        assertTrue(copy.get(0).expanded);
        assertEquals(Set.of(1L), copy.get(2).remaining);
        assertEquals(10, copy.get(2).end);
        copy.finish(1);
        assertEquals(List.of(2L), ready(copy));
    }

    @Test
    void pruningKeepsWhatIsWaitedFor() {
        SegmentGraph graph = graph(Map.of(0L, 0L, 1L, 0L), null);
        take(graph);
        graph.finish(0);
        graph.expand(0, List.of(follows(2, 0L, 1L)));
        graph.prune(Set.of(0L));
        assertTrue(graph.nodes.containsKey(0L), "2 still waits, and the stream cut needs 0");
        assertEquals(Map.of(0L, 100L, 1L, 20L), graph.cut(Map.of(1L, 20L), Map.of(0L, 100L)));
        graph.finish(1);
        graph.expand(1, List.of());
        graph.prune(Set.of(0L, 1L));
        assertEquals(Set.of(2L), graph.nodes.keySet());
        assertEquals(Map.of(2L, 0L), graph.cut(Map.of(), Map.of()));
    }

    @Test
    void aCutThatCannotBeToldIsNone() {
        SegmentGraph graph = graph(Map.of(0L, 0L), null);
        take(graph);
        assertNull(graph.cut(Map.of(), Map.of()));
    }

    @Test
    void splitsTravel() throws Exception {
        SegmentSplitSerializer serializer = new SegmentSplitSerializer();
        for (SegmentSplit split : List.of(new SegmentSplit(STREAM, (3L << 32) + 4, 5, Long.MAX_VALUE, true, false),
                new SegmentSplit(STREAM, 0, 5, 6, false, true))) {
            assertEquals(split, serializer.deserialize(serializer.getVersion(), serializer.serialize(split)));
        }
    }
}
