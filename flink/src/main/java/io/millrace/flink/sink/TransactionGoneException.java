package io.millrace.flink.sink;

import java.io.IOException;

/** A transaction does not exist any more, though nobody committed it. */
public final class TransactionGoneException extends IOException {
    private static final long serialVersionUID = 1L;

    TransactionGoneException(String message, Throwable cause) {
        super(message, cause);
    }
}
