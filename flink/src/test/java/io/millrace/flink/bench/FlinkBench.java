package io.millrace.flink.bench;

import com.sun.management.OperatingSystemMXBean;
import io.millrace.flink.client.StoreClient;
import io.millrace.flink.client.StoreOptions;
import io.millrace.flink.client.StreamName;
import io.millrace.flink.sink.MillraceSink;
import io.millrace.flink.source.MillraceSource;
import io.millrace.flink.source.Position;
import io.pravega.client.BatchClientFactory;
import io.pravega.client.ClientConfig;
import io.pravega.client.EventStreamClientFactory;
import io.pravega.client.batch.SegmentIterator;
import io.pravega.client.batch.SegmentRange;
import io.pravega.client.stream.EventStreamWriter;
import io.pravega.client.stream.EventWriterConfig;
import io.pravega.client.stream.StreamCut;
import io.pravega.client.stream.Transaction;
import io.pravega.client.stream.TransactionalEventStreamWriter;
import io.pravega.client.stream.impl.ByteArraySerializer;
import java.lang.management.ManagementFactory;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Iterator;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.FilterFunction;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.connector.source.util.ratelimit.RateLimiterStrategy;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.datagen.source.DataGeneratorSource;
import org.apache.flink.connector.datagen.source.GeneratorFunction;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/**
 * What the benchmark of the connector runs, each in a JVM of its own; results are lines of key=value. Events are byte arrays that begin with
 * their number, whose remainder by {@link #KEYS} is the routing key.
 */
public final class FlinkBench {
    private static final int KEYS = 1000;
    private static final AtomicLong EVENTS = new AtomicLong();
    private static volatile long firstNanos;
    private static volatile long lastNanos;
    private static volatile long firstCpu;

    private FlinkBench() {}

