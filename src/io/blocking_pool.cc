#include "io/blocking_pool.h"

#include <utility>

#include <pthread.h>

namespace millrace::io {

BlockingPool::BlockingPool(std::string name, std::size_t threads_max)
    : name_(std::move(name)), threads_max_(threads_max) {}

void BlockingPool::submit(Work work) {
    std::unique_lock lock(mutex_);
    if (stopping_) {
        lock.unlock();
        return work(false);
    }
    queue_.push_back(std::move(work));
    if (idle_ < queue_.size() && threads_.size() < threads_max_)
        threads_.emplace_back([this] { run(); });
    else
        wake_.notify_one();
}

void BlockingPool::stop() {
    std::vector<std::thread> threads;
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
        threads.swap(threads_);
    }
    wake_.notify_all();
    for (std::thread& thread : threads) thread.join();
}

void BlockingPool::run() {
    pthread_setname_np(pthread_self(), name_.c_str());
    std::unique_lock lock(mutex_);
    for (;;) {
        while (queue_.empty()) {
            if (stopping_) return;
            ++idle_;
            wake_.wait(lock);
            --idle_;
        }
        Work work = std::move(queue_.front());
        queue_.pop_front();
        lock.unlock();
        work(true);
        work = nullptr;  // what it holds dies without the lock
        lock.lock();
    }
}

}  // namespace millrace::io
