// StallDetector: a watchdog thread that looks at the core loops every few milliseconds and reports a loop that one task
// holds for too long: a blocking call, or a loop over too much, that must move to the blocking pool or be cut in
// pieces. Costs the loops nothing. watch() the loops before start(); they must outlive stop().
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "base/units.h"
#include "runtime/core_loop.h"

namespace millrace::runtime {

struct StallDetectorOptions {
    Millis limit{20};              // held for longer is a stall
    Millis poll_interval{10};      // a stall longer than limit + poll_interval is always seen
    Millis report_interval{5000};  // at most one warning of a loop in this time; the others are counted
};

class StallDetector {
  public:
    explicit StallDetector(StallDetectorOptions options = {}) : options_(options) {}
    ~StallDetector() { stop(); }

    void watch(const CoreLoop& loop);
    void start();
    void stop();  // idempotent

    // Any thread.
    std::uint64_t stalls() const { return stalls_.load(std::memory_order_relaxed); }
    Millis longest_stall() const { return Millis(longest_ms_.load(std::memory_order_relaxed)); }

  private:
    struct Watched {
        const CoreLoop* loop;
        std::chrono::nanoseconds held{};  // at the last look, while it is a stall
        std::uint64_t unreported = 0;
        std::chrono::steady_clock::time_point next_report{};
    };
    void run();
    void look_at(Watched& watched);
    void report(Watched& watched, Millis held);

    const StallDetectorOptions options_;
    std::vector<Watched> watched_;
    std::atomic<std::uint64_t> stalls_{0};
    std::atomic<std::int64_t> longest_ms_{0};

    std::mutex mutex_;
    std::condition_variable wake_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace millrace::runtime