    public static void main(String[] args) throws Exception {
        String controller = args[1];
        StreamName stream = StreamName.parse(args[2]);
        int[] numbers = Arrays.stream(args).skip(3).filter(arg -> arg.matches("\\d+")).mapToInt(Integer::parseInt).toArray();
        switch (args[0]) {
            case "create" -> create(controller, stream, numbers[0]);
            case "write" -> write(controller, stream, numbers[0], numbers[1], numbers[2]);
            case "read-plain" -> readPlain(controller, stream, numbers[0]);
            case "read-source" -> readSource(controller, stream, numbers[0]);
            case "write-plain" -> writePlain(controller, stream, numbers[0], numbers[1], numbers[2], numbers[3]);
            case "write-sink" -> writeSink(controller, stream, numbers[0], numbers[1], numbers[2], numbers[3]);
            case "checkpoints" -> checkpoints(controller, stream, args[3], numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]);
            default -> throw new IllegalArgumentException(args[0]);
        }
        System.exit(0);
    }

    private static ClientConfig config(String controller) {
        return ClientConfig.builder().controllerURI(URI.create(controller)).build();
    }

    private static byte[] event(long number, int bytes) {
        byte[] event = new byte[bytes];
        byte[] begin = (number + ":").getBytes(StandardCharsets.US_ASCII);
        System.arraycopy(begin, 0, event, 0, begin.length);
        return event;
    }

    static String key(byte[] event) {
        int number = 0;
        for (int i = 0; event[i] != ':'; i++) {
            number = (number * 10 + event[i] - '0') % KEYS;
        }
        return "k" + number;
    }

    private static void create(String controller, StreamName stream, int segments) throws Exception {
        try (StoreClient client = new StoreClient(StoreOptions.of(controller))) {
            client.controller().createScope(stream.scope()).get(60, TimeUnit.SECONDS);
            client.createStream(stream, segments);
        }
    }

    /** So many events of so many bytes, at most so many a second; 0 for as fast as can be. */
    private static void write(String controller, StreamName stream, int events, int bytes, int rate) throws Exception {
        try (EventStreamClientFactory factory = EventStreamClientFactory.withScope(stream.scope(), config(controller));
                EventStreamWriter<byte[]> writer = factory.createEventWriter(stream.name(), new ByteArraySerializer(),
                        EventWriterConfig.builder().enableConnectionPooling(true).build())) {
            long begun = System.nanoTime();
            for (int i = 0; i < events; i++) {
                byte[] event = event(i, bytes);
                writer.writeEvent(key(event), event);
                if (rate > 0 && i % 20 == 0) {
                    long ahead = (long) (i * 1e9 / rate) - (System.nanoTime() - begun);
                    if (ahead > 0) {
                        TimeUnit.NANOSECONDS.sleep(ahead);
                    }
                }
            }
            writer.flush();
        }
        System.out.println("events=" + events);
    }

    /** Reads all, so many times; a line for each. */
    private static void readPlain(String controller, StreamName stream, int passes) throws Exception {
        for (int pass = 0; pass < passes; pass++) {
            long events = 0;
            long first = 0;
            long cpu = 0;
            try (BatchClientFactory factory = BatchClientFactory.withScope(stream.scope(), config(controller))) {
                Iterator<SegmentRange> ranges = factory.getSegments(stream.toStream(), StreamCut.UNBOUNDED, StreamCut.UNBOUNDED).getIterator();
                while (ranges.hasNext()) {
                    try (SegmentIterator<byte[]> segment = factory.readSegment(ranges.next(), new ByteArraySerializer())) {
                        while (segment.hasNext()) {
                            segment.next();
                            if (events++ == 0) {
                                first = System.nanoTime();
                                cpu = cpu();
                            }
                        }
                    }
                }
            }
            tell(events, System.nanoTime() - first, cpu);
        }
    }

    private static void tell(long events, long nanos, long cpuBefore) {
        System.out.printf(Locale.ROOT, "events=%d seconds=%.3f events_s=%.0f client_us_per_event=%.2f%n", events, nanos / 1e9, events / (nanos / 1e9),
                (cpu() - cpuBefore) / 1e3 / Math.max(events, 1));
    }

    /** Nanoseconds that this process used of all cores. */
    private static long cpu() {
        return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }

    /** Passes bytes on as they are. */
    public static final class Bytes implements DeserializationSchema<byte[]>, SerializationSchema<byte[]> {
        private static final long serialVersionUID = 1L;

        @Override
        public byte[] deserialize(byte[] message) {
            return message;
        }

        @Override
        public boolean isEndOfStream(byte[] next) {
            return false;
        }

        @Override
        public byte[] serialize(byte[] event) {
            return event;
        }

        @Override
        public TypeInformation<byte[]> getProducedType() {
            return PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO;
        }
    }

    /** Counts what passes; in this process only. */
    public static final class Count implements FilterFunction<byte[]> {
        private static final long serialVersionUID = 1L;
        private final boolean pass;
        private long events;

        Count(boolean pass) {
            this.pass = pass;
        }

        @Override
        public boolean filter(byte[] event) {
            if (events++ == 0) {
                firstNanos = System.nanoTime();
                firstCpu = cpu();
            }
            EVENTS.lazySet(events);
            if (events % 64 == 0) {
                lastNanos = System.nanoTime();
            }
            return pass;
        }
    }

    private static StreamExecutionEnvironment local(Configuration configuration) {
        configuration.setString("taskmanager.memory.network.min", "32m");
        configuration.setString("taskmanager.memory.network.max", "32m");
        configuration.setString("taskmanager.memory.managed.size", "32m");
        configuration.setString("restart-strategy.type", "none");
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(1, configuration);
        environment.getConfig().enableObjectReuse();
        return environment;
    }

    /** The same by a job of one task. The time from its first event to its last one. */
    private static void readSource(String controller, StreamName stream, int passes) throws Exception {
        for (int pass = 0; pass < passes; pass++) {
            EVENTS.set(0);
            StreamExecutionEnvironment environment = local(new Configuration());
            environment.fromSource(MillraceSource.<byte[]>builder().controller(controller).stream(stream.toString()).deserializer(new Bytes())
                            .endAt(Position.tail()).build(), WatermarkStrategy.noWatermarks(), "in")
                    .filter(new Count(false)).print();
            environment.execute();
            tell(EVENTS.get(), lastNanos - firstNanos, firstCpu);
        }
    }

    /** Transactions of so many milliseconds, one after the other: what is committed a second, in windows of so many seconds. */
    private static void writePlain(String controller, StreamName stream, int bytes, int millis, int seconds, int windows) throws Exception {
        try (EventStreamClientFactory factory = EventStreamClientFactory.withScope(stream.scope(), config(controller));
                TransactionalEventStreamWriter<byte[]> writer = factory.createTransactionalEventWriter(stream.name(), new ByteArraySerializer(),
                        EventWriterConfig.builder().enableConnectionPooling(true).build())) {
            long number = 0;
            for (int window = 0; window < windows; window++) {
                long begun = System.nanoTime();
                long cpu = cpu();
                long before = number;
                while (System.nanoTime() - begun < TimeUnit.SECONDS.toNanos(seconds)) {
                    long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(millis);
                    Transaction<byte[]> transaction = writer.beginTxn();
                    while (number % 64 != 0 || System.nanoTime() < end) {
                        byte[] event = event(number++, bytes);
                        transaction.writeEvent(key(event), event);
                    }
                    transaction.flush();
                    transaction.commit();
                }
                tell(number - before, System.nanoTime() - begun, cpu);
            }
        }
    }

    /** The same by a job of one task, with checkpoints so often. */
    private static void writeSink(String controller, StreamName stream, int bytes, int millis, int seconds, int windows) throws Exception {
        StreamExecutionEnvironment environment = local(new Configuration());
        environment.enableCheckpointing(millis);
        GeneratorFunction<Long, byte[]> generator = number -> event(number, bytes);
        environment.fromSource(new DataGeneratorSource<>(generator, Long.MAX_VALUE, new Bytes().getProducedType()), WatermarkStrategy.noWatermarks(), "numbers")
                .filter(new Count(true))
                .sinkTo(MillraceSink.<byte[]>builder().controller(controller).stream(stream.toString()).serializer(new Bytes(), FlinkBench::key)
                        .deliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE).build());
        JobClient job = environment.executeAsync();
        while (EVENTS.get() == 0) {
            TimeUnit.MILLISECONDS.sleep(10);
        }
        for (int window = 0; window < windows; window++) {
            long begun = System.nanoTime();
            long cpu = cpu();
            long before = EVENTS.get();
            TimeUnit.SECONDS.sleep(seconds);
            tell(EVENTS.get() - before, System.nanoTime() - begun, cpu);
        }
        job.cancel().get(60, TimeUnit.SECONDS);
    }

    /** Counts the events of each key. */
    public static final class Counter extends KeyedProcessFunction<String, byte[], Long> {
        private static final long serialVersionUID = 1L;
        private transient ValueState<Long> count;

        @Override
        public void processElement(byte[] event, Context context, Collector<Long> out) throws Exception {
            if (count == null) {
                count = getRuntimeContext().getState(new ValueStateDescriptor<>("count", Types.LONG));
            }
            count.update(count.value() == null ? 1 : count.value() + 1);
        }
    }

    /**
     * Submits to a cluster: a source (stream, generator) of so many tasks, events of so many bytes, at so many a second (of the generator), a
     * count for each key. Numbers: tasks, bytes, rate, milliseconds between checkpoints, REST port.
     */
    private static void checkpoints(String controller, StreamName stream, String source, int tasks, int bytes, int rate, int millis, int port) throws Exception {
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.createRemoteEnvironment("127.0.0.1", port, new Configuration());
        environment.setParallelism(tasks);
        environment.enableCheckpointing(millis);
        GeneratorFunction<Long, byte[]> generator = number -> event(number, bytes);
        DataStream<byte[]> events = environment.fromSource(source.equals("generator")
                ? new DataGeneratorSource<>(generator, Long.MAX_VALUE, RateLimiterStrategy.perSecond(rate), new Bytes().getProducedType())
                : MillraceSource.<byte[]>builder().controller(controller).stream(stream.toString()).deserializer(new Bytes()).startAt(Position.tail()).build(),
                WatermarkStrategy.noWatermarks(), "in");
        events.keyBy(FlinkBench::key).process(new Counter()).returns(Types.LONG).print();
        System.out.println("job=" + environment.executeAsync("checkpoints").getJobID());
    }
}
