package io.millrace.flink.source;

import io.millrace.flink.client.StoreClient.Successor;
import io.millrace.flink.client.StreamName;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * The position in one stream, as the enumerator sees it: which segments are read, were read, and wait for others to be read before them.
 *
 * <p>Events of one key lie in one segment at a time; after a split or a merge of segments they go on in a successor. So a segment may be
 * read only after all of its predecessors that are read at all: that is the order per key. Not thread safe.
 */
final class SegmentGraph {
    enum Status {
        /** Predecessors are still to be read. */
        WAITING,
        /** To be given to a reader. */
        READY,
        /** A reader has it. */
        ASSIGNED,
        /** Read to its end. */
        DONE
    }

    static final class Node {
        final long id;
        long offset;
        final long end;
        boolean movable;
        Status status;
        /** Successors were asked for and added; only of a node that is DONE. */
        boolean expanded;
        final TreeSet<Long> predecessors;
        final TreeSet<Long> remaining;
        /** Subtask that should read it; -1 when not yet chosen. Not part of a checkpoint. */
        int owner = -1;
        /** May be given out once a checkpoint newer than this is complete; -1 for at once. Not part of a checkpoint. */
        long afterCheckpoint = -1;

        Node(long id, long offset, long end, boolean movable, Status status, boolean expanded, Collection<Long> predecessors,
                Collection<Long> remaining) {
            this.id = id;
            this.offset = offset;
            this.end = end;
            this.movable = movable;
            this.status = status;
            this.expanded = expanded;
            this.predecessors = new TreeSet<>(predecessors);
            this.remaining = new TreeSet<>(remaining);
        }

        SegmentSplit split(StreamName stream) {
            return new SegmentSplit(stream, id, offset, end, movable, false);
        }
    }

    final StreamName stream;
    /** Where reading ends: segment id to offset, -1 for all of it; null if it does not end. */
    final NavigableMap<Long, Long> endCut;
    final TreeMap<Long, Node> nodes = new TreeMap<>();

    SegmentGraph(StreamName stream, NavigableMap<Long, Long> endCut) {
        this.stream = stream;
        this.endCut = endCut;
    }

    /** @param cut segment id to offset, where -1 says that the segment was read; @param fromHead no data before the cut can be missed */
    void start(Map<Long, Long> cut, boolean fromHead) {
        cut.forEach((id, offset) -> add(id, offset, fromHead, List.of(), Set.of()));
    }

    private void add(long id, long offset, boolean movable, Collection<Long> predecessors, Collection<Long> remaining) {
        long end = endOf(id);
        Node node = new Node(id, Math.max(offset, 0), end, movable, remaining.isEmpty() ? Status.READY : Status.WAITING, false, predecessors, remaining);
        nodes.put(id, node);
        if (offset < 0 || (remaining.isEmpty() && node.offset >= end)) {
            finish(id);
        }
    }

    private long endOf(long id) {
        Long end = endCut == null ? null : endCut.get(id);
        return end == null || end < 0 ? Long.MAX_VALUE : end;
    }

    /** A segment that ends the reading has no successors to ask for. */
    boolean last(long id) {
        return endCut != null && endCut.containsKey(id);
    }

    Node get(long id) {
        return nodes.get(id);
    }

    /** The segment was read to its end. @return whether its successors are to be asked for now; false if it was known before */
    boolean finish(long id) {
        Node node = nodes.get(id);
        if (node == null || node.status == Status.DONE) {
            return false;
        }
        node.status = Status.DONE;
        node.expanded = last(id);
        for (Node other : List.copyOf(nodes.values())) {
            if (other.remaining.remove(id)) {
                settle(other);
            }
        }
        return !node.expanded;
    }

    /** Segments that are done and whose successors are not known yet. */
    List<Long> toExpand() {
        List<Long> result = new ArrayList<>();
        nodes.values().forEach(node -> {
            if (node.status == Status.DONE && !node.expanded) {
                result.add(node.id);
            }
        });
        return result;
    }

