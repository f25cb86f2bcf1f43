package io.millrace.flink.sink;

import io.millrace.flink.client.StoreClient;
import io.pravega.client.stream.EventStreamWriter;
import io.pravega.client.stream.EventWriterConfig;
import io.pravega.client.stream.impl.ByteArraySerializer;
import java.util.concurrent.CompletableFuture;

/** Events go to the stream at once. Those that failed writers left behind stay: at least once. */
final class PlainOutput implements EventOutput {
    private final EventStreamWriter<byte[]> writer;

    PlainOutput(StoreClient client, SinkSettings settings) {
        EventWriterConfig config = client.writerConfig().enableLargeEvents(settings.largeEvents).build();
        writer = client.writers(settings.stream.scope()).createEventWriter(settings.stream.name(), new ByteArraySerializer(), config);
    }

    @Override
    public CompletableFuture<Void> write(String key, byte[] event) {
        return key == null ? writer.writeEvent(event) : writer.writeEvent(key, event);
    }

    @Override
    public void flush() {
        writer.flush();
    }

    @Override
    public void noteTime(long time) {
        writer.noteTime(time);
    }

    @Override
    public void close() {
        writer.close();
    }
}
