#include "controller/context.h"

#include <algorithm>

#include "controller/names.h"
#include "runtime/async.h"

namespace millrace::controller {

boost::asio::awaitable<KeyedMutex::Lock> Context::lock_stream(const StreamName& name) {
    return locks.acquire("stream/" + to_string(base_of(name)));
}

Async<std::optional<KnownCut>> Context::known_cut(StreamName name, std::int32_t current_epoch, StreamCut cut,
                                                  std::optional<EpochSpan> other) {
    using Known = std::optional<KnownCut>;
    if (cut.empty()) co_return Known();
    EpochSpan span = epochs_of(cut);
    if (span.first < 0 || span.last > current_epoch) co_return Known();
    EpochSpan both = other.value_or(span);
    both.first = std::min(both.first, span.first);
    both.last = std::max(both.last, span.last);
    auto epochs = co_await metadata.epochs(name, both.first, both.last);
    if (!epochs && epochs.error() == Errc::kNotFound) co_return Known();  // far behind the stream's head
    if (!epochs) co_return fail(epochs.error());
    auto of_cut = std::span<const Epoch>(*epochs).subspan(static_cast<std::size_t>(span.first - both.first),
                                                          static_cast<std::size_t>(span.last - span.first) + 1);
    auto line = line_of(cut, of_cut);
    if (!line || !is_valid(*line, cut, of_cut)) co_return Known();
    KnownCut known{std::move(*epochs), std::move(*line)};
    co_return Known(std::move(known));
}

namespace {

constexpr std::size_t kJoinsMax = 128;  // in one commit
constexpr std::size_t kJoinedEntries = 2000;

// Whether the commit was refused for what is in it: then one of several may be at fault for all. Anything else may
// have been written, or would meet each of them.
bool is_refusal(const Error& error) {
    return error == Errc::kConflict || error == Errc::kLimit || error == Errc::kNoSpace ||
           error == Errc::kInvalidArgument;
}

}  // namespace

Async<bool> Context::commit_in_scope(std::string scope, Batch batch, Joining joining) {
    auto mine = std::make_shared<Join>();
    mine->batch = std::move(batch);
    mine->joining = joining;
    joins_[scope].push_back(mine);
    KeyedMutex::Lock lock = co_await locks.acquire("scope/" + scope);
    while (!mine->result && joins_.contains(scope)) co_await carry_joins(scope);
    if (!mine->result) co_return fail(Errc::kUnavailable, "the commit was broken off");
    co_return *mine->result;
}

// With the scope's lock. It is handed on in the order of joining, so the first that are left are those of whoever has
// it and of those behind.
boost::asio::awaitable<void> Context::carry_joins(std::string scope) {
    Joins& waiting = joins_[scope];
    std::size_t taken = 0;
    for (std::size_t entries = 0; taken < waiting.size() && taken < kJoinsMax; ++taken) {
        entries += waiting[taken]->batch.size();
        if (taken > 0 && entries > kJoinedEntries) break;
    }
    auto end = waiting.begin() + static_cast<std::ptrdiff_t>(taken);
    Joins joins(waiting.begin(), end);
    waiting.erase(waiting.begin(), end);
    if (waiting.empty()) joins_.erase(scope);
    auto committed = co_await commit_joins(scope, joins);
    bool split = !committed && joins.size() > 1 && is_refusal(committed.error());
    for (const auto& join : joins) {
        if (split) {
            Joins alone{join};
            committed = co_await commit_joins(scope, std::move(alone));
        }
        if (!join->result) join->result = committed;
    }
}

// Those that the scope does not take get their result; the others share what is returned.
Async<bool> Context::commit_joins(std::string scope, Joins joins) {
    auto found = co_await metadata.scope(scope);
    if (!found) co_return fail(found.error());
    if (!*found) co_return false;
    const Stored<ScopeRecord>& stored = **found;
    Batch all;
    for (const auto& join : joins) {
        bool unwelcome = join->joining == Joining::kNew && stored.record.state == ScopeRecord::State::kDeleting;
        if (unwelcome)
            join->result = false;
        else
            all.append(join->batch);
    }
    if (all.empty()) co_return false;
    all.put(ScopeRecord::key(scope), stored.record.encode(), stored.version);
    auto committed = co_await metadata.commit(scope, std::move(all));
    if (!committed) co_return fail(committed.error());
    co_return true;
}

Async<> Context::commit_intent(PendingEntry entry, Batch batch) {
    batch.put(entry.key(), marker_value());
    auto committed = co_await metadata.commit(entry.scope, std::move(batch));
    if (!committed) retry_later(std::move(entry), committed.error());
    co_return committed;
}

Async<bool> Context::commit_new_intent(PendingEntry entry, Batch batch) {
    batch.put(entry.key(), marker_value());
    batch.adds();
    auto committed = co_await commit_in_scope(entry.scope, std::move(batch), Joining::kNew);
    if (!committed) retry_later(std::move(entry), committed.error());
    co_return committed;
}

}  // namespace millrace::controller
