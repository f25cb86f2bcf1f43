#include "container/state/transient_record.h"

#include "base/assert.h"

namespace millrace::container::state {

void TransientRecord::encode_key(bytes::Writer& out) const {
    out.u8(static_cast<std::uint8_t>(kKind));
    out.u64(segment.value());
}

void TransientRecord::encode_value(bytes::Writer& out) const {
    MILLRACE_ASSERT(!name.empty() && name.size() <= kNameLimit);
    out.u8(kValueVersion);
    out.bytes(bytes::as_bytes(name));
}

Result<TransientRecord> TransientRecord::decode(std::string_view key, std::string_view value) {
    RecordReader in(kKind, key, value);
    TransientRecord record;
    record.segment = in.segment_id();
    record.name = in.rest(in.value, 1, kNameLimit);
    return in.finish(std::move(record), "transient segment");
}

}  // namespace millrace::container::state
