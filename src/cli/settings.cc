#include "cli/settings.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "cli/option_table.h"
#include "cli/suggest.h"

namespace millrace::cli {
namespace {

constexpr std::string_view kPrefix = "MILLRACE_";
constexpr std::string_view kConfig = "config";

// What container platforms derive from services' names.
bool is_service_link(std::string_view name, std::string_view value) {
    if (value.starts_with("tcp://") || value.starts_with("udp://")) return true;
    if (name.ends_with("SERVICE_HOST") || name.find("SERVICE_PORT") != std::string_view::npos) return true;
    return name.find("PORT_") != std::string_view::npos &&
           (name.find("_TCP") != std::string_view::npos || name.find("_UDP") != std::string_view::npos);
}

std::string option_name(std::string_view variable) {
    std::string name(variable.substr(kPrefix.size()));
    for (char& c : name) c = c == '_' ? '-' : static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    return name;
}

}  // namespace

std::string unknown_name(std::string_view what, std::string_view word, std::string_view where) {
    std::vector<std::string_view> known = option_names();
    std::string_view near = suggest(word, known);
    if (near.empty())
        return fmt::format("unknown {} \"{}\"{}; `millrace standalone --help` names all options", what, word, where);
    return fmt::format("unknown {} \"{}\"{}; did you mean \"{}\"?", what, word, where, near);
}

Result<EnvironmentValues> read_environment(const std::vector<std::pair<std::string, std::string>>& variables) {
    EnvironmentValues values;
    std::vector<std::string_view> known = option_names();
    known.push_back(kConfig);
    for (const auto& [variable, value] : variables) {
        if (!variable.starts_with(kPrefix) || value.empty() || is_service_link(variable, value)) continue;
        std::string name = option_name(variable);
        bool exact = environment_name(name) == variable;
        if (exact && name == kConfig) {
            values.config = value;
        } else if (exact && find_option(name) != nullptr) {
            values.options.push_back({name, value, variable});
        } else if (std::string_view near = suggest(name, known); !near.empty()) {
            return fail(Errc::kInvalidArgument, fmt::format("unknown environment variable {}; did you mean {}?",
                                                            variable, environment_name(near)));
        } else {
            values.unknown.push_back(variable);
        }
    }
    return values;
}

Result<> apply_all(const std::vector<NamedValue>& values, node::NodeOptions& options) {
    for (const NamedValue& given : values) {
        auto done = find_option(given.name)->apply(options, given.value);
        if (!done) {
            return fail(Errc::kInvalidArgument,
                        fmt::format("bad value \"{}\" for {}: {}", given.value, given.origin, done.error().message()));
        }
    }
    return {};
}

Result<node::NodeOptions> assemble(const std::vector<NamedValue>& command_line, const std::string& config_path,
                                   const std::vector<std::pair<std::string, std::string>>& variables) {
    node::NodeOptions options;
    auto environment = read_environment(variables);
    if (!environment) return fail(environment.error());
    const std::string& path = config_path.empty() ? environment->config : config_path;
    if (!path.empty()) {
        auto file = read_config_file(path);
        if (!file) return fail(file.error());
        if (auto done = apply_all(*file, options); !done) return fail(done.error());
    }
    if (auto done = apply_all(environment->options, options); !done) return fail(done.error());
    if (auto done = apply_all(command_line, options); !done) return fail(done.error());
    if (auto done = node::settle(options); !done) return fail(done.error());
    log::set_level(options.log_level);
    log::set_json(options.log_json);
    for (const std::string& variable : environment->unknown)
        log::warn("environment variable {} is no option of this program", variable);
    return options;
}

}  // namespace millrace::cli
