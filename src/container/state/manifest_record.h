// M, segment id, offset: where bytes of a segment are in long-term storage.
#pragma once

#include "container/state/codec.h"
#include "container/state/object_record.h"

namespace millrace::container::state {

struct ManifestRecord {
    SegmentId segment;
    std::uint64_t offset = 0;  // in the segment
    std::uint64_t size = 0;
    ObjectId object;
    std::uint64_t object_offset = 0;
    ObjectKind kind = ObjectKind::kChunk;
    bool operator==(const ManifestRecord&) const = default;

    static constexpr Kind kKind = Kind::kManifest;
    static std::string key(SegmentId segment, std::uint64_t offset);
    static KeyRange range() { return range_of_prefix(kind_prefix(kKind)); }
    static KeyRange range(SegmentId segment) { return range_of_prefix(segment_prefix(kKind, segment)); }
    // Those of `segment` that begin in [begin, end). The entry that holds the byte at `offset` is the last one of
    // range(segment, 0, offset + 1): a scan in descending order with a limit of one.
    static KeyRange range(SegmentId segment, std::uint64_t begin, std::uint64_t end);
    void encode_key(bytes::Writer& out) const;
    void encode_value(bytes::Writer& out) const;
    static Result<ManifestRecord> decode(std::string_view key, std::string_view value);
};

}  // namespace millrace::container::state
