package io.millrace.flink.source;

import io.millrace.flink.client.StoreClient;
import io.millrace.flink.client.StreamName;
import io.pravega.client.segment.impl.EndOfSegmentException;
import io.pravega.client.segment.impl.EventSegmentReader;
import io.pravega.client.segment.impl.NoSuchSegmentException;
import io.pravega.client.segment.impl.SegmentTruncatedException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.apache.flink.connector.base.source.reader.RecordsBySplits;
import org.apache.flink.connector.base.source.reader.RecordsWithSplitIds;
import org.apache.flink.connector.base.source.reader.splitreader.SplitReader;
import org.apache.flink.connector.base.source.reader.splitreader.SplitsAddition;
import org.apache.flink.connector.base.source.reader.splitreader.SplitsChange;
import org.apache.flink.connector.base.source.reader.splitreader.SplitsRemoval;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Reads the segments of one reader, in turn, whichever has data. Runs in the fetcher's thread but for {@link #wakeUp}. */
final class MillraceSplitReader implements SplitReader<SegmentEvent, SegmentSplit> {
    private static final Logger LOG = LoggerFactory.getLogger(MillraceSplitReader.class);
    private static final int EVENTS_PER_SEGMENT = 1000;
    private static final int BYTES_PER_SEGMENT = 512 * 1024;
    private static final int HEADER = 8; // type and length, before each event
    private static final long NO_WAITING = 0;
    private static final long IDLE_MILLIS = 1000;
    private static final long MARKS_MILLIS = 1000;
    /** How long the client repeats a read before it gives up. */
    private static final long CLIENT_RETRIES_MILLIS = 130_000;

    private static final class Open {
        final SegmentSplit split;
        final EventSegmentReader reader;
        boolean paused;
        int failures;
        CompletableFuture<?> watched;
        long nextMark;
        long window = Long.MIN_VALUE;

        Open(SegmentSplit split, EventSegmentReader reader) {
            this.split = split;
            this.reader = reader;
        }
    }

    /** The marks of a stream that some of its segments have not passed, and the last one that all have. */
    private static final class Marks {
        final MarkLog log;
        final ArrayList<MarkLog.Mark> list = new ArrayList<>();
        long first;

        Marks(MarkLog log) {
            this.log = log;
        }
    }

    private final StoreClient client;
    private final SourceSettings settings;
    private final LagTracker lag;
    private final Map<String, Open> open = new LinkedHashMap<>();
    private final Map<StreamName, Marks> marks = new HashMap<>();
    private final Semaphore wake = new Semaphore(0);
    private volatile boolean wakeUp;
    private long marksDue = System.nanoTime();
    private long lagDue = System.nanoTime();

    MillraceSplitReader(SourceSettings settings, LagTracker lag) {
        this.settings = settings;
        this.lag = lag;
        this.client = new StoreClient(settings.store);
    }

    @Override
    public RecordsWithSplitIds<SegmentEvent> fetch() throws IOException {
        RecordsBySplits.Builder<SegmentEvent> batch = new RecordsBySplits.Builder<>();
        boolean any = pollMarks(batch);
        pollLag();
        for (Open segment : List.copyOf(open.values())) {
            if (segment.paused) {
                continue;
            }
            if (ready(segment)) {
                any |= drain(segment, batch);
            } else {
                watch(segment);
            }
        }
        // What became ready since it was looked at has left a permit.
        if (!any && !wakeUp) {
            await();
        }
        wake.drainPermits();
        wakeUp = false;
        return batch.build();
    }

