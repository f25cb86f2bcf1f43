#include "container/state/codec.h"

#include <fmt/format.h>

namespace millrace::container::state {

KeyRange range_of_prefix(std::string prefix) {
    std::string end = prefix;
    while (!end.empty() && static_cast<std::uint8_t>(end.back()) == 0xff) end.pop_back();
    if (!end.empty()) end.back() = static_cast<char>(static_cast<std::uint8_t>(end.back()) + 1);
    return {std::move(prefix), std::move(end)};
}

std::string kind_prefix(Kind kind) { return std::string(1, static_cast<char>(kind)); }

std::string segment_prefix(Kind kind, SegmentId segment) {
    return build_key([&](bytes::Writer& out) {
        out.u8(static_cast<std::uint8_t>(kind));
        out.u64(segment.value());
    });
}

RecordReader::RecordReader(Kind kind, std::string_view key_bytes, std::string_view value_bytes)
    : key(bytes::as_bytes(key_bytes)), value(bytes::as_bytes(value_bytes)) {
    require(key.u8() == static_cast<std::uint8_t>(kind));
    std::uint8_t found = value.u8();
    newer_ = found > kValueVersion;
    require(found == kValueVersion);
}

Error RecordReader::failure(std::string_view what) const {
    if (newer_) return Error(Errc::kNewerFormat, fmt::format("{} record of a newer version of the program", what));
    return Error(Errc::kCorrupt, fmt::format("damaged {} record in the container's state", what));
}

}  // namespace millrace::container::state
