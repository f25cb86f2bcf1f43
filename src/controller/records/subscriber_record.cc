#include "controller/records/subscriber_record.h"

#include <fmt/format.h>

namespace millrace::controller {

std::string SubscriberRecord::prefix(const StreamName& stream) {
    return fmt::format("subscriber/{}/{}/", stream.scope, stream.stream);
}

std::string SubscriberRecord::key(const StreamName& stream, std::string_view subscriber) {
    return prefix(stream).append(subscriber);
}

std::string SubscriberRecord::encode() const {
    RecordWriter out;
    out.i64(generation);
    out.uuid(group_id);
    out.cut(cut);
    return out.take();
}

Result<SubscriberRecord> SubscriberRecord::decode(std::string_view value) {
    RecordReader in(value);
    SubscriberRecord record;
    record.generation = in.i64();
    record.group_id = in.uuid();
    record.cut = in.cut();
    return in.finish(std::move(record), "subscriber");
}

}  // namespace millrace::controller
