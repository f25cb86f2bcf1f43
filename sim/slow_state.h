// A container's state that takes its time, as one on a disk does: what is asked is answered later, with what was there
// when it was asked, each at its own time; batches and flushes are done later too, in order.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <utility>

#include "container/state/state_store.h"

namespace millrace::sim {

class SlowState final : public container::state::StateStore {
  public:
    SlowState(std::unique_ptr<StateStore> inner, runtime::Executor& executor, std::chrono::milliseconds delay_max)
        : inner_(std::move(inner)), executor_(executor), delay_max_(delay_max) {}

    LogSequence applied() const override { return inner_->applied(); }
    Result<> load(const container::state::KeyRange& range, const Visit& visit) override {
        return inner_->load(range, visit);
    }
    void apply(container::state::StateBatch batch, LogSequence through, Done<> done) override {
        in_order([this, batch = std::move(batch), through, done = std::move(done)]() mutable {
            inner_->apply(std::move(batch), through, std::move(done));
        });
    }
    void flush(Done<LogSequence> done) override {
        in_order([this, done = std::move(done)]() mutable { inner_->flush(std::move(done)); });
    }
    void get(std::string key, Done<container::state::StateValue> done) override {
        inner_->get(std::move(key), later(std::move(done)));
    }
    void multi_get(std::vector<std::string> keys, Done<container::state::StateValues> done) override {
        inner_->multi_get(std::move(keys), later(std::move(done)));
    }
    void scan(container::state::ScanRequest request, Done<container::state::ScanPage> done) override {
        inner_->scan(std::move(request), later(std::move(done)));
    }
    container::state::StateStats stats() const override { return inner_->stats(); }
    void close(runtime::Task closed) override {
        for (runtime::Task& task : std::exchange(waiting_, {})) task();
        inner_->close(std::move(closed));
    }

  private:
    std::chrono::milliseconds delay() {
        auto most = static_cast<std::uint64_t>(delay_max_.count());
        return std::chrono::milliseconds(static_cast<std::int64_t>(executor_.random().below(most + 1)));
    }
    template <typename T>
    Done<T> later(Done<T> done) {
        return [this, done = std::move(done)](Result<T> result) mutable {
            executor_.call_after(delay(), [alive = std::weak_ptr<bool>(alive_), done = std::move(done),
                                           result = std::move(result)]() mutable {
                if (alive.lock()) done(std::move(result));
            });
        };
    }
    void in_order(runtime::Task task) {
        waiting_.push_back(std::move(task));
        if (waiting_.size() == 1) work_soon();
    }
    void work_soon() {
        executor_.call_after(delay(), [this, alive = std::weak_ptr<bool>(alive_)] {
            if (!alive.lock() || waiting_.empty()) return;
            runtime::Task task = std::move(waiting_.front());
            waiting_.pop_front();
            task();
            if (!waiting_.empty()) work_soon();
        });
    }

    std::unique_ptr<StateStore> inner_;
    runtime::Executor& executor_;
    const std::chrono::milliseconds delay_max_;
    std::deque<runtime::Task> waiting_;  // batches and flushes; the first one's timer runs
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace millrace::sim
