package io.millrace.demo;

import io.millrace.demo.Events.Departure;
import io.millrace.demo.Events.Weather;
import io.pravega.client.BatchClientFactory;
import io.pravega.client.ClientConfig;
import io.pravega.client.batch.SegmentIterator;
import io.pravega.client.batch.SegmentRange;
import io.pravega.client.stream.Stream;
import io.pravega.client.stream.StreamCut;
import io.pravega.client.stream.impl.UTF8StringSerializer;
import java.net.URI;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;

/**
 * Computes both results from the csv files by plain loops, without Flink, and compares them with result streams row by row. Arguments:
 * controller, scope, flights.csv, weather.csv, months, streams. Exit status 1 unless each stream holds each row once and nothing else.
 */
public final class Verify {
    private static final String[] JOINED = {"id", "eventTime", "origin", "dest", "carrier", "flight", "delay", "temp", "windSpeed", "precip", "visib"};
    private static final String[] DELAYS =
            {"hourStart", "origin", "carrier", "flights", "cancelled", "late", "totalDelay", "maxDelay", "temp", "windSpeed", "precip", "visib"};
    private static final int SHOWN = 3;

    private Verify() {}

    public static void main(String[] args) throws Exception {
        List<String> joined = new ArrayList<>();
        List<String> delays = new ArrayList<>();
        compute(Csv.departures(Path.of(args[2]), Integer.parseInt(args[4])), Csv.weather(Path.of(args[3]), Integer.parseInt(args[4])), joined, delays);
        Map<String, Integer> joinedRows = numbered(joined);
        Map<String, Integer> delayRows = numbered(delays);
        System.out.printf("%-26s %10s %10s %8s %8s %8s%n", "result stream", "rows", "right", "missing", "repeated", "wrong");
        boolean good = true;
        try (BatchClientFactory client = BatchClientFactory.withScope(args[1], ClientConfig.builder().controllerURI(URI.create(args[0])).build())) {
            for (int i = 5; i < args.length; i++) {
                boolean isJoined = args[i].startsWith(FlightDelays.JOINED);
                good &= compare(client, Stream.of(args[1], args[i]), isJoined ? JOINED : DELAYS, isJoined ? joined : delays,
                        isJoined ? joinedRows : delayRows);
            }
        }
        System.exit(good ? 0 : 1);
    }

    /** Rows as text: the values of the columns, separated by bars. */
    private static void compute(List<Departure> departures, List<Weather> weather, List<String> joined, List<String> delays) {
        Map<String, String> weatherOf = new HashMap<>();
        for (Weather w : weather) {
            weatherOf.put(w.origin + "|" + w.eventTime, w.temp + "|" + w.windSpeed + "|" + w.precip + "|" + w.visib);
        }
        Map<String, List<Integer>> delaysOf = new TreeMap<>();
        for (Departure d : departures) {
            long hour = Math.floorDiv(d.eventTime, Events.HOUR) * Events.HOUR;
            joined.add(d.id + "|" + d.eventTime + "|" + d.origin + "|" + d.dest + "|" + d.carrier + "|" + d.flight + "|" + d.delay + "|"
                    + weatherOf.getOrDefault(d.origin + "|" + hour, "null|null|null|null"));
            delaysOf.computeIfAbsent(hour + "|" + d.origin + "|" + d.carrier, key -> new ArrayList<>()).add(d.delay);
        }
        delaysOf.forEach((key, list) -> {
            List<Integer> left = list.stream().filter(delay -> delay != null).toList();
            String[] parts = key.split("\\|");
            delays.add(key + "|" + list.size() + "|" + (list.size() - left.size()) + "|"
                    + left.stream().filter(delay -> delay >= Events.LATE_MINUTES).count() + "|" + left.stream().mapToInt(delay -> delay).sum() + "|"
                    + left.stream().max(Integer::compare).orElse(null) + "|"
                    + weatherOf.getOrDefault(parts[1] + "|" + parts[0], "null|null|null|null"));
        });
    }

    private static Map<String, Integer> numbered(List<String> rows) {
        Map<String, Integer> result = new HashMap<>(rows.size() * 2);
        for (int i = 0; i < rows.size(); i++) {
            if (result.put(rows.get(i), i) != null) {
                throw new IllegalStateException("computed twice: " + rows.get(i));
            }
        }
        return result;
    }

    private static boolean compare(BatchClientFactory client, Stream stream, String[] columns, List<String> rows, Map<String, Integer> numbers)
            throws Exception {
        ObjectMapper json = new ObjectMapper();
        int[] found = new int[rows.size()];
        List<String> notes = new ArrayList<>();
        int wrong = 0;
        for (Iterator<SegmentRange> segments = client.getSegments(stream, StreamCut.UNBOUNDED, StreamCut.UNBOUNDED).getIterator();
                segments.hasNext();) {
            try (SegmentIterator<String> events = client.readSegment(segments.next(), new UTF8StringSerializer())) {
                while (events.hasNext()) {
                    String event = events.next();
                    Integer number = numbers.get(row(json.readTree(event), columns));
                    if (number != null) {
                        found[number]++;
                    } else if (++wrong <= SHOWN) {
                        notes.add("wrong: " + event);
                    }
                }
            }
        }
        int missing = 0;
        int repeated = 0;
        for (int i = 0; i < found.length; i++) {
            if (found[i] == 0 && ++missing <= SHOWN) {
                notes.add("missing: " + rows.get(i));
            }
            if (found[i] > 1 && ++repeated <= SHOWN) {
                notes.add("repeated: " + rows.get(i));
            }
        }
        System.out.printf("%-26s %,10d %,10d %,8d %,8d %,8d%n", stream.getStreamName(), rows.size(), rows.size() - missing - repeated, missing,
                repeated, wrong);
        notes.forEach(note -> System.out.println("    " + note));
        return missing + repeated + wrong == 0;
    }

    private static String row(JsonNode event, String[] columns) {
        if (event.size() != columns.length) {
            return "other columns";
        }
        StringBuilder result = new StringBuilder();
        for (String column : columns) {
            // A column that is not there is never equal to one that is null.
            JsonNode value = event.path(column);
            result.append(result.isEmpty() ? "" : "|").append(value.isMissingNode() ? "missing" : value.isDouble() ? "" + value.asDouble() : value.asText());
        }
        return result.toString();
    }
}
