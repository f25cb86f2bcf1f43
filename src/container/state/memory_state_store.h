// A StateStore in memory, for unit tests and the simulation: single-threaded, repeatable. Batches are seen at once; a
// flush copies to the "disk" what was applied before it; crash() goes back to that.
#pragma once

#include <deque>
#include <map>
#include <memory>

#include "container/state/state_store.h"

namespace millrace::container::state {

// What survives: shared by the stores of one container's lives.
struct MemoryStateDisk {
    std::map<std::string, std::string, std::less<>> entries;
    LogSequence applied;
};

class MemoryStateStore final : public StateStore {
  public:
    MemoryStateStore(std::shared_ptr<MemoryStateDisk> disk, runtime::Executor& executor);

    LogSequence applied() const override { return acknowledged_; }
    Result<> load(const KeyRange& range, const Visit& visit) override;
    void apply(StateBatch batch, LogSequence through, Done<> done) override;
    void flush(Done<LogSequence> done) override;
    void get(std::string key, Done<StateValue> done) override;
    void multi_get(std::vector<std::string> keys, Done<StateValues> done) override;
    void scan(ScanRequest request, Done<ScanPage> done) override;
    StateStats stats() const override;
    void close(runtime::Task closed) override;

    // ---- the test's side ----
    void crash();  // callbacks that have not run never do
    // So many of the batches that no flush has acknowledged are on the disk nevertheless, as buffers that were full
    // are.
    void write_out_early(std::size_t batches);
    std::size_t unflushed_batches() const { return unflushed_.size(); }
    void forget_flushes() { forgets_flushes_ = true; }  // they are acknowledged and not done
    void fail_flushes(std::optional<Error> with) { flush_error_ = std::move(with); }  // until called with nothing
    void fail_next_apply(Error with) { apply_error_ = std::move(with); }

  private:
    struct Applied {
        StateBatch batch;
        LogSequence through;
    };
    void post(runtime::Task task);  // unless a crash comes first
    void write_out(LogSequence through);

    std::shared_ptr<MemoryStateDisk> disk_;
    runtime::Executor& executor_;
    std::map<std::string, std::string, std::less<>> entries_;
    LogSequence written_;
    LogSequence acknowledged_;
    LogSequence flushed_;
    std::deque<Applied> unflushed_;
    std::size_t queued_batches_ = 0;
    std::size_t queued_bytes_ = 0;
    std::uint64_t flushes_ = 0;
    std::optional<Error> flush_error_;
    std::optional<Error> apply_error_;
    std::optional<Error> failed_;
    bool closed_ = false;
    bool forgets_flushes_ = false;
    std::shared_ptr<int> life_ = std::make_shared<int>(0);
};

}  // namespace millrace::container::state
