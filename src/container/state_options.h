// How a container keeps its state, on disk and in memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace millrace::container {

struct StateOptions {
    std::size_t marked_max = 16'384;           // segments and attributes that wait to be encoded
    std::size_t batch_bytes = 2ULL << 20;      // of changes
    std::size_t flush_bytes = 32ULL << 20;     // of batches since the last flush: what replay has to do again
    std::uint64_t resident_segments = 16'384;  // idle segments that are kept in memory
};

}  // namespace millrace::container
