#include "container/state/object_record.h"

#include "base/assert.h"

namespace millrace::container::state {

namespace {
bool is_sound(const ObjectRecord& r) {
    return r.id.value() >= 1 && r.size < kOffsetLimit && r.live_bytes <= r.size &&
           (r.live_bytes == 0 || r.state == ObjectState::kLive) && !r.key_name.empty() &&
           r.key_name.size() <= kObjectKeyLimit;
}
}  // namespace

std::string ObjectRecord::key(ObjectId id) {
    return build_key([&](bytes::Writer& out) {
        out.u8(static_cast<std::uint8_t>(kKind));
        out.u64(id.value());
    });
}

void ObjectRecord::encode_key(bytes::Writer& out) const {
    out.u8(static_cast<std::uint8_t>(kKind));
    out.u64(id.value());
}

void ObjectRecord::encode_value(bytes::Writer& out) const {
    MILLRACE_ASSERT(is_sound(*this));
    out.u8(kValueVersion);
    out.u8(static_cast<std::uint8_t>(kind));
    out.u8(static_cast<std::uint8_t>(state));
    out.le64(size);
    out.le64(live_bytes);
    out.le_string(key_name);
}

Result<ObjectRecord> ObjectRecord::decode(std::string_view key, std::string_view value) {
    RecordReader in(kKind, key, value);
    ObjectRecord record;
    record.id = ObjectId(in.key.u64());
    record.kind = static_cast<ObjectKind>(in.enumerated(1, 2));
    record.state = static_cast<ObjectState>(in.enumerated(1, 3));
    record.size = in.value.le64();
    record.live_bytes = in.value.le64();
    record.key_name = std::string(in.value.le_string(kObjectKeyLimit));
    in.require(is_sound(record));
    return in.finish(std::move(record), "object");
}

}  // namespace millrace::container::state
