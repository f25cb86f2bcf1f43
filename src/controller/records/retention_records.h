// retained/<scope>/<stream>: the stream has, or until just now had, a retention policy.
// sample/<scope>/<stream>/<time: 16 hex>: where the stream ended at that time.
#pragma once

#include "controller/records/codec.h"

namespace millrace::controller {

struct RetainedEntry {
    static constexpr std::string_view kPrefix = "retained/";
    static std::string key(const StreamName& name);
    static Result<StreamName> parse(std::string_view key);
};

// A place where the stream may be cut off later.
struct SampleRecord {
    std::int64_t time_ms = 0;
    std::int64_t bytes = 0;        // before it, counted from where the stream began when the first sample was taken
    std::int64_t mark_offset = 0;  // in the companion's segment: where the newest watermark of that time begins
    StreamCut cut;
    bool operator==(const SampleRecord&) const = default;

    static std::string prefix(const StreamName& name);
    static std::string key(const StreamName& name, std::int64_t time_ms);
    std::string encode() const;
    static Result<SampleRecord> decode(std::string_view value);
};

}  // namespace millrace::controller
