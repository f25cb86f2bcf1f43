package io.millrace.flink.source;

import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.java.typeutils.EitherTypeInfo;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.types.Either;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;

/** An event that could not be deserialized. Its fields are public for Flink's serializer of plain objects. */
public final class UnreadableEvent {
    public byte[] event;
    /** Where it is, as the client writes event pointers. */
    public String pointer;
    public String error;

    public UnreadableEvent() {}

    UnreadableEvent(byte[] event, String pointer, String error) {
        this.event = event;
        this.pointer = pointer;
        this.error = error;
    }

    /** Passes the readable ones on, and the others to the side output {@code tag}. */
    public static <T> SingleOutputStreamOperator<T> split(DataStream<Either<T, UnreadableEvent>> events, OutputTag<UnreadableEvent> tag) {
        TypeInformation<T> type = ((EitherTypeInfo<T, UnreadableEvent>) events.getType()).getLeftType();
        return events.process(new Split<>(tag)).returns(type).name("unreadable events aside");
    }

    @Override
    public String toString() {
        return pointer + ": " + error;
    }

    private static final class Split<T> extends ProcessFunction<Either<T, UnreadableEvent>, T> {
        private static final long serialVersionUID = 1L;
        private final OutputTag<UnreadableEvent> tag;

        Split(OutputTag<UnreadableEvent> tag) {
            this.tag = tag;
        }

        @Override
        public void processElement(Either<T, UnreadableEvent> event, Context context, Collector<T> out) {
            if (event.isLeft()) {
                out.collect(event.left());
            } else {
                context.output(tag, event.right());
            }
        }
    }
}
