// What time does to transactions: leases that end.
#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "base/uuid.h"
#include "controller/names.h"
#include "controller/transactions.h"
#include "runtime/async.h"

namespace millrace::controller {

// ---- leases ----

void Transactions::set_lease(const Stream& stream, Live& live, std::chrono::milliseconds until_end) {
    auto due = context_.executor.clock().now() + until_end + context_.options.transactions.grace;
    leases_.set(live.lease, due, Due{stream, live.id});
    arm_timer();
}

// A timer that finds nothing due, because of pings, is set again.
void Transactions::arm_timer() {
    auto next = leases_.next();
    if (stopped_ || expiring_ || !next) return;
    if (lease_timer_set_ && lease_timer_due_ <= *next) return;
    if (lease_timer_set_) context_.executor.cancel(lease_timer_);
    auto until = std::chrono::ceil<std::chrono::milliseconds>(*next - context_.executor.clock().now());
    lease_timer_set_ = true;
    lease_timer_due_ = *next;
    lease_timer_ = context_.executor.call_after(std::max(until, std::chrono::milliseconds(0)), [this] {
        lease_timer_set_ = false;
        expiring_ = true;
        context_.in_background("leases of transactions", expire_due());
    });
}

// Those of a stream that are due together end together: a writer that dies leaves many.
Async<> Transactions::expire_due() {
    while (true) {
        std::vector<std::pair<Stream, std::vector<TransactionId>>> all;
        for (std::size_t taken = 0; taken < kEndBatch; ++taken) {
            auto due = leases_.take_due(context_.executor.clock().now());
            if (!due) break;
            auto known = std::ranges::find(all, due->stream, [](const auto& of_stream) { return of_stream.first; });
            if (known == all.end()) known = all.insert(all.end(), {std::move(due->stream), {}});
            known->second.push_back(due->id);
        }
        if (all.empty()) break;
        for (const auto& [stream, ids] : all) {
            auto expired = co_await expire_all(stream, ids);
            if (expired) continue;
            log::warn("controller: leases of {} transactions of {}: {}", ids.size(), to_string(stream->name),
                      expired.error().to_string());
            for (const TransactionId& id : ids) {
                auto live = stream->live.find(id);
                bool again = live != stream->live.end() && !leases_.holds(live->second->lease);
                if (again) set_lease(stream, *live->second, context_.options.retry_delay);
            }
        }
    }
    expiring_ = false;
    arm_timer();
    co_return Result<>();
}

Async<> Transactions::expire_all(Stream stream, std::vector<TransactionId> ids) {
    auto keeps = co_await keeps_prepared_of(stream->name);
    if (!keeps) co_return fail(keeps.error());
    if (!*keeps) {
        auto aborted = co_await abort_together(stream, std::move(ids), Ending::kAtEndOfLease);
        co_return aborted;
    }
    Result<> result;
    for (const TransactionId& id : ids) {
        auto expired = co_await expire_one(stream, id);
        if (!expired) result = expired;
    }
    co_return result;
}

bool Transactions::is_due(const Live* live) const {
    bool a_ping_was_faster = live != nullptr && leases_.holds(live->lease);
    return live != nullptr && live->record.state == TransactionRecord::State::kOpen && live->record.kept_ms == 0 &&
           !a_ping_was_faster;
}

Async<> Transactions::expire_one(Stream stream, TransactionId id) {
    KeyedMutex::Lock lock = co_await lock_transaction(stream->name, id);
    auto looked = co_await look(stream, id);
    if (!looked) co_return fail(looked.error());
    Live* live = *looked;
    if (!is_due(live)) co_return Result<>();
    if (!live->abandoned) {
        auto kept = co_await expire_kept(stream, live);
        co_return kept;
    }
    TransactionRecord next = live->record;
    next.state = TransactionRecord::State::kAborting;
    auto aborted = co_await write(stream, live, std::move(next));
    co_return aborted;
}

// What nobody has written to is worth nothing after the longest execution; what somebody has written to may be
// prepared, and stays.
Async<> Transactions::expire_kept(Stream stream, Live* live) {
    auto names = co_await segments_of(stream, live->id);
    if (!names) co_return fail(names.error());
    auto bytes = co_await context_.segments.total_length(std::move(*names));
    if (!bytes) co_return fail(bytes.error());
    TransactionRecord next = live->record;
    std::int64_t left = next.end_by_ms - context_.now_ms();
    if (*bytes == 0 && left > 0) {
        set_lease(stream, *live, std::chrono::milliseconds(left));
        co_return Result<>();
    }
    if (*bytes == 0) next.state = TransactionRecord::State::kAborting;
    if (*bytes > 0) {
        next.kept_ms = context_.now_ms();
        next.kept_bytes = *bytes;
        log::info("controller: transaction {} of {} is prepared: {} bytes, kept until it is committed or aborted",
                  to_string(live->id), to_string(stream->name), *bytes);
    }
    auto written = co_await write(stream, live, std::move(next));
    co_return written;
}

bool Transactions::keeps_prepared(const StreamConfig& config) const {
    if (std::ranges::find(config.tags, kKeepPreparedTag) != config.tags.end()) return true;
    if (std::ranges::find(config.tags, kExpirePreparedTag) != config.tags.end()) return false;
    return context_.options.transactions.keep_prepared;
}

Async<bool> Transactions::keeps_prepared_of(StreamName name) {
    auto found = co_await context_.metadata.stream(name);
    if (!found) co_return fail(found.error());
    co_return *found&& keeps_prepared((*found)->record.config);
}

}  // namespace millrace::controller
