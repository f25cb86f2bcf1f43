#include "container/state/merged_name_record.h"

#include "base/assert.h"

namespace millrace::container::state {

std::string MergedNameRecord::key(std::uint64_t number) {
    return build_key([&](bytes::Writer& out) {
        out.u8(static_cast<std::uint8_t>(kKind));
        out.u64(number);
    });
}

void MergedNameRecord::encode_key(bytes::Writer& out) const {
    MILLRACE_ASSERT(number >= 1);
    out.u8(static_cast<std::uint8_t>(kKind));
    out.u64(number);
}

void MergedNameRecord::encode_value(bytes::Writer& out) const {
    MILLRACE_ASSERT(!name.empty() && name.size() <= kNameLimit);
    out.u8(kValueVersion);
    out.bytes(bytes::as_bytes(name));
}

Result<MergedNameRecord> MergedNameRecord::decode(std::string_view key, std::string_view value) {
    RecordReader in(kKind, key, value);
    MergedNameRecord record;
    record.number = in.at_least_one(in.key.u64());
    record.name = in.rest(in.value, 1, kNameLimit);
    return in.finish(std::move(record), "merged name");
}

}  // namespace millrace::container::state
