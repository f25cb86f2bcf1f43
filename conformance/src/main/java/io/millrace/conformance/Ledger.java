package io.millrace.conformance;

import java.nio.charset.StandardCharsets;
import java.util.BitSet;
import java.util.Map;
import java.util.TreeMap;
import java.util.zip.CRC32;

/**
 * What was written and what was read, key by key. An event carries its key's sequence number, counted from 0 by the writer. Reading
 * may be reported from several threads; one key is read by one thread at a time, so the order of the reports is the order of the key.
 */
final class Ledger {
    static final class Key {
        int written;
        long writtenChecks;
        int read;
        long readChecks;
        int last = -1;
        int orderViolations;
        int duplicated;
        int strange;
        final BitSet seen = new BitSet();

        int lost() {
            return written - seen.cardinality();
        }

        boolean right() {
            return lost() == 0 && duplicated == 0 && orderViolations == 0 && strange == 0 && writtenChecks == readChecks;
        }
    }

    private final Map<String, Key> keys = new TreeMap<>();
    private int written;
    private int read;
    private int distinct;

    /** Encodes a row as an event: "origin sequence row". */
    synchronized String write(String origin, String row) {
        Key key = keys.computeIfAbsent(origin, name -> new Key());
        String event = origin + ' ' + key.written + ' ' + row;
        key.written++;
        key.writtenChecks += check(event);
        written++;
        return event;
    }

    synchronized void read(String event) {
        read++;
        int first = event.indexOf(' ');
        int second = event.indexOf(' ', first + 1);
        Key key = first < 0 ? null : keys.get(event.substring(0, first));
        if (key == null || second < 0) {
            throw new IllegalStateException("an event that nobody wrote: " + event);
        }
        int sequence = Integer.parseInt(event, first + 1, second, 10);
        key.read++;
        if (sequence < 0 || sequence >= key.written) {
            key.strange++;
        } else if (key.seen.get(sequence)) {
            key.duplicated++;
        } else {
            key.seen.set(sequence);
            key.readChecks += check(event);
            distinct++;
        }
        if (sequence < key.last) {
            key.orderViolations++;
        }
        key.last = Math.max(key.last, sequence);
    }

    private static long check(String event) {
        CRC32 crc = new CRC32();
        crc.update(event.getBytes(StandardCharsets.UTF_8));
        return crc.getValue();
    }

    synchronized int written() {
        return written;
    }

    synchronized int read() {
        return read;
    }

    /** Whether every written event was read at least once. */
    synchronized boolean complete() {
        return distinct == written;
    }

    synchronized Map<String, Key> keys() {
        return new TreeMap<>(keys);
    }
}
