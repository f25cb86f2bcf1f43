// Periodic: runs a piece of work again and again, each time a period after the last one ended. Executor thread only.
// Life cycle: start() once; stop() ends it, the gate keeps a round that is under way. Must outlive the gate's end.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include <boost/asio/awaitable.hpp>

#include "runtime/executor.h"
#include "runtime/gate.h"

namespace millrace::controller {

class Periodic {
  public:
    using Work = std::function<boost::asio::awaitable<void>()>;

    Periodic(runtime::Executor& executor, runtime::Gate& gate, std::string name, std::chrono::milliseconds period,
             Work work)
        : executor_(executor), gate_(gate), name_(std::move(name)), period_(period), work_(std::move(work)) {}

    void start();
    void stop();

  private:
    boost::asio::awaitable<void> run();

    runtime::Executor& executor_;
    runtime::Gate& gate_;
    const std::string name_;
    const std::chrono::milliseconds period_;
    Work work_;
    runtime::TimerId timer_;
};

}  // namespace millrace::controller
