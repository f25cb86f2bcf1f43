// One GET of a server's REST API, for commands that ask a running server: waits for the answer, in this thread.
#pragma once

#include <chrono>
#include <string>

#include "base/error.h"

namespace millrace::cli {

struct RestAnswer {
    int status = 0;
    std::string body;
};

// `base`: "http://HOST:PORT". kInvalidArgument: not of that form; kUnavailable: nobody answers there, or not in time;
// kCorrupt: what answers is no HTTP, or sends more than an answer can be.
Result<RestAnswer> rest_get(const std::string& base, const std::string& path, std::chrono::seconds within);

}  // namespace millrace::cli
