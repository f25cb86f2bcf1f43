#include "runtime/blocking_pool.h"

#include <pthread.h>

namespace millrace::runtime {

BlockingPool::BlockingPool(BlockingPoolOptions options) : options_(std::move(options)) {
    for (std::size_t i = 0; i < options_.threads; ++i) {
        threads_.emplace_back([this] {
            pthread_setname_np(pthread_self(), options_.name.substr(0, 15).c_str());
            run();
        });
    }
}

bool BlockingPool::submit(Task work) {
    {
        std::lock_guard lock(mutex_);
        if (stopping_ || queue_.size() >= options_.queue_limit) return false;
        queue_.push_back(std::move(work));
    }
    wake_.notify_one();
    return true;
}

void BlockingPool::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
        if (queue_.empty()) return;
        Task work = std::move(queue_.front());
        queue_.pop_front();
        lock.unlock();
        work();
        work = nullptr;  // what it owns dies outside the lock too
        lock.lock();
    }
}

void BlockingPool::stop() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
}

std::size_t BlockingPool::queued() const {
    std::lock_guard lock(mutex_);
    return queue_.size();
}

}  // namespace millrace::runtime
