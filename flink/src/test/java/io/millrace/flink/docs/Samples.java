package io.millrace.flink.docs;

import io.millrace.flink.client.StoreOptions;
import io.millrace.flink.sink.MillraceSerializationSchema;
import io.millrace.flink.sink.MillraceSink;
import io.millrace.flink.source.MillraceDeserializationSchema;
import io.millrace.flink.source.MillraceSource;
import io.millrace.flink.source.Position;
import io.millrace.flink.source.UnreadableEvent;
import io.pravega.client.ClientConfig;
import io.pravega.client.admin.ReaderGroupManager;
import io.pravega.client.admin.StreamManager;
import io.pravega.client.stream.ReaderGroup;
import io.pravega.client.stream.ScalingPolicy;
import io.pravega.client.stream.StreamConfiguration;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.apache.flink.api.common.RuntimeExecutionMode;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.types.Either;
import org.apache.flink.util.CloseableIterator;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;

/** The Java samples of docs/flink, compiled here and run by {@link DocsIT}; {@code DocsTest} finds each of theirs in this file. */
final class Samples {
    private Samples() {}

    /** docs/flink/datastream.md. */
    static void copy(StreamExecutionEnvironment env, String controller, String orders, String results) {
        MillraceSource<String> source = MillraceSource.<String>builder()
                .controller(controller)                             // "tcp://127.0.0.1:9090"
                .stream(orders)                                     // "demo/orders"; several may be given
                .deserializer(new SimpleStringSchema())
                .build();
        DataStream<String> events = env.fromSource(source,
                WatermarkStrategy.<String>forBoundedOutOfOrderness(Duration.ofSeconds(5)).withIdleness(Duration.ofSeconds(30)), "orders");

        MillraceSink<String> sink = MillraceSink.<String>builder()
                .controller(controller)
                .stream(results)                                    // "demo/results"
                .serializer(new SimpleStringSchema(), event -> event.substring(0, event.indexOf(':')))   // the routing key; null for none
                .deliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
                .build();
        events.map(event -> event.toUpperCase()).returns(Types.STRING).sinkTo(sink);
    }

    /** docs/flink/datastream.md. */
    static MillraceSource<String> pattern(String controller, String scope) {
        return MillraceSource.<String>builder()
                .controller(controller)
                .streamPattern(scope, Pattern.compile("orders-.*")).discoveryInterval(Duration.ofMinutes(1))
                .startAt(Position.tail())
                .deserializer(new SimpleStringSchema())
                .build();
    }

    /** docs/flink/datastream.md. */
    static StoreOptions connection(String controller) {
        return StoreOptions.of(controller)                          // "tls://store.example:9090"
                .withAuth("Bearer", "the token")                    // or "Basic" with the Base64 of user:password
                .withTrustStore("/etc/flink/store-ca.crt", true)    // a file on every machine of the cluster
                .withRetryTimeout(Duration.ofMinutes(5));
    }

    /** docs/flink/datastream.md. */
    static final class Priced implements MillraceDeserializationSchema<Tuple2<String, Double>> {
        private static final long serialVersionUID = 1L;

        @Override
        public void deserialize(byte[] event, Origin origin, Collector<Tuple2<String, Double>> out) throws IOException {
            String text = new String(event, StandardCharsets.UTF_8);
            out.collect(Tuple2.of(origin.eventPointer(), Double.parseDouble(text.substring(text.indexOf(':') + 1))));
        }

        @Override
        public TypeInformation<Tuple2<String, Double>> getProducedType() {
            return Types.TUPLE(Types.STRING, Types.DOUBLE);
        }
    }

    /** docs/flink/datastream.md. */
    static final class Order implements MillraceSerializationSchema<Tuple2<String, Double>> {
        private static final long serialVersionUID = 1L;

        @Override
        public byte[] serialize(Tuple2<String, Double> order) {
            return (order.f0 + ":" + order.f1).getBytes(StandardCharsets.UTF_8);
        }

        @Override
        public String routingKey(Tuple2<String, Double> order) {
            return order.f0;
        }
    }

