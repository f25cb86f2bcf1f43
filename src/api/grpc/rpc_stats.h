// What is known of one method's calls since the start.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/metrics.h"

namespace millrace::api {

struct RpcStats {
    std::string method;                                                 // "createStream"
    std::vector<std::pair<std::string_view, std::uint64_t>> by_status;  // "OK", "NOT_FOUND", ...: those that occurred
    std::uint64_t under_way = 0;
    LatencyHistogram::Values latency;  // from the call's arrival until its status is sent
};

}  // namespace millrace::api
