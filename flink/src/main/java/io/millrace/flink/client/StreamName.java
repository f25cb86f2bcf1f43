package io.millrace.flink.client;

import io.pravega.client.segment.impl.Segment;
import io.pravega.client.stream.Stream;
import io.pravega.client.stream.impl.StreamImpl;
import java.io.Serializable;
import java.util.regex.Pattern;

/** A stream's full name. */
public record StreamName(String scope, String name) implements Serializable, Comparable<StreamName> {
    private static final Pattern ALLOWED = Pattern.compile("[A-Za-z0-9_.-]{1,255}");

    public StreamName {
        if (!ALLOWED.matcher(scope).matches() || !ALLOWED.matcher(name).matches()) {
            throw new IllegalArgumentException("not a stream's name: " + scope + "/" + name);
        }
    }

    /** @param text scope/stream */
    public static StreamName parse(String text) {
        int slash = text.indexOf('/');
        if (slash <= 0 || slash != text.lastIndexOf('/')) {
            throw new IllegalArgumentException("a stream is named scope/stream, not '" + text + "'");
        }
        return new StreamName(text.substring(0, slash), text.substring(slash + 1));
    }

    public Stream toStream() {
        return new StreamImpl(scope, name);
    }

    public Segment segment(long id) {
        return new Segment(scope, name, id);
    }

    @Override
    public int compareTo(StreamName other) {
        return toString().compareTo(other.toString());
    }

    @Override
    public String toString() {
        return scope + "/" + name;
    }
}
