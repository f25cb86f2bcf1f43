package io.millrace.flink.source;

import io.millrace.flink.client.StoreOptions;
import io.millrace.flink.client.StreamName;
import java.io.Serializable;
import java.util.List;
import java.util.regex.Pattern;

/** Everything that the builder was told, for readers and enumerator. */
final class SourceSettings implements Serializable, Cloneable {
    private static final long serialVersionUID = 1L;

    StoreOptions store;
    /** Either these or scope and pattern. */
    List<StreamName> streams = List.of();
    String scope;
    Pattern pattern;
    Position start = Position.head();
    Position end = Position.none();
    boolean failOnTruncation = true;
    boolean failOnUnreadable = true;
    boolean marks;
    boolean spread;
    long discoveryMillis = 30_000;
    long lagMillis = 5_000;
    int bufferBytes = 1024 * 1024;
    /** scope/name of a reader group that tells the stream what was consumed; null for none. */
    String readerGroup;

    boolean bounded() {
        return end.kind != Position.Kind.NONE;
    }

    /** What a builder is told later does not change what it has built. */
    SourceSettings copy() {
        try {
            return (SourceSettings) clone();
        } catch (CloneNotSupportedException e) {
            throw new AssertionError(e);
        }
    }
}
