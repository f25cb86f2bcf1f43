#include "container/state/manifest_record.h"

#include "base/assert.h"

namespace millrace::container::state {

std::string ManifestRecord::key(SegmentId segment, std::uint64_t offset) {
    return build_key([&](bytes::Writer& out) {
        out.u8(static_cast<std::uint8_t>(kKind));
        out.u64(segment.value());
        out.u64(offset);
    });
}

KeyRange ManifestRecord::range(SegmentId segment, std::uint64_t begin, std::uint64_t end) {
    return {key(segment, begin), key(segment, end)};
}

void ManifestRecord::encode_key(bytes::Writer& out) const {
    MILLRACE_ASSERT(offset < kOffsetLimit);
    out.u8(static_cast<std::uint8_t>(kKind));
    out.u64(segment.value());
    out.u64(offset);
}

void ManifestRecord::encode_value(bytes::Writer& out) const {
    MILLRACE_ASSERT(size >= 1 && size < kOffsetLimit - offset && object.value() >= 1 && object_offset < kOffsetLimit);
    out.u8(kValueVersion);
    out.le64(size);
    out.le64(object.value());
    out.le64(object_offset);
    out.u8(static_cast<std::uint8_t>(kind));
}

Result<ManifestRecord> ManifestRecord::decode(std::string_view key, std::string_view value) {
    RecordReader in(kKind, key, value);
    ManifestRecord record;
    record.segment = in.segment_id();
    record.offset = in.offset(in.key.u64());
    record.size = in.value.le64();
    record.object = ObjectId(in.at_least_one(in.value.le64()));
    record.object_offset = in.offset(in.value.le64());
    record.kind = static_cast<ObjectKind>(in.enumerated(1, 2));
    in.require(record.offset < kOffsetLimit && record.size >= 1 && record.size < kOffsetLimit - record.offset);
    return in.finish(record, "manifest");
}

}  // namespace millrace::container::state
