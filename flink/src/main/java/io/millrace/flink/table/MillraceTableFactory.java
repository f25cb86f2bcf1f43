package io.millrace.flink.table;

import io.millrace.flink.sink.MillraceSink;
import io.millrace.flink.sink.MillraceSinkBuilder;
import io.millrace.flink.source.MillraceSource;
import io.millrace.flink.source.MillraceSourceBuilder;
import io.millrace.flink.source.Position;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.catalog.ResolvedSchema;
import org.apache.flink.table.connector.format.DecodingFormat;
import org.apache.flink.table.connector.format.EncodingFormat;
import org.apache.flink.table.connector.sink.DynamicTableSink;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.factories.DeserializationFormatFactory;
import org.apache.flink.table.factories.DynamicTableSinkFactory;
import org.apache.flink.table.factories.DynamicTableSourceFactory;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.factories.SerializationFormatFactory;

/** Tables with {@code 'connector' = 'millrace'}. */
public final class MillraceTableFactory implements DynamicTableSourceFactory, DynamicTableSinkFactory {
    public static final String IDENTIFIER = "millrace";

    @Override
    public String factoryIdentifier() {
        return IDENTIFIER;
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Set.of(MillraceOptions.CONTROLLER, FactoryUtil.FORMAT);
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return new HashSet<>(Arrays.asList(MillraceOptions.STREAM, MillraceOptions.SCOPE, MillraceOptions.STREAM_PATTERN, MillraceOptions.AUTH_TYPE,
                MillraceOptions.AUTH_TOKEN, MillraceOptions.TRUST_STORE, MillraceOptions.VALIDATE_HOSTNAME, MillraceOptions.STARTUP_MODE,
                MillraceOptions.STARTUP_TIMESTAMP, MillraceOptions.STARTUP_CUTS, MillraceOptions.BOUNDED_MODE, MillraceOptions.BOUNDED_TIMESTAMP,
                MillraceOptions.BOUNDED_CUTS, MillraceOptions.DISCOVERY_INTERVAL, MillraceOptions.TRUNCATION, MillraceOptions.UNREADABLE, MillraceOptions.RETRY_TIMEOUT, MillraceOptions.SUCCESSORS,
                MillraceOptions.READER_GROUP, MillraceOptions.READ_BUFFER, MillraceOptions.SCAN_PARALLELISM, MillraceOptions.GUARANTEE,
                MillraceOptions.ROUTING_KEY, MillraceOptions.NOTE_WATERMARKS, MillraceOptions.OPEN_LEASE, MillraceOptions.PREPARED_LEASE,
                MillraceOptions.UNKNOWN, MillraceOptions.MAX_IN_FLIGHT, MillraceOptions.MAX_IN_FLIGHT_BYTES, MillraceOptions.SINK_TIMEOUT,
                MillraceOptions.SINK_PARALLELISM, MillraceOptions.SEGMENTS));
    }

    @Override
    public DynamicTableSource createDynamicTableSource(Context context) {
        FactoryUtil.TableFactoryHelper helper = FactoryUtil.createTableFactoryHelper(this, context);
        DecodingFormat<DeserializationSchema<RowData>> format = helper.discoverDecodingFormat(DeserializationFormatFactory.class, FactoryUtil.FORMAT);
        helper.validate();
        ReadableConfig options = helper.getOptions();
        MillraceSourceBuilder<RowData> source = source(options);
        ResolvedSchema schema = context.getCatalogTable().getResolvedSchema();
        return new MillraceTableSource(source, bounded(options), options.getOptional(MillraceOptions.SCAN_PARALLELISM).orElse(null), format,
                context.getPhysicalRowDataType(), RoutingKeys.fields(options, schema, context.getPhysicalRowDataType()),
                context.getObjectIdentifier().asSummaryString());
    }

    private static boolean bounded(ReadableConfig options) {
        return options.get(MillraceOptions.BOUNDED_MODE) != MillraceOptions.Bounded.UNBOUNDED;
    }

