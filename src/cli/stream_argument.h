// SCOPE/STREAM on a command line.
#pragma once

#include <string>

#include "base/error.h"

namespace millrace::cli {

// The address of the stream in a server's REST API. kInvalidArgument: it is no such name.
Result<std::string> stream_url(const std::string& rest, const std::string& stream);

}  // namespace millrace::cli
