// The memory that clients make the store hold, in three accounts over all connections. They differ in what ends a stay:
//   CreditPool    received bytes that are being worked on: the store itself gets done with them. Sockets wait.
//   ReadPool      read replies, from being asked for until the socket took them: the client ends it. Reads wait.
//   StandingPool  names of writers, of waiting reads, of transient segments: there as long as the client likes, so
//                 waiting would free nothing. What goes beyond is refused.
// Any thread. Counts are exact; decisions are taken on values that may be a moment old, so a limit may be passed by
// what all connections take in one turn.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "store/options.h"

namespace millrace::store {

class CreditPool {
  public:
    explicit CreditPool(const CreditLimits& limits) : limits_(limits) {}

    void take(std::uint64_t bytes) { total_.fetch_add(bytes, std::memory_order_relaxed); }

    // True when this brought the total below its limit: whoever was held back has to be looked at again.
    bool give_back(std::uint64_t bytes) {
        std::uint64_t before = total_.fetch_sub(bytes, std::memory_order_relaxed);
        return before >= limits_.total_bytes && before - bytes < limits_.total_bytes;
    }

    // A connection that holds nothing waits for no completion of its own, and what it sends may be what frees the
    // others' bytes (a truncation, when the log is full): it is always read. Appends are not taken while full().
    bool may_read(std::uint64_t own) const {
        if (own == 0) return true;
        std::uint64_t all = total();
        if (all >= limits_.total_bytes) return false;
        return own < limits_.always_bytes || own + all < limits_.shared_bytes;
    }
    bool full() const { return total() >= limits_.total_bytes; }

    std::uint64_t total() const { return total_.load(std::memory_order_relaxed); }

  private:
    const CreditLimits limits_;
    alignas(64) std::atomic<std::uint64_t> total_{0};
};

class ReadPool {
  public:
    explicit ReadPool(const ReadLimits& limits) : limits_(limits) {}

    void take(std::uint64_t bytes) { total_.fetch_add(bytes, std::memory_order_relaxed); }

    // True when this brought the total a good step below its limit: then connections that wait are worth a look. Those
    // that hold something themselves are looked at as they get done with it, too.
    bool give_back(std::uint64_t bytes) {
        std::uint64_t wake = limits_.total_bytes - limits_.total_bytes / 8;
        std::uint64_t before = total_.fetch_sub(bytes, std::memory_order_relaxed);
        return before >= wake && before - bytes < wake;
    }

    bool full() const { return total() >= limits_.total_bytes; }
    bool may_start(std::uint64_t own) const { return own == 0 || !full(); }
    // How much of `length` bytes a read gets that starts now.
    std::uint64_t share(std::uint64_t length) const { return full() ? std::min(length, limits_.least_bytes) : length; }

    std::uint64_t total() const { return total_.load(std::memory_order_relaxed); }

  private:
    const ReadLimits limits_;
    alignas(64) std::atomic<std::uint64_t> total_{0};
};

class StandingPool {
  public:
    explicit StandingPool(const StandingLimits& limits) : limits_(limits) {}

    // False, and nothing is taken, when it would be too much for one connection, or for all of them together; a little
    // is possible at any time.
    bool take(std::uint64_t own, std::uint64_t bytes) {
        if (own + bytes > limits_.connection_bytes) return false;
        std::uint64_t before = total_.fetch_add(bytes, std::memory_order_relaxed);
        if (own + bytes <= limits_.always_bytes || before + bytes <= limits_.total_bytes) return true;
        give_back(bytes);
        return false;
    }
    void give_back(std::uint64_t bytes) { total_.fetch_sub(bytes, std::memory_order_relaxed); }

    std::uint64_t total() const { return total_.load(std::memory_order_relaxed); }

  private:
    const StandingLimits limits_;
    alignas(64) std::atomic<std::uint64_t> total_{0};
};

struct Budgets {
    explicit Budgets(const StoreOptions& options)
        : credits(options.credits), reads(options.reads), standing(options.standing) {}

    CreditPool credits;
    ReadPool reads;
    StandingPool standing;
};

}  // namespace millrace::store
