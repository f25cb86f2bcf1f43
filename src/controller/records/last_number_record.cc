#include "controller/records/last_number_record.h"

#include <fmt/format.h>

namespace millrace::controller {

std::string LastNumberRecord::key(const StreamName& name) {
    return fmt::format("number/{}/{}", name.scope, name.stream);
}

std::string LastNumberRecord::encode() const {
    RecordWriter out;
    out.i32(last_number);
    return out.take();
}

Result<LastNumberRecord> LastNumberRecord::decode(std::string_view value) {
    RecordReader in(value);
    LastNumberRecord record;
    record.last_number = in.i32();
    if (record.last_number < 0) in.fail();
    return in.finish(record, "last number");
}

}  // namespace millrace::controller
