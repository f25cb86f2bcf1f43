package io.millrace.flink.table;

import io.millrace.flink.client.StoreOptions;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.connector.base.DeliveryGuarantee;

/** Options of tables ({@code 'connector' = 'millrace'}) and of the catalog. */
public final class MillraceOptions {
    /** What an enumeration's value is called in a table's options. */
    private static String option(Enum<?> value) {
        return value.name().toLowerCase(java.util.Locale.ROOT).replace('_', '-');
    }

    /** Where a scan starts. */
    public enum Startup {
        HEAD, TAIL, TIMESTAMP, STREAM_CUT;

        @Override
        public String toString() {
            return option(this);
        }
    }

    /** Where a scan ends. */
    public enum Bounded {
        UNBOUNDED, TAIL, TIMESTAMP, STREAM_CUT;

        @Override
        public String toString() {
            return option(this);
        }
    }

    /** What happens when events were deleted before they were read, or cannot be read. */
    public enum Truncation {
        FAIL, SKIP;

        @Override
        public String toString() {
            return option(this);
        }
    }

    /** Which reader goes on after a segment. */
    public enum Successors {
        SAME_READER, SPREAD;

        @Override
        public String toString() {
            return option(this);
        }
    }

    /** What happens when a checkpoint's transaction is unknown to the server. */
    public enum Unknown {
        FAIL, ASSUME_COMMITTED;

        @Override
        public String toString() {
            return option(this);
        }
    }

    public static final ConfigOption<String> CONTROLLER = ConfigOptions.key("controller").stringType().noDefaultValue()
            .withDescription("Address of the server's controller, as tcp://host:9090 or tls://host:9090; several are separated by commas.");
    public static final ConfigOption<List<String>> STREAM = ConfigOptions.key("stream").stringType().asList().noDefaultValue()
            .withDescription("Stream as scope/stream. A source may have several, separated by semicolons.");
    public static final ConfigOption<String> SCOPE = ConfigOptions.key("scope").stringType().noDefaultValue()
            .withDescription("Scope of the streams of 'stream-pattern'.");
    public static final ConfigOption<String> STREAM_PATTERN = ConfigOptions.key("stream-pattern").stringType().noDefaultValue()
            .withDescription("Regular expression for the names of the streams of 'scope' that a source reads.");

    public static final ConfigOption<String> AUTH_TYPE = ConfigOptions.key("security.auth-type").stringType().noDefaultValue()
            .withDescription("Method of authentication, as Basic or Bearer.");
    public static final ConfigOption<String> AUTH_TOKEN = ConfigOptions.key("security.auth-token").stringType().noDefaultValue()
            .withDescription("What is sent with it; for Basic the Base64 of user:password.");
    public static final ConfigOption<String> TRUST_STORE = ConfigOptions.key("security.trust-store").stringType().noDefaultValue()
            .withDescription("File with the certificate that the server's is checked against, on every machine.");
    public static final ConfigOption<Boolean> VALIDATE_HOSTNAME = ConfigOptions.key("security.validate-hostname").booleanType().defaultValue(true)
            .withDescription("Whether the server's certificate must name its host.");

    public static final ConfigOption<Duration> RETRY_TIMEOUT = ConfigOptions.key("retry-timeout").durationType().defaultValue(Duration.ofMinutes(2))
            .withDescription("How long a server that does not answer is asked again before the job fails.");

    public static final ConfigOption<Startup> STARTUP_MODE = ConfigOptions.key("scan.startup.mode").enumType(Startup.class).defaultValue(Startup.HEAD)
            .withDescription("Where the scan starts, if it is not restored.");
    public static final ConfigOption<Long> STARTUP_TIMESTAMP = ConfigOptions.key("scan.startup.timestamp-millis").longType().noDefaultValue()
            .withDescription("Time for the startup mode timestamp.");
    public static final ConfigOption<Map<String, String>> STARTUP_CUTS = ConfigOptions.key("scan.startup.stream-cuts").mapType().noDefaultValue()
            .withDescription("For the startup mode stream-cut: 'scope/stream:CUT,...' with stream cuts as text.");
    public static final ConfigOption<Bounded> BOUNDED_MODE = ConfigOptions.key("scan.bounded.mode").enumType(Bounded.class).defaultValue(Bounded.UNBOUNDED)
            .withDescription("Where the scan ends.");
    public static final ConfigOption<Long> BOUNDED_TIMESTAMP = ConfigOptions.key("scan.bounded.timestamp-millis").longType().noDefaultValue()
            .withDescription("Time for the bounded mode timestamp.");
    public static final ConfigOption<Map<String, String>> BOUNDED_CUTS = ConfigOptions.key("scan.bounded.stream-cuts").mapType().noDefaultValue()
            .withDescription("For the bounded mode stream-cut: 'scope/stream:CUT,...' with stream cuts as text.");
    public static final ConfigOption<Duration> DISCOVERY_INTERVAL = ConfigOptions.key("scan.stream-discovery.interval").durationType()
            .defaultValue(Duration.ofSeconds(30)).withDescription("How often new streams are looked for, with 'stream-pattern'; 0 for never.");
    public static final ConfigOption<Truncation> TRUNCATION = ConfigOptions.key("scan.truncation").enumType(Truncation.class).defaultValue(Truncation.FAIL)
            .withDescription("What happens when events were deleted before they were read.");
    public static final ConfigOption<Truncation> UNREADABLE = ConfigOptions.key("scan.unreadable-events").enumType(Truncation.class)
            .defaultValue(Truncation.FAIL).withDescription("What happens when an event cannot be deserialized.");
    public static final ConfigOption<Successors> SUCCESSORS = ConfigOptions.key("scan.successors").enumType(Successors.class)
            .defaultValue(Successors.SAME_READER)
            .withDescription("Whether the successors of a split segment stay with its reader, or are spread with the next checkpoint.");
    public static final ConfigOption<String> READER_GROUP = ConfigOptions.key("scan.reader-group").stringType().noDefaultValue()
            .withDescription("Reader group, as scope/group, under which progress is reported for retention by consumption.");
    public static final ConfigOption<MemorySize> READ_BUFFER = ConfigOptions.key("scan.read-buffer").memoryType()
            .defaultValue(MemorySize.ofMebiBytes(1)).withDescription("Read-ahead for each segment.");
    public static final ConfigOption<Integer> SCAN_PARALLELISM = ConfigOptions.key("scan.parallelism").intType().noDefaultValue()
            .withDescription("Parallelism of the source.");

