#include "runtime/stall_detector.h"

#include <algorithm>

#include <pthread.h>

#include "base/assert.h"
#include "base/log.h"

namespace millrace::runtime {

void StallDetector::watch(const CoreLoop& loop) {
    MILLRACE_ASSERT(!thread_.joinable());
    watched_.push_back(Watched{.loop = &loop});
}

void StallDetector::start() {
    MILLRACE_ASSERT(!thread_.joinable());
    thread_ = std::thread([this] { run(); });
}

void StallDetector::stop() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
}

void StallDetector::run() {
    pthread_setname_np(pthread_self(), "stall-detector");
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, options_.poll_interval, [this] { return stopping_; })) {
        for (Watched& watched : watched_) look_at(watched);
    }
}

void StallDetector::look_at(Watched& watched) {
    std::chrono::nanoseconds held = watched.loop->held_for();
    bool same_stall = watched.held > watched.held.zero() && held >= watched.held;
    if (held <= options_.limit) {
        watched.held = {};
        return;
    }
    watched.held = held;
    auto held_ms = std::chrono::duration_cast<Millis>(held);
    longest_ms_.store(std::max<std::int64_t>(held_ms.count(), longest_ms_.load(std::memory_order_relaxed)),
                      std::memory_order_relaxed);
    if (same_stall) return;
    stalls_.fetch_add(1, std::memory_order_relaxed);
    ++watched.unreported;
    report(watched, held_ms);
}

void StallDetector::report(Watched& watched, Millis held) {
    auto now = std::chrono::steady_clock::now();
    if (now < watched.next_report) return;
    watched.next_report = now + options_.report_interval;
    log::warn("core loop {} is held by one task, for {} ms so far ({} stalls since the last report)",
              watched.loop->name(), held.count(), watched.unreported);
    watched.unreported = 0;
}

}  // namespace millrace::runtime
