#include "container/state/table_version_record.h"

#include "base/assert.h"

namespace millrace::container::state {

std::string TableVersionRecord::key(SegmentId segment, std::int64_t version) {
    return build_key([&](bytes::Writer& out) {
        out.u8(static_cast<std::uint8_t>(kKind));
        out.u64(segment.value());
        out.i64(version);
    });
}

KeyRange TableVersionRecord::range_from(SegmentId segment, std::int64_t version) {
    return {key(segment, version), range(segment).end};
}

void TableVersionRecord::encode_key(bytes::Writer& out) const {
    MILLRACE_ASSERT(version >= 0);
    out.u8(static_cast<std::uint8_t>(kKind));
    out.u64(segment.value());
    out.i64(version);
}

void TableVersionRecord::encode_value(bytes::Writer& out) const {
    MILLRACE_ASSERT(!entry_key.empty() && entry_key.size() <= kTableKeyLimit);
    out.u8(kValueVersion);
    out.bytes(bytes::as_bytes(entry_key));
}

Result<TableVersionRecord> TableVersionRecord::decode(std::string_view key, std::string_view value) {
    RecordReader in(kKind, key, value);
    TableVersionRecord record;
    record.segment = in.segment_id();
    record.version = in.version(in.key.u64(), 0);
    record.entry_key = in.rest(in.value, 1, kTableKeyLimit);
    return in.finish(std::move(record), "table version");
}

}  // namespace millrace::container::state