    /** docs/flink/datastream.md. */
    static DataStream<String> aside(StreamExecutionEnvironment env, String controller, String orders) {
        OutputTag<UnreadableEvent> unreadable = new OutputTag<>("unreadable", TypeInformation.of(UnreadableEvent.class));
        MillraceSource<Either<Tuple2<String, Double>, UnreadableEvent>> source =
                MillraceSource.<Either<Tuple2<String, Double>, UnreadableEvent>>builder()
                        .controller(controller).stream(orders).endAt(Position.tail())
                        .deserializer(MillraceDeserializationSchema.orUnreadable(new Priced()))
                        .build();
        SingleOutputStreamOperator<Tuple2<String, Double>> prices =
                UnreadableEvent.split(env.fromSource(source, WatermarkStrategy.noWatermarks(), "orders"), unreadable);
        DataStream<String> complaints = prices.getSideOutput(unreadable).map(event -> event.pointer + ": " + event.error).returns(Types.STRING);
        return prices.map(price -> "price " + price.f1).returns(Types.STRING).union(complaints);
    }

    /** docs/flink/datastream.md. */
    static WatermarkStrategy<String> aligned() {
        return WatermarkStrategy.<String>forBoundedOutOfOrderness(Duration.ofSeconds(5))
                .withTimestampAssigner((event, before) -> Long.parseLong(event.substring(event.indexOf(':') + 1)))
                .withWatermarkAlignment("all orders", Duration.ofSeconds(30));
    }

    /** docs/flink/batch.md. */
    static Map<String, Integer> count(StreamExecutionEnvironment env, String controller, String orders) throws Exception {
        env.setRuntimeMode(RuntimeExecutionMode.BATCH);
        MillraceSource<String> history = MillraceSource.<String>builder()
                .controller(controller).stream(orders)
                .startAt(Position.head()).endAt(Position.tail())    // or time(ms), or streamCut(stream, text)
                .deserializer(new SimpleStringSchema())
                .build();
        Map<String, Integer> totals = new HashMap<>();
        try (CloseableIterator<Tuple2<String, Integer>> counts = env.fromSource(history, WatermarkStrategy.noWatermarks(), "history")
                .map(event -> Tuple2.of(event.substring(0, event.indexOf(':')), 1)).returns(Types.TUPLE(Types.STRING, Types.INT))
                .keyBy(pair -> pair.f0).sum(1).executeAndCollect()) {
            counts.forEachRemaining(count -> totals.put(count.f0, count.f1));
        }
        return totals;
    }

    /** docs/flink/batch.md. */
    static String tailOf(String controller, String scope, String stream) {
        try (StreamManager streams = StreamManager.create(URI.create(controller))) {
            return streams.fetchStreamInfo(scope, stream).join().getTailStreamCut().asText();
        }
    }

    /** docs/flink/exactly-once.md. */
    static MillraceSink<String> leases(String controller, String results) {
        return MillraceSink.<String>builder()
                .controller(controller).stream(results)
                .serializer(new SimpleStringSchema(), event -> null)
                .deliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
                .preparedLease(Duration.ofHours(12))                // the job fails at its first checkpoint where the server grants less
                .build();
    }

    /** docs/flink/exactly-once.md. */
    static void keepPrepared(String controller, String scope, String name) {
        try (StreamManager streams = StreamManager.create(URI.create(controller))) {
            streams.createStream(scope, name, StreamConfiguration.builder()
                    .scalingPolicy(ScalingPolicy.fixed(4)).tag("millrace.prepared=keep").build());
        }
    }

    /** docs/flink/migration.md. */
    static MillraceSource<String> continued(String controller, String scope, String group) {
        Map<String, String> cuts = new HashMap<>();
        try (ReaderGroupManager groups = ReaderGroupManager.withScope(scope, ClientConfig.builder().controllerURI(URI.create(controller)).build());
                ReaderGroup old = groups.getReaderGroup(group)) {
            old.getStreamCuts().forEach((stream, cut) -> cuts.put(stream.getScopedName(), cut.asText()));
        }
        return MillraceSource.<String>builder()
                .controller(controller).streams(List.copyOf(cuts.keySet()))
                .startAt(Position.streamCuts(cuts))
                .deserializer(new SimpleStringSchema())
                .build();
    }
}
