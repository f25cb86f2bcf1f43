// The options of `millrace standalone`: one table, from which the command line, the environment, the configuration file
// and the help text are made.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "node/options.h"

namespace millrace::cli {

struct OptionSpec {
    std::string_view name;      // "store-port": --store-port, MILLRACE_STORE_PORT, store-port = ...
    std::string_view value;     // what stands for the value in the help text
    std::string_view fallback;  // the default, as text for the help
    std::string_view help;
    // kInvalidArgument says what the value must be.
    Result<> (*apply)(node::NodeOptions& options, const std::string& text);
};

std::span<const OptionSpec> standalone_options();
const OptionSpec* find_option(std::string_view name);
std::vector<std::string_view> option_names();
std::string environment_name(std::string_view option);  // "store-port" -> "MILLRACE_STORE_PORT"

}  // namespace millrace::cli
