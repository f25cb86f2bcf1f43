package io.millrace.flink.source;

/**
 * What a reader fetched: an event, or only a time mark that its segment has passed.
 *
 * @param data the event's bytes, without framing; null for a mark alone
 * @param offset where the event starts in its segment
 * @param next where the one after it starts
 * @param mark no older event follows in this segment, milliseconds; Long.MIN_VALUE for nothing new
 * @param window lower time bound that held when the event was read; Long.MIN_VALUE if unknown
 */
record SegmentEvent(byte[] data, long offset, long next, long mark, long window) {}
