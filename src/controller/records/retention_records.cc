#include "controller/records/retention_records.h"

#include <fmt/format.h>

#include "controller/names.h"

namespace millrace::controller {

std::string RetainedEntry::key(const StreamName& name) { return fmt::format("{}{}", kPrefix, to_string(name)); }

Result<StreamName> RetainedEntry::parse(std::string_view key) {
    auto name = key.starts_with(kPrefix) ? parse_scoped_name(key.substr(kPrefix.size())) : std::nullopt;
    if (!name) return fail(Errc::kCorrupt, fmt::format("damaged key {}", key));
    return std::move(*name);
}

std::string SampleRecord::prefix(const StreamName& name) { return fmt::format("sample/{}/", to_string(name)); }

std::string SampleRecord::key(const StreamName& name, std::int64_t time_ms) {
    return prefix(name) + fmt::format("{:016x}", static_cast<std::uint64_t>(time_ms));
}

std::string SampleRecord::encode() const {
    RecordWriter out;
    out.i64(time_ms);
    out.i64(bytes);
    out.i64(mark_offset);
    out.cut(cut);
    return out.take();
}

Result<SampleRecord> SampleRecord::decode(std::string_view value) {
    RecordReader in(value);
    SampleRecord record;
    record.time_ms = in.i64();
    record.bytes = in.i64();
    record.mark_offset = in.i64();
    record.cut = in.cut();
    if (record.time_ms < 0 || record.bytes < 0 || record.mark_offset < 0) in.fail();
    return in.finish(std::move(record), "retention sample");
}

}  // namespace millrace::controller
