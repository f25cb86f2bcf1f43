#include "controller/records/watermark_record.h"

#include <fmt/format.h>

#include "controller/names.h"

namespace millrace::controller {

std::string WatermarkRecord::key(const StreamName& stream) { return fmt::format("watermark/{}", to_string(stream)); }

std::string WatermarkRecord::encode() const {
    RecordWriter out;
    out.i64(segment.value());
    out.i64(offset);
    out.i64(watermark.lower);
    out.i64(watermark.upper);
    out.count(watermark.cut.size());
    for (const CutEntry& entry : watermark.cut) {
        out.i64(entry.segment.id.value());
        out.f64(entry.segment.min_key);
        out.f64(entry.segment.max_key);
        out.i64(entry.offset);
    }
    return out.take();
}

Result<WatermarkRecord> WatermarkRecord::decode(std::string_view value) {
    RecordReader in(value);
    WatermarkRecord record;
    record.segment = StreamSegmentId(in.i64());
    record.offset = in.i64();
    if (record.segment.value() < 0 || record.offset < 0) in.fail();
    record.watermark.lower = in.i64();
    record.watermark.upper = in.i64();
    if (record.watermark.upper < record.watermark.lower) in.fail();
    record.watermark.cut.resize(in.count(kListLimit, 32));
    if (record.watermark.cut.empty()) in.fail();
    std::int64_t last = -1;
    for (CutEntry& entry : record.watermark.cut) {
        entry.segment.id = StreamSegmentId(in.i64());
        entry.segment.min_key = in.f64();
        entry.segment.max_key = in.f64();
        entry.offset = in.i64();
        bool is_range = entry.segment.min_key >= 0 && entry.segment.max_key > entry.segment.min_key;
        if (!is_range || entry.segment.max_key > 1.0) in.fail();
        if (entry.segment.id.value() <= last || entry.offset < 0) in.fail();
        last = entry.segment.id.value();
    }
    return in.finish(std::move(record), "watermark");
}

}  // namespace millrace::controller
