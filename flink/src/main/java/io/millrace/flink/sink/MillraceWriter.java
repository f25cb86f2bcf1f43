package io.millrace.flink.sink;

import io.millrace.flink.client.StoreClient;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BiConsumer;
import java.util.function.BooleanSupplier;
import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.common.operators.MailboxExecutor;
import org.apache.flink.api.connector.sink2.CommittingSinkWriter;
import org.apache.flink.api.connector.sink2.StatefulSinkWriter;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.metrics.groups.SinkWriterMetricGroup;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One subtask of the sink. All that may block runs in a sender thread: the task's thread hands events over, and waits for room by working
 * off its mailbox, never longer than the timeout. An error is thrown with the next call.
 */
final class MillraceWriter<T> implements StatefulSinkWriter<T, WriterState>, CommittingSinkWriter<T, Committable> {
    private static final Logger LOG = LoggerFactory.getLogger(MillraceWriter.class);
    private static final int LARGEST_EVENT = 8 << 20;
    private static final long NOTE_MILLIS = 1000;

    private final SinkSettings settings;
    private final MillraceSerializationSchema<T> schema;
    private final MailboxExecutor mailbox;
    private final SinkWriterMetricGroup metrics;
    private final StoreClient client;
    private final ExecutorService sender;
    private final ScheduledExecutorService keeper;
    private final AtomicInteger inFlight = new AtomicInteger();
    private final AtomicLong inFlightBytes = new AtomicLong();
    private final AtomicReference<Throwable> failure = new AtomicReference<>();
    private final AtomicBoolean mailSent = new AtomicBoolean();
    /** What is wrong with the stream, once that was asked; for the task's thread. */
    private String diagnosis;
    /** For the sender, in order. */
    private final ConcurrentLinkedQueue<Step> steps = new ConcurrentLinkedQueue<>();
    private final AtomicBoolean senderBusy = new AtomicBoolean();
    /** What the task's thread waits for, or null. */
    private volatile BooleanSupplier awaited;
    private volatile long sendNanos;
    private volatile EventOutput output;
    private volatile TransactionalOutput transactions;
    private long watermark = Long.MIN_VALUE;
    private long noted = Long.MIN_VALUE;
    private long noteDue = System.nanoTime();

    MillraceWriter(SinkSettings settings, MillraceSerializationSchema<T> schema, WriterInitContext context, Collection<WriterState> left) {
        this.settings = settings;
        this.schema = schema;
        this.mailbox = context.getMailboxExecutor();
        this.metrics = context.metricGroup();
        metrics.setCurrentSendTimeGauge(() -> TimeUnit.NANOSECONDS.toMillis(sendNanos));
        String name = "millrace-sink-" + settings.stream + "-" + context.getTaskInfo().getIndexOfThisSubtask();
        sender = Executors.newSingleThreadExecutor(daemon(name));
        keeper = Executors.newSingleThreadScheduledExecutor(daemon(name + "-keeper"));
        client = new StoreClient(settings.store);
        send(() -> {
            if (settings.transactional()) {
                transactions = new TransactionalOutput(client, settings, this::fail);
                output = transactions;
                long interval = transactions.leases().pingInterval();
                keeper.scheduleAtFixedRate(() -> transactions.leases().ping(), interval, interval, TimeUnit.MILLISECONDS);
                for (WriterState state : left) {
                    LOG.info("aborting transaction {} of {}, which the job wrote after the checkpoint it is restored from", state.transaction(),
                            state.stream());
                    transactions.leases().abort(state.transaction());
                }
            } else {
                output = new PlainOutput(client, settings);
            }
        });
        keeper.scheduleAtFixedRate(this::lookAgain, 1, 1, TimeUnit.SECONDS);
    }

    private static ThreadFactory daemon(String name) {
        return task -> {
            Thread thread = new Thread(task, name);
            thread.setDaemon(true);
            return thread;
        };
    }

