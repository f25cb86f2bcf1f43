// T, segment id, key: an entry of a table segment. In the order of keys, which is the order of a sorted table.
#pragma once

#include "container/state/codec.h"

namespace millrace::container::state {

struct TableEntryRecord {
    SegmentId segment;
    std::string entry_key;
    std::int64_t version = 0;
    std::string value;
    bool operator==(const TableEntryRecord&) const = default;

    static constexpr Kind kKind = Kind::kTableEntry;
    static std::string key(SegmentId segment, std::string_view entry_key);
    static KeyRange range() { return range_of_prefix(kind_prefix(kKind)); }
    static KeyRange range(SegmentId segment) { return range_of_prefix(segment_prefix(kKind, segment)); }
    void encode_key(bytes::Writer& out) const;
    void encode_value(bytes::Writer& out) const;
    static Result<TableEntryRecord> decode(std::string_view key, std::string_view value);
};

}  // namespace millrace::container::state
