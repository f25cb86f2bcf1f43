// Text that came from outside, made fit for where it is shown. Both take any bytes and give valid UTF-8: a byte that is
// no part of a character, or of one that UTF-8 does not have (half of a surrogate pair), becomes U+FFFD.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace millrace {

// For a line: control characters become '?'. At most `bytes_max` bytes, cut between characters.
std::string printable(std::string_view text, std::size_t bytes_max);

// For between the quotes of a JSON string.
std::string json_escape(std::string_view text);

}  // namespace millrace