    private interface Step {
        void run() throws Exception;
    }

    /** An event on its way: a step of the sender, then what waits for the store's answer. */
    private final class Event implements Step, BiConsumer<Void, Throwable> {
        private final String key;
        private final byte[] data;
        private final long begun = System.nanoTime();

        Event(String key, byte[] data) {
            this.key = key;
            this.data = data;
        }

        @Override
        public void run() throws Exception {
            if (failure.get() == null) {
                output.write(key, data).whenComplete(this);
            }
        }

        @Override
        public void accept(Void ok, Throwable error) {
            sendNanos = System.nanoTime() - begun;
            if (error != null) {
                fail(error);
            }
            inFlightBytes.addAndGet(-data.length);
            inFlight.decrementAndGet();
            wake();
        }
    }

    /** @return completes when the sender has done it; a failure is that of the writer too */
    private CompletableFuture<Void> send(Step step) {
        CompletableFuture<Void> done = new CompletableFuture<>();
        enqueue(() -> {
            try {
                if (failure.get() == null) {
                    step.run();
                }
            } catch (Throwable e) {
                fail(e);
            }
            // After the failure is known: who finds it done must find that too.
            done.complete(null);
            wake();
        });
        return done;
    }

    /** The sender is told of the first step only that finds it idle: events that come fast cost it no wake-up each. */
    private void enqueue(Step step) {
        steps.add(step);
        if (senderBusy.compareAndSet(false, true)) {
            sender.execute(this::work);
        }
    }

    private void work() {
        do {
            for (Step step = steps.poll(); step != null && !sender.isShutdown(); step = steps.poll()) {
                try {
                    step.run();
                } catch (Throwable e) {
                    fail(e);
                }
            }
            senderBusy.set(false);
            // What was added before that, by somebody who found it busy.
        } while (!steps.isEmpty() && !sender.isShutdown() && senderBusy.compareAndSet(false, true));
    }

    private void fail(Throwable error) {
        if (failure.compareAndSet(null, error)) {
            metrics.getNumRecordsSendErrorsCounter().inc();
        }
        wake();
    }

    /** Lets the task's thread go on, if what it waits for has come. */
    private void wake() {
        BooleanSupplier done = awaited;
        if (done != null && (failure.get() != null || done.getAsBoolean())) {
            lookAgain();
        }
    }

    /** Lets the task's thread look again, if it waits. */
    private void lookAgain() {
        if (awaited != null && mailSent.compareAndSet(false, true)) {
            try {
                mailbox.execute(() -> mailSent.set(false), "millrace sink: progress");
            } catch (RejectedExecutionException e) {
                LOG.debug("the task has ended", e);
            }
        }
    }

    private void throwFailure() throws IOException {
        Throwable error = failure.get();
        if (error == null) {
            return;
        }
        if (diagnosis == null) {
            // Once: it asks the server. The client's own errors do not always tell.
            String found = StoreClient.unavailable(error) ? null : client.diagnosis(settings.stream);
            diagnosis = found == null ? "" : found;
        }
        String prefix = diagnosis.isEmpty() ? "" : diagnosis + " (";
        String suffix = diagnosis.isEmpty() ? "" : ")";
        if (error instanceof TransactionGoneException gone) {
            throw new TransactionGoneException(prefix + gone.getMessage() + suffix, gone);
        }
        String said = error instanceof IOException ? error.getMessage() : client.said(error);
        throw new IOException("writing to " + settings.stream + " failed: " + prefix + said + suffix, error);
    }

    private void await(BooleanSupplier done, String what) throws IOException, InterruptedException {
        if (done.getAsBoolean()) {
            throwFailure();
            return;
        }
        long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(settings.timeoutMillis);
        awaited = done;
        try {
            while (!done.getAsBoolean()) {
                throwFailure();
                if (System.nanoTime() > deadline) {
                    throw new IOException("writing to " + settings.stream + " made no progress in " + settings.timeoutMillis / 1000 + " s (" + what
                            + ", " + inFlight + " events are not acknowledged)");
                }
                mailbox.yield();
            }
        } finally {
            awaited = null;
        }
        throwFailure();
    }

