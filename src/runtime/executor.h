// Where code runs. An Executor is one thread's event loop, seen narrowly: everything that belongs to a core (a
// container, a connection, the journal) is bound to one executor and is touched only there. Two implementations:
// CoreLoop (Asio, real time) and ManualExecutor (tests and simulation: time and order are the test's).
//
//   loop.post([batch = std::move(batch)]() mutable { ... });   // from any thread: to that core
//   loop.defer([this] { flush(); });                            // on the core: once, at the end of this turn
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

#include "base/clock.h"
#include "base/ids.h"

namespace millrace::runtime {

using Task = std::move_only_function<void()>;

template <typename... Args>
using Callback = std::move_only_function<void(Args...)>;

using TimerId = NamedInt<struct TimerIdTag, std::uint64_t>;  // 0 is no timer

class Executor {
  public:
    virtual ~Executor() = default;

    // Any thread. Tasks posted by one thread run in their order. After stop(), tasks are destroyed without running.
    virtual void post(Task task) = 0;

    // Owner thread only. Runs after everything that is ready now, before the loop waits: the place to flush what a turn
    // collected.
    virtual void defer(Task task) = 0;

    // Owner thread only. Cancelling a timer that has fired is harmless.
    virtual TimerId call_after(std::chrono::milliseconds delay, Task task) = 0;
    virtual void cancel(TimerId timer) = 0;

    virtual bool on_this_thread() const = 0;
    virtual const Clock& clock() const = 0;
    virtual Random& random() = 0;  // owner thread only
};

}  // namespace millrace::runtime
