#include "container/state/name_record.h"

#include "base/assert.h"

namespace millrace::container::state {

void NameRecord::encode_key(bytes::Writer& out) const {
    MILLRACE_ASSERT(!name.empty() && name.size() <= kNameLimit);
    out.u8(static_cast<std::uint8_t>(kKind));
    out.bytes(bytes::as_bytes(name));
}

void NameRecord::encode_value(bytes::Writer& out) const {
    MILLRACE_ASSERT(id.value() >= 1);
    out.u8(kValueVersion);
    out.le64(id.value());
}

Result<NameRecord> NameRecord::decode(std::string_view key, std::string_view value) {
    RecordReader in(kKind, key, value);
    NameRecord record;
    record.name = in.rest(in.key, 1, kNameLimit);
    record.id = SegmentId(in.at_least_one(in.value.le64()));
    return in.finish(std::move(record), "name");
}

}  // namespace millrace::container::state
