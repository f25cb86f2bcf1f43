// Text form of Uuid: 8-4-4-4-12 lower-case hex, as java.util.UUID prints it; and the 32-hex form used in segment names.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"

namespace millrace {

std::string to_string(const Uuid& id);                  // "00010203-0405-0607-0809-0a0b0c0d0e0f"
std::string to_hex(const Uuid& id);                     // 32 hex digits
std::optional<Uuid> parse_uuid(std::string_view text);  // like UUID.fromString: five groups of 1+ hex digits

}  // namespace millrace
