// D, segment id: a table segment that is gone while its entries are still being removed, page by page.
#pragma once

#include "container/state/codec.h"

namespace millrace::container::state {

struct DoomedRecord {
    SegmentId segment;
    bool operator==(const DoomedRecord&) const = default;

    static constexpr Kind kKind = Kind::kDoomed;
    static std::string key(SegmentId segment) { return segment_prefix(kKind, segment); }
    static KeyRange range() { return range_of_prefix(kind_prefix(kKind)); }
    void encode_key(bytes::Writer& out) const;
    void encode_value(bytes::Writer& out) const;
    static Result<DoomedRecord> decode(std::string_view key, std::string_view value);
};

}  // namespace millrace::container::state
