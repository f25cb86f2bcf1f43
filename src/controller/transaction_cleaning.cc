// Completed transactions: how many are remembered, and which are forgotten.
#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "controller/names.h"
#include "controller/transactions.h"
#include "runtime/async.h"

namespace millrace::controller {

// ---- how many there are ----

std::size_t fair_share(std::vector<std::size_t> counts, std::size_t limit) {
    std::ranges::sort(counts);
    for (std::size_t i = 0; i < counts.size(); ++i) {
        std::size_t share = limit / (counts.size() - i);
        if (counts[i] > share) return share;
        limit -= counts[i];
    }
    return counts.empty() ? limit : counts.back();
}

void Transactions::set_completed(const StreamName& name, std::size_t count) {
    std::string key = to_string(name);
    Completed& completed = completed_[key];
    completed.name = name;
    completed_total_ = completed_total_ - completed.count + count;
    completed.count = count;
    if (count == 0) completed_.erase(key);
}

// Some more than the limits are let be, so that cleaning is worth its while.
void Transactions::count_completed(const StreamName& name, std::size_t more) {
    const TransactionOptions& options = context_.options.transactions;
    std::string key = to_string(name);
    std::size_t count = completed_[key].count + more;
    set_completed(name, count);
    auto is_far_beyond = [](std::size_t n, std::size_t limit) { return n > limit + limit / 10; };
    if (is_far_beyond(count, options.completed_limit) && cleaned_.insert(key).second)
        context_.in_background("cleaning of " + key, clean(name, options.completed_limit));
    if (is_far_beyond(completed_total_, options.completed_total) && !shrinking_)
        context_.in_background("cleaning of completed transactions", shrink_completed());
}

// Brings all together below their limit, at the cost of those streams that keep most.
Async<> Transactions::shrink_completed() {
    if (shrinking_) co_return Result<>();
    shrinking_ = true;
    Result<> result;
    std::vector<std::size_t> counts;
    for (const auto& [key, completed] : completed_) counts.push_back(completed.count);
    std::size_t share = fair_share(std::move(counts), context_.options.transactions.completed_total);
    std::vector<StreamName> larger;
    for (const auto& [key, completed] : completed_) {
        if (completed.count > share) larger.push_back(completed.name);
    }
    for (const StreamName& name : larger) {
        auto cleaned = co_await clean(name, share);
        if (!cleaned) result = cleaned;
    }
    shrinking_ = false;
    co_return result;
}

// ---- cleaning ----

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
            auto cleaned = co_await clean(key->stream, context_.options.transactions.completed_limit);
            if (!cleaned) log::warn("controller: cleaning of {}: {}", after, cleaned.error().to_string());
        }
    }
    auto shrunk = co_await shrink_completed();
    if (!shrunk) log::warn("controller: completed transactions: {}", shrunk.error().to_string());
    arm_cleaning();
    co_return Result<>();
}

// Removes those that are old, and the oldest of too many: those begun first.
Async<> Transactions::clean(StreamName name, std::size_t limit) {
    KeyedMutex::Lock lock = co_await context_.locks.acquire("cleaning/" + to_string(name));
    cleaned_.erase(to_string(name));
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
    set_completed(name, young);
    std::size_t excess = young > limit ? young - limit : 0;
    while (excess > 0) {
        auto page =
            co_await context_.metadata.scan(name.scope, prefix, std::string(), std::min(excess, Metadata::kScanItems));
        if (!page) co_return fail(page.error());
        if (page->empty()) break;
        std::size_t gone = page->size();
        Batch batch;
        for (container::TableEntry& entry : *page) batch.remove(std::move(entry.key), entry.version);
        auto removed = co_await context_.metadata.commit(name.scope, std::move(batch));
        if (!removed) co_return removed;
        excess -= gone;
        set_completed(name, completed_[to_string(name)].count - gone);
    }
    co_return Result<>();
}

Async<> Transactions::forget(StreamName name) {
    KeyedMutex::Lock lock = co_await context_.locks.acquire("cleaning/" + to_string(name));
    while (true) {
        auto page =
            co_await context_.metadata.scan(name.scope, CompletedTransactionRecord::prefix(name), std::string());
        if (!page) co_return fail(page.error());
        if (page->empty()) break;
        Batch batch;
        for (container::TableEntry& entry : *page) batch.remove(std::move(entry.key), entry.version);
        auto removed = co_await context_.metadata.commit(name.scope, std::move(batch));
        if (!removed) co_return removed;
    }
    set_completed(name, 0);
    co_return Result<>();
}

}  // namespace millrace::controller
