#include "container/state/extent_record.h"

#include "base/assert.h"

namespace millrace::container::state {

std::string ExtentRecord::key(SegmentId segment, std::uint64_t offset) {
    return build_key([&](bytes::Writer& out) {
        out.u8(static_cast<std::uint8_t>(kKind));
        out.u64(segment.value());
        out.u64(offset);
    });
}

KeyRange ExtentRecord::range(SegmentId segment, std::uint64_t begin, std::uint64_t end) {
    return {key(segment, begin), key(segment, end)};
}

void ExtentRecord::encode_key(bytes::Writer& out) const {
    MILLRACE_ASSERT(offset < kOffsetLimit);
    out.u8(static_cast<std::uint8_t>(kKind));
    out.u64(segment.value());
    out.u64(offset);
}

void ExtentRecord::encode_value(bytes::Writer& out) const {
    MILLRACE_ASSERT(size >= 1 && sequence.value() >= 1 && address.file >= 1);
    out.u8(kValueVersion);
    out.le32(size);
    out.le64(sequence.value());
    out.le64(address.file);
    out.le64(address.offset);
}

Result<ExtentRecord> ExtentRecord::decode(std::string_view key, std::string_view value) {
    RecordReader in(kKind, key, value);
    ExtentRecord record;
    record.segment = in.segment_id();
    record.offset = in.offset(in.key.u64());
    record.size = in.value.le32();
    record.sequence = LogSequence(in.at_least_one(in.value.le64()));
    record.address.file = in.at_least_one(in.value.le64());
    record.address.offset = in.value.le64();
    in.require(record.size >= 1 && record.offset + record.size < kOffsetLimit);
    return in.finish(record, "extent");
}

}  // namespace millrace::container::state
