// What this program is: known when it is built.
#pragma once

#include <string>

#include "node/options.h"

namespace millrace::cli {

// "millrace 0.1.0 (git 1a2b3c4, clang 19.1.7)"
std::string version_text();

node::BuildInfo build_info();

}  // namespace millrace::cli
