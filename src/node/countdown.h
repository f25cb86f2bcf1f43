// Lets one thread wait for things that end on loops. Shared, since the waiting thread may give up before they have all
// ended.
//
//   auto done = Countdown::of(containers.size());
//   for (auto& c : containers) c.stop([done] { done->arrive(); });
//   if (!done->wait_until(deadline)) ...
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "base/error.h"

namespace millrace::node {

class Countdown {
  public:
    static std::shared_ptr<Countdown> of(std::size_t count) { return std::make_shared<Countdown>(count); }
    explicit Countdown(std::size_t count) : left_(count) {}

    // Any thread. The first error is kept.
    void arrive(Result<> result = {}) {
        std::lock_guard lock(mutex_);
        if (!result && !error_) error_ = std::move(result.error());
        if (--left_ == 0) all_.notify_all();
    }

    Result<> wait() {
        std::unique_lock lock(mutex_);
        all_.wait(lock, [this] { return left_ == 0; });
        if (error_) return fail(*error_);
        return {};
    }
    bool wait_until(std::chrono::steady_clock::time_point deadline) {
        std::unique_lock lock(mutex_);
        return all_.wait_until(lock, deadline, [this] { return left_ == 0; });
    }

  private:
    std::mutex mutex_;
    std::condition_variable all_;
    std::size_t left_;
    std::optional<Error> error_;
};

}  // namespace millrace::node
