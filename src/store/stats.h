// Traffic of the store. Each loop counts for itself (one writer, no contention); anybody may read, and adds up.
#pragma once

#include <cstdint>

#include "base/metrics.h"

namespace millrace::store {

struct alignas(64) LoopCounters {
    Counter accepted;
    Counter closed;
    Counter refused;  // over the connection limit
    Counter broken;   // closed by us, for a reason that was logged
    Counter appends;  // received
    Counter append_bytes;
    Counter dropped_appends;   // behind an error that was reported
    Counter acknowledgements;  // frames sent; one may stand for many appends
    Counter requests;          // all but appends
    Counter read_bytes;        // sent
    Counter pauses;            // times a socket was not read for lack of credits or read bytes
    Counter starved_begun;     // connections that had to wait for credits or read bytes
    Counter starved_ended;
    Counter writers_begun;  // append sessions
    Counter writers_ended;
};

struct StoreStats {
    std::uint64_t connections = 0;  // now
    std::uint64_t accepted = 0;
    std::uint64_t refused = 0;
    std::uint64_t broken = 0;
    std::uint64_t appends = 0;
    std::uint64_t append_bytes = 0;
    std::uint64_t dropped_appends = 0;
    std::uint64_t acknowledgements = 0;
    std::uint64_t requests = 0;
    std::uint64_t read_bytes = 0;
    std::uint64_t pauses = 0;
    std::uint64_t starved = 0;  // now: connections that wait for credits or read bytes
    std::uint64_t writers = 0;  // now: append sessions
    std::uint64_t writers_begun = 0;
    std::uint64_t outstanding_bytes = 0;  // now: received, and not done
    std::uint64_t read_reply_bytes = 0;   // now: being loaded, or not taken by the client
    std::uint64_t standing_bytes = 0;     // now: for writers, waiting reads, transient segments

    void add(const LoopCounters& loop) {
        connections += loop.accepted.get() - loop.closed.get();
        accepted += loop.accepted.get();
        refused += loop.refused.get();
        broken += loop.broken.get();
        appends += loop.appends.get();
        append_bytes += loop.append_bytes.get();
        dropped_appends += loop.dropped_appends.get();
        acknowledgements += loop.acknowledgements.get();
        requests += loop.requests.get();
        read_bytes += loop.read_bytes.get();
        pauses += loop.pauses.get();
        starved += loop.starved_begun.get() - loop.starved_ended.get();
        writers += loop.writers_begun.get() - loop.writers_ended.get();
        writers_begun += loop.writers_begun.get();
    }
};

}  // namespace millrace::store
