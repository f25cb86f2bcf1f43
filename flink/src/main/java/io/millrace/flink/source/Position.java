package io.millrace.flink.source;

import java.io.Serializable;
import java.util.Map;
import java.util.TreeMap;

/** Where reading starts or ends. Immutable. */
public final class Position implements Serializable {
    private static final long serialVersionUID = 1L;

    enum Kind { HEAD, TAIL, TIME, CUT, NONE }

    final Kind kind;
    final long time;
    /** Stream's full name to stream cut in the client's text form. */
    final TreeMap<String, String> cuts;

    private Position(Kind kind, long time, Map<String, String> cuts) {
        this.kind = kind;
        this.time = time;
        this.cuts = new TreeMap<>(cuts);
    }

    /** The oldest event that is there. */
    public static Position head() {
        return new Position(Kind.HEAD, 0, Map.of());
    }

    /** Behind the last event that is there when the job is first started. */
    public static Position tail() {
        return new Position(Kind.TAIL, 0, Map.of());
    }

    /**
     * By the time marks that writers noted, in milliseconds; as a start without marks, by the stream's scaling history. A start misses no
     * event that is not older than {@code time}, an end none that is older: some beyond may be read too.
     */
    public static Position time(long time) {
        return new Position(Kind.TIME, time, Map.of());
    }

    /** @param cuts the full name of each stream, as scope/stream, to its stream cut in the client's text form */
    public static Position streamCuts(Map<String, String> cuts) {
        return new Position(Kind.CUT, 0, cuts);
    }

    public static Position streamCut(String stream, String cut) {
        return streamCuts(Map.of(stream, cut));
    }

    /** As an end: none. */
    static Position none() {
        return new Position(Kind.NONE, 0, Map.of());
    }

    @Override
    public String toString() {
        return kind == Kind.TIME ? "time " + time : kind == Kind.CUT ? "stream cuts of " + cuts.keySet() : kind.toString().toLowerCase(java.util.Locale.ROOT);
    }
}
