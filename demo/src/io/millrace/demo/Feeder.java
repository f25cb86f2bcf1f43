package io.millrace.demo;

import io.millrace.demo.Events.Departure;
import io.millrace.demo.Events.Weather;
import io.millrace.flink.client.StoreClient;
import io.millrace.flink.client.StoreOptions;
import io.pravega.client.ClientConfig;
import io.pravega.client.EventStreamClientFactory;
import io.pravega.client.admin.StreamManager;
import io.pravega.client.stream.EventStreamWriter;
import io.pravega.client.stream.EventWriterConfig;
import io.pravega.client.stream.impl.ByteArraySerializer;
import io.pravega.client.stream.impl.StreamImpl;
import java.net.URI;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;

/**
 * Replays the year's departures and weather into two streams, in the order of event time and so many times faster than it went. Arguments:
 * controller, scope, flights.csv, weather.csv, months, speed-up, segments that departures get after a third of the time.
 *
 * <p>First it writes a rehearsal, some events that come again; behind them it takes stream cuts, and whoever reads from there does not see
 * them. It prints {@code from DEPARTURES WEATHER} with the cuts, waits for a line on its input, feeds, prints {@code to DEPARTURES WEATHER}
 * and seals the streams.
 */
public final class Feeder {
    static final String DEPARTURES = "departures";
    static final String WEATHER = "weather";
    private static final int REHEARSAL = 1000;

    private Feeder() {}

    public static void main(String[] args) throws Exception {
        String controller = args[0];
        String scope = args[1];
        int months = Integer.parseInt(args[4]);
        double speedUp = Double.parseDouble(args[5]);
        int segments = Integer.parseInt(args[6]);
        ClientConfig config = ClientConfig.builder().controllerURI(URI.create(controller)).build();
        EventWriterConfig writing = EventWriterConfig.builder().retryAttempts(100).maxBackoffMillis(2000).build();
        ObjectMapper json = new ObjectMapper();
        List<Departure> departures = Csv.departures(Path.of(args[2]), months);
        List<Weather> weather = Csv.weather(Path.of(args[3]), months);
        try (StreamManager streams = StreamManager.create(config);
                EventStreamClientFactory factory = EventStreamClientFactory.withScope(scope, config);
                EventStreamWriter<byte[]> flightsOut = factory.createEventWriter(DEPARTURES, new ByteArraySerializer(), writing);
                EventStreamWriter<byte[]> weatherOut = factory.createEventWriter(WEATHER, new ByteArraySerializer(), writing)) {
            for (int i = 0; i < REHEARSAL; i++) {
                flightsOut.writeEvent(key(departures.get(i)), json.writeValueAsBytes(departures.get(i)));
                weatherOut.writeEvent(weather.get(i).origin, json.writeValueAsBytes(weather.get(i)));
            }
            flightsOut.flush();
            weatherOut.flush();
            System.out.println("from " + cuts(streams, scope));
            if (System.in.read() < 0) {
                throw new IllegalStateException("nobody says when to begin");
            }
            feed(departures, weather, speedUp, json, flightsOut, weatherOut, () -> scale(controller, scope, segments));
            flightsOut.flush();
            weatherOut.flush();
            System.out.println("to " + cuts(streams, scope));
            if (!streams.sealStream(scope, DEPARTURES) || !streams.sealStream(scope, WEATHER)) {
                throw new IllegalStateException("the streams could not be sealed");
            }
            System.out.println("fed " + departures.size() + " " + weather.size());
        }
        System.exit(0);
    }

    /** Many keys, so that each segment has some. */
    private static String key(Departure flight) {
        return flight.origin + "/" + flight.carrier;
    }

    private static String cuts(StreamManager streams, String scope) throws Exception {
        return streams.fetchStreamInfo(scope, DEPARTURES).get(60, TimeUnit.SECONDS).getTailStreamCut().asText() + " "
                + streams.fetchStreamInfo(scope, WEATHER).get(60, TimeUnit.SECONDS).getTailStreamCut().asText();
    }

    private static void feed(List<Departure> departures, List<Weather> weather, double speedUp, ObjectMapper json,
            EventStreamWriter<byte[]> flightsOut, EventStreamWriter<byte[]> weatherOut, Runnable scale) throws Exception {
        long first = Math.min(departures.get(0).eventTime, weather.get(0).eventTime);
        long last = Math.max(departures.get(departures.size() - 1).eventTime, weather.get(weather.size() - 1).eventTime);
        CompletableFuture<Void> scaling = null;
        long begun = System.nanoTime();
        int flight = 0;
        int hour = 0;
        while (flight < departures.size() || hour < weather.size()) {
            boolean weatherIsNext = flight == departures.size()
                    || hour < weather.size() && weather.get(hour).eventTime <= departures.get(flight).eventTime;
            long time = weatherIsNext ? weather.get(hour).eventTime : departures.get(flight).eventTime;
            long ahead = (long) ((time - first) / speedUp * 1e6) - (System.nanoTime() - begun);
            // Shorter pauses than the system's clock can make are saved up.
            if (ahead > 1_000_000) {
                TimeUnit.NANOSECONDS.sleep(ahead);
            }
            if (scaling == null && time > first + (last - first) / 3) {
                scaling = CompletableFuture.runAsync(scale);
            }
            if (weatherIsNext) {
                Weather event = weather.get(hour++);
                weatherOut.writeEvent(event.origin, json.writeValueAsBytes(event));
            } else {
                Departure event = departures.get(flight++);
                flightsOut.writeEvent(key(event), json.writeValueAsBytes(event));
            }
        }
        if (scaling != null) {
            scaling.get(120, TimeUnit.SECONDS);
        }
    }

    /** Splits the stream of departures while it is written, evenly. Splits only: a merge would mix what is resent with what is new. */
    private static void scale(String controller, String scope, int segments) {
        ScheduledExecutorService executor = Executors.newScheduledThreadPool(1);
        try (StoreClient client = new StoreClient(StoreOptions.of(controller))) {
            List<Long> old = client.controller().getCurrentSegments(scope, DEPARTURES).get(60, TimeUnit.SECONDS).getSegments().stream()
                    .map(segment -> segment.getSegmentId()).toList();
            if (segments <= old.size()) {
                return;
            }
            if (segments % old.size() != 0) {
                throw new IllegalArgumentException(segments + " segments are no even split of " + old.size());
            }
            Map<Double, Double> ranges = new HashMap<>();
            for (int i = 0; i < segments; i++) {
                ranges.put((double) i / segments, i + 1 == segments ? 1.0 : (double) (i + 1) / segments);
            }
            if (!client.controller().scaleStream(new StreamImpl(scope, DEPARTURES), old, ranges, executor).getFuture().get(120, TimeUnit.SECONDS)) {
                throw new IllegalStateException("the stream could not be scaled");
            }
            System.out.println("scaled to " + segments);
        } catch (RuntimeException e) {
            throw e;
        } catch (Exception e) {
            throw new IllegalStateException(e);
        } finally {
            executor.shutdownNow();
        }
    }
}
