// X, segment id, offset: bytes of a segment that are in the log and not in long-term storage yet.
#pragma once

#include "container/state/codec.h"
#include "wal/durable_log.h"

namespace millrace::container::state {

struct ExtentRecord {
    SegmentId segment;
    std::uint64_t offset = 0;  // in the segment
    std::uint32_t size = 0;
    LogSequence sequence;  // of the frame that holds the bytes
    wal::LogAddress address;
    bool operator==(const ExtentRecord&) const = default;

    static constexpr Kind kKind = Kind::kExtent;
    static std::string key(SegmentId segment, std::uint64_t offset);
    static KeyRange range() { return range_of_prefix(kind_prefix(kKind)); }
    static KeyRange range(SegmentId segment) { return range_of_prefix(segment_prefix(kKind, segment)); }
    // Those of `segment` that begin in [begin, end).
    static KeyRange range(SegmentId segment, std::uint64_t begin, std::uint64_t end);
    void encode_key(bytes::Writer& out) const;
    void encode_value(bytes::Writer& out) const;
    static Result<ExtentRecord> decode(std::string_view key, std::string_view value);
};

}  // namespace millrace::container::state
