package io.millrace.flink.source;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.connector.source.ReaderOutput;
import org.apache.flink.api.connector.source.SourceEvent;
import org.apache.flink.api.connector.source.SourceOutput;
import org.apache.flink.api.connector.source.SourceReaderContext;
import org.apache.flink.connector.base.source.reader.RecordEmitter;
import org.apache.flink.connector.base.source.reader.SingleThreadMultiplexSourceReaderBase;
import org.apache.flink.core.io.InputStatus;
import org.apache.flink.metrics.Counter;
import org.apache.flink.util.Collector;
import org.apache.flink.util.FlinkRuntimeException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** One subtask of the source. Its checkpoint is the offsets of its segments; nothing is asked of the store for it. */
final class MillraceReader<T> extends SingleThreadMultiplexSourceReaderBase<SegmentEvent, T, SegmentSplit, SplitState> {
    private static final Logger LOG = LoggerFactory.getLogger(MillraceReader.class);
    private static final int CHECKPOINTS_REMEMBERED = 10;

    private final SegmentSplitSerializer serializer = new SegmentSplitSerializer();
    private final boolean reportProgress;
    private final LagTracker lag;
    /** Read to their end, but the enumerator has not said that it knows. */
    private final Map<String, SegmentSplit> finished = new LinkedHashMap<>();
    /** Outputs of finished splits: they hold the watermark back until what follows them is with a reader. */
    private final Set<String> held = new HashSet<>();
    /** Finished before a restore: they are held too, when there is an output. */
    private final Set<String> toHold = new HashSet<>();
    private final List<SegmentSplit> restored = new ArrayList<>();
    private final TreeMap<Long, Map<String, Long>> offsetsAt = new TreeMap<>();
    private HoldingOutput<T> output;
    private boolean started;
    /** Idle before that, it would let others pass by what it is about to be given: its events would come late. */
    private boolean allGiven;
    private boolean idle;

    MillraceReader(SourceSettings settings, MillraceDeserializationSchema<T> schema, SourceReaderContext context) {
        this(settings, schema, context, new LagTracker(context.metricGroup()));
    }

    private MillraceReader(SourceSettings settings, MillraceDeserializationSchema<T> schema, SourceReaderContext context, LagTracker lag) {
        super(() -> new MillraceSplitReader(settings, lag), new Emitter<>(settings, schema, lag, context), context.getConfiguration(), context);
        this.reportProgress = settings.readerGroup != null;
        this.lag = lag;
    }

    @Override
    public void start() {
        super.start();
        started = true;
        List<byte[]> splits = new ArrayList<>();
        restored.forEach(split -> splits.add(bytes(split)));
        restored.clear();
        context.sendSourceEventToCoordinator(new SourceEvents.Hello(splits));
    }

    @Override
    public void addSplits(List<SegmentSplit> splits) {
        List<SegmentSplit> toRead = new ArrayList<>();
        for (SegmentSplit split : splits) {
            if (!started) {
                restored.add(split);
            }
            if (split.finished()) {
                finished.put(split.splitId(), split);
                toHold.add(split.splitId());
            } else {
                toRead.add(split);
            }
        }
        if (!toRead.isEmpty()) {
            super.addSplits(toRead);
        }
    }

    @Override
    public InputStatus pollNext(ReaderOutput<T> to) throws Exception {
        if (output == null || output.to != to) {
            output = new HoldingOutput<>(to, held);
        }
        if (!toHold.isEmpty()) {
            for (String id : toHold) {
                to.createOutputForSplit(id);
                held.add(id);
            }
            toHold.clear();
        }
        InputStatus status = super.pollNext(output);
        idleWithoutSegments();
        return status;
    }

    /** Without a segment there is nothing that could hold others up. Also where an event changes that: nobody polls a reader that has nothing. */
    private void idleWithoutSegments() {
        boolean nothing = allGiven && getNumberOfCurrentlyAssignedSplits() == 0 && held.isEmpty() && toHold.isEmpty();
        if (nothing && !idle) {
            output.to.markIdle();
        }
        idle = nothing;
    }

    @Override
    protected void onSplitFinished(Map<String, SplitState> splits) {
        splits.forEach((id, state) -> {
            SegmentSplit split = state.split.asFinished(state.offset);
            finished.put(id, split);
            context.sendSourceEventToCoordinator(new SourceEvents.Finished(bytes(split)));
        });
    }

    @Override
    public void handleSourceEvents(SourceEvent event) {
        if (event instanceof SourceEvents.FinishedNoted noted) {
            finished.remove(noted.splitId);
            toHold.remove(noted.splitId);
            if (held.remove(noted.splitId) && output != null) {
                output.to.releaseOutputForSplit(noted.splitId);
                idleWithoutSegments();
            }
        } else if (event instanceof SourceEvents.AllGiven) {
            allGiven = true;
            if (output != null) {
                idleWithoutSegments();
            }
        } else {
            super.handleSourceEvents(event);
        }
    }

