#include "controller/records/sealed_segment_record.h"

#include <fmt/format.h>

namespace millrace::controller {

std::string SealedSegmentRecord::prefix(const StreamName& name) {
    return fmt::format("sealed/{}/{}/", name.scope, name.stream);
}

std::string SealedSegmentRecord::key(const StreamName& name, StreamSegmentId segment) {
    return prefix(name) + fmt::format("{:016x}", static_cast<std::uint64_t>(segment.value()));
}

std::string SealedSegmentRecord::encode() const {
    RecordWriter out;
    out.i32(sealing_epoch);
    out.i64(length);
    return out.take();
}

Result<SealedSegmentRecord> SealedSegmentRecord::decode(std::string_view value) {
    RecordReader in(value);
    SealedSegmentRecord record;
    record.sealing_epoch = in.i32();
    record.length = in.i64();
    if (record.sealing_epoch < 1 || record.length < kUnknownLength) in.fail();
    return in.finish(record, "sealed segment");
}

}  // namespace millrace::controller
