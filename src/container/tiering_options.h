// How a container uses long-term storage, and what it tells of it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace millrace::container {

class ScanPacer;

struct TierReaderOptions {
    std::uint64_t cache_bytes = 32ULL << 20;
    std::uint32_t block_bytes = 1 << 20;        // of one entry of the cache; a multiple of an object's block
    std::uint32_t range_bytes = 1 << 20;        // loaded in one request at most
    std::uint64_t loading_bytes = 64ULL << 20;  // under way at once, beyond which nothing is read ahead
};

struct TierReaderStats {
    std::uint64_t hits = 0;  // of blocks
    std::uint64_t misses = 0;
    std::uint64_t loads = 0;  // requests
    std::uint64_t loaded_bytes = 0;
    std::uint64_t cached_bytes = 0;
};

struct TieringOptions {
    std::uint64_t flush_bytes = 24ULL << 20;        // only in the log, over all segments: begins a round
    std::uint64_t round_bytes = 16ULL << 20;        // a round takes the oldest files of the log that hold so much
    std::chrono::milliseconds flush_after{10'000};  // so long a byte waits for company at most
    std::uint64_t chunk_bytes_min = 16ULL << 20;    // a run that long gets objects of its own
    std::uint64_t object_bytes_max = 32ULL << 20;
    // Pieces of a segment in packs, one after the other, are written again as one when there are so many, or when they
    // make a piece of this size; pieces of this size stay: reading them costs little more, writing them again does.
    std::size_t pieces_max = 48;
    std::uint64_t piece_bytes_min = 512ULL << 10;
    std::uint32_t writers = 4;  // objects written at once
    std::uint64_t read_ahead_max = 64ULL << 20;
    bool shares_disk = false;  // with the log: what storage reads back from there slows its own writing down
    TierReaderOptions reader;
    std::shared_ptr<ScanPacer> scans;  // of all containers; null: scans are never held back
};

struct TieringStats {
    std::uint64_t log_only_bytes = 0;
    std::uint64_t objects = 0;       // that something refers to
    std::uint64_t object_bytes = 0;  // of them
    std::uint64_t written_objects = 0;
    std::uint64_t written_bytes = 0;
    std::uint64_t removed_objects = 0;
    std::uint64_t rounds = 0;
    std::uint64_t failures = 0;  // objects that could not be written; their bytes are tried again
    std::uint64_t objects_in_flight = 0;
    std::uint64_t garbage_objects = 0;  // to be removed
    std::uint64_t store_requests = 0;   // to a server, repetitions included; 0 where there is none
    std::uint64_t store_retries = 0;
    std::uint64_t store_throttled = 0;   // answers that asked to slow down
    std::optional<std::string> trouble;  // why nothing is moved now
    TierReaderStats reader;
};

// For other threads: what changes often enough to be shown, and nothing that must be exact.
class TieringGauges {
  public:
    struct Values {
        std::uint64_t log_only_bytes = 0;
        std::uint64_t objects = 0;
        std::uint64_t in_trouble = 0;  // 0 or 1, or how many of several
        std::uint64_t fenced = 0;      // as well: another server has taken over
        Values& operator+=(const Values& other) {
            log_only_bytes += other.log_only_bytes;
            objects += other.objects;
            in_trouble += other.in_trouble;
            fenced += other.fenced;
            return *this;
        }
    };
    Values read() const { return {log_only_bytes.load(), objects.load(), in_trouble.load(), fenced.load()}; }

    std::atomic<std::uint64_t> log_only_bytes{0};
    std::atomic<std::uint64_t> objects{0};
    std::atomic<std::uint64_t> in_trouble{0};
    std::atomic<std::uint64_t> fenced{0};
};

}  // namespace millrace::container
