#include "container/state/counters_record.h"

#include "base/assert.h"

namespace millrace::container::state {

void CountersRecord::encode_key(bytes::Writer& out) const { out.u8(static_cast<std::uint8_t>(kKind)); }

void CountersRecord::encode_value(bytes::Writer& out) const {
    MILLRACE_ASSERT(next_segment >= 1 && next_table_version >= 1 && next_object >= 1);
    out.u8(kValueVersion);
    out.le64(next_segment);
    out.le64(static_cast<std::uint64_t>(next_table_version));
    out.le64(next_object);
    out.le64(segments);
    out.le64(table_entries);
}

Result<CountersRecord> CountersRecord::decode(std::string_view key, std::string_view value) {
    RecordReader in(kKind, key, value);
    CountersRecord record;
    record.next_segment = in.at_least_one(in.value.le64());
    record.next_table_version = in.version(in.value.le64(), 1);
    record.next_object = in.at_least_one(in.value.le64());
    record.segments = in.value.le64();
    record.table_entries = in.value.le64();
    return in.finish(record, "counters");
}

}  // namespace millrace::container::state
