// What the composition root decides about the store.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/units.h"

namespace millrace::store {

// Bytes that were received and whose operations are not done yet: a socket is read while
//     total < total_bytes  and  ( own < always_bytes  or  own < shared_bytes - total )
// so one connection may use much while the process is idle, and a little at any time.
struct CreditLimits {
    std::uint64_t total_bytes = 512 * kMiB;
    std::uint64_t always_bytes = 1 * kMiB;
    std::uint64_t shared_bytes = 256 * kMiB;
};

struct StoreOptions {
    std::string address = "0.0.0.0";
    std::uint16_t port = 0;  // 0: any free one
    CreditLimits credits;
    std::size_t max_connections = 50'000;         // more are refused
    std::size_t send_queue_bytes_max = 8 * kMiB;  // of one connection: above it no request is started
    std::size_t loading_read_bytes_max =
        16 * kMiB;                           // of one connection: reads asked for that neither wait nor are answered
    std::size_t waiting_reads_max = 65'536;  // of one connection
    std::chrono::seconds partial_frame_timeout{300};  // part of a frame and nothing more for so long: closed
};

}  // namespace millrace::store
