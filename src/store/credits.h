// CreditPool: how many received bytes are still being worked on, over all connections; and the rule that says whether a
// socket may be read. Any thread. The count is exact, the decision is taken on a value that may be a moment old.
#pragma once

#include <atomic>
#include <cstdint>

#include "store/options.h"

namespace millrace::store {

class CreditPool {
  public:
    explicit CreditPool(const CreditLimits& limits) : limits_(limits) {}

    void take(std::uint64_t bytes) { total_.fetch_add(bytes, std::memory_order_relaxed); }

    // True when this brought the total below its limit: connections that have nothing outstanding themselves, and so
    // wait for no completion of their own, have to be looked at again.
    bool give_back(std::uint64_t bytes) {
        std::uint64_t before = total_.fetch_sub(bytes, std::memory_order_relaxed);
        return before >= limits_.total_bytes && before - bytes < limits_.total_bytes;
    }

    bool may_read(std::uint64_t own) const {
        std::uint64_t all = total();
        if (all >= limits_.total_bytes) return false;
        return own < limits_.always_bytes || own + all < limits_.shared_bytes;
    }

    std::uint64_t total() const { return total_.load(std::memory_order_relaxed); }

  private:
    const CreditLimits limits_;
    alignas(64) std::atomic<std::uint64_t> total_{0};
};

}  // namespace millrace::store
