package io.millrace.flink.source;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.connector.source.SourceEvent;

/** What readers and the enumerator tell each other. Splits travel in their own serialized form. */
final class SourceEvents {
    private SourceEvents() {}

    /** Reader: I run; these splits I hold from my checkpoint (empty for a fresh start). Before it, a reader is given nothing. */
    static final class Hello implements SourceEvent {
        private static final long serialVersionUID = 1L;
        final ArrayList<byte[]> splits;

        Hello(List<byte[]> splits) {
            this.splits = new ArrayList<>(splits);
        }
    }

    /** Reader: the split was read to its end. Repeated after a restore, until acknowledged. */
    static final class Finished implements SourceEvent {
        private static final long serialVersionUID = 1L;
        final byte[] split;

        Finished(byte[] split) {
            this.split = split;
        }
    }

    /** Enumerator: noted; from the next checkpoint on I remember it, so that you need not. */
    static final class FinishedNoted implements SourceEvent {
        private static final long serialVersionUID = 1L;
        final String splitId;

        FinishedNoted(String splitId) {
            this.splitId = splitId;
        }
    }

    /** Enumerator: each segment that can be read now is with a reader; if you have none, you hold nobody up. */
    static final class AllGiven implements SourceEvent {
        private static final long serialVersionUID = 1L;
    }

    /** Reader: a checkpoint is complete, and this is how far my splits were read in it. */
    static final class Progress implements SourceEvent {
        private static final long serialVersionUID = 1L;
        final long checkpoint;
        final HashMap<String, Long> offsets;

        Progress(long checkpoint, Map<String, Long> offsets) {
            this.checkpoint = checkpoint;
            this.offsets = new HashMap<>(offsets);
        }
    }
}
