#include "lts/chunk_store.h"

#include <algorithm>

#include <fmt/format.h>

namespace millrace::lts {
namespace {

bool allowed(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-' || c == '=';
}

// A bad key is shown as far as it can be shown safely.
std::string shown(std::string_view key) {
    std::string text;
    for (char c : key.substr(0, 80)) text += allowed(c) || c == '/' ? c : '?';
    return key.size() > 80 ? text + "..." : text;
}

std::unexpected<Error> refuse(std::string_view key, std::string_view why) {
    return fail(Errc::kInvalidArgument, fmt::format("key '{}': {}", shown(key), why));
}

Result<> check_component(std::string_view key, std::string_view component) {
    if (component.size() > kKeyComponentMax) return refuse(key, "a component is longer than 200 characters");
    if (!component.empty() && component.front() == '.') return refuse(key, "a component begins with a dot");
    if (!std::ranges::all_of(component, allowed)) return refuse(key, "a character other than A-Z a-z 0-9 . _ - =");
    return {};
}

}  // namespace

Result<> check_list_prefix(std::string_view prefix) {
    if (prefix.size() > kKeySizeMax) return refuse(prefix, "longer than 512 characters");
    std::string_view rest = prefix;
    for (;;) {
        std::size_t slash = rest.find('/');
        std::string_view component = rest.substr(0, slash);
        if (auto checked = check_component(prefix, component); !checked) return checked;
        if (slash == std::string_view::npos) return {};
        if (component.empty()) return refuse(prefix, "an empty component");
        rest.remove_prefix(slash + 1);
    }
}

Result<> check_key(std::string_view key) {
    if (key.empty() || key.back() == '/') return refuse(key, "an empty component");
    return check_list_prefix(key);
}

}  // namespace millrace::lts
