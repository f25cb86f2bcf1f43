#include "cli/stream_argument.h"

#include <fmt/format.h>

namespace millrace::cli {

Result<std::string> stream_url(const std::string& rest, const std::string& stream) {
    std::size_t slash = stream.find('/');
    bool named = slash != std::string::npos && slash > 0 && slash + 1 < stream.size();
    auto odd = [](char c) { return c <= ' ' || c == '?' || c == '#' || c == '%' || c > '~'; };
    for (char c : stream) named = named && !odd(c);
    if (!named || stream.find('/', slash + 1) != std::string::npos)
        return fail(Errc::kInvalidArgument, fmt::format("\"{}\" is not SCOPE/STREAM", stream));
    return fmt::format("{}/v1/scopes/{}/streams/{}", rest, stream.substr(0, slash), stream.substr(slash + 1));
}

}  // namespace millrace::cli
