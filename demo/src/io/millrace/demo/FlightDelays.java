package io.millrace.demo;

import io.millrace.demo.Events.Delays;
import io.millrace.demo.Events.Departure;
import io.millrace.demo.Events.Joined;
import io.millrace.demo.Events.Weather;
import io.millrace.flink.sink.MillraceSerializationSchema;
import io.millrace.flink.sink.MillraceSink;
import io.millrace.flink.source.MillraceSource;
import io.millrace.flink.source.MillraceSourceBuilder;
import io.millrace.flink.source.Position;
import java.time.Duration;
import java.util.Map;
import org.apache.flink.api.common.RuntimeExecutionMode;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.functions.CoGroupFunction;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.formats.json.JsonDeserializationSchema;
import org.apache.flink.formats.json.JsonSerializationSchema;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;

/**
 * The job: joins departures with the weather of their hour, keeps the delays per origin and carrier in windows of an hour, and writes both
 * results exactly once. The same program runs over live streams (streaming) and over history between two stream cuts (batch).
 *
 * <p>Options: --mode streaming|batch --jobmanager HOST:PORT --controller URI --scope NAME --from "DEPARTURES WEATHER" (stream cuts)
 * [--to "DEPARTURES WEATHER"] [--suffix of the result streams] [--parallelism N] [--checkpoint-ms N]. Prints {@code job ID} when the job is
 * submitted.
 */
public final class FlightDelays {
    static final String JOINED = "departures-weather";
    static final String DELAYS = "delays";

    private FlightDelays() {}

    public static void main(String[] args) throws Exception {
        Options options = new Options(args);
        boolean batch = options.get("mode").equals("batch");
        String[] jobManager = options.get("jobmanager").split(":");
        Configuration configuration = new Configuration();
        configuration.setString("restart-strategy.type", "fixed-delay");
        configuration.setString("restart-strategy.fixed-delay.attempts", "10");
        configuration.setString("restart-strategy.fixed-delay.delay", "1 s");
        StreamExecutionEnvironment environment =
                StreamExecutionEnvironment.createRemoteEnvironment(jobManager[0], Integer.parseInt(jobManager[1]), configuration);
        environment.setRuntimeMode(batch ? RuntimeExecutionMode.BATCH : RuntimeExecutionMode.STREAMING);
        environment.setParallelism(Integer.parseInt(options.get("parallelism", "2")));
        environment.setMaxParallelism(64);
        if (!batch) {
            environment.enableCheckpointing(Long.parseLong(options.get("checkpoint-ms", "2000")));
        }
        define(environment, options);
        JobClient job = environment.executeAsync(batch ? "flight-delays-batch" : "flight-delays");
        System.out.println("job " + job.getJobID());
        System.exit(0);
    }

    private static void define(StreamExecutionEnvironment environment, Options options) {
        DataStream<Departure> departures = environment.fromSource(source(options, Feeder.DEPARTURES, 0, Departure.class),
                WatermarkStrategy.<Departure>forMonotonousTimestamps().withTimestampAssigner((event, before) -> event.eventTime),
                Feeder.DEPARTURES).uid(Feeder.DEPARTURES);
        DataStream<Weather> weather = environment.fromSource(source(options, Feeder.WEATHER, 1, Weather.class),
                WatermarkStrategy.<Weather>forMonotonousTimestamps().withTimestampAssigner((event, before) -> event.eventTime),
                Feeder.WEATHER).uid(Feeder.WEATHER);

        DataStream<Joined> joined = departures.coGroup(weather).where(flight -> flight.origin).equalTo(observation -> observation.origin)
                .window(TumblingEventTimeWindows.of(Duration.ofHours(1))).apply(new WithWeather());
        DataStream<Delays> delays = joined.keyBy(flight -> flight.origin + "/" + flight.carrier)
                .window(TumblingEventTimeWindows.of(Duration.ofHours(1))).aggregate(new Sum(), new Stamp());

        joined.sinkTo(sink(options, JOINED, flight -> flight.origin + "/" + flight.carrier)).name(JOINED).uid(JOINED);
        delays.sinkTo(sink(options, DELAYS, row -> row.origin + "/" + row.carrier)).name(DELAYS).uid(DELAYS);
    }

    private static <T> MillraceSource<T> source(Options options, String name, int cut, Class<T> type) {
        String stream = options.get("scope") + "/" + name;
        MillraceSourceBuilder<T> source = MillraceSource.<T>builder().controller(options.get("controller")).stream(stream)
                .deserializer(new JsonDeserializationSchema<>(type)).lagInterval(Duration.ofSeconds(1))
                .startAt(Position.streamCuts(Map.of(stream, options.get("from").split(" ")[cut])));
        String to = options.get("to", "");
        if (!to.isEmpty()) {
            source.endAt(Position.streamCuts(Map.of(stream, to.split(" ")[cut])));
        }
        return source.build();
    }

    private static <T> MillraceSink<T> sink(Options options, String name, MillraceSerializationSchema.RoutingKey<T> key) {
        return MillraceSink.<T>builder().controller(options.get("controller"))
                .stream(options.get("scope") + "/" + name + options.get("suffix", ""))
                .serializer(new JsonSerializationSchema<>(), key).deliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE).build();
    }

    /** An outer join: where an hour has no observation, its departures go on without. */
    static final class WithWeather implements CoGroupFunction<Departure, Weather, Joined> {
        private static final long serialVersionUID = 1L;

        @Override
        public void coGroup(Iterable<Departure> flights, Iterable<Weather> observations, Collector<Joined> out) {
            Weather weather = new Weather();
            for (Weather observation : observations) {
                weather = observation;
            }
            for (Departure flight : flights) {
                Joined row = new Joined();
                row.id = flight.id;
                row.eventTime = flight.eventTime;
                row.origin = flight.origin;
                row.dest = flight.dest;
                row.carrier = flight.carrier;
                row.flight = flight.flight;
                row.delay = flight.delay;
                row.temp = weather.temp;
                row.windSpeed = weather.windSpeed;
                row.precip = weather.precip;
                row.visib = weather.visib;
                out.collect(row);
            }
        }
    }

    static final class Sum implements AggregateFunction<Joined, Delays, Delays> {
        private static final long serialVersionUID = 1L;

        @Override
        public Delays createAccumulator() {
            return new Delays();
        }

        @Override
        public Delays add(Joined flight, Delays sum) {
            sum.origin = flight.origin;
            sum.carrier = flight.carrier;
            sum.flights++;
            if (flight.delay == null) {
                sum.cancelled++;
            } else {
                sum.late += flight.delay >= Events.LATE_MINUTES ? 1 : 0;
                sum.totalDelay += flight.delay;
                sum.maxDelay = sum.maxDelay == null ? flight.delay : Math.max(sum.maxDelay, flight.delay);
            }
            sum.temp = flight.temp;
            sum.windSpeed = flight.windSpeed;
            sum.precip = flight.precip;
            sum.visib = flight.visib;
            return sum;
        }

        @Override
        public Delays getResult(Delays sum) {
            return sum;
        }

        @Override
        public Delays merge(Delays a, Delays b) {
            throw new UnsupportedOperationException("these windows do not merge");
        }
    }

    static final class Stamp extends ProcessWindowFunction<Delays, Delays, String, TimeWindow> {
        private static final long serialVersionUID = 1L;

        @Override
        public void process(String key, Context context, Iterable<Delays> sums, Collector<Delays> out) {
            Delays row = sums.iterator().next();
            row.hourStart = context.window().getStart();
            out.collect(row);
        }
    }
}