    private boolean full() {
        return inFlight.get() >= settings.maxInFlight || inFlightBytes.get() >= settings.maxInFlightBytes;
    }

    /** Waited for when it was full: to go on with each single event that is stored would cost a wake-up for each. */
    private boolean muchRoom() {
        return inFlight.get() <= settings.maxInFlight / 2 && inFlightBytes.get() <= settings.maxInFlightBytes / 2;
    }

    @Override
    public void write(T record, Context context) throws IOException, InterruptedException {
        throwFailure();
        byte[] event = schema.serialize(record);
        if (event == null) {
            return;
        }
        if (event.length > LARGEST_EVENT && (settings.transactional() || !settings.largeEvents)) {
            throw new IOException("an event of " + event.length + " bytes is larger than the " + LARGEST_EVENT + " that "
                    + (settings.transactional() ? "an event in a transaction" : "an ordinary event") + " can hold");
        }
        if (full()) {
            await(this::muchRoom, "waiting for room");
        }
        String key = schema.routingKey(record);
        inFlight.incrementAndGet();
        inFlightBytes.addAndGet(event.length);
        enqueue(new Event(key, event));
        metrics.getNumRecordsSendCounter().inc();
        metrics.getNumBytesSendCounter().inc(event.length);
    }

    @Override
    public void writeWatermark(Watermark to) throws IOException, InterruptedException {
        if (!settings.noteWatermarks || to.getTimestamp() == Long.MAX_VALUE || to.getTimestamp() <= watermark) {
            return;
        }
        watermark = to.getTimestamp();
        // Within a transaction time is noted by its commit.
        if (!settings.transactional() && System.nanoTime() > noteDue) {
            noteDue = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(NOTE_MILLIS);
            note();
        }
    }

    private void note() {
        if (settings.noteWatermarks && watermark > noted) {
            long time = watermark;
            noted = time;
            send(() -> {
                if (!settings.transactional()) {
                    output.flush();
                }
                output.noteTime(time);
            });
        }
    }

    @Override
    public void flush(boolean endOfInput) throws IOException, InterruptedException {
        if (settings.guarantee == DeliveryGuarantee.NONE && !endOfInput) {
            throwFailure();
            return;
        }
        note();
        // What was written meanwhile is flushed too: nothing may be between this and prepareCommit.
        do {
            CompletableFuture<Void> flushed = send(() -> output.flush());
            await(flushed::isDone, "flushing");
            await(() -> inFlight.get() == 0, "flushing");
        } while (inFlight.get() != 0);
        if (settings.transactional()) {
            CompletableFuture<Void> prepared = send(() -> transactions.prepare(!endOfInput));
            await(prepared::isDone, "preparing a transaction");
        }
    }

    @Override
    public Collection<Committable> prepareCommit() throws IOException {
        throwFailure();
        return transactions == null ? List.of() : transactions.handOver().map(List::of).orElse(List.of());
    }

    @Override
    public List<WriterState> snapshotState(long checkpoint) throws IOException {
        throwFailure();
        List<WriterState> result = new ArrayList<>();
        UUID current = transactions == null ? null : transactions.current();
        if (current != null) {
            result.add(new WriterState(settings.stream, current));
        }
        return result;
    }

    @Override
    public void close() throws Exception {
        keeper.shutdownNow();
        sender.shutdownNow();
        try {
            if (!sender.awaitTermination(10, TimeUnit.SECONDS)) {
                LOG.warn("the sender of {} is still busy", settings.stream);
            }
            if (transactions != null) {
                transactions.close();
            } else if (output != null && failure.get() == null && inFlight.get() == 0) {
                output.close();
            }
        } finally {
            client.close();
        }
    }
}
