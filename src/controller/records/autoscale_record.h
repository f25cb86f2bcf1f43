// autoscale/<scope>/<stream>
#pragma once

#include <map>

#include "controller/records/codec.h"

namespace millrace::controller {

// Of a stream that scales by its load and has, or will have, more segments than its policy's least: it is looked at
// also when it has no traffic. `inherited`: by the number of a segment, the rate of what was split into it.
struct AutoscaleRecord {
    std::map<std::int32_t, double> inherited;
    bool operator==(const AutoscaleRecord&) const = default;

    static constexpr std::string_view kPrefix = "autoscale/";
    static std::string key(const StreamName& name);
    static std::optional<StreamName> name_of(std::string_view key);
    std::string encode() const;
    static Result<AutoscaleRecord> decode(std::string_view value);
};

}  // namespace millrace::controller
