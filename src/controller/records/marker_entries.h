// Entries whose key says everything: tag/<scope>/<tag>/<stream> and pending/<kind>/<scope>[/<name>].
#pragma once

#include "controller/records/codec.h"

namespace millrace::controller {

std::string marker_value();

// Any text as part of a key: bytes outside the names' alphabet are % and two hex digits.
std::string key_text(std::string_view text);

struct TagEntry {
    static std::string prefix(std::string_view scope, std::string_view tag);
    static std::string key(const StreamName& stream, std::string_view tag) {
        return prefix(stream.scope, tag) + stream.stream;
    }
};

// Says that a record holds an intent.
struct PendingEntry {
    enum class Kind : std::uint8_t { kStream, kGroup, kScope, kTable };
    Kind kind = Kind::kStream;
    std::string scope;
    std::string name;  // of the stream, group or table; none for a scope
    bool operator==(const PendingEntry&) const = default;

    static constexpr std::string_view kPrefix = "pending/";
    std::string key() const;
    static Result<PendingEntry> parse(std::string_view key);
};

}  // namespace millrace::controller
