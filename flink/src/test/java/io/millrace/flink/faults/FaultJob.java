package io.millrace.flink.faults;

import io.millrace.flink.sink.MillraceSink;
import io.millrace.flink.source.MillraceSource;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/**
 * Submits the job of the fault test: from one stream to another, exactly once, checking in keyed state that each key's numbers come in
 * order. Arguments: REST port, controller, source, sink, parallelism, milliseconds between checkpoints, savepoint or -, unaligned or aligned.
 */
public final class FaultJob {
    private FaultJob() {}

    public static void main(String[] args) throws Exception {
        System.out.println(submit(args));
        System.exit(0);
    }

    /** @return the job's id, after a word */
    static String submit(String[] args) throws Exception {
        int parallelism = Integer.parseInt(args[4]);
        Configuration configuration = new Configuration();
        if (!args[6].equals("-")) {
            configuration.setString("execution.savepoint.path", args[6]);
            configuration.setString("execution.state-recovery.path", args[6]);
        }
        configuration.setString("restart-strategy.type", "fixed-delay");
        configuration.setString("restart-strategy.fixed-delay.attempts", "100000");
        configuration.setString("restart-strategy.fixed-delay.delay", "1 s");
        configuration.setString("execution.checkpointing.unaligned.enabled", String.valueOf(args[7].equals("unaligned")));
        configuration.setString("execution.checkpointing.timeout", "60 s");
        configuration.setString("execution.checkpointing.tolerable-failed-checkpoints", "1000");
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.createRemoteEnvironment("127.0.0.1", Integer.parseInt(args[0]), configuration);
        environment.setParallelism(parallelism);
        environment.setMaxParallelism(16);
        environment.enableCheckpointing(Long.parseLong(args[5]));
        environment.fromSource(MillraceSource.<String>builder().controller(args[1]).stream(args[2]).deserializer(new SimpleStringSchema())
                        .spreadSuccessors().build(), WatermarkStrategy.noWatermarks(), "in").uid("in")
                .keyBy(FaultJob::key).process(new Check()).returns(Types.STRING).uid("check")
                .sinkTo(MillraceSink.<String>builder().controller(args[1]).stream(args[3]).serializer(new SimpleStringSchema(), FaultJob::key)
                        .deliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE).build()).uid("out");
        JobClient job = environment.executeAsync("fault test");
        return "job " + job.getJobID();
    }

    static String key(String event) {
        return event.substring(0, event.indexOf(':'));
    }

    /** Passes events on; marks one that is not the next of its key. */
    public static final class Check extends KeyedProcessFunction<String, String, String> {
        private static final long serialVersionUID = 1L;
        private transient ValueState<Integer> next;

        @Override
        public void processElement(String event, Context context, Collector<String> out) throws Exception {
            if (next == null) {
                next = getRuntimeContext().getState(new ValueStateDescriptor<>("next", Types.INT));
            }
            int number = Integer.parseInt(event.substring(event.indexOf(':') + 1));
            int expected = next.value() == null ? 0 : next.value();
            next.update(number + 1);
            out.collect(number == expected ? event : event + "!" + expected);
        }
    }
}
