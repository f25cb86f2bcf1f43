package io.millrace.flink.source;

import io.millrace.flink.client.StoreOptions;
import io.millrace.flink.client.StreamName;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.regex.Pattern;
import org.apache.flink.api.common.serialization.DeserializationSchema;

/** Builds a {@link MillraceSource}. Needed: the server, the streams and a deserializer. */
public final class MillraceSourceBuilder<T> {
    private final SourceSettings settings = new SourceSettings();
    private MillraceDeserializationSchema<T> schema;

    MillraceSourceBuilder() {}

    /** @param address as {@code tcp://host:9090} */
    public MillraceSourceBuilder<T> controller(String address) {
        return store(StoreOptions.of(address));
    }

    public MillraceSourceBuilder<T> store(StoreOptions options) {
        settings.store = options;
        return this;
    }

    /** @param names as scope/stream */
    public MillraceSourceBuilder<T> stream(String... names) {
        return streams(Arrays.asList(names));
    }

    public MillraceSourceBuilder<T> streams(List<String> names) {
        settings.streams = names.stream().map(StreamName::parse).distinct().toList();
        return this;
    }

    /** All streams of a scope whose names match as a whole; those that appear while the job runs are read from their start. */
    public MillraceSourceBuilder<T> streamPattern(String scope, Pattern pattern) {
        settings.scope = Objects.requireNonNull(scope);
        settings.pattern = Objects.requireNonNull(pattern);
        return this;
    }

    /** How often new streams are looked for; zero for never. Default 30 s. */
    public MillraceSourceBuilder<T> discoveryInterval(Duration interval) {
        settings.discoveryMillis = interval.toMillis();
        return this;
    }

    /** Default: the head. Counts for a job's first start only, not when it is restored. */
    public MillraceSourceBuilder<T> startAt(Position start) {
        settings.start = start;
        return this;
    }

    /** Makes the source bounded. The tail means what is there at the start. */
    public MillraceSourceBuilder<T> endAt(Position end) {
        settings.end = end;
        return this;
    }

    public MillraceSourceBuilder<T> deserializer(MillraceDeserializationSchema<T> deserializer) {
        schema = deserializer;
        return this;
    }

    public MillraceSourceBuilder<T> deserializer(DeserializationSchema<T> deserializer) {
        return deserializer(MillraceDeserializationSchema.valueOnly(deserializer));
    }

    /**
     * Emits watermarks by the time that writers noted in the stream. To be used with {@code WatermarkStrategy.noWatermarks()}, which may
     * have a timestamp assigner.
     */
    public MillraceSourceBuilder<T> watermarksFromMarks() {
        settings.marks = true;
        return this;
    }

    /**
     * When a segment is split, gives its successors to the readers that have least to do. They then wait for the next checkpoint, which
     * keeps the order per key behind the source too. Without this they stay with the reader of the segment, until the job is rescaled.
     */
    public MillraceSourceBuilder<T> spreadSuccessors() {
        settings.spread = true;
        return this;
    }

    /** When events were deleted before they were read: go on with those that are there, instead of failing the job. */
    public MillraceSourceBuilder<T> skipTruncated() {
        settings.failOnTruncation = false;
        return this;
    }

    /**
     * When an event cannot be deserialized: go on without it, with a warning and counted in numRecordsInErrors, instead of failing the job.
     * To keep such events, see {@link MillraceDeserializationSchema#orUnreadable}.
     */
    public MillraceSourceBuilder<T> skipUnreadable() {
        settings.failOnUnreadable = false;
        return this;
    }

    /**
     * Reports what complete checkpoints cover, as a reader group that subscribes to the streams: retention by consumption then keeps what
     * this job has still to read. The group is created if it is missing.
     *
     * @param name as scope/group
     */
    public MillraceSourceBuilder<T> reportProgressAs(String name) {
        settings.readerGroup = StreamName.parse(name).toString();
        return this;
    }

    /** Read-ahead for each segment, 1 KiB to 10 MiB. Default 1 MiB. */
    public MillraceSourceBuilder<T> readBuffer(int bytes) {
        settings.bufferBytes = bytes;
        return this;
    }

    /** How often the end of each segment is asked for, for metrics; zero for never. Default 5 s. */
    public MillraceSourceBuilder<T> lagInterval(Duration interval) {
        settings.lagMillis = interval.toMillis();
        return this;
    }

    public MillraceSource<T> build() {
        Objects.requireNonNull(settings.store, "the server is missing: call controller(...)");
        Objects.requireNonNull(schema, "the deserializer is missing");
        if (settings.streams.isEmpty() == (settings.pattern == null)) {
            throw new IllegalStateException("either streams or a pattern of streams must be given");
        }
        if (settings.start.kind == Position.Kind.NONE) {
            throw new IllegalStateException("a start is needed");
        }
        for (Position position : List.of(settings.start, settings.end)) {
            if (position.kind == Position.Kind.CUT) {
                for (StreamName stream : settings.streams) {
                    if (!position.cuts.containsKey(stream.toString())) {
                        throw new IllegalStateException("there is no stream cut for " + stream);
                    }
                }
            }
        }
        return new MillraceSource<>(settings.copy(), schema);
    }
}
