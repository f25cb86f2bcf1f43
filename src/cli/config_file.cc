#include <cerrno>
#include <cstring>
#include <fstream>

#include <fmt/format.h>

#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include "cli/option_table.h"
#include "cli/settings.h"

namespace millrace::cli {
namespace {

constexpr std::size_t kFileBytesMax = 1 << 20;

Result<std::string> read_text(const std::string& path) {
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    std::string text(kFileBytesMax + 1, '\0');
    if (file) file.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (!file && !file.eof()) {
        int error = errno;
        return fail(error == ENOENT ? Errc::kNotFound : Errc::kIo,
                    fmt::format("configuration file {}: {}", path, std::strerror(error != 0 ? error : EIO)));
    }
    text.resize(static_cast<std::size_t>(file.gcount()));
    if (text.size() > kFileBytesMax) return fail(Errc::kLimit, fmt::format("configuration file {} is too large", path));
    return text;
}

}  // namespace

Result<std::vector<NamedValue>> read_config_file(const std::string& path) {
    auto text = read_text(path);
    if (!text) return fail(text.error());
    toml::parse_result parsed = toml::parse(*text);
    if (!parsed) {
        return fail(Errc::kInvalidArgument, fmt::format("{}, line {}: {}", path, parsed.error().source().begin.line,
                                                        parsed.error().description()));
    }
    std::vector<NamedValue> values;
    for (const auto& [key, node] : parsed.table()) {
        std::string name(key.str());
        std::string where = fmt::format(" in {}", path);
        if (find_option(name) == nullptr) return fail(Errc::kInvalidArgument, unknown_name("key", name, where));
        std::string origin = fmt::format("{} in {}, line {}", name, path, key.source().begin.line);
        if (node.is_string()) {
            values.push_back({name, node.as_string()->get(), origin});
        } else if (node.is_integer()) {
            values.push_back({name, fmt::to_string(node.as_integer()->get()), origin});
        } else {
            return fail(Errc::kInvalidArgument,
                        fmt::format("bad value for {}: it must be text or a whole number", origin));
        }
    }
    return values;
}

}  // namespace millrace::cli
