// What is counted while the program runs: cheap enough for every path, readable from any thread. A counter belongs to
// the one that counts; whoever shows numbers collects them from there (api/metrics, node/metrics.h).
//
//   Counter appends;              // one writer: a load and a store, no contention
//   SharedCounter calls;          // several writers: an atomic addition
//   LatencyHistogram syncs;       // several writers; powers of two from 16 us to 16 s, no look-up
//   syncs.record(clock.now() - begun);
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace millrace {

class Counter {
  public:
    void add(std::uint64_t n = 1) { value_.store(get() + n, std::memory_order_relaxed); }  // the owning thread only
    std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<std::uint64_t> value_{0};
};

class SharedCounter {
  public:
    void add(std::uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
    void subtract(std::uint64_t n = 1) {
        value_.fetch_sub(n, std::memory_order_relaxed);
    }  // of a number that goes down
    std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<std::uint64_t> value_{0};
};

// Times in buckets whose bounds double: how many took at most 16 us, 32 us, ... 16.8 s, and longer.
class LatencyHistogram {
  public:
    static constexpr std::size_t kBounds = 21;
    static constexpr std::uint64_t kFirstBoundUs = 16;
    static constexpr std::uint64_t bound_us(std::size_t i) { return kFirstBoundUs << i; }

    struct Values {
        std::array<std::uint64_t, kBounds + 1> counts{};  // of each bucket alone; the last one has no bound
        std::uint64_t sum_us = 0;

        std::uint64_t count() const {
            std::uint64_t all = 0;
            for (std::uint64_t n : counts) all += n;
            return all;
        }
        Values& operator+=(const Values& other) {
            for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
            sum_us += other.sum_us;
            return *this;
        }
    };

    void record(std::chrono::steady_clock::duration took) {
        auto us = std::chrono::duration_cast<std::chrono::microseconds>(took).count();
        auto value = static_cast<std::uint64_t>(us < 0 ? 0 : us);
        counts_[bucket_of(value)].fetch_add(1, std::memory_order_relaxed);
        sum_us_.fetch_add(value, std::memory_order_relaxed);
    }

    Values read() const {
        Values values;
        for (std::size_t i = 0; i < counts_.size(); ++i) values.counts[i] = counts_[i].load(std::memory_order_relaxed);
        values.sum_us = sum_us_.load(std::memory_order_relaxed);
        return values;
    }

    static constexpr std::size_t bucket_of(std::uint64_t us) {
        if (us <= kFirstBoundUs) return 0;
        auto above = static_cast<std::size_t>(std::bit_width((us - 1) / kFirstBoundUs));
        return above < kBounds ? above : kBounds;
    }

  private:
    std::array<std::atomic<std::uint64_t>, kBounds + 1> counts_{};
    std::atomic<std::uint64_t> sum_us_{0};
};

}  // namespace millrace
