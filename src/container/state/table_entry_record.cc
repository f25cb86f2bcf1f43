#include "container/state/table_entry_record.h"

#include <algorithm>

#include "base/assert.h"

namespace millrace::container::state {

std::string TableEntryRecord::key(SegmentId segment, std::string_view entry_key) {
    return segment_prefix(kKind, segment).append(entry_key);
}

void TableEntryRecord::encode_key(bytes::Writer& out) const {
    MILLRACE_ASSERT(!entry_key.empty() && entry_key.size() <= kTableKeyLimit);
    out.u8(static_cast<std::uint8_t>(kKind));
    out.u64(segment.value());
    out.bytes(bytes::as_bytes(entry_key));
}

void TableEntryRecord::encode_value(bytes::Writer& out) const {
    MILLRACE_ASSERT(version >= 0 && entry_key.size() + value.size() <= kTableEntryLimit);
    out.u8(kValueVersion);
    out.le64(static_cast<std::uint64_t>(version));
    out.bytes(bytes::as_bytes(value));
}

Result<TableEntryRecord> TableEntryRecord::decode(std::string_view key, std::string_view value) {
    RecordReader in(kKind, key, value);
    TableEntryRecord record;
    record.segment = in.segment_id();
    record.entry_key = in.rest(in.key, 1, kTableKeyLimit);
    record.version = in.version(in.value.le64(), 0);
    record.value = in.rest(in.value, 0, kTableEntryLimit - std::min(record.entry_key.size(), kTableKeyLimit));
    return in.finish(std::move(record), "table entry");
}

}  // namespace millrace::container::state
