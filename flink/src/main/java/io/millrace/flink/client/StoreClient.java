package io.millrace.flink.client;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.pravega.client.ClientConfig;
import io.pravega.client.EventStreamClientFactory;
import io.pravega.client.admin.impl.StreamCutHelper;
import io.pravega.client.connection.impl.ConnectionPoolImpl;
import io.pravega.client.connection.impl.SocketConnectionFactoryImpl;
import io.pravega.client.control.impl.Controller;
import io.pravega.client.control.impl.ControllerImpl;
import io.pravega.client.control.impl.ControllerImplConfig;
import io.pravega.client.security.auth.DelegationTokenProvider;
import io.pravega.client.security.auth.DelegationTokenProviderFactory;
import io.pravega.client.segment.impl.EventSegmentReader;
import io.pravega.client.segment.impl.Segment;
import io.pravega.client.segment.impl.SegmentInfo;
import io.pravega.client.segment.impl.SegmentInputStreamFactoryImpl;
import io.pravega.client.segment.impl.SegmentMetadataClient;
import io.pravega.client.segment.impl.SegmentMetadataClientFactoryImpl;
import io.pravega.client.segment.impl.SegmentOutputStream;
import io.pravega.client.segment.impl.SegmentOutputStreamFactoryImpl;
import io.pravega.client.state.RevisionedStreamClient;
import io.pravega.client.state.SynchronizerConfig;
import io.pravega.client.stream.EventWriterConfig;
import io.pravega.client.stream.ScalingPolicy;
import io.pravega.client.stream.StreamConfiguration;
import io.pravega.client.stream.StreamCut;
import io.pravega.client.stream.impl.ByteArraySerializer;
import io.pravega.client.stream.impl.ClientFactoryImpl;
import io.pravega.client.stream.impl.DefaultCredentials;
import io.pravega.client.stream.impl.SegmentWithRange;
import io.pravega.common.util.AsyncIterator;
import io.pravega.shared.protocol.netty.ConnectionFailedException;
import io.pravega.shared.security.auth.AccessOperation;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Connections to one server: its controller, and the stores of the segments that are read or written. All methods may be called from any
 * thread. A server that does not answer is asked again as long as {@link StoreOptions#retryMillis} says; calls that wait do so little longer.
 */
public final class StoreClient implements AutoCloseable {
    private static final int FIRST_PAUSE_MILLIS = 10;
    private static final int PAUSE_FACTOR = 5;
    private static final int LONGEST_PAUSE_MILLIS = 2000;
    private static final long DIAGNOSIS_SECONDS = 10;

    private static final Logger LOG = LoggerFactory.getLogger(StoreClient.class);

    private final ClientConfig config;
    private final long retryMillis;
    private final long waitSeconds;
    private final ConnectionPoolImpl pool;
    private final Controller controller;
    private final SegmentInputStreamFactoryImpl inputs;
    private final SegmentOutputStreamFactoryImpl outputs;
    private final SegmentMetadataClientFactoryImpl metadata;

    public StoreClient(StoreOptions options) {
        config = clientConfig(options);
        retryMillis = options.retryMillis();
        waitSeconds = options.retryMillis() / 1000 + 60;
        pool = new ConnectionPoolImpl(config, new SocketConnectionFactoryImpl(config, 2));
        controller = new ControllerImpl(ControllerImplConfig.builder().clientConfig(config)
                .initialBackoffMillis(FIRST_PAUSE_MILLIS).backoffMultiple(PAUSE_FACTOR).maxBackoffMillis(LONGEST_PAUSE_MILLIS)
                .retryAttempts(attempts(options.retryMillis())).build(), pool.getInternalExecutor());
        inputs = new SegmentInputStreamFactoryImpl(controller, pool);
        outputs = new SegmentOutputStreamFactoryImpl(controller, pool);
        metadata = new SegmentMetadataClientFactoryImpl(controller, pool);
    }

    public static ClientConfig clientConfig(StoreOptions options) {
        ClientConfig.ClientConfigBuilder builder = ClientConfig.builder().controllerURI(options.controller());
        if (options.authMethod() != null) {
            builder.credentials(new TokenCredentials(options.authMethod(), options.authToken()));
        }
        if (options.trustStore() != null) {
            builder.trustStore(options.trustStore()).validateHostName(options.validateHostName());
        }
        return builder.build();
    }

    /** Credentials whose token is ready for the header: the client's own ask for user and password. */
    private static final class TokenCredentials implements io.pravega.shared.security.auth.Credentials {
        private static final long serialVersionUID = 1L;
        private final String method;
        private final String token;

        TokenCredentials(String method, String token) {
            this.method = method;
            this.token = token;
        }

        @Override
        public String getAuthenticationType() {
            return method;
        }

        @Override
        public String getAuthenticationToken() {
            return token;
        }
    }

    /** The header's token for user and password. */
    public static String basicToken(String user, String password) {
        return new DefaultCredentials(password, user).getAuthenticationToken();
    }

    public Controller controller() {
        return controller;
    }

    /** A factory for writers in {@code scope}; shares this client's connections, and must not be closed. */
    public EventStreamClientFactory writers(String scope) {
        return new ClientFactoryImpl(scope, controller, pool);
    }

    /** A client of the one segment of a stream, on which writers agree by conditional writes. To be closed. */
    public RevisionedStreamClient<byte[]> revisions(StreamName stream) {
        return new ClientFactoryImpl(stream.scope(), controller, pool).createRevisionedStreamClient(stream.name(), new ByteArraySerializer(),
                SynchronizerConfig.builder().build());
    }

    /** @return false if it was there */
    public boolean createStream(StreamName stream, int segments) throws IOException {
        StreamConfiguration configuration = StreamConfiguration.builder().scalingPolicy(ScalingPolicy.fixed(segments)).build();
        return await(controller.createStream(stream.scope(), stream.name(), configuration), "create stream " + stream);
    }

    /** Seals the stream and deletes it with its data. */
    public void deleteStream(StreamName stream) throws IOException {
        await(controller.sealStream(stream.scope(), stream.name()), "seal stream " + stream);
        await(controller.deleteStream(stream.scope(), stream.name()), "delete stream " + stream);
    }

    /** Waits for a call's answer; what went wrong is thrown as an IOException that says what was being done, and at which server. */
    public <T> T await(CompletableFuture<T> future, String doing) throws IOException {
        try {
            return future.get(waitSeconds, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            Throwable cause = e.getCause();
            throw new IOException("could not " + doing + ": " + said(cause), cause);
        } catch (TimeoutException e) {
            throw new IOException("could not " + doing + ": no answer in " + waitSeconds + " s from " + config.getControllerURI(), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while waiting to " + doing, e);
        }
    }

    /** So many attempts fill {@code millis} with pauses, the last of which is not a short one. */
    static int attempts(long millis) {
        long spent = 0;
        int attempts = 1;
        for (long pause = FIRST_PAUSE_MILLIS; spent < millis; pause = Math.min(LONGEST_PAUSE_MILLIS, pause * PAUSE_FACTOR)) {
            spent += pause;
            attempts++;
        }
        return attempts;
    }

    /** For writers of events: they repeat what fails for as long as calls do. */
    public EventWriterConfig.EventWriterConfigBuilder writerConfig() {
        return EventWriterConfig.builder().enableConnectionPooling(true).initialBackoffMillis(FIRST_PAUSE_MILLIS).backoffMultiple(PAUSE_FACTOR)
                .maxBackoffMillis(LONGEST_PAUSE_MILLIS).retryAttempts(attempts(retryMillis));
    }

    /** Whether a call failed because no server could be reached, so that it may go through when it is back. */
    public static boolean unavailable(Throwable error) {
        for (Throwable e = error; e != null; e = e.getCause()) {
            if (e instanceof ConnectionFailedException || e instanceof StatusRuntimeException status
                    && (status.getStatus().getCode() == Status.Code.UNAVAILABLE || status.getStatus().getCode() == Status.Code.DEADLINE_EXCEEDED)) {
                return true;
            }
        }
        return false;
    }

    /** An error of the client as a part of a sentence. */
    public String said(Throwable error) {
        return unavailable(error) ? "no server answers at " + config.getControllerURI() + " (" + root(error).getMessage() + ")" : error.toString();
    }

    private static Throwable root(Throwable error) {
        Throwable result = error;
        while (result.getCause() != null) {
            result = result.getCause();
        }
        return result;
    }

    /**
     * What is wrong with a stream that could not be opened, as a sentence for the user; null if nothing is that can be seen. Waits some
     * seconds at most.
     */
    public String diagnosis(StreamName stream) {
        try {
            if (!ask(controller.checkScopeExists(stream.scope()))) {
                return "scope " + stream.scope() + " does not exist, so there is no stream " + stream;
            }
            if (!ask(controller.checkStreamExists(stream.scope(), stream.name()))) {
                return "stream " + stream + " does not exist";
            }
            if (ask(controller.getCurrentSegments(stream.scope(), stream.name())).getNumberOfSegments() == 0) {
                return "stream " + stream + " is sealed: nothing can be written to it any more";
            }
        } catch (ExecutionException | TimeoutException e) {
            LOG.debug("no diagnosis of {}", stream, e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return null;
    }

    private static <T> T ask(CompletableFuture<T> future) throws ExecutionException, TimeoutException, InterruptedException {
        return future.get(DIAGNOSIS_SECONDS, TimeUnit.SECONDS);
    }

    /** Positions of the oldest data that is still there: segment id to offset. */
    public TreeMap<Long, Long> head(StreamName stream) throws IOException {
        return atTime(stream, 0);
    }

    /** Positions behind the last event. Empty if the stream is sealed. */
    public TreeMap<Long, Long> tail(StreamName stream) throws IOException {
        StreamCut cut = await(new StreamCutHelper(controller, pool).fetchTailStreamCut(stream.toStream()), "find the tail of " + stream);
        return positions(cut);
    }

    /** Positions as of the scaling in force at {@code time} (milliseconds): no event that was written later lies before them. */
    public TreeMap<Long, Long> atTime(StreamName stream, long time) throws IOException {
        Map<Segment, Long> segments = await(controller.getSegmentsAtTime(stream.toStream(), time), "find the segments of " + stream);
        TreeMap<Long, Long> result = new TreeMap<>();
        segments.forEach((segment, offset) -> result.put(segment.getSegmentId(), offset));
        return result;
    }

    /** Positions of a stream cut of the client; @throws IllegalArgumentException if it is not one, or is one of another stream */
    public static TreeMap<Long, Long> positions(StreamName stream, String cutText) {
        StreamCut cut;
        try {
            cut = StreamCut.from(cutText);
        } catch (RuntimeException e) {
            throw new IllegalArgumentException("not a stream cut: '" + cutText + "'", e);
        }
        if (cut.asImpl() == null || !cut.asImpl().getStream().getScopedName().equals(stream.toString())) {
            throw new IllegalArgumentException("the stream cut is not one of " + stream);
        }
        return positions(cut);
    }

    private static TreeMap<Long, Long> positions(StreamCut cut) {
        TreeMap<Long, Long> result = new TreeMap<>();
        cut.asImpl().getPositions().forEach((segment, offset) -> result.put(segment.getSegmentId(), offset));
        return result;
    }

    /** What follows a segment that was read to its end. */
    public record Successor(long segmentId, double low, double high, List<Long> predecessors) {}

    /** Empty if the segment was the stream's last. */
    public List<Successor> successors(StreamName stream, long segmentId) throws IOException {
        var answer = await(controller.getSuccessors(stream.segment(segmentId)), "find what follows segment " + stream.segment(segmentId));
        List<Successor> result = new ArrayList<>();
        for (Map.Entry<SegmentWithRange, List<Long>> entry : answer.getSegmentToPredecessor().entrySet()) {
            SegmentWithRange.Range range = entry.getKey().getRange();
            result.add(new Successor(entry.getKey().getSegment().getSegmentId(), range == null ? Double.NaN : range.getLow(),
                    range == null ? Double.NaN : range.getHigh(), List.copyOf(entry.getValue())));
        }
        return result;
    }

    public boolean exists(StreamName stream) throws IOException {
        return await(controller.checkStreamExists(stream.scope(), stream.name()), "look for " + stream);
    }

    /** The user's streams of a scope, in order of their names. */
    public List<StreamName> streams(String scope) throws IOException {
        List<StreamName> result = new ArrayList<>();
        for (io.pravega.client.stream.Stream stream : all(controller.listStreams(scope), "list the streams of " + scope)) {
            if (!stream.getStreamName().startsWith("_")) {
                result.add(new StreamName(scope, stream.getStreamName()));
            }
        }
        result.sort(null);
        return result;
    }

    public List<String> scopes() throws IOException {
        List<String> result = all(controller.listScopes(), "list the scopes");
        result.removeIf(name -> name.startsWith("_"));
        result.sort(null);
        return result;
    }

    private <T> List<T> all(AsyncIterator<T> iterator, String doing) throws IOException {
        List<T> result = new ArrayList<>();
        for (T item = await(iterator.getNext(), doing); item != null; item = await(iterator.getNext(), doing)) {
            result.add(item);
        }
        return result;
    }

    /**
     * Opens a segment for reading. The first request goes to offset 0, then that of {@code start} counts.
     *
     * @param end where reading stops; Long.MAX_VALUE for the segment's end
     */
    public EventSegmentReader open(Segment segment, long start, long end, int bufferSize) {
        EventSegmentReader reader = inputs.createEventReaderForSegment(segment, bufferSize, (Semaphore) null, end);
        if (start > 0) {
            reader.setOffset(start);
        }
        return reader;
    }

    /** Start offset, write offset and whether the segment is sealed. */
    public CompletableFuture<SegmentInfo> info(Segment segment) {
        DelegationTokenProvider token = DelegationTokenProviderFactory.create(controller, segment, AccessOperation.READ);
        SegmentMetadataClient client = metadata.createSegmentMetadataClient(segment, token);
        return client.getSegmentInfo().whenComplete((info, error) -> client.close());
    }

    /** A writer into the part of a transaction that belongs to {@code segment}; connects with the first event. */
    public SegmentOutputStream openTransaction(Segment segment, UUID transaction, EventWriterConfig writerConfig, DelegationTokenProvider token) {
        return outputs.createOutputStreamForTransaction(segment, transaction, writerConfig, token);
    }

    public DelegationTokenProvider writeToken(StreamName stream) {
        return DelegationTokenProviderFactory.create(controller, stream.scope(), stream.name(), AccessOperation.WRITE);
    }

    @Override
    public void close() {
        try {
            controller.close();
        } finally {
            pool.close();
        }
    }
}