    public static final ConfigOption<DeliveryGuarantee> GUARANTEE = ConfigOptions.key("sink.delivery-guarantee").enumType(DeliveryGuarantee.class)
            .defaultValue(DeliveryGuarantee.AT_LEAST_ONCE).withDescription("none, at-least-once or exactly-once.");
    public static final ConfigOption<List<String>> ROUTING_KEY = ConfigOptions.key("sink.routing-key.fields").stringType().asList().noDefaultValue()
            .withDescription("Columns whose values, joined by '|', are the routing key. Default: the primary key, else none.");
    public static final ConfigOption<Boolean> NOTE_WATERMARKS = ConfigOptions.key("sink.note-watermarks").booleanType().defaultValue(false)
            .withDescription("Whether watermarks are noted in the stream as time marks.");
    public static final ConfigOption<Duration> OPEN_LEASE = ConfigOptions.key("sink.transaction.open-lease").durationType()
            .defaultValue(Duration.ofMinutes(2)).withDescription("How long a transaction stays after its writer died.");
    public static final ConfigOption<Duration> PREPARED_LEASE = ConfigOptions.key("sink.transaction.prepared-lease").durationType()
            .noDefaultValue().withDescription("How long a prepared transaction waits for a job that is down. A server that grants less fails the job;"
                    + " without this option the sink takes what it grants, up to 24 hours.");
    public static final ConfigOption<Unknown> UNKNOWN = ConfigOptions.key("sink.transaction.unknown").enumType(Unknown.class).defaultValue(Unknown.FAIL)
            .withDescription("What happens when a transaction of the checkpoint is unknown to the server.");
    public static final ConfigOption<Integer> MAX_IN_FLIGHT = ConfigOptions.key("sink.in-flight.max-events").intType().defaultValue(10_000)
            .withDescription("Most events on their way before the job is held back.");
    public static final ConfigOption<MemorySize> MAX_IN_FLIGHT_BYTES = ConfigOptions.key("sink.in-flight.max-bytes").memoryType()
            .defaultValue(MemorySize.ofMebiBytes(32)).withDescription("Most bytes on their way before the job is held back.");
    public static final ConfigOption<Duration> SINK_TIMEOUT = ConfigOptions.key("sink.timeout").durationType().defaultValue(Duration.ofMinutes(5))
            .withDescription("How long there may be no progress before the job fails.");
    public static final ConfigOption<Integer> SINK_PARALLELISM = ConfigOptions.key("sink.parallelism").intType().noDefaultValue()
            .withDescription("Parallelism of the sink.");

    public static final ConfigOption<Integer> SEGMENTS = ConfigOptions.key("stream.segments").intType().defaultValue(1)
            .withDescription("Segments of a stream that CREATE TABLE in the catalog makes.");
    public static final ConfigOption<String> DEFAULT_DATABASE = ConfigOptions.key("default-database").stringType().defaultValue("default")
            .withDescription("Scope that the catalog starts in.");
    public static final ConfigOption<Boolean> DROP_STREAMS = ConfigOptions.key("drop-deletes-streams").booleanType().defaultValue(false)
            .withDescription("Whether DROP TABLE deletes the stream with its data; else it forgets the table's definition only.");

    private MillraceOptions() {}

    static StoreOptions store(ReadableConfig options) {
        StoreOptions result = StoreOptions.of(options.get(CONTROLLER));
        if (options.getOptional(AUTH_TYPE).isPresent()) {
            result = result.withAuth(options.get(AUTH_TYPE), options.getOptional(AUTH_TOKEN).orElse(""));
        }
        if (options.getOptional(TRUST_STORE).isPresent()) {
            result = result.withTrustStore(options.get(TRUST_STORE), options.get(VALIDATE_HOSTNAME));
        }
        return result.withRetryTimeout(options.get(RETRY_TIMEOUT));
    }
}
