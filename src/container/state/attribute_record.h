// A, segment id, attribute id: one extended attribute, such as the last event number of a writer.
#pragma once

#include "container/state/codec.h"

namespace millrace::container::state {

struct AttributeRecord {
    SegmentId segment;
    Uuid id;
    std::int64_t value = 0;  // never kNullAttribute: that is no record
    bool operator==(const AttributeRecord&) const = default;

    static constexpr Kind kKind = Kind::kAttribute;
    static std::string key(SegmentId segment, const Uuid& id);
    static KeyRange range() { return range_of_prefix(kind_prefix(kKind)); }
    static KeyRange range(SegmentId segment) { return range_of_prefix(segment_prefix(kKind, segment)); }
    void encode_key(bytes::Writer& out) const;
    void encode_value(bytes::Writer& out) const;
    static Result<AttributeRecord> decode(std::string_view key, std::string_view value);
};

}  // namespace millrace::container::state
