#include "lts/s3/credentials.h"

#include <cstdlib>
#include <fstream>
#include <iterator>

#include <fmt/format.h>

namespace millrace::lts {
namespace {

constexpr std::size_t kFileSizeMax = std::size_t{1} << 20;

std::string_view trimmed(std::string_view text) {
    auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
    while (!text.empty() && blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && blank(text.back())) text.remove_suffix(1);
    return text;
}

// Header values: whatever a terminal or a header could take for more than text is refused.
bool is_printable(std::string_view text) {
    for (char c : text) {
        if (c <= ' ' || c > '~') return false;
    }
    return true;
}

Result<Credentials> checked(Credentials found, std::string_view source) {
    if (found.access_key.empty() || found.secret_key.empty())
        return fail(Errc::kInvalidArgument,
                    fmt::format("S3 credentials from {}: one of the two keys is missing", source));
    if (!is_printable(found.access_key) || !is_printable(found.secret_key.reveal()) ||
        !is_printable(found.session_token.reveal()))
        return fail(Errc::kInvalidArgument, fmt::format("S3 credentials from {}: not a key", source));
    return found;
}

Result<Credentials> read_file(const std::string& path, std::string_view profile) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return fail(Errc::kNotFound, path);
    std::string text(std::istreambuf_iterator<char>(file), {});
    if (text.size() > kFileSizeMax) return fail(Errc::kLimit, "S3 credentials: larger than 1 MiB: " + path);
    auto found = parse_credentials(text, profile);
    if (!found) return fail(found.error().code(), fmt::format("{}: {}", path, found.error().message()));
    return checked(std::move(*found), path);
}

}  // namespace

std::optional<std::string> process_environment(std::string_view name) {
    const char* value = std::getenv(std::string(name).c_str());
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
}

Result<Credentials> parse_credentials(std::string_view text, std::string_view profile) {
    Credentials found;
    bool within = false;
    bool seen = false;
    while (!text.empty()) {
        std::size_t end = text.find('\n');
        std::string_view line = trimmed(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        if (line.empty() || line.front() == '#' || line.front() == ';') continue;
        if (line.front() == '[') {
            within = line.back() == ']' && trimmed(line.substr(1, line.size() - 2)) == profile;
            seen = seen || within;
            continue;
        }
        std::size_t equals = line.find('=');
        if (!within || equals == std::string_view::npos) continue;
        std::string_view name = trimmed(line.substr(0, equals));
        std::string value(trimmed(line.substr(equals + 1)));
        if (name == "aws_access_key_id")
            found.access_key = std::move(value);
        else if (name == "aws_secret_access_key")
            found.secret_key = Secret(std::move(value));
        else if (name == "aws_session_token")
            found.session_token = Secret(std::move(value));
    }
    if (!seen) return fail(Errc::kInvalidArgument, fmt::format("no section [{}]", profile));
    return found;
}

Result<Credentials> find_credentials(const S3Options& options, const Environment& environment) {
    if (!options.access_key.empty() || !options.secret_key.empty())
        return checked({options.access_key, options.secret_key, options.session_token}, "the configuration");
    std::string profile = options.profile;
    if (profile.empty()) profile = environment("AWS_PROFILE").value_or("default");
    if (!options.credentials_file.empty()) return read_file(options.credentials_file, profile);
    if (auto key = environment("AWS_ACCESS_KEY_ID")) {
        Credentials found{*key, Secret(environment("AWS_SECRET_ACCESS_KEY").value_or("")),
                          Secret(environment("AWS_SESSION_TOKEN").value_or(""))};
        return checked(std::move(found), "the environment");
    }
    std::string path = environment("AWS_SHARED_CREDENTIALS_FILE").value_or("");
    if (path.empty()) path = environment("HOME").value_or("") + "/.aws/credentials";
    auto found = read_file(path, profile);
    if (found || found.error() != Errc::kNotFound) return found;
    return fail(Errc::kInvalidArgument,
                fmt::format("S3 credentials: none in the configuration, in AWS_ACCESS_KEY_ID, or in {}", path));
}

}  // namespace millrace::lts