    /** Adds what follows the segment {@code id}; those known already stay as they are. */
    void expand(long id, List<Successor> successors) {
        Node node = nodes.get(id);
        if (node == null || node.status != Status.DONE || node.expanded) {
            return;
        }
        node.expanded = true;
        for (Successor successor : successors) {
            if (nodes.containsKey(successor.segmentId())) {
                continue;
            }
            Set<Long> remaining = new HashSet<>(successor.predecessors());
            remaining.remove(id);
            remaining.removeIf(p -> nodes.containsKey(p) && nodes.get(p).status == Status.DONE);
            add(successor.segmentId(), 0, false, successor.predecessors(), remaining);
        }
    }

    /** A reader has the segment, from a checkpoint; what follows it waits for it (again). */
    void claimed(SegmentSplit split) {
        Node node = nodes.get(split.segmentId());
        if (node == null) {
            node = new Node(split.segmentId(), split.offset(), split.end(), false, Status.ASSIGNED, false, List.of(), List.of());
            nodes.put(node.id, node);
        }
        node.status = Status.ASSIGNED;
        node.expanded = false;
        block(node.id);
    }

    /** A reader that failed gives the segment back. */
    void returned(SegmentSplit split, int owner) {
        Node node = nodes.get(split.segmentId());
        if (node == null) {
            node = new Node(split.segmentId(), split.offset(), split.end(), split.movable(), Status.READY, false, List.of(), List.of());
            nodes.put(node.id, node);
        }
        node.offset = split.offset();
        node.movable = split.movable();
        node.status = Status.READY;
        node.expanded = false;
        node.owner = owner;
        node.afterCheckpoint = -1;
        node.remaining.clear();
        for (long predecessor : node.predecessors) {
            Node before = nodes.get(predecessor);
            if (before != null && before.status != Status.DONE) {
                node.remaining.add(predecessor);
            }
        }
        settle(node);
        block(node.id);
    }

    private void block(long id) {
        for (Node other : nodes.values()) {
            if (other.predecessors.contains(id) && (other.status == Status.READY || other.status == Status.WAITING)) {
                other.remaining.add(id);
                other.status = Status.WAITING;
            }
        }
    }

    private void settle(Node node) {
        if (node.status == Status.WAITING || node.status == Status.READY) {
            node.status = node.remaining.isEmpty() ? Status.READY : Status.WAITING;
            // An end cut may lie at a segment's very start.
            if (node.status == Status.READY && node.offset >= node.end) {
                finish(node.id);
            }
        }
    }

    boolean complete() {
        return nodes.values().stream().allMatch(node -> node.status == Status.DONE && node.expanded);
    }

    List<Node> with(Status status) {
        List<Node> result = new ArrayList<>();
        nodes.values().forEach(node -> {
            if (node.status == status) {
                result.add(node);
            }
        });
        return result;
    }

    /** Forgets what is done, of {@code ids}, unless something still waits that it was a predecessor of. One node stays, so that an end is known. */
    void prune(Collection<Long> ids) {
        for (Iterator<Map.Entry<Long, Node>> i = nodes.entrySet().iterator(); i.hasNext() && nodes.size() > 1;) {
            Node node = i.next().getValue();
            if (node.status == Status.DONE && node.expanded && ids.contains(node.id)
                    && nodes.values().stream().noneMatch(other -> other.status == Status.WAITING && other.predecessors.contains(node.id))) {
                i.remove();
            }
        }
    }

    /**
     * The stream cut that says what was read, or null if it cannot be told.
     *
     * @param offsets of the segments that readers have
     * @param ends final offsets of segments that are done
     */
    TreeMap<Long, Long> cut(Map<Long, Long> offsets, Map<Long, Long> ends) {
        TreeMap<Long, Long> result = new TreeMap<>();
        for (Node node : nodes.values()) {
            switch (node.status) {
                case ASSIGNED -> {
                    Long offset = offsets.get(node.id);
                    if (offset == null) {
                        return null;
                    }
                    result.put(node.id, offset);
                }
                case READY -> result.put(node.id, node.offset);
                case DONE -> {
                    boolean waitedFor = !node.expanded || last(node.id)
                            || nodes.values().stream().anyMatch(other -> other.status == Status.WAITING && other.predecessors.contains(node.id));
                    if (waitedFor) {
                        Long end = ends.get(node.id);
                        if (end == null) {
                            return null;
                        }
                        result.put(node.id, end);
                    }
                }
                default -> { }
            }
        }
        return result.isEmpty() ? null : result;
    }
}
