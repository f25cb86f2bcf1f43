// S, segment id: what every request needs of a segment. Its other attributes are records of their own.
#pragma once

#include "container/state/codec.h"
#include "container/types.h"

namespace millrace::container::state {

// Attributes with the ids (0x8000000000000000, 0 to 63) stand in the segment's record.
inline constexpr std::uint64_t kCoreAttributesEnd = 64;
inline constexpr bool is_core(const Uuid& id) { return id.high == kCoreAttributeHigh && id.low < kCoreAttributesEnd; }

enum class TableKind : std::uint8_t { kNone = 0, kHash = 1, kSorted = 2 };
inline constexpr std::uint16_t kSortedKeyLimit = 256;

struct CoreAttribute {
    std::uint8_t index = 0;  // = Uuid::low
    std::int64_t value = 0;
    bool operator==(const CoreAttribute&) const = default;
};

struct SegmentRecord {
    SegmentId id;
    std::string name;
    bool transient = false;
    bool sealed = false;
    TableKind table = TableKind::kNone;
    std::uint16_t key_length = 0;  // of a sorted table
    std::uint64_t length = 0;
    std::uint64_t start = 0;
    std::uint64_t table_entries = 0;
    std::int64_t created_ms = 0;
    std::int64_t last_modified_ms = 0;
    std::vector<CoreAttribute> core;  // by ascending index, without kNullAttribute
    bool operator==(const SegmentRecord&) const = default;

    static constexpr Kind kKind = Kind::kSegment;
    static std::string key(SegmentId segment) { return segment_prefix(kKind, segment); }
    static KeyRange range() { return range_of_prefix(kind_prefix(kKind)); }
    void encode_key(bytes::Writer& out) const;
    void encode_value(bytes::Writer& out) const;
    static Result<SegmentRecord> decode(std::string_view key, std::string_view value);
};

}  // namespace millrace::container::state