    private void await() {
        try {
            if (!wake.tryAcquire(IDLE_MILLIS, TimeUnit.MILLISECONDS)) {
                LOG.trace("nothing to read in {}", open.keySet());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Whether a read has something to say. At an end offset the client's reader knows without data, and asks for none. */
    private static boolean ready(Open segment) {
        return segment.reader.isSegmentReady() || segment.reader.getOffset() >= segment.split.end();
    }

    private void watch(Open segment) {
        CompletableFuture<?> data = segment.reader.fillBuffer();
        if (data.isDone()) {
            if (ready(segment)) {
                wake.release();
            }
        } else if (data != segment.watched) {
            segment.watched = data;
            data.whenComplete((ok, error) -> wake.release());
        }
    }

    /** For a segment that is ready. @return whether anything was read, or the segment ended */
    private boolean drain(Open segment, RecordsBySplits.Builder<SegmentEvent> batch) throws IOException {
        String id = segment.split.splitId();
        List<SegmentEvent> events = new ArrayList<>();
        long offset = segment.reader.getOffset();
        try {
            for (int bytes = 0; events.size() < EVENTS_PER_SEGMENT && bytes < BYTES_PER_SEGMENT; ) {
                // Not asked each time whether it is ready: without data it says so at once, and each question takes its locks.
                ByteBuffer event = segment.reader.read(NO_WAITING);
                if (event == null) {
                    break;
                }
                segment.failures = 0;
                byte[] data = bytesOf(event);
                long next = offset + HEADER + data.length;
                events.add(new SegmentEvent(data, offset, next, passMarks(segment, next), segment.window));
                offset = next;
                bytes += data.length;
            }
            if (events.isEmpty()) {
                watch(segment);
            } else {
                batch.addAll(id, events);
            }
            return !events.isEmpty();
        } catch (EndOfSegmentException e) {
            LOG.debug("end of {} at {}", id, segment.reader.getOffset());
            addAll(batch, id, events);
            close(segment);
            batch.addFinishedSplit(id);
            return true;
        } catch (SegmentTruncatedException e) {
            addAll(batch, id, events);
            return truncated(segment, batch) || !events.isEmpty();
        } catch (RuntimeException e) {
            if (StoreClient.unavailable(e) && ++segment.failures * CLIENT_RETRIES_MILLIS < settings.store.retryMillis()) {
                LOG.warn("segment {} cannot be reached; it is tried again at offset {}", id, offset, e);
                addAll(batch, id, events);
                segment.reader.setOffset(offset);
                watch(segment);
                return !events.isEmpty();
            }
            throw new IOException("segment " + id + " could not be read at offset " + segment.reader.getOffset() + ": " + e, e);
        }
    }

    private static void addAll(RecordsBySplits.Builder<SegmentEvent> batch, String id, List<SegmentEvent> events) {
        if (!events.isEmpty()) {
            batch.addAll(id, events);
        }
    }

    /** The client's reader gives each event an array of its own, which then is taken as it is. */
    private static byte[] bytesOf(ByteBuffer event) {
        if (event.hasArray() && event.arrayOffset() == 0 && event.position() == 0 && event.array().length == event.remaining()) {
            return event.array();
        }
        byte[] data = new byte[event.remaining()];
        event.get(data);
        return data;
    }

    private boolean truncated(Open segment, RecordsBySplits.Builder<SegmentEvent> batch) throws IOException {
        String id = segment.split.splitId();
        long offset = segment.reader.getOffset();
        Long start = null;
        try {
            start = client.await(client.info(segment.split.segment()), "find the start of truncated segment " + id).getStartingOffset();
        } catch (IOException e) {
            if (!(e.getCause() instanceof NoSuchSegmentException)) {
                throw e;
            }
        }
        boolean nothingMissed = segment.split.movable() && offset == segment.split.offset();
        if (!nothingMissed && settings.failOnTruncation) {
            throw new IOException("events were deleted before they were read: segment " + id + " was truncated "
                    + (start == null ? "as a whole" : "up to offset " + start) + ", but is read only up to offset " + offset
                    + ". Retention is shorter than this job is behind; to go on without these events, call skipTruncated() or set scan.truncation = skip");
        }
        if (start == null) {
            LOG.warn("segment {} is gone, read up to offset {}", id, offset);
            if (!nothingMissed) {
                lag.skippedSegment();
            }
            close(segment);
            batch.addFinishedSplit(id);
            return true;
        }
        if (start > offset) {
            LOG.warn("segment {} was truncated: going on at offset {} instead of {}", id, start, offset);
            if (!nothingMissed) {
                lag.skipped(start - offset);
            }
            segment.reader.setOffset(start);
        }
        return false;
    }

    /** @return a new lower bound for what follows in the segment, or Long.MIN_VALUE */
    private long passMarks(Open segment, long position) {
        Marks of = marks.isEmpty() ? null : marks.get(segment.split.stream());
        if (of == null) {
            return Long.MIN_VALUE;
        }
        long passed = Long.MIN_VALUE;
        segment.nextMark = Math.max(segment.nextMark, of.first);
        while (segment.nextMark < of.first + of.list.size()) {
            MarkLog.Mark mark = of.list.get((int) (segment.nextMark - of.first));
            if (!of.log.passed(mark, segment.split.segmentId(), position)) {
                break;
            }
            passed = mark.lower();
            segment.nextMark++;
        }
        if (passed > segment.window) {
            segment.window = passed;
            return passed;
        }
        return Long.MIN_VALUE;
    }

    private boolean pollMarks(RecordsBySplits.Builder<SegmentEvent> batch) throws IOException {
        if (!settings.marks || System.nanoTime() < marksDue) {
            return false;
        }
        marksDue = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(MARKS_MILLIS);
        boolean any = false;
        for (Open segment : open.values()) {
            marks.computeIfAbsent(segment.split.stream(), stream -> new Marks(new MarkLog(client, stream)));
        }
        for (Marks of : marks.values()) {
            of.list.addAll(of.log.next());
        }
        for (Open segment : open.values()) {
            long offset = segment.reader.getOffset();
            long passed = passMarks(segment, offset);
            if (passed != Long.MIN_VALUE) {
                batch.add(segment.split.splitId(), new SegmentEvent(null, offset, offset, passed, segment.window));
                any = true;
            }
        }
        marks.forEach((stream, of) -> {
            long keep = of.first + of.list.size();
            for (Open segment : open.values()) {
                if (segment.split.stream().equals(stream)) {
                    keep = Math.min(keep, segment.nextMark);
                }
            }
            // The last mark that all have passed stays, for a segment that is opened later.
            int drop = (int) (keep - of.first) - 1;
            if (drop > 0) {
                of.list.subList(0, drop).clear();
                of.first += drop;
            }
        });
        return any;
    }

    private void pollLag() {
        if (settings.lagMillis <= 0 || System.nanoTime() < lagDue) {
            return;
        }
        lagDue = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(settings.lagMillis);
        open.values().forEach(segment -> lag.ask(segment.split, client::info));
    }

    @Override
    public void handleSplitsChanges(SplitsChange<SegmentSplit> change) {
        if (change instanceof SplitsAddition) {
            for (SegmentSplit split : change.splits()) {
                lag.opened(split);
                open.put(split.splitId(), new Open(split, client.open(split.segment(), split.offset(), split.end(), settings.bufferBytes)));
            }
            lagDue = System.nanoTime();
            marksDue = System.nanoTime();
        } else if (change instanceof SplitsRemoval) {
            for (SegmentSplit split : change.splits()) {
                Open segment = open.get(split.splitId());
                if (segment != null) {
                    close(segment);
                }
            }
        } else {
            throw new UnsupportedOperationException("a change of splits of kind " + change.getClass());
        }
    }

    @Override
    public void pauseOrResumeSplits(Collection<SegmentSplit> pause, Collection<SegmentSplit> resume) {
        pause.forEach(split -> setPaused(split, true));
        resume.forEach(split -> setPaused(split, false));
    }

    private void setPaused(SegmentSplit split, boolean paused) {
        Open segment = open.get(split.splitId());
        if (segment != null) {
            segment.paused = paused;
        }
    }

    private void close(Open segment) {
        open.remove(segment.split.splitId());
        lag.closed(segment.split.splitId());
        segment.reader.close();
    }

    @Override
    public void wakeUp() {
        wakeUp = true;
        wake.release();
    }

    @Override
    public void close() {
        try {
            List.copyOf(open.values()).forEach(this::close);
        } finally {
            client.close();
        }
    }
}
