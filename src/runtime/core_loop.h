// CoreLoop: one thread with one Asio io_context, the real Executor. Created and started by node/; everything of a core
// lives on it. post() from other threads goes through a lock-free mailbox that wakes the loop once per burst; from its
// own thread it is a queue push. stop() lets the current task finish, drops the rest, and joins.
//
// The loop works in turns. A turn runs the posted tasks, then the deferred ones; it ends early after a millisecond, so
// that sockets and timers get their share. call_after(), defer() and cancel() are also allowed from another thread
// while the loop does not run.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "runtime/executor.h"

namespace boost::asio {
class io_context;
}

namespace millrace::runtime {

class CoreLoop final : public Executor {
  public:
    CoreLoop(std::string name, std::uint64_t random_seed);
    ~CoreLoop() override;
    CoreLoop(const CoreLoop&) = delete;
    CoreLoop& operator=(const CoreLoop&) = delete;

    void start();  // runs the loop in a thread of its own
    void run();    // or in the caller's thread, until stop()
    void stop();   // any thread but the loop's own joins; idempotent

    void post(Task task) override;
    void defer(Task task) override;
    TimerId call_after(std::chrono::milliseconds delay, Task task) override;
    void cancel(TimerId timer) override;
    bool on_this_thread() const override;
    const Clock& clock() const override;
    Random& random() override;

    boost::asio::io_context& context();
    const std::string& name() const { return name_; }

    // Any thread: how long the task that is running now has held the loop; zero when the loop waits. For the stall
    // detector.
    std::chrono::nanoseconds held_for() const;

    // Marks the loop as held while a completion handler of Asio runs. Tasks and timers are marked already; handlers
    // given to context() directly (sockets, descriptors) make one of these at their start, or the stall detector does
    // not see them.
    class Held {
      public:
        explicit Held(CoreLoop& loop) : loop_(loop) { loop_.mark_held(std::chrono::steady_clock::now()); }
        ~Held() { loop_.held_since_.store(0, std::memory_order_relaxed); }
        Held(const Held&) = delete;
        Held& operator=(const Held&) = delete;

      private:
        CoreLoop& loop_;
    };

  private:
    struct Impl;
    void mark_held(std::chrono::steady_clock::time_point since) {
        held_since_.store(since.time_since_epoch().count(), std::memory_order_relaxed);
    }

    std::string name_;
    std::atomic<std::int64_t> held_since_{0};  // steady clock ticks, 0 while nothing runs
    std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::runtime
