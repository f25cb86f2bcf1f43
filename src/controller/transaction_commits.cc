// What carries committing and aborting transactions to their end.
#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "base/uuid.h"
#include "controller/epoch_change.h"
#include "controller/names.h"
#include "controller/stream_cut.h"
#include "controller/transactions.h"
#include "controller/watermarks.h"
#include "runtime/async.h"

namespace millrace::controller {

namespace {

PendingEntry pending(const StreamName& name) { return {PendingEntry::Kind::kStream, name.scope, name.stream}; }

// The same ranges and numbers as segments of another epoch.
std::vector<SegmentRange> copies_of(std::vector<SegmentRange> segments, std::int32_t epoch) {
    for (SegmentRange& segment : segments) segment.id = segment_id(number_of(segment.id), epoch);
    return segments;
}

EpochChange copying(const Epoch& before, const Epoch& original, std::int64_t creation_ms) {
    EpochChange change{before, next_epoch(before, copies_of(original.segments, before.epoch + 1), creation_ms)};
    change.after.reference = original.reference;
    return change;
}

}  // namespace

// ---- workers ----

void Transactions::run_commits(const Stream& stream) {
    if (stream->commits_run || stream->waiting.empty() || stopped_) return;
    stream->commits_run = true;
    context_.in_background("commits of " + to_string(stream->name), commit_all(stream));
}

void Transactions::run_aborts(const Stream& stream) {
    if (stream->aborts_run || stream->aborting.empty() || stopped_) return;
    stream->aborts_run = true;
    context_.in_background("aborts of " + to_string(stream->name), abort_all(stream));
}

void Transactions::retry_later(const Stream& stream, const Error& why) {
    log::warn("controller: transactions of {} wait: {}", to_string(stream->name), why.to_string());
    bool first = retries_.empty();
    retries_.insert(stream);
    if (!first || stopped_) return;
    retry_timer_ = context_.executor.call_after(context_.options.retry_delay, [this] {
        auto streams = std::exchange(retries_, {});
        for (const Stream& waiting : streams) {
            run_commits(waiting);
            run_aborts(waiting);
        }
    });
}

Async<> Transactions::commit_all(Stream stream) {
    Result<> result;
    while (result && !stream->waiting.empty()) {
        KeyedMutex::Lock lock = co_await context_.lock_stream(stream->name);
        result = co_await commit_waiting_once(stream);
    }
    stream->commits_run = false;
    if (!result) retry_later(stream, result.error());
    drop_if_idle(stream);
    co_return Result<>();
}

Async<> Transactions::commit_waiting_once(Stream stream) {
    auto found = co_await streams_.settled(stream->name);
    if (!found) co_return fail(found.error());
    if (!*found)
        co_return fail(Errc::kCorrupt,
                       fmt::format("stream {} has transactions and is not there", to_string(stream->name)));
    auto committed = co_await commit_batch(stream, std::move(**found));
    if (!committed) co_return fail(committed.error());
    co_return Result<>();
}

Async<> Transactions::abort_all(Stream stream) {
    Result<bool> more = true;
    while (more && *more) more = co_await abort_batch(stream);
    stream->aborts_run = false;
    if (!more) retry_later(stream, more.error());
    drop_if_idle(stream);
    co_return Result<>();
}

// ---- commits ----

// The first of those that wait, with all that follow of the same epoch.
std::vector<TransactionId> Transactions::next_batch(const OfStream& stream) const {
    std::vector<TransactionId> ids;
    for (const auto& [order, id] : stream.waiting) {
        if (ids.size() == kCommitBatch || (!ids.empty() && epoch_of(ids.front()) != epoch_of(id))) break;
        ids.push_back(id);
    }
    return ids;
}

Async<bool> Transactions::commit_batch(Stream stream, Stored<StreamRecord> record) {
    auto known = co_await look_at_unknown(stream, next_batch(*stream));
    if (!known) co_return fail(known.error());
    std::vector<TransactionId> ids = next_batch(*stream);
    if (ids.empty()) co_return false;
    auto current = co_await current_epoch(context_, stream->name, record.record.current_epoch);
    if (!current) co_return fail(current.error());
    if (current->reference != epoch_of(ids.front())) {
        auto begun = co_await begin_rolling(stream, std::move(record), std::move(ids));
        if (!begun) co_return fail(begun.error());
        co_return false;
    }
    auto merged = co_await merge(stream, ids, std::move(current->segments));
    if (!merged) co_return fail(merged.error());
    Batch batch;
    auto completed = co_await complete(stream, std::move(ids), true, std::move(batch));
    if (!completed) co_return fail(completed.error());
    co_return true;
}

// One request for each segment, for all transactions. What was merged before counts as done.
Async<> Transactions::merge(Stream stream, std::vector<TransactionId> ids, std::vector<SegmentRange> into) {
    std::vector<Segments::Merge> merges;
    for (const SegmentRange& target : into) {
        Segments::Merge merge{segment_name(stream->name, target.id), {}};
        for (const TransactionId& id : ids) {
            StreamSegmentId own = segment_id(number_of(target.id), epoch_of(id));
            merge.sources.push_back(transaction_segment_name(stream->name, own, id));
        }
        merges.push_back(std::move(merge));
    }
    auto ends = co_await context_.segments.merge(std::move(merges));
    if (!ends) co_return fail(ends.error());
    auto noted = co_await note_times(stream, ids, into, *ends);
    co_return noted;
}

// The writers' times, as if they had noted them where their last transactions end now.
Async<> Transactions::note_times(Stream stream, const std::vector<TransactionId>& ids,
                                 const std::vector<SegmentRange>& into,
                                 const std::vector<std::vector<std::int64_t>>& ends) {
    std::map<std::string, WriterNote> latest;  // by writer
    for (std::size_t i = 0; i < ids.size(); ++i) {
        const TransactionRecord& record = stream->live.at(ids[i])->record;
        bool told = record.time != TransactionRecord::kNoTime && !record.writer.empty();
        if (!told || record.writer.size() > Watermarks::kWriterNameBytes) continue;
        WriterNote note{record.writer, record.time, {}};
        for (std::size_t target = 0; target < into.size(); ++target) note.position[into[target].id] = ends[target][i];
        auto [known, added] = latest.try_emplace(record.writer, note);
        if (!added && known->second.time <= note.time) known->second = std::move(note);
    }
    std::vector<WriterNote> notes;
    for (auto& [writer, note] : latest) notes.push_back(std::move(note));
    if (notes.empty()) co_return Result<>();
    auto noted = co_await context_.watermarks->note_all(stream->name, std::move(notes));
    bool trouble = !noted && noted.error() != Errc::kNoSpace && noted.error() != Errc::kLimit;
    if (trouble) co_return fail(noted.error());
    co_return Result<>();
}

// The records become those of completed transactions, in one update with whatever else is in the batch.
Async<> Transactions::complete(Stream stream, std::vector<TransactionId> ids, bool committed, Batch batch) {
    CompletedTransactionRecord record{committed, context_.now_ms()};
    for (const TransactionId& id : ids) {
        const Live& live = *stream->live.at(id);
        batch.remove(TransactionRecord::key(stream->name, id), live.version);
        batch.put(CompletedTransactionRecord::key(stream->name, id), record.encode());
    }
    auto written = co_await context_.metadata.commit(stream->name.scope, std::move(batch));
    if (!written) {
        for (const TransactionId& id : ids) stream->live.at(id)->unknown = true;
        co_return written;
    }
    count_completed(stream->name, ids.size());
    for (const TransactionId& id : ids) drop(stream, id);
    co_return written;
}

Async<> Transactions::look_at_unknown(Stream stream, const std::vector<TransactionId>& ids) {
    for (const TransactionId& id : ids) {
        auto looked = co_await look(stream, id);
        if (!looked) co_return fail(looked.error());
    }
    co_return Result<>();
}

Async<> Transactions::commit_waiting(StreamName name) {
    Stream stream = find(name);
    if (stream == nullptr || stream->waiting.empty()) co_return Result<>();
    std::int64_t last = stream->waiting.rbegin()->first;  // later ones have no right to hold up what asks
    while (!stream->waiting.empty() && stream->waiting.begin()->first <= last) {
        auto committed = co_await commit_waiting_once(stream);
        if (!committed) co_return committed;
    }
    co_return Result<>();
}

// ---- across a scale ----

Async<> Transactions::begin_rolling(Stream stream, Stored<StreamRecord> record, std::vector<TransactionId> ids) {
    RollIntent intent;
    intent.reference = epoch_of(ids.front());
    intent.creation_ms = context_.now_ms();
    intent.transactions = std::move(ids);
    if (record.record.state == StreamState::kActive) record.record.state = StreamState::kRolling;
    record.record.intent = std::move(intent);
    Batch batch;
    batch.put(StreamRecord::key(stream->name), record.record.encode(), record.version);
    auto begun = co_await context_.commit_intent(pending(stream->name), std::move(batch));
    co_return begun;
}

// The current epoch is followed by a copy of the transactions' epoch, which takes their data, and that by a copy of the
// current one.
Async<> Transactions::carry_on_rolling(StreamName name, Stored<StreamRecord> stored) {
    Stream stream = of(name);
    RollIntent intent = std::get<RollIntent>(stored.record.intent);
    auto current = co_await current_epoch(context_, name, stored.record.current_epoch);
    if (!current) co_return fail(current.error());
    auto own = co_await current_epoch(context_, name, intent.reference);
    if (!own) co_return fail(own.error());
    EpochChange to_own = copying(*current, *own, intent.creation_ms);
    EpochChange back = copying(to_own.after, *current, intent.creation_ms);

    auto known = co_await look_at_unknown(stream, intent.transactions);
    if (!known) co_return known;
    std::vector<TransactionId> ids;
    for (const TransactionId& id : intent.transactions) {
        if (stream->live.contains(id)) ids.push_back(id);
    }

    StreamConfig unscaled = stored.record.config;
    unscaled.scaling = {};
    auto made = co_await make_segments(context_, name, to_own, std::move(unscaled));
    if (!made) co_return made;
    auto merged = co_await merge(stream, ids, to_own.after.segments);
    if (!merged) co_return merged;
    auto own_lengths = co_await seal_replaced(context_, name, back);
    if (!own_lengths) co_return fail(own_lengths.error());
    made = co_await make_segments(context_, name, back, stored.record.config);
    if (!made) co_return made;
    Batch shown;
    show(name, to_own, shown);
    show(name, back, shown);
    auto committed = co_await context_.metadata.commit(name.scope, std::move(shown));
    if (!committed) co_return committed;
    auto lengths = co_await seal_replaced(context_, name, to_own);
    if (!lengths) co_return fail(lengths.error());

    Batch batch;
    StreamRecord after = stored.record;
    settle(name, to_own, *lengths, after, batch);
    settle(name, back, *own_lengths, after, batch);
    after.intent = std::monostate();
    if (after.state == StreamState::kRolling) {
        after.state = StreamState::kActive;
        batch.remove(pending(name).key());
    }
    batch.put(StreamRecord::key(name), after.encode(), stored.version);
    auto completed = co_await complete(stream, std::move(ids), true, std::move(batch));
    co_return completed;
}

// ---- aborts ----

Async<bool> Transactions::abort_batch(Stream stream) {
    KeyedMutex::Lock lock = co_await context_.locks.acquire("aborts/" + to_string(stream->name));
    std::vector<TransactionId> first;
    for (const TransactionId& id : stream->aborting) {
        if (first.size() < kAbortBatch) first.push_back(id);
    }
    if (first.empty()) co_return false;
    auto known = co_await look_at_unknown(stream, first);
    if (!known) co_return fail(known.error());
    std::vector<TransactionId> ids;
    std::vector<std::string> segments;
    for (const TransactionId& id : first) {
        if (!stream->live.contains(id)) continue;
        auto own = co_await segments_of(stream, id);
        if (!own) co_return fail(own.error());
        std::ranges::move(*own, std::back_inserter(segments));
        ids.push_back(id);
    }
    auto removed = co_await context_.segments.remove_all(std::move(segments));
    if (!removed) co_return fail(removed.error());
    Batch batch;
    auto completed = co_await complete(stream, std::move(ids), false, std::move(batch));
    if (!completed) co_return fail(completed.error());
    co_return true;
}

Async<std::vector<std::string>> Transactions::segments_of(Stream stream, TransactionId id) {
    auto epoch = co_await current_epoch(context_, stream->name, epoch_of(id));
    if (!epoch) co_return fail(epoch.error());
    std::vector<std::string> names;
    for (const SegmentRange& segment : epoch->segments) {
        StreamSegmentId own = segment_id(number_of(segment.id), epoch_of(id));
        names.push_back(transaction_segment_name(stream->name, own, id));
    }
    co_return std::move(names);
}

// ---- sealing ----

Async<bool> Transactions::end_all(StreamName name, Stored<StreamRecord> record) {
    Stream stream = find(name);
    if (stream == nullptr) co_return true;
    stream->sealing = true;
    auto ended = co_await end_all_of(stream, std::move(record));
    stream->sealing = false;
    drop_if_idle(stream);
    co_return ended;
}

Async<bool> Transactions::end_all_of(Stream stream, Stored<StreamRecord> record) {
    if (stream->beginning > 0) {
        auto wait = [&](runtime::Callback<> done) { stream->when_none_begins.push_back(std::move(done)); };
        co_await runtime::await<void>(wait);
    }
    auto aborted = co_await abort_open(stream);
    if (!aborted) co_return fail(aborted.error());
    while (!stream->waiting.empty()) {
        auto committed = co_await commit_batch(stream, record);
        if (!committed) co_return fail(committed.error());
        if (!*committed && !stream->waiting.empty()) co_return false;
    }
    Result<bool> more = true;
    while (more && *more) more = co_await abort_batch(stream);
    if (!more) co_return fail(more.error());
    if (!stream->live.empty())
        co_return fail(Errc::kUnavailable, fmt::format("transactions of {} are under way", to_string(stream->name)));
    co_return true;
}

Async<> Transactions::abort_open(Stream stream) {
    std::vector<TransactionId> ids;
    for (const auto& [id, live] : stream->live) {
        if (live->unknown || live->record.state == TransactionRecord::State::kOpen) ids.push_back(id);
    }
    for (std::size_t at = 0; at < ids.size(); at += kEndBatch) {
        auto from = ids.begin() + static_cast<std::ptrdiff_t>(at);
        auto to = ids.begin() + static_cast<std::ptrdiff_t>(std::min(at + kEndBatch, ids.size()));
        std::vector<TransactionId> some(from, to);
        auto aborted = co_await abort_together(stream, std::move(some), Ending::kWhateverItsLease);
        if (!aborted) co_return aborted;
    }
    co_return Result<>();
}

// In one update. Of several transactions' locks these alone are held at a time, and taken in the order of the ids.
Async<> Transactions::abort_together(Stream stream, std::vector<TransactionId> ids, Ending ending) {
    std::ranges::sort(ids);
    std::vector<KeyedMutex::Lock> locks;
    std::vector<Live*> ended;
    for (const TransactionId& id : ids) {
        locks.push_back(co_await lock_transaction(stream->name, id));
        auto live = co_await look(stream, id);
        if (!live) co_return fail(live.error());
        bool ends = *live != nullptr && (*live)->record.state == TransactionRecord::State::kOpen &&
                    (ending == Ending::kWhateverItsLease || is_due(*live));
        if (ends) ended.push_back(*live);
    }
    if (ended.empty()) co_return Result<>();
    std::vector<TransactionRecord> next;
    Batch batch;
    for (const Live* live : ended) {
        TransactionRecord& record = next.emplace_back(live->record);
        record.state = TransactionRecord::State::kAborting;
        record.kept_ms = record.kept_bytes = 0;
        batch.put(TransactionRecord::key(stream->name, live->id), record.encode(), live->version);
    }
    auto updated = co_await context_.metadata.update(stream->name.scope, std::move(batch));
    if (!updated) {
        for (Live* live : ended) live->unknown = true;
        auto known =
            co_await look_at_unknown(stream, std::move(ids));  // those that still have to end get a lease again
        if (!known) log::warn("controller: {}: {}", to_string(stream->name), known.error().to_string());
        co_return fail(updated.error());
    }
    for (std::size_t i = 0; i < ended.size(); ++i) adopt(stream, *ended[i], std::move(next[i]), (*updated)[i]);
    co_return Result<>();
}

}  // namespace millrace::controller
