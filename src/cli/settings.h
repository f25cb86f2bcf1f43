// From the command line, the environment and a configuration file to the node's options: what is given nearer wins, and
// what is given wrongly is refused wherever it stands.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "node/options.h"

namespace millrace::cli {

struct NamedValue {
    std::string name;  // of an option: "store-port"
    std::string value;
    std::string origin;  // for messages: "--store-port", "MILLRACE_STORE_PORT", "store-port in x.toml, line 3"
};

// The file's keys; a key must be an option's name, a value text or a whole number. kInvalidArgument, kNotFound, kIo
// with a text.
Result<std::vector<NamedValue>> read_config_file(const std::string& path);

struct EnvironmentValues {
    std::vector<NamedValue> options;
    std::string config;                // MILLRACE_CONFIG
    std::vector<std::string> unknown;  // variables that are no option and not near to one: not ours, probably
};

// Variables MILLRACE_...; empty ones do not count. One that is nearly an option's name is refused. Left alone is what
// Kubernetes and Docker set for a service that is called millrace: MILLRACE_SERVICE_HOST, MILLRACE_PORT=tcp://..., and
// the like.
Result<EnvironmentValues> read_environment(const std::vector<std::pair<std::string, std::string>>& variables);

// Applied in this order, so that later ones win.
Result<> apply_all(const std::vector<NamedValue>& values, node::NodeOptions& options);

// "unknown key "stor-port" in x.toml; did you mean "store-port"?": `what` and `word` as they shall stand there, `word`
// without the decoration of options.
std::string unknown_name(std::string_view what, std::string_view word, std::string_view where);

// All three together, settled.
Result<node::NodeOptions> assemble(const std::vector<NamedValue>& command_line, const std::string& config_path,
                                   const std::vector<std::pair<std::string, std::string>>& variables);

}  // namespace millrace::cli
