package io.millrace.flink.sink;

import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;

/** What Flink's version asks of a sink beyond the others: here a method from before 1.19, which 1.20 itself does not call. */
abstract class SinkOfVersion<T> implements Sink<T> {
    private static final long serialVersionUID = 1L;

    @Override
    @Deprecated
    public SinkWriter<T> createWriter(InitContext context) {
        throw new UnsupportedOperationException("this sink is opened with a WriterInitContext");
    }
}
