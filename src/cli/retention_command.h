// `millrace retention SCOPE/STREAM`: what the server's retention would do with a stream now. Asks; changes nothing.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace millrace::cli {

// The text of the answer of GET /v1/scopes/{scope}/streams/{stream}/retention. kCorrupt: it is no such answer.
Result<std::string> retention_text(std::string_view json);

// Prints it to stdout; the exit status.
int retention_command(const std::string& stream, const std::string& rest);

}  // namespace millrace::cli
