#include "controller/page_token.h"

#include <fmt/format.h>

#include "bytes/crc32c.h"
#include "controller/names.h"

namespace millrace::controller {

namespace {
constexpr std::size_t kChecksumLength = 8;
}

std::string page_token(std::string_view last_name) {
    return fmt::format("{:08x}{}", bytes::crc32c(bytes::as_bytes(last_name)), last_name);
}

Result<std::string> last_name_of(std::string_view token) {
    if (token.empty()) return std::string();
    if (token.size() > kChecksumLength) {
        std::string_view name = token.substr(kChecksumLength);
        if (is_possible_name(name) && page_token(name) == token) return std::string(name);
    }
    return fail(Errc::kInvalidArgument, "the continuation token is none that this server made");
}

}  // namespace millrace::controller
