// What the composition root decides about the store.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/units.h"

namespace millrace::store {

// Bytes that were received and whose operations are not done yet: a socket is read while
//     own == 0  or  total < total_bytes  and  ( own < always_bytes  or  own < shared_bytes - total )
// so one connection may use much while the process is idle, and a little at any time. At total_bytes appends wait in
// their sockets; other requests of connections that hold nothing are still served, one by one.
struct CreditLimits {
    std::uint64_t total_bytes = 192 * kMiB;
    std::uint64_t always_bytes = 1 * kMiB;
    std::uint64_t shared_bytes = 96 * kMiB;
};

// Bytes of read replies that are being loaded or that clients have not taken yet: a read starts while
//     own == 0  or  total < total_bytes
// and gets at most least_bytes when the total is beyond its limit. So a slow reader waits, and everybody gets on.
struct ReadLimits {
    std::uint64_t total_bytes = 128 * kMiB;
    std::uint64_t least_bytes = 64 * kKiB;
};

// What is kept for writers, waiting reads and transient segments, by their names: as long as a client wants it. More
// than connection_bytes, or more than always_bytes while all have total_bytes, ends the connection.
struct StandingLimits {
    std::uint64_t total_bytes = 256 * kMiB;
    std::uint64_t connection_bytes = 32 * kMiB;
    std::uint64_t always_bytes = 64 * kKiB;
};

struct StoreOptions {
    std::string address = "0.0.0.0";
    std::uint16_t port = 0;  // 0: any free one
    CreditLimits credits;
    ReadLimits reads;
    StandingLimits standing;
    std::size_t max_connections = 50'000;         // more are refused
    std::size_t send_queue_bytes_max = 8 * kMiB;  // of one connection: above it no request is started
    std::size_t loading_read_bytes_max =
        16 * kMiB;                           // of one connection: reads asked for that neither wait nor are answered
    std::size_t waiting_reads_max = 16'384;  // of one connection
    std::chrono::milliseconds end_patience{300};      // when the process ends, for peers that take or end nothing
    std::chrono::seconds partial_frame_timeout{300};  // part of a frame and nothing more for so long: closed
};

}  // namespace millrace::store
