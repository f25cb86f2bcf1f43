// The two forms in which S3 tells times, as ms since the epoch; nothing where the text is no time.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace millrace::lts {

std::optional<std::int64_t> parse_http_date(std::string_view text);  // "Fri, 24 May 2013 00:00:00 GMT"
std::optional<std::int64_t> parse_iso_time(std::string_view text);   // "2013-05-24T00:00:00.000Z"

}  // namespace millrace::lts
