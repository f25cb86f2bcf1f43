// The options of `millrace flink-scale`: one table, as for the server's.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cli/flink/flink_scale.h"

namespace millrace::cli {

struct FlinkScaleOption {
    std::string_view name;      // "cooldown-up"
    std::string_view value;     // what stands for the value in the help text; empty: a flag
    std::string_view fallback;  // the default, as text for the help
    std::string_view help;
    // Once for each value that is given. kInvalidArgument says what it must be.
    Result<> (*apply)(FlinkScaleOptions& options, const std::string& text);
};

std::span<const FlinkScaleOption> flink_scale_options();

}  // namespace millrace::cli
