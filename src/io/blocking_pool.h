// A few threads for calls that block. Threads start when they are first needed. submit() from any thread; stop()
// finishes what was submitted, then joins, and is called by the owner (never from a thread of the pool).
//
//   pool.submit([](bool open) { ... });      // runs once: on the pool with true, or inside the call with false after
//   stop()
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "runtime/executor.h"

namespace millrace::io {

class BlockingPool {
  public:
    BlockingPool(std::string name, std::size_t threads_max);
    ~BlockingPool() { stop(); }
    BlockingPool(const BlockingPool&) = delete;
    BlockingPool& operator=(const BlockingPool&) = delete;

    using Work = runtime::Callback<bool>;

    void submit(Work work);
    void stop();

  private:
    void run();

    const std::string name_;
    const std::size_t threads_max_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Work> queue_;
    std::vector<std::thread> threads_;
    std::size_t idle_ = 0;
    bool stopping_ = false;
};

}  // namespace millrace::io
