// Memory for recent data, shared by the containers of a process. Each may fill its share; what the others leave of
// theirs may be used as well, and is given back when they want it.
//
// Thread rule: any thread. Counters are told in coarse steps, by slab or by some hundred KiB, never by event.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace millrace::container {

class MemoryBudget {
  public:
    MemoryBudget(std::uint64_t bytes, std::uint32_t containers)
        : bytes_(bytes), share_(bytes / std::max<std::uint32_t>(containers, 1)) {}

    std::uint64_t bytes() const { return bytes_; }
    std::uint64_t share() const { return share_; }  // that a container has for itself

    // Frames that the caches hold.
    void held(std::int64_t change) { held_.fetch_add(change, std::memory_order_relaxed); }
    bool full() const { return held_.load(std::memory_order_relaxed) > static_cast<std::int64_t>(bytes_); }

    // Bytes that are only in the log: they should find room in the caches until they have moved to long-term storage.
    // A quarter is left for what is on its way into the log.
    void only_in_log(std::int64_t change) { only_in_log_.fetch_add(change, std::memory_order_relaxed); }
    bool lags() const {
        return only_in_log_.load(std::memory_order_relaxed) > static_cast<std::int64_t>(bytes_ - bytes_ / 4);
    }
    bool has_overflowed() const {
        return only_in_log_.load(std::memory_order_relaxed) > static_cast<std::int64_t>(bytes_);
    }
    // Rounds of storage writers under way.
    void round_begins() { rounds_.fetch_add(1, std::memory_order_relaxed); }
    void round_ends() { rounds_.fetch_sub(1, std::memory_order_relaxed); }
    std::uint32_t rounds() const { return rounds_.load(std::memory_order_relaxed); }

    std::uint64_t lag_share() const { return share_ - share_ / 4; }

  private:
    const std::uint64_t bytes_;
    const std::uint64_t share_;
    std::atomic<std::int64_t> held_{0};
    std::atomic<std::int64_t> only_in_log_{0};
    std::atomic<std::uint32_t> rounds_{0};
};

}  // namespace millrace::container
