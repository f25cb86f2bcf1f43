// G, number: the names of the last segments that were merged into others, to answer a merge that is asked for again.
#pragma once

#include "container/state/codec.h"

namespace millrace::container::state {

struct MergedNameRecord {
    std::uint64_t number = 1;  // counts the container's merges
    std::string name;
    bool operator==(const MergedNameRecord&) const = default;

    static constexpr Kind kKind = Kind::kMergedName;
    static std::string key(std::uint64_t number);
    static KeyRange range() { return range_of_prefix(kind_prefix(kKind)); }
    void encode_key(bytes::Writer& out) const;
    void encode_value(bytes::Writer& out) const;
    static Result<MergedNameRecord> decode(std::string_view key, std::string_view value);
};

}  // namespace millrace::container::state
