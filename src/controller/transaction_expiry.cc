// What time does to transactions: leases that end, and completed ones that are forgotten.
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

Async<> Transactions::expire_due() {
    while (auto due = leases_.take_due(context_.executor.clock().now())) {
        Stream stream = std::move(due->stream);
        auto expired = co_await expire(stream, due->id);
        if (expired) continue;
        log::warn("controller: the lease of transaction {} of {}: {}", to_string(due->id), to_string(stream->name),
                  expired.error().to_string());
        auto live = stream->live.find(due->id);
        bool again = live != stream->live.end() && !leases_.holds(live->second->lease);
        if (again) set_lease(stream, *live->second, context_.options.retry_delay);
    }
    expiring_ = false;
    arm_timer();
    co_return Result<>();
}

Async<> Transactions::expire(Stream stream, TransactionId id) {
    KeyedMutex::Lock lock = co_await lock_transaction(stream->name, id);
    auto looked = co_await look(stream, id);
    if (!looked) co_return fail(looked.error());
    Live* live = *looked;
    bool over = live == nullptr || live->record.state != TransactionRecord::State::kOpen || live->record.kept_ms != 0 ||
                leases_.holds(live->lease);  // a ping was faster
    if (over) co_return Result<>();
    if (!live->abandoned) {
        auto keeps = co_await keeps_prepared_of(stream->name);
        if (!keeps) co_return fail(keeps.error());
        if (*keeps) {
            auto kept = co_await expire_kept(stream, live);
            co_return kept;
        }
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

// ---- completed ones ----

void Transactions::arm_cleaning() {
    if (stopped_) return;
    cleaning_timer_ = context_.executor.call_after(context_.options.transactions.cleaning_period, [this] {
        context_.in_background("cleaning of completed transactions", clean_all());
    });
}

Async<> Transactions::clean_all() {
    for (std::uint32_t i = 0; i < context_.metadata.containers(); ++i) {
        std::string after;
        while (true) {
            // One entry of each stream; the next begins behind all of that stream's.
            std::string prefix(CompletedTransactionRecord::kPrefix);
            auto page = co_await context_.metadata.scan_container(ContainerId(i), std::move(prefix), after, 1);
            if (!page || page->empty()) break;
            auto key = CompletedTransactionRecord::parse_key(page->front().key);
            if (!key) {
                log::error("controller: {}", key.error().to_string());
                after = page->front().key;
                continue;
            }
            after = CompletedTransactionRecord::prefix(key->stream);
            after.back() = '/' + 1;
            auto cleaned = co_await clean(key->stream);
            if (!cleaned) log::warn("controller: cleaning of {}: {}", after, cleaned.error().to_string());
        }
    }
    arm_cleaning();
    co_return Result<>();
}

// Removes those that are old, and the oldest of too many: those begun first.
Async<> Transactions::clean(StreamName name) {
    KeyedMutex::Lock lock = co_await context_.locks.acquire("cleaning/" + to_string(name));
    const TransactionOptions& options = context_.options.transactions;
    std::int64_t oldest = context_.now_ms() - options.completed_kept.count();
    std::string prefix = CompletedTransactionRecord::prefix(name);
    std::size_t young = 0;
    std::string after;
    while (true) {
        auto page = co_await context_.metadata.scan(name.scope, prefix, after);
        if (!page) co_return fail(page.error());
        if (page->empty()) break;
        after = page->back().key;
        Batch batch;
        for (container::TableEntry& entry : *page) {
            auto record = CompletedTransactionRecord::decode(entry.value);
            if (record && record->completed_ms > oldest)
                ++young;
            else
                batch.remove(std::move(entry.key), entry.version);
        }
        if (batch.empty()) continue;
        auto removed = co_await context_.metadata.commit(name.scope, std::move(batch));
        if (!removed) co_return removed;
    }
    std::size_t excess = young > options.completed_limit ? young - options.completed_limit : 0;
    while (excess > 0) {
        auto page =
            co_await context_.metadata.scan(name.scope, prefix, std::string(), std::min(excess, Metadata::kScanItems));
        if (!page) co_return fail(page.error());
        if (page->empty()) break;
        excess -= page->size();
        Batch batch;
        for (container::TableEntry& entry : *page) batch.remove(std::move(entry.key), entry.version);
        auto removed = co_await context_.metadata.commit(name.scope, std::move(batch));
        if (!removed) co_return removed;
    }
    co_return Result<>();
}

Async<> Transactions::forget(StreamName name) {
    KeyedMutex::Lock lock = co_await context_.locks.acquire("cleaning/" + to_string(name));
    while (true) {
        auto page =
            co_await context_.metadata.scan(name.scope, CompletedTransactionRecord::prefix(name), std::string());
        if (!page) co_return fail(page.error());
        if (page->empty()) co_return Result<>();
        Batch batch;
        for (container::TableEntry& entry : *page) batch.remove(std::move(entry.key), entry.version);
        auto removed = co_await context_.metadata.commit(name.scope, std::move(batch));
        if (!removed) co_return removed;
    }
}

}  // namespace millrace::controller
