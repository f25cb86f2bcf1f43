// watermark/<scope>/<stream>
#pragma once

#include "controller/records/codec.h"
#include "controller/watermark.h"

namespace millrace::controller {

// The last watermark, and where it stands in the companion's segment. It is kept before it is appended there: should
// the append be missing, as after a crash, the segment ends at its offset and the append is made up for.
struct WatermarkRecord {
    Watermark watermark;
    StreamSegmentId segment;
    std::int64_t offset = 0;

    static std::string key(const StreamName& stream);
    std::string encode() const;
    static Result<WatermarkRecord> decode(std::string_view value);
};

}  // namespace millrace::controller
