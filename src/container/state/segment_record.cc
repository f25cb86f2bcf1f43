#include "container/state/segment_record.h"

#include "base/assert.h"

namespace millrace::container::state {

namespace {
constexpr std::uint8_t kFlagTransient = 1;
constexpr std::uint8_t kFlagSealed = 2;

// One rule for what may be written and for what may be read.
bool is_sound(const SegmentRecord& r) {
    bool lengths = r.start <= r.length && r.length < kOffsetLimit;
    bool key_length =
        r.table == TableKind::kSorted ? r.key_length >= 1 && r.key_length <= kSortedKeyLimit : r.key_length == 0;
    bool entries = r.table != TableKind::kNone || r.table_entries == 0;
    bool name = !r.name.empty() && r.name.size() <= kNameLimit;
    if (r.id.value() < 1 || !lengths || !key_length || !entries || !name) return false;
    for (std::size_t i = 0; i < r.core.size(); ++i) {
        if (r.core[i].index >= kCoreAttributesEnd || r.core[i].value == kNullAttribute) return false;
        if (i > 0 && r.core[i].index <= r.core[i - 1].index) return false;
    }
    return true;
}
}  // namespace

void SegmentRecord::encode_key(bytes::Writer& out) const {
    out.u8(static_cast<std::uint8_t>(kKind));
    out.u64(id.value());
}

void SegmentRecord::encode_value(bytes::Writer& out) const {
    MILLRACE_ASSERT(is_sound(*this));
    out.u8(kValueVersion);
    out.u8(static_cast<std::uint8_t>((transient ? kFlagTransient : 0) | (sealed ? kFlagSealed : 0)));
    out.u8(static_cast<std::uint8_t>(table));
    out.u8(0);
    out.le16(key_length);
    out.le16(0);
    out.le64(length);
    out.le64(start);
    out.le64(table_entries);
    out.le64(static_cast<std::uint64_t>(created_ms));
    out.le64(static_cast<std::uint64_t>(last_modified_ms));
    out.le_string(name);
    out.u8(static_cast<std::uint8_t>(core.size()));
    for (const CoreAttribute& attribute : core) {
        out.u8(attribute.index);
        out.le64(static_cast<std::uint64_t>(attribute.value));
    }
}

Result<SegmentRecord> SegmentRecord::decode(std::string_view key, std::string_view value) {
    RecordReader in(kKind, key, value);
    SegmentRecord record;
    record.id = in.segment_id();
    std::uint8_t flags = in.enumerated(0, kFlagTransient | kFlagSealed);
    record.transient = (flags & kFlagTransient) != 0;
    record.sealed = (flags & kFlagSealed) != 0;
    record.table = static_cast<TableKind>(in.enumerated(0, 2));
    in.require(in.value.u8() == 0);
    record.key_length = in.value.le16();
    in.require(in.value.le16() == 0);
    record.length = in.value.le64();
    record.start = in.value.le64();
    record.table_entries = in.value.le64();
    record.created_ms = static_cast<std::int64_t>(in.value.le64());
    record.last_modified_ms = static_cast<std::int64_t>(in.value.le64());
    record.name = std::string(in.value.le_string(kNameLimit));
    std::uint8_t count = in.enumerated(0, kCoreAttributesEnd);
    for (std::uint8_t i = 0; i < count && in.value.ok(); ++i) {
        CoreAttribute attribute;
        attribute.index = in.value.u8();
        attribute.value = static_cast<std::int64_t>(in.value.le64());
        record.core.push_back(attribute);
    }
    in.require(is_sound(record));
    return in.finish(std::move(record), "segment");
}

}  // namespace millrace::container::state
