// Page tokens: the last name of a page, with a checksum that tells ours from others'.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace millrace::controller {

std::string page_token(std::string_view last_name);
Result<std::string> last_name_of(std::string_view token);  // "" for the start of a listing; kInvalidArgument

}  // namespace millrace::controller
