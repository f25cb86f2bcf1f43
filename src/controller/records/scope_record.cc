#include "controller/records/scope_record.h"

namespace millrace::controller {

std::string ScopeRecord::encode() const {
    RecordWriter out;
    out.u8(static_cast<std::uint8_t>(state));
    out.i64(creation_ms);
    return out.take();
}

Result<ScopeRecord> ScopeRecord::decode(std::string_view value) {
    RecordReader in(value);
    ScopeRecord record;
    record.state = static_cast<State>(in.enumerated(1, 2));
    record.creation_ms = in.i64();
    return in.finish(record, "scope");
}

}  // namespace millrace::controller
