// BlockingPool: a few threads for calls that block (RocksDB, name resolution, foreign clients), so that no core loop
// does. Bounded: when the queue is full, submit() says so and the caller has to slow down or fail. Thread-safe.
//
//   bool accepted = pool.submit([&db, key] { return db.get(key); },          // on a pool thread
//                               loop, [this](Result<Value> v) { ... });      // on the loop
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "runtime/executor.h"

namespace millrace::runtime {

struct BlockingPoolOptions {
    std::string name = "blocking";
    std::size_t threads = 4;
    std::size_t queue_limit = 1024;  // calls that wait for a thread
};

class BlockingPool {
  public:
    explicit BlockingPool(BlockingPoolOptions options = {});
    ~BlockingPool() { stop(); }
    BlockingPool(const BlockingPool&) = delete;
    BlockingPool& operator=(const BlockingPool&) = delete;

    // False when the queue is full or the pool is stopped; `work` is destroyed then.
    [[nodiscard]] bool submit(Task work);

    // Posts done(work()) to `home`, which must outlive the pool.
    template <typename Work, typename Done>
    [[nodiscard]] bool submit(Work work, Executor& home, Done done) {
        return submit([work = std::move(work), &home, done = std::move(done)]() mutable {
            if constexpr (std::is_void_v<std::invoke_result_t<Work&>>) {
                work();
                home.post(std::move(done));
            } else {
                home.post([result = work(), done = std::move(done)]() mutable { done(std::move(result)); });
            }
        });
    }

    void stop();  // runs what was accepted, then joins; idempotent

    std::size_t queued() const;

  private:
    void run();

    const BlockingPoolOptions options_;
    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Task> queue_;
    bool stopping_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace millrace::runtime
