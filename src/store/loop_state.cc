#include "store/loop_state.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/text.h"
#include "store/connection.h"

namespace millrace::store {

void ReasonLog::write(std::string_view peer, std::string_view reason) {
    auto now = clock_.now();
    if (now - period_start_ >= kPeriod) {
        if (suppressed_ > 0) log::warn("{} more connections were closed for a reason", suppressed_);
        period_start_ = now;
        lines_ = 0;
        suppressed_ = 0;
    }
    if (lines_ == kLinesPerPeriod) {
        ++suppressed_;
        return;
    }
    ++lines_;
    // A reason may quote what the peer sent.
    constexpr std::size_t kLongest = 300;
    log::warn("connection {} closed: {}", peer, printable(reason, kLongest));
}

LoopState::LoopState(runtime::Executor& loop, const SegmentRouter& segments, const StoreOptions& store_options,
                     Budgets& budgets)
    : executor(loop),
      router(segments),
      options(store_options),
      credits(budgets.credits),
      reads(budgets.reads),
      standing(budgets.standing),
      reasons(loop.clock()) {}

LoopState::~LoopState() = default;

void LoopState::add(std::shared_ptr<StoreConnection> connection) {
    counters.accepted.add(1);
    StoreConnection* key = connection.get();
    connections_.emplace(key, std::move(connection));
}

void LoopState::retire(StoreConnection& connection) {
    auto found = connections_.find(&connection);
    if (found == connections_.end()) return;
    counters.closed.add(1);
    feed(connection);
    executor.post([this, last = std::move(found->second)]() mutable {
        last.reset();
        if (!connections_.empty() || !empty_) return;
        executor.cancel(sweeper_);
        std::exchange(empty_, {})();
    });
    connections_.erase(found);
}

void LoopState::start_sweeping() {
    auto period = std::chrono::duration_cast<std::chrono::milliseconds>(options.partial_frame_timeout) / 10;
    sweeper_ = executor.call_after(std::max(period, std::chrono::milliseconds(1)), [this] {
        sweep();
        start_sweeping();
    });
}

void LoopState::sweep() {
    auto now = executor.clock().now();
    std::vector<StoreConnection*> all;
    all.reserve(connections_.size());
    for (const auto& [connection, owner] : connections_) all.push_back(connection);
    for (StoreConnection* connection : all) connection->sweep(now);
}

void LoopState::close_all(runtime::Task empty) {
    executor.cancel(sweeper_);
    if (connections_.empty()) return empty();
    empty_ = std::move(empty);
    std::vector<StoreConnection*> all;
    for (const auto& [connection, owner] : connections_) all.push_back(connection);
    for (StoreConnection* connection : all) connection->shut();
    // Who takes nothing, or does not end its half, does not hold up the end of the process.
    sweeper_ = executor.call_after(options.end_patience, [this] {
        std::vector<StoreConnection*> late;
        for (const auto& [connection, owner] : connections_) late.push_back(connection);
        for (StoreConnection* connection : late) connection->cut();
    });
}

void LoopState::look_at_starved() {
    std::vector<StoreConnection*> waiting(starved_.begin(), starved_.end());
    for (StoreConnection* connection : waiting) connection->reconsider();
}

}  // namespace millrace::store
