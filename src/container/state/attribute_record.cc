#include "container/state/attribute_record.h"

#include "base/assert.h"
#include "container/state/segment_record.h"

namespace millrace::container::state {

std::string AttributeRecord::key(SegmentId segment, const Uuid& id) {
    AttributeRecord record{segment, id, 0};
    return build_key([&](bytes::Writer& out) { record.encode_key(out); });
}

void AttributeRecord::encode_key(bytes::Writer& out) const {
    out.u8(static_cast<std::uint8_t>(kKind));
    out.u64(segment.value());
    out.uuid(id);
}

void AttributeRecord::encode_value(bytes::Writer& out) const {
    MILLRACE_ASSERT(value != kNullAttribute && !is_core(id));
    out.u8(kValueVersion);
    out.le64(static_cast<std::uint64_t>(value));
}

Result<AttributeRecord> AttributeRecord::decode(std::string_view key, std::string_view value) {
    RecordReader in(kKind, key, value);
    AttributeRecord record;
    record.segment = in.segment_id();
    record.id = in.key.uuid();
    record.value = static_cast<std::int64_t>(in.value.le64());
    in.require(record.value != kNullAttribute && !is_core(record.id));
    return in.finish(record, "attribute");
}

}  // namespace millrace::container::state
