package io.millrace.flink.sink;

import java.io.IOException;
import java.util.concurrent.CompletableFuture;

/** Where a writer's events go. Used by its sender thread alone; may block there. */
interface EventOutput extends AutoCloseable {
    /** @return completes when the event is stored */
    CompletableFuture<Void> write(String key, byte[] event) throws IOException;

    /** Returns when all that was written is stored. */
    void flush() throws IOException;

    /** Says that all written so far is not newer, and what comes is not older. Follows a flush. */
    void noteTime(long time) throws IOException;

    @Override
    void close();
}
