// E, segment id: the name of a transient segment, which is removed when its maker is gone.
#pragma once

#include "container/state/codec.h"

namespace millrace::container::state {

struct TransientRecord {
    SegmentId segment;
    std::string name;
    bool operator==(const TransientRecord&) const = default;

    static constexpr Kind kKind = Kind::kTransient;
    static std::string key(SegmentId segment) { return segment_prefix(kKind, segment); }
    static KeyRange range() { return range_of_prefix(kind_prefix(kKind)); }
    void encode_key(bytes::Writer& out) const;
    void encode_value(bytes::Writer& out) const;
    static Result<TransientRecord> decode(std::string_view key, std::string_view value);
};

}  // namespace millrace::container::state
