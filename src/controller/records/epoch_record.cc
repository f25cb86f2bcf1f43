#include "controller/records/epoch_record.h"

#include <fmt/format.h>

namespace millrace::controller {

std::string EpochRecord::prefix(const StreamName& name) { return fmt::format("epoch/{}/{}/", name.scope, name.stream); }

std::string EpochRecord::key(const StreamName& name, std::int32_t epoch) {
    return prefix(name) + fmt::format("{:08x}", static_cast<std::uint32_t>(epoch));
}

std::string EpochRecord::encode() const {
    RecordWriter out;
    out.i32(epoch.epoch);
    out.i32(epoch.reference);
    out.i64(epoch.creation_ms);
    out.i64(epoch.splits);
    out.i64(epoch.merges);
    out.count(epoch.segments.size());
    for (const SegmentRange& segment : epoch.segments) {
        out.i64(segment.id.value());
        out.f64(segment.min_key);
        out.f64(segment.max_key);
    }
    return out.take();
}

Result<EpochRecord> EpochRecord::decode(std::string_view value) {
    RecordReader in(value);
    Epoch epoch;
    epoch.epoch = in.i32();
    epoch.reference = in.i32();
    epoch.creation_ms = in.i64();
    epoch.splits = in.i64();
    epoch.merges = in.i64();
    epoch.segments.resize(in.count(kListLimit, 24));
    double end = 0;
    for (SegmentRange& segment : epoch.segments) {
        segment.id = StreamSegmentId(in.i64());
        segment.min_key = in.f64();
        segment.max_key = in.f64();
        if (segment.min_key != end || !(segment.max_key > segment.min_key)) in.fail();
        if (segment.id.value() < 0 || epoch_of(segment.id) > epoch.epoch) in.fail();
        end = segment.max_key;
    }
    if (epoch.epoch < 0 || end != 1.0) in.fail();
    return in.finish(EpochRecord{std::move(epoch)}, "epoch");
}

}  // namespace millrace::controller
