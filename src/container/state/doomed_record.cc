#include "container/state/doomed_record.h"

namespace millrace::container::state {

void DoomedRecord::encode_key(bytes::Writer& out) const {
    out.u8(static_cast<std::uint8_t>(kKind));
    out.u64(segment.value());
}

void DoomedRecord::encode_value(bytes::Writer& out) const { out.u8(kValueVersion); }

Result<DoomedRecord> DoomedRecord::decode(std::string_view key, std::string_view value) {
    RecordReader in(kKind, key, value);
    DoomedRecord record;
    record.segment = in.segment_id();
    return in.finish(record, "doomed table");
}

}  // namespace millrace::container::state
