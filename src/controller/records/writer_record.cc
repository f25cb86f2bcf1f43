#include "controller/records/writer_record.h"

#include <fmt/format.h>

#include "controller/names.h"
#include "controller/records/marker_entries.h"

namespace millrace::controller {

std::string WriterRecord::prefix(const StreamName& stream) { return fmt::format("{}{}/", kPrefix, to_string(stream)); }

std::string WriterRecord::key(const StreamName& stream, std::string_view writer) {
    return prefix(stream) + key_text(writer);
}

Result<StreamName> WriterRecord::stream_of(std::string_view key) {
    std::size_t end = key.rfind('/');
    bool shaped = key.starts_with(kPrefix) && end >= kPrefix.size();
    auto name = shaped ? parse_scoped_name(key.substr(kPrefix.size(), end - kPrefix.size())) : std::nullopt;
    if (!name) return fail(Errc::kCorrupt, fmt::format("damaged key {}", key));
    return std::move(*name);
}

std::string WriterRecord::encode() const {
    RecordWriter out;
    out.i64(time);
    out.u8(alive ? 1 : 0);
    out.cut(position);
    return out.take();
}

Result<WriterRecord> WriterRecord::decode(std::string_view value) {
    RecordReader in(value);
    WriterRecord record;
    record.time = in.i64();
    record.alive = in.flag();
    record.position = in.cut();
    return in.finish(std::move(record), "writer");
}

}  // namespace millrace::controller
