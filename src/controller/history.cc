#include "controller/history.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "controller/auto_scaler.h"
#include "controller/epoch_change.h"
#include "controller/names.h"
#include "controller/records/retention_records.h"
#include "controller/records/sealed_segment_record.h"
#include "controller/records/subscriber_record.h"
#include "controller/stream_cut.h"
#include "controller/transactions.h"
#include "runtime/async.h"

namespace millrace::controller {

namespace {

static_assert(kEpochsBehindHead > AutoScaler::kHistory);

constexpr std::size_t kEpochsAtATime = 50;      // of one read: each names all its segments
constexpr std::size_t kEntriesAtATime = 2'000;  // that go with one truncation, and the rest of an epoch's

// The oldest epoch that a cut in an entry with this prefix refers to, or `oldest`.
template <typename Record>
Async<std::int32_t> oldest_in(Context& context, std::string scope, std::string prefix, std::int32_t oldest) {
    std::string after;
    while (true) {
        auto page = co_await context.metadata.scan(scope, prefix, after);
        if (!page) co_return fail(page.error());
        if (page->empty()) co_return oldest;
        for (const container::TableEntry& entry : *page) {
            auto record = Record::decode(entry.value);
            if (!record) co_return fail(record.error().code(), fmt::format("damaged record {}", entry.key));
            if (!record->cut.empty()) oldest = std::min(oldest, epochs_of(record->cut).first);
        }
        after = page->back().key;
    }
}

Async<std::int32_t> first_to_keep(Context& context, StreamName name, StreamRecord after) {
    std::int32_t first = epochs_of(after.head).first - kEpochsBehindHead;
    if (first <= 0) co_return first;
    auto current = co_await current_epoch(context, name, after.current_epoch);
    if (!current) co_return fail(current.error());
    first = std::min(first, current->reference);
    auto used = context.transactions->oldest_epoch(name);
    if (!used) co_return 0;
    first = std::min(first, *used);
    auto sampled = co_await oldest_in<SampleRecord>(context, name.scope, SampleRecord::prefix(name), first);
    if (!sampled) co_return fail(sampled.error());
    auto reported = co_await oldest_in<SubscriberRecord>(context, name.scope, SubscriberRecord::prefix(name), *sampled);
    co_return reported;
}

}  // namespace

Async<> fold_history(Context& context, StreamName name, StreamRecord after, Batch& batch) {
    auto keep = co_await first_to_keep(context, name, std::move(after));
    if (!keep) co_return fail(keep.error());
    std::size_t limit = batch.size() + kEntriesAtATime;
    std::optional<Epoch> previous;  // goes as soon as it is known what followed it
    std::string last;
    while (*keep > 0) {
        auto page = co_await context.metadata.scan(name.scope, EpochRecord::prefix(name), last, kEpochsAtATime);
        if (!page) co_return fail(page.error());
        if (page->empty()) co_return Result<>();
        for (const container::TableEntry& entry : *page) {
            auto record = EpochRecord::decode(entry.value);
            if (!record) co_return fail(record.error().code(), fmt::format("damaged record {}", entry.key));
            if (previous) {
                EpochChange change{std::move(*previous), record->epoch};
                batch.remove(EpochRecord::key(name, change.before.epoch));
                for (StreamSegmentId id : change.replaced()) batch.remove(SealedSegmentRecord::key(name, id));
            }
            if (record->epoch.epoch >= *keep || batch.size() >= limit) co_return Result<>();
            previous = std::move(record->epoch);
        }
        last = page->back().key;
    }
    co_return Result<>();
}

}  // namespace millrace::controller
