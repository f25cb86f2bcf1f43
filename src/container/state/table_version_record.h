// V, segment id, version: the key of the table entry that has this version, for reading a table's changes.
#pragma once

#include "container/state/codec.h"

namespace millrace::container::state {

struct TableVersionRecord {
    SegmentId segment;
    std::int64_t version = 0;
    std::string entry_key;
    bool operator==(const TableVersionRecord&) const = default;

    static constexpr Kind kKind = Kind::kTableVersion;
    static std::string key(SegmentId segment, std::int64_t version);
    static KeyRange range() { return range_of_prefix(kind_prefix(kKind)); }
    static KeyRange range(SegmentId segment) { return range_of_prefix(segment_prefix(kKind, segment)); }
    static KeyRange range_from(SegmentId segment, std::int64_t version);  // this version and later ones
    void encode_key(bytes::Writer& out) const;
    void encode_value(bytes::Writer& out) const;
    static Result<TableVersionRecord> decode(std::string_view key, std::string_view value);
};

}  // namespace millrace::container::state
