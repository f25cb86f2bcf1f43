// What a segment that is a table knows beside its entries: what is in the log's pipeline and what waits for its turn.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include <absl/container/flat_hash_map.h>

namespace millrace::container {

struct TableWork;

struct TableState {
    // A key with an update in the pipeline, or with one that became durable while versions are being fetched.
    struct Pending {
        std::int64_t version = 0;  // kNotExists: removed
        std::uint32_t in_flight = 0;
    };

    std::int32_t key_length = 0;  // 0: hash table
    std::uint64_t entries = 0;    // durable
    absl::flat_hash_map<std::string, Pending> pending;
    std::deque<std::shared_ptr<TableWork>> waiting;  // the front is being worked on
    bool busy = false;                               // the front waits for the store
    bool running = false;                            // the queue is being worked off, further up the stack
    std::uint32_t in_flight = 0;                     // updates in the pipeline
    std::vector<std::string> settled;                // keys to forget when the fetch is over

    bool fixed() const { return key_length > 0; }
};

}  // namespace millrace::container
