package io.millrace.flink.sink;

import io.millrace.flink.client.StoreClient;
import io.millrace.flink.client.StreamName;
import io.pravega.client.security.auth.DelegationTokenProvider;
import io.pravega.client.segment.impl.Segment;
import io.pravega.client.segment.impl.SegmentOutputStream;
import io.pravega.client.segment.impl.SegmentSealedException;
import io.pravega.client.stream.EventWriterConfig;
import io.pravega.client.stream.impl.PendingEvent;
import io.pravega.client.stream.impl.TxnSegments;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;

/** A transaction that takes events. Connects to a segment with the first event for it. For the sender thread. */
final class OpenTransaction {
    final StreamName stream;
    final UUID id;
    private final StoreClient client;
    private final EventWriterConfig config;
    private final TxnSegments segments;
    private final DelegationTokenProvider token;
    private final Map<Segment, SegmentOutputStream> outputs = new HashMap<>();
    private boolean empty = true;

    OpenTransaction(StoreClient client, StreamName stream, TxnSegments segments, DelegationTokenProvider token) {
        this.client = client;
        this.config = client.writerConfig().build();
        this.stream = stream;
        this.segments = segments;
        this.id = segments.getTxnId();
        this.token = token;
    }

    boolean empty() {
        return empty;
    }

    CompletableFuture<Void> write(String key, byte[] event) {
        empty = false;
        // As the client does: all events without a key go to one segment, which the transaction's id chooses.
        Segment segment = segments.getStreamSegments().getSegmentForKey(key == null ? id.toString() : key);
        CompletableFuture<Void> stored = new CompletableFuture<>();
        outputs.computeIfAbsent(segment, s -> client.openTransaction(s, id, config, token))
                .write(PendingEvent.withHeader(key, ByteBuffer.wrap(event), stored));
        return stored;
    }

    void flush() throws IOException {
        try {
            for (SegmentOutputStream output : outputs.values()) {
                output.flush();
            }
        } catch (SegmentSealedException e) {
            throw gone(e);
        } catch (RuntimeException e) {
            throw new IOException("transaction " + id + " of " + stream + " could not be flushed: " + e, e);
        }
    }

    TransactionGoneException gone(Throwable cause) {
        return new TransactionGoneException("transaction " + id + " of " + stream
                + " is gone while it was being written: its lease ran out, or somebody aborted it. Its events are in no checkpoint; they are written"
                + " again from the last one", cause);
    }

    /** Lets go of the connections. The transaction stays. */
    void close() {
        for (SegmentOutputStream output : outputs.values()) {
            try {
                output.close();
            } catch (SegmentSealedException | RuntimeException e) {
                // All was flushed, or the transaction is given up.
            }
        }
        outputs.clear();
    }
}