    private static MillraceSourceBuilder<RowData> source(ReadableConfig options) {
        MillraceSourceBuilder<RowData> source = MillraceSource.<RowData>builder().store(MillraceOptions.store(options));
        List<String> streams = options.getOptional(MillraceOptions.STREAM).orElse(List.of());
        String pattern = options.getOptional(MillraceOptions.STREAM_PATTERN).orElse(null);
        if (streams.isEmpty() == (pattern == null)) {
            throw new ValidationException("A source needs either 'stream' or 'scope' and 'stream-pattern'.");
        }
        if (pattern == null) {
            source.streams(streams);
        } else {
            String scope = options.getOptional(MillraceOptions.SCOPE)
                    .orElseThrow(() -> new ValidationException("'stream-pattern' needs 'scope'."));
            source.streamPattern(scope, Pattern.compile(pattern)).discoveryInterval(options.get(MillraceOptions.DISCOVERY_INTERVAL));
        }
        source.startAt(switch (options.get(MillraceOptions.STARTUP_MODE)) {
            case HEAD -> Position.head();
            case TAIL -> Position.tail();
            case TIMESTAMP -> Position.time(needed(options, MillraceOptions.STARTUP_TIMESTAMP));
            case STREAM_CUT -> Position.streamCuts(cuts(options, MillraceOptions.STARTUP_CUTS, streams));
        });
        switch (options.get(MillraceOptions.BOUNDED_MODE)) {
            case TAIL -> source.endAt(Position.tail());
            case TIMESTAMP -> source.endAt(Position.time(needed(options, MillraceOptions.BOUNDED_TIMESTAMP)));
            case STREAM_CUT -> source.endAt(Position.streamCuts(cuts(options, MillraceOptions.BOUNDED_CUTS, streams)));
            default -> { }
        }
        if (options.get(MillraceOptions.TRUNCATION) == MillraceOptions.Truncation.SKIP) {
            source.skipTruncated();
        }
        if (options.get(MillraceOptions.UNREADABLE) == MillraceOptions.Truncation.SKIP) {
            source.skipUnreadable();
        }
        if (options.get(MillraceOptions.SUCCESSORS) == MillraceOptions.Successors.SPREAD) {
            source.spreadSuccessors();
        }
        options.getOptional(MillraceOptions.READER_GROUP).ifPresent(source::reportProgressAs);
        source.readBuffer((int) Math.min(options.get(MillraceOptions.READ_BUFFER).getBytes(), 10 << 20));
        return source;
    }

    private static <T> T needed(ReadableConfig options, ConfigOption<T> option) {
        return options.getOptional(option).orElseThrow(() -> new ValidationException("'" + option.key() + "' is needed for the mode that was chosen."));
    }

    private static Map<String, String> cuts(ReadableConfig options, ConfigOption<Map<String, String>> option, List<String> streams) {
        Map<String, String> cuts = needed(options, option);
        for (String stream : streams) {
            if (!cuts.containsKey(stream)) {
                throw new ValidationException("'" + option.key() + "' has no stream cut for " + stream + ".");
            }
        }
        return cuts;
    }

    @Override
    public DynamicTableSink createDynamicTableSink(Context context) {
        FactoryUtil.TableFactoryHelper helper = FactoryUtil.createTableFactoryHelper(this, context);
        EncodingFormat<SerializationSchema<RowData>> format = helper.discoverEncodingFormat(SerializationFormatFactory.class, FactoryUtil.FORMAT);
        helper.validate();
        ReadableConfig options = helper.getOptions();
        List<String> streams = options.getOptional(MillraceOptions.STREAM).orElse(List.of());
        if (streams.size() != 1) {
            throw new ValidationException("A sink needs 'stream', with one stream.");
        }
        MillraceSinkBuilder<RowData> sink = MillraceSink.<RowData>builder().store(MillraceOptions.store(options)).stream(streams.get(0))
                .deliveryGuarantee(options.get(MillraceOptions.GUARANTEE))
                .openLease(options.get(MillraceOptions.OPEN_LEASE))
                .maxInFlight(options.get(MillraceOptions.MAX_IN_FLIGHT), options.get(MillraceOptions.MAX_IN_FLIGHT_BYTES).getBytes())
                .timeout(options.get(MillraceOptions.SINK_TIMEOUT));
        options.getOptional(MillraceOptions.PREPARED_LEASE).ifPresent(sink::preparedLease);
        if (options.get(MillraceOptions.NOTE_WATERMARKS)) {
            sink.noteWatermarks();
        }
        if (options.get(MillraceOptions.UNKNOWN) == MillraceOptions.Unknown.ASSUME_COMMITTED) {
            sink.assumeUnknownCommitted();
        }
        ResolvedSchema schema = context.getCatalogTable().getResolvedSchema();
        return new MillraceTableSink(sink, options.getOptional(MillraceOptions.SINK_PARALLELISM).orElse(null), format, context.getPhysicalRowDataType(),
                RoutingKeys.fields(options, schema, context.getPhysicalRowDataType()));
    }
}
