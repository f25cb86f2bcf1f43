// CoreLoop: one thread with one Asio io_context, the real Executor. Created and started by node/; everything of a core lives on it.
// post() from other threads goes through a lock-free mailbox that wakes the loop once per burst; from its own thread it is a queue
// push. stop() lets the current task finish, drops the rest, and joins.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

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

    // Any thread: how long the task that is running now has held the loop; zero when the loop waits. For the stall detector.
    std::chrono::nanoseconds held_for() const;

  private:
    struct Impl;
    std::string name_;
    std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::runtime
