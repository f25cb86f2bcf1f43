// The executor of tests and of the simulation: nothing runs until it is told to, time moves only by advance(),
// everything is repeatable from the seed. Not thread-safe: post() must come from the one thread.
#pragma once

#include <deque>
#include <map>
#include <utility>

#include "runtime/executor.h"

namespace millrace::runtime {

class ManualExecutor final : public Executor {
  public:
    explicit ManualExecutor(std::uint64_t seed = 1) : random_(seed) {}
    ~ManualExecutor() override { drop_all(); }

    void post(Task task) override { ready_.push_back(std::move(task)); }
    void defer(Task task) override { deferred_.push_back(std::move(task)); }
    TimerId call_after(std::chrono::milliseconds delay, Task task) override {
        TimerId id(++last_timer_);
        timers_.emplace(std::pair(clock_.now() + delay, id), std::move(task));
        return id;
    }
    void cancel(TimerId timer) override {
        std::erase_if(timers_, [&](const auto& entry) { return entry.first.second == timer; });
    }
    bool on_this_thread() const override { return true; }
    const Clock& clock() const override { return clock_; }
    Random& random() override { return random_; }

    // Runs one task (ready ones before deferred ones); false when there is none.
    bool run_one() {
        auto& queue = ready_.empty() ? deferred_ : ready_;
        if (queue.empty()) return false;
        Task task = std::move(queue.front());
        queue.pop_front();
        task();
        return true;
    }
    void run_until_idle() {
        while (run_one()) {
        }
    }
    // A crash: what was to run never does.
    void drop_all() {
        // What dies may post: a coroutine is taken down by a task of its own.
        while (!ready_.empty() || !deferred_.empty() || !timers_.empty()) {
            auto ready = std::exchange(ready_, {});
            auto deferred = std::exchange(deferred_, {});
            auto timers = std::exchange(timers_, {});
        }
    }
    // Moves time and fires the timers on the way, in order.
    void advance(std::chrono::milliseconds by) {
        auto until = clock_.now() + by;
        run_until_idle();
        while (!timers_.empty() && timers_.begin()->first.first <= until) {
            auto entry = timers_.extract(timers_.begin());
            clock_.advance(std::chrono::ceil<std::chrono::milliseconds>(entry.key().first - clock_.now()));
            entry.mapped()();
            run_until_idle();
        }
        if (clock_.now() < until) clock_.advance(std::chrono::ceil<std::chrono::milliseconds>(until - clock_.now()));
    }

  private:
    std::deque<Task> ready_;
    std::deque<Task> deferred_;
    std::map<std::pair<std::chrono::steady_clock::time_point, TimerId>, Task> timers_;
    std::uint64_t last_timer_ = 0;
    ManualClock clock_;
    SeededRandom random_;
};

}  // namespace millrace::runtime
