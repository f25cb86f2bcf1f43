#include "controller/metadata.h"

#include <fmt/format.h>

#include "controller/names.h"
#include "controller/records/autoscale_record.h"
#include "controller/records/last_number_record.h"
#include "controller/records/sealed_segment_record.h"
#include "controller/records/subscriber_record.h"
#include "controller/records/table_record.h"
#include "controller/records/transaction_record.h"
#include "controller/records/watermark_record.h"
#include "controller/records/writer_record.h"
#include "runtime/async.h"

namespace millrace::controller {

namespace {
constexpr std::string_view kTable = "_controller";
}

ContainerId Metadata::home_of(std::string_view scope) const {
    return segments_.container_for(fmt::format("{}/{}", kTable, scope));
}

Async<std::optional<container::TableEntry>> Metadata::get_entry(std::string scope, std::string key) {
    using Reply = Result<std::optional<container::TableEntry>>;
    auto ask = [&](runtime::Callback<Reply> done) {
        segments_.table_get(home_of(scope), std::string(kTable), key, executor_, std::move(done));
    };
    Reply reply = co_await runtime::await<Reply>(ask);
    co_return reply;
}

Async<std::vector<container::TableEntry>> Metadata::scan_container(ContainerId container, std::string prefix,
                                                                   std::string after, std::size_t limit) {
    using Reply = Result<std::vector<container::TableEntry>>;
    auto ask = [&](runtime::Callback<Reply> done) {
        segments_.table_scan(container, std::string(kTable), prefix, after, limit, executor_, std::move(done));
    };
    Reply reply = co_await runtime::await<Reply>(ask);
    co_return reply;
}

Async<std::vector<container::TableEntry>> Metadata::scan(std::string scope, std::string prefix, std::string after,
                                                         std::size_t limit) {
    return scan_container(home_of(scope), std::move(prefix), std::move(after), limit);
}

Async<> Metadata::commit(std::string scope, Batch batch) {
    auto updated = co_await update(std::move(scope), std::move(batch));
    if (!updated) co_return fail(updated.error());
    co_return Result<>();
}

Async<std::vector<std::int64_t>> Metadata::update(std::string scope, Batch batch) {
    using Reply = Result<std::vector<std::int64_t>>;
    container::SpaceNeed need = batch.need();
    auto updates = batch.take();
    auto update = [&](runtime::Callback<Reply> done) {
        segments_.update_table(home_of(scope), std::string(kTable), std::move(updates), need, executor_,
                               std::move(done));
    };
    Reply reply = co_await runtime::await<Reply>(update);
    if (reply) co_return reply;
    bool changed = reply.error() == Errc::kBadVersion || reply.error() == Errc::kNoKey;
    if (changed) co_return fail(Errc::kConflict, fmt::format("metadata of scope {} changed meanwhile", scope));
    co_return fail(reply.error());
}

template <typename Record>
Async<Found<Record>> Metadata::get(std::string scope, std::string key) {
    auto entry = co_await get_entry(std::move(scope), key);
    if (!entry) co_return fail(entry.error());
    if (!*entry) co_return Found<Record>();
    auto record = Record::decode((*entry)->value);
    if (!record) co_return fail(record.error().code(), fmt::format("{}: {}", key, record.error().message()));
    Stored<Record> stored;
    stored.record = std::move(*record);
    stored.version = (*entry)->version;
    co_return Found<Record>(std::move(stored));
}

template Async<Found<AutoscaleRecord>> Metadata::get<AutoscaleRecord>(std::string, std::string);
template Async<Found<LastNumberRecord>> Metadata::get<LastNumberRecord>(std::string, std::string);
template Async<Found<SealedSegmentRecord>> Metadata::get<SealedSegmentRecord>(std::string, std::string);
template Async<Found<WatermarkRecord>> Metadata::get<WatermarkRecord>(std::string, std::string);
template Async<Found<WriterRecord>> Metadata::get<WriterRecord>(std::string, std::string);
template Async<Found<TableRecord>> Metadata::get<TableRecord>(std::string, std::string);
template Async<Found<SubscriberRecord>> Metadata::get<SubscriberRecord>(std::string, std::string);
template Async<Found<TransactionRecord>> Metadata::get<TransactionRecord>(std::string, std::string);
template Async<Found<CompletedTransactionRecord>> Metadata::get<CompletedTransactionRecord>(std::string, std::string);
template Async<Found<TransactionCounterRecord>> Metadata::get<TransactionCounterRecord>(std::string, std::string);

Async<Found<ScopeRecord>> Metadata::scope(std::string scope) {
    std::string key = ScopeRecord::key(scope);
    return get<ScopeRecord>(std::move(scope), std::move(key));
}

Async<Found<StreamRecord>> Metadata::stream(StreamName name) {
    return get<StreamRecord>(name.scope, StreamRecord::key(name));
}

Async<Found<GroupRecord>> Metadata::group(std::string scope, std::string group) {
    std::string key = GroupRecord::key(scope, group);
    return get<GroupRecord>(std::move(scope), std::move(key));
}

Async<std::optional<Epoch>> Metadata::epoch(StreamName name, std::int32_t epoch) {
    auto found = co_await get<EpochRecord>(name.scope, EpochRecord::key(name, epoch));
    if (!found) co_return fail(found.error());
    if (!*found) co_return std::optional<Epoch>();
    co_return std::optional<Epoch>(std::move((*found)->record.epoch));
}

Async<Epoch> Metadata::oldest_epoch(StreamName name) {
    auto page = co_await scan(name.scope, EpochRecord::prefix(name), std::string(), 1);
    if (!page) co_return fail(page.error());
    if (page->empty()) co_return fail(Errc::kCorrupt, fmt::format("stream {} has no epoch", to_string(name)));
    auto record = EpochRecord::decode(page->front().value);
    if (!record) co_return fail(record.error().code(), fmt::format("damaged record {}", page->front().key));
    co_return std::move(record->epoch);
}

Async<std::vector<Epoch>> Metadata::epochs(StreamName name, std::int32_t first, std::int32_t last) {
    std::vector<Epoch> epochs;
    std::string after = first == 0 ? std::string() : EpochRecord::key(name, first - 1);
    for (std::int32_t next = first; next <= last;) {
        std::size_t wanted = std::min<std::size_t>(kScanItems, static_cast<std::size_t>(last - next) + 1);
        auto page = co_await scan(name.scope, EpochRecord::prefix(name), after, wanted);
        if (!page) co_return fail(page.error());
        for (const container::TableEntry& entry : *page) {
            auto record = EpochRecord::decode(entry.value);
            bool expected = record && record->epoch.epoch == next;
            bool is_forgotten = record && !expected && next == first;
            if (is_forgotten) {
                auto oldest = co_await oldest_epoch(name);
                is_forgotten = oldest && first < oldest->epoch;
            }
            if (is_forgotten)
                co_return fail(Errc::kNotFound,
                               fmt::format("epoch {} of stream {} is not kept any more", first, to_string(name)));
            if (!expected) co_return fail(Errc::kCorrupt, fmt::format("{}: damaged, or out of sequence", entry.key));
            epochs.push_back(std::move(record->epoch));
            ++next;
        }
        if (page->empty())
            co_return fail(Errc::kCorrupt, fmt::format("stream {}/{} has no epoch {}", name.scope, name.stream, next));
        after = page->back().key;
    }
    co_return std::move(epochs);
}

}  // namespace millrace::controller
