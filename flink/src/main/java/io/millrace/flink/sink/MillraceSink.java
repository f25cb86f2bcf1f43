package io.millrace.flink.sink;

import java.io.IOException;
import java.util.Collection;
import java.util.List;
import org.apache.flink.api.connector.sink2.Committer;
import org.apache.flink.api.connector.sink2.CommitterInitContext;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.StatefulSinkWriter;
import org.apache.flink.api.connector.sink2.SupportsCommitter;
import org.apache.flink.api.connector.sink2.SupportsWriterState;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.util.FlinkRuntimeException;

/**
 * Writes to a stream of any server that speaks Pravega's protocols, at least once or, in transactions that are committed with Flink's
 * checkpoints, exactly once. Events of one routing key that one subtask writes keep their order.
 *
 * <pre>{@code
 * MillraceSink<String> sink = MillraceSink.<String>builder()
 *         .controller("tcp://127.0.0.1:9090").stream("scope/stream").serializer(new SimpleStringSchema(), event -> event.substring(0, 4))
 *         .deliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE).build();
 * }</pre>
 */
// Not final, as a test puts its own committer in place; nobody else can extend it.
public class MillraceSink<T> extends SinkOfVersion<T> implements SupportsWriterState<T, WriterState>, SupportsCommitter<Committable> {
    private static final long serialVersionUID = 1L;

    private final SinkSettings settings;
    private final MillraceSerializationSchema<T> schema;

    MillraceSink(SinkSettings settings, MillraceSerializationSchema<T> schema) {
        this.settings = settings;
        this.schema = schema;
    }

    public static <T> MillraceSinkBuilder<T> builder() {
        return new MillraceSinkBuilder<>();
    }

    @Override
    public SinkWriter<T> createWriter(WriterInitContext context) throws IOException {
        return restoreWriter(context, List.of());
    }

    @Override
    public StatefulSinkWriter<T, WriterState> restoreWriter(WriterInitContext context, Collection<WriterState> state) throws IOException {
        try {
            schema.open(context.asSerializationSchemaInitializationContext());
        } catch (Exception e) {
            throw new FlinkRuntimeException("the serializer could not be opened", e);
        }
        return new MillraceWriter<>(settings, schema, context, state);
    }

    @Override
    public SimpleVersionedSerializer<WriterState> getWriterStateSerializer() {
        return new WriterState.Serializer();
    }

    @Override
    public Committer<Committable> createCommitter(CommitterInitContext context) {
        return new MillraceCommitter(settings);
    }

    @Override
    public SimpleVersionedSerializer<Committable> getCommittableSerializer() {
        return new Committable.Serializer();
    }
}
