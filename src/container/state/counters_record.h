// C: numbers that the container gives out and never gives again.
#pragma once

#include "container/state/codec.h"

namespace millrace::container::state {

struct CountersRecord {
    std::uint64_t next_segment = 1;
    std::int64_t next_table_version = 1;
    std::uint64_t next_object = 1;
    std::uint64_t segments = 0;       // that there are
    std::uint64_t table_entries = 0;  // in all of them
    bool operator==(const CountersRecord&) const = default;

    static constexpr Kind kKind = Kind::kCounters;
    static std::string key() { return kind_prefix(kKind); }
    static KeyRange range() { return range_of_prefix(key()); }
    void encode_key(bytes::Writer& out) const;
    void encode_value(bytes::Writer& out) const;
    static Result<CountersRecord> decode(std::string_view key, std::string_view value);
};

}  // namespace millrace::container::state
