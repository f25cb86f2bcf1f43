// sealed/<scope>/<stream>/<segment id>
#pragma once

#include "controller/records/codec.h"

namespace millrace::controller {

// A segment that others replaced.
struct SealedSegmentRecord {
    static constexpr std::int64_t kUnknownLength = -1;
    std::int32_t sealing_epoch = 0;  // the first epoch without it
    std::int64_t length = kUnknownLength;
    bool operator==(const SealedSegmentRecord&) const = default;

    static std::string prefix(const StreamName& name);
    static std::string key(const StreamName& name, StreamSegmentId segment);
    std::string encode() const;
    static Result<SealedSegmentRecord> decode(std::string_view value);
};

}  // namespace millrace::controller
