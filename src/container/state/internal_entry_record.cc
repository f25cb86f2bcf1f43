#include "container/state/internal_entry_record.h"

#include "base/assert.h"

namespace millrace::container::state {

namespace {
void put_key(bytes::Writer& out, std::string_view table, std::string_view entry_key) {
    MILLRACE_ASSERT(!table.empty() && table.size() <= kNameLimit && entry_key.size() <= kInternalStringLimit);
    out.u8(static_cast<std::uint8_t>(Kind::kInternalEntry));
    out.u16(static_cast<std::uint16_t>(table.size()));
    out.bytes(bytes::as_bytes(table));
    out.bytes(bytes::as_bytes(entry_key));
}
}  // namespace

std::string InternalEntryRecord::key(std::string_view table, std::string_view entry_key) {
    return build_key([&](bytes::Writer& out) { put_key(out, table, entry_key); });
}

KeyRange InternalEntryRecord::range(std::string_view table, std::string_view key_prefix) {
    return range_of_prefix(key(table, key_prefix));
}

void InternalEntryRecord::encode_key(bytes::Writer& out) const { put_key(out, table, entry_key); }

void InternalEntryRecord::encode_value(bytes::Writer& out) const {
    MILLRACE_ASSERT(version >= 1 && value.size() <= kInternalStringLimit);
    out.u8(kValueVersion);
    out.le64(static_cast<std::uint64_t>(version));
    out.bytes(bytes::as_bytes(value));
}

Result<InternalEntryRecord> InternalEntryRecord::decode(std::string_view key, std::string_view value) {
    RecordReader in(kKind, key, value);
    InternalEntryRecord record;
    std::size_t size = in.key.u16();
    in.require(size >= 1 && size <= kNameLimit);
    record.table = std::string(bytes::as_text(in.key.bytes(size)));
    record.entry_key = in.rest(in.key, 0, kInternalStringLimit);
    record.version = in.version(in.value.le64(), 1);
    record.value = in.rest(in.value, 0, kInternalStringLimit);
    return in.finish(std::move(record), "internal table entry");
}

}  // namespace millrace::container::state
