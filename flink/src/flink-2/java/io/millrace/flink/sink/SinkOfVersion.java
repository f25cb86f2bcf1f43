package io.millrace.flink.sink;

import org.apache.flink.api.connector.sink2.Sink;

/** What Flink's version asks of a sink beyond the others: here nothing. */
abstract class SinkOfVersion<T> implements Sink<T> {
    private static final long serialVersionUID = 1L;
}
