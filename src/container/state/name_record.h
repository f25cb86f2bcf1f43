// N, name: the id of the segment that has this name now.
#pragma once

#include "container/state/codec.h"

namespace millrace::container::state {

struct NameRecord {
    std::string name;
    SegmentId id;
    bool operator==(const NameRecord&) const = default;

    static constexpr Kind kKind = Kind::kName;
    static std::string key(std::string_view name) { return kind_prefix(kKind).append(name); }
    static KeyRange range() { return range_of_prefix(kind_prefix(kKind)); }
    void encode_key(bytes::Writer& out) const;
    void encode_value(bytes::Writer& out) const;
    static Result<NameRecord> decode(std::string_view key, std::string_view value);
};

}  // namespace millrace::container::state
