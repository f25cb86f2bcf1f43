// What the store's connections of one core loop share. Made and owned by StoreService; used on its loop only, except
// `counters`, which anybody may read, and the accounts of credits.h, which all loops share.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include "runtime/executor.h"
#include "store/credits.h"
#include "store/options.h"
#include "store/segment_router.h"
#include "store/stats.h"

namespace millrace::store {

class StoreConnection;

// Lines about connections that were closed for a reason: so many in so much time, and then a count of the rest. A
// client that is out of step, or somebody who tries ports, must not fill the disk.
class ReasonLog {
  public:
    explicit ReasonLog(const Clock& clock) : clock_(clock) {}
    void write(std::string_view peer, std::string_view reason);

  private:
    static constexpr unsigned kLinesPerPeriod = 20;
    static constexpr std::chrono::seconds kPeriod{10};
    const Clock& clock_;
    std::chrono::steady_clock::time_point period_start_{};
    unsigned lines_ = 0;
    std::uint64_t suppressed_ = 0;
};

class LoopState {
  public:
    LoopState(runtime::Executor& loop, const SegmentRouter& segments, const StoreOptions& store_options,
              Budgets& budgets);
    ~LoopState();
    LoopState(const LoopState&) = delete;
    LoopState& operator=(const LoopState&) = delete;

    void add(std::shared_ptr<StoreConnection> connection);
    // The connection is closed and nothing of it is under way: it is destroyed, in a task of its own.
    void retire(StoreConnection& connection);

    // Once: looks for connections that have stalled within a frame, every tenth of the time allowed.
    void start_sweeping();
    // Closes all connections; `empty` runs when the last is gone.
    void close_all(runtime::Task empty);
    void look_at_starved();

    runtime::Executor& executor;
    const SegmentRouter& router;
    const StoreOptions& options;
    CreditPool& credits;
    ReadPool& reads;
    StandingPool& standing;
    LoopCounters counters;
    ReasonLog reasons;
    std::move_only_function<void()> on_total_fell;  // credits or read bytes are to be had again: wakes all loops

    // Connections that are not read, or have reads that wait, for lack of them.
    void starve(StoreConnection& connection) {
        counters.starved_begun.add(starved_.insert(&connection).second ? 1 : 0);
    }
    void feed(StoreConnection& connection) { counters.starved_ended.add(starved_.erase(&connection)); }

  private:
    void sweep();

    absl::flat_hash_map<StoreConnection*, std::shared_ptr<StoreConnection>> connections_;
    absl::flat_hash_set<StoreConnection*> starved_;
    runtime::Task empty_;
    runtime::TimerId sweeper_;
};

}  // namespace millrace::store
