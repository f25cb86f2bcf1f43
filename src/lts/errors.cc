#include "lts/errors.h"

#include <fmt/format.h>

namespace millrace::lts {
namespace {

Error named(std::string_view kind, std::string_view key, const Error& error) {
    std::string text = fmt::format("{} {}", kind, key);
    if (!error.message().empty()) text += ": " + error.message();
    return {error.code(), error.value(), std::move(text)};
}

}  // namespace

bool is_retryable(const Error& error) {
    return error == Errc::kUnavailable || error == Errc::kIo || error == Errc::kNoSpace;
}

bool is_fenced(const Error& error) { return error == Errc::kBadVersion; }

Error about_object(std::string_view key, const Error& error) { return named("object", key, error); }
Error about_register(std::string_view key, const Error& error) { return named("register", key, error); }

}  // namespace millrace::lts