    @Override
    public void pauseOrResumeSplits(Collection<String> pause, Collection<String> resume) {
        super.pauseOrResumeSplits(open(pause), open(resume));
    }

    private List<String> open(Collection<String> ids) {
        return ids.stream().filter(id -> !finished.containsKey(id) && !held.contains(id)).toList();
    }

    @Override
    public List<SegmentSplit> snapshotState(long checkpoint) {
        List<SegmentSplit> splits = new ArrayList<>(super.snapshotState(checkpoint));
        splits.addAll(finished.values());
        if (reportProgress) {
            Map<String, Long> offsets = new HashMap<>();
            splits.forEach(split -> offsets.put(split.splitId(), split.offset()));
            offsetsAt.put(checkpoint, offsets);
            while (offsetsAt.size() > CHECKPOINTS_REMEMBERED) {
                offsetsAt.pollFirstEntry();
            }
        }
        return splits;
    }

    @Override
    public void notifyCheckpointComplete(long checkpoint) throws Exception {
        super.notifyCheckpointComplete(checkpoint);
        Map<String, Long> offsets = offsetsAt.get(checkpoint);
        offsetsAt.headMap(checkpoint, true).clear();
        if (offsets != null) {
            context.sendSourceEventToCoordinator(new SourceEvents.Progress(checkpoint, offsets));
        }
    }

    @Override
    protected SplitState initializedState(SegmentSplit split) {
        return new SplitState(split);
    }

    @Override
    protected SegmentSplit toSplitType(String id, SplitState state) {
        return state.split.at(state.offset);
    }

    private byte[] bytes(SegmentSplit split) {
        try {
            return serializer.serialize(split);
        } catch (IOException e) {
            throw new FlinkRuntimeException(e);
        }
    }

    /** Keeps the outputs of finished splits until they are let go. */
    private static final class HoldingOutput<T> implements ReaderOutput<T> {
        final ReaderOutput<T> to;
        private final Set<String> held;

        HoldingOutput(ReaderOutput<T> to, Set<String> held) {
            this.to = to;
            this.held = held;
        }

        @Override
        public void collect(T record) {
            to.collect(record);
        }

        @Override
        public void collect(T record, long timestamp) {
            to.collect(record, timestamp);
        }

        @Override
        public void emitWatermark(Watermark watermark) {
            to.emitWatermark(watermark);
        }

        @Override
        public void markIdle() {
            to.markIdle();
        }

        @Override
        public void markActive() {
            to.markActive();
        }

        @Override
        public SourceOutput<T> createOutputForSplit(String id) {
            return to.createOutputForSplit(id);
        }

        @Override
        public void releaseOutputForSplit(String id) {
            held.add(id);
        }
    }

    private static final class Emitter<T> implements RecordEmitter<SegmentEvent, T, SplitState> {
        private final MillraceDeserializationSchema<T> schema;
        private final LagTracker lag;
        private final Counter bytes;
        private final Counter errors;
        private final MillraceDeserializationSchema.Origin origin = new MillraceDeserializationSchema.Origin();
        private final Out<T> out = new Out<>();
        private final boolean failOnUnreadable;

        Emitter(SourceSettings settings, MillraceDeserializationSchema<T> schema, LagTracker lag, SourceReaderContext context) {
            this.failOnUnreadable = settings.failOnUnreadable;
            this.schema = schema;
            this.lag = lag;
            this.bytes = context.metricGroup().getIOMetricGroup().getNumBytesInCounter();
            this.errors = context.metricGroup().getNumRecordsInErrorsCounter();
        }

        @Override
        public void emitRecord(SegmentEvent event, SourceOutput<T> output, SplitState state) throws Exception {
            if (event.data() != null) {
                origin.segment = state.segmentName;
                origin.offset = event.offset();
                origin.length = (int) (event.next() - event.offset());
                origin.window = event.window();
                out.to = output;
                try {
                    schema.deserialize(event.data(), origin, out);
                } catch (IOException | RuntimeException e) {
                    errors.inc();
                    if (failOnUnreadable) {
                        throw new IOException("the event at " + origin.eventPointer() + " could not be deserialized: " + e, e);
                    }
                    LOG.warn("the event at {} could not be deserialized; it is skipped", origin.eventPointer(), e);
                }
                bytes.inc(origin.length);
                if (state.lag == null) {
                    state.lag = lag.of(state.segmentName);
                }
                lag.emitted(state.lag, event.next(), event.data().length);
                state.offset = event.next();
            }
            if (event.mark() != Long.MIN_VALUE) {
                output.emitWatermark(new Watermark(event.mark() - 1));
            }
        }
    }

    private static final class Out<T> implements Collector<T> {
        private SourceOutput<T> to;

        @Override
        public void collect(T record) {
            to.collect(record);
        }

        @Override
        public void close() {}
    }
}
