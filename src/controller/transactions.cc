#include "controller/transactions.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "base/log.h"
#include "base/uuid.h"
#include "controller/names.h"
#include "runtime/async.h"

namespace millrace::controller {

namespace {

constexpr std::int64_t kIdsAtOnce = 10'000;
constexpr std::int64_t kLeaseFactor = 1'000;  // no transaction lives longer than so many of its leases

bool is_open(const TransactionRecord& record) { return record.state == TransactionRecord::State::kOpen; }

TransactionState state_of(const TransactionRecord& record) {
    switch (record.state) {
        case TransactionRecord::State::kOpen:
            return TransactionState::kOpen;
        case TransactionRecord::State::kCommitting:
            return TransactionState::kCommitting;
        default:
            return TransactionState::kAborting;
    }
}

Error no_stream(const StreamName& name) { return Error(Errc::kNotFound, fmt::format("no stream {}", to_string(name))); }

}  // namespace

// ---- what is under way ----

Transactions::Stream Transactions::of(const StreamName& name) {
    Stream& stream = streams_by_name_[to_string(name)];
    if (stream == nullptr) {
        stream = std::make_shared<OfStream>();
        stream->name = name;
    }
    return stream;
}

Transactions::Stream Transactions::find(const StreamName& name) const {
    auto found = streams_by_name_.find(to_string(name));
    return found == streams_by_name_.end() ? nullptr : found->second;
}

std::optional<std::int32_t> Transactions::oldest_epoch(const StreamName& name) const {
    Stream stream = find(name);
    if (stream == nullptr) return std::numeric_limits<std::int32_t>::max();
    if (stream->beginning > 0) return std::nullopt;
    if (stream->live.empty()) return std::numeric_limits<std::int32_t>::max();
    return epoch_of(stream->live.begin()->first);  // ids sort by their epochs first
}

void Transactions::drop_if_idle(const Stream& stream) {
    bool idle = stream->live.empty() && stream->beginning == 0 && !stream->sealing && !stream->commits_run &&
                !stream->aborts_run;
    if (!idle) return;
    auto found = streams_by_name_.find(to_string(stream->name));
    if (found != streams_by_name_.end() && found->second == stream) streams_by_name_.erase(found);
}

boost::asio::awaitable<KeyedMutex::Lock> Transactions::lock_transaction(const StreamName& name,
                                                                        const TransactionId& id) {
    return context_.locks.acquire(TransactionRecord::key(name, id));
}

Async<Transactions::Live*> Transactions::look(Stream stream, TransactionId id) {
    if (stream == nullptr) co_return nullptr;
    auto found = stream->live.find(id);
    if (found == stream->live.end()) co_return nullptr;
    if (!found->second->unknown) co_return found->second.get();
    auto reloaded = co_await reload(stream, found->second.get());
    if (!reloaded) co_return fail(reloaded.error());
    found = stream->live.find(id);
    co_return found == stream->live.end() ? nullptr : found->second.get();
}

// After a failed update: the table says what became of it.
Async<> Transactions::reload(Stream stream, Live* live) {
    TransactionId id = live->id;
    auto found =
        co_await context_.metadata.get<TransactionRecord>(stream->name.scope, TransactionRecord::key(stream->name, id));
    if (!found) co_return fail(found.error());
    if (!*found) {
        drop(stream, id);
        co_return Result<>();
    }
    adopt(stream, *live, std::move((*found)->record), (*found)->version);
    co_return Result<>();
}

Async<> Transactions::write(Stream stream, Live* live, TransactionRecord next) {
    Batch batch;
    batch.put(TransactionRecord::key(stream->name, live->id), next.encode(), live->version);
    auto updated = co_await context_.metadata.update(stream->name.scope, std::move(batch));
    if (updated) {
        adopt(stream, *live, std::move(next), updated->front());
        co_return Result<>();
    }
    live->unknown = true;
    auto reloaded = co_await reload(stream, live);
    if (!reloaded) {
        log::warn("controller: transaction {} of {}: {}", to_string(live->id), to_string(stream->name),
                  reloaded.error().to_string());
    }
    co_return fail(updated.error());
}

// The record is as it is in the table; what follows from it is begun.
void Transactions::adopt(const Stream& stream, Live& live, TransactionRecord record, std::int64_t version) {
    count_kept(*stream, live, -1);
    live.record = std::move(record);
    live.version = version;
    live.unknown = false;
    count_kept(*stream, live, 1);
    stream->last_order = std::max(stream->last_order, live.record.order);
    bool has_lease = is_open(live.record) && live.record.kept_ms == 0;
    if (!has_lease) leases_.end(live.lease);
    if (has_lease && !leases_.holds(live.lease))
        set_lease(stream, live, std::chrono::milliseconds(live.record.lease_ms));
    if (live.record.state == TransactionRecord::State::kCommitting) {
        stream->waiting.emplace(live.record.order, live.id);
        run_commits(stream);
    }
    if (live.record.state == TransactionRecord::State::kAborting) {
        stream->aborting.insert(live.id);
        run_aborts(stream);
    }
}

void Transactions::count_kept(OfStream& stream, const Live& live, int sign) {
    if (!is_open(live.record) || live.record.kept_ms == 0) return;
    if (sign > 0)
        ++stream.kept;
    else
        --stream.kept;
    stream.kept_bytes += sign * live.record.kept_bytes;
}

void Transactions::drop(const Stream& stream, TransactionId id) {
    auto found = stream->live.find(id);
    if (found == stream->live.end()) return;
    Live& live = *found->second;
    count_kept(*stream, live, -1);
    leases_.end(live.lease);
    auto waiting = stream->waiting.find(live.record.order);
    if (waiting != stream->waiting.end() && waiting->second == id) stream->waiting.erase(waiting);
    stream->aborting.erase(id);
    stream->live.erase(found);
    drop_if_idle(stream);
}

Async<> Transactions::load() {
    for (std::uint32_t i = 0; i < context_.metadata.containers(); ++i) {
        std::string after;
        while (true) {
            std::string prefix(TransactionRecord::kPrefix);
            auto page = co_await context_.metadata.scan_container(ContainerId(i), std::move(prefix), after);
            if (!page) co_return fail(page.error());
            if (page->empty()) break;
            for (const container::TableEntry& entry : *page) {
                auto key = TransactionRecord::parse_key(entry.key);
                auto record = TransactionRecord::decode(entry.value);
                if (!key || !record) {
                    const Error& why = key ? record.error() : key.error();
                    log::error("controller: {}: {}", entry.key, why.to_string());
                    continue;
                }
                Stream stream = of(key->stream);
                auto live = std::make_unique<Live>();
                live->id = key->id;
                Live& added = *(stream->live[key->id] = std::move(live));
                // Nothing begins to run before resume(): the workers are held back until then.
                stream->commits_run = stream->aborts_run = true;
                adopt(stream, added, std::move(*record), entry.version);
            }
            after = page->back().key;
        }
    }
    co_return Result<>();
}

void Transactions::resume() {
    std::vector<Stream> all;
    for (const auto& [name, stream] : streams_by_name_) all.push_back(stream);
    for (const Stream& stream : all) {
        stream->commits_run = stream->aborts_run = false;
        run_commits(stream);
        run_aborts(stream);
        drop_if_idle(stream);
    }
    arm_timer();
    context_.in_background("cleaning of completed transactions", clean_all());  // then it is known how many there are
}

void Transactions::stop() {
    stopped_ = true;
    for (runtime::TimerId timer : {lease_timer_, retry_timer_, cleaning_timer_}) context_.executor.cancel(timer);
}

// ---- begin ----

// A call of begin() on its way: sealing waits for it.
class Transactions::Beginning {
  public:
    Beginning(Transactions& transactions, Stream stream) : transactions_(transactions), stream_(std::move(stream)) {
        ++stream_->beginning;
    }
    Beginning(const Beginning&) = delete;
    Beginning& operator=(const Beginning&) = delete;
    ~Beginning() {
        if (--stream_->beginning > 0) return;
        auto waiting = std::exchange(stream_->when_none_begins, {});
        for (auto& waiter : waiting) waiter();  // only posts
        transactions_.drop_if_idle(stream_);
    }

  private:
    Transactions& transactions_;
    Stream stream_;
};

Result<> Transactions::check_room(const OfStream& stream) const {
    const TransactionOptions& limits = context_.options.transactions;
    if (stream.live.size() >= limits.open_limit) {
        return fail(Errc::kNoSpace, fmt::format("stream {} has {} transactions under way, which is the limit",
                                                to_string(stream.name), stream.live.size()));
    }
    if (stream.kept < limits.kept_limit && stream.kept_bytes < limits.kept_bytes_limit) return {};
    return fail(Errc::kNoSpace,
                fmt::format("stream {} keeps {} prepared transactions with {} bytes, which is the limit: commit or "
                            "abort some",
                            to_string(stream.name), stream.kept, stream.kept_bytes));
}

Async<BegunTransaction> Transactions::begin(StreamName name, std::int64_t lease_ms) {
    const TransactionOptions& options = context_.options.transactions;
    auto scoped = check_scoped(name.scope);
    if (!scoped) co_return fail(scoped.error());
    if (lease_ms < options.lease_min.count() || lease_ms > options.lease_max.count()) {
        co_return fail(Errc::kInvalidArgument, fmt::format("lease is {} ms, and has to be between {} and {}", lease_ms,
                                                           options.lease_min.count(), options.lease_max.count()));
    }
    if (!is_possible_name(name)) co_return fail(no_stream(name));
    Stream stream = of(name);
    Beginning beginning(*this, stream);
    auto sealed = [&name] { return fail(Errc::kInvalidArgument, fmt::format("stream {} is sealed", to_string(name))); };
    if (stream->sealing) co_return sealed();
    auto found = co_await context_.metadata.stream(name);
    if (!found) co_return fail(found.error());
    if (!*found) co_return fail(no_stream(name));
    const StreamRecord& record = (*found)->record;
    if (record.state == StreamState::kCreating || record.state == StreamState::kDeleting)
        co_return fail(no_stream(name));
    if (record.state == StreamState::kSealing || record.state == StreamState::kSealed) co_return sealed();
    auto room = check_room(*stream);
    if (!room) co_return fail(room.error());
    auto epoch = co_await context_.metadata.epoch(name, record.current_epoch);
    if (!epoch) co_return fail(epoch.error());
    if (!*epoch)
        co_return fail(Errc::kCorrupt, fmt::format("stream {} has no epoch {}", to_string(name), record.current_epoch));

    BegunTransaction begun;
    begun.segments = (*epoch)->segments;
    for (SegmentRange& segment : begun.segments) segment.id = segment_id(number_of(segment.id), (*epoch)->reference);
    auto id = co_await next_id(name.scope, (*epoch)->reference);
    if (!id) co_return fail(id.error());
    begun.id = *id;
    auto made = co_await make(stream, *id, begun.segments, record.config, lease_ms);
    if (!made) co_return fail(made.error());
    co_return begun;
}

// The record first: it names the segments, so whatever happens somebody deletes them.
Async<> Transactions::make(Stream stream, TransactionId id, std::vector<SegmentRange> segments, StreamConfig config,
                           std::int64_t lease_ms) {
    TransactionRecord record;
    record.begun_ms = context_.now_ms();
    record.lease_ms = lease_ms;
    std::int64_t longest = context_.options.transactions.execution_max.count();
    record.end_by_ms = record.begun_ms + std::min(kLeaseFactor * lease_ms, longest);
    auto added = std::make_unique<Live>();
    added->id = id;
    added->record = record;
    Live* live = (stream->live[id] = std::move(added)).get();
    KeyedMutex::Lock lock = co_await lock_transaction(stream->name, id);
    Batch batch;
    batch.adds();
    batch.put(TransactionRecord::key(stream->name, id), record.encode(), container::kNotExists);
    auto written = co_await context_.metadata.update(stream->name.scope, std::move(batch));
    Result<> made;
    if (written) {
        adopt(stream, *live, record, written->front());
        container::CreateOptions options;
        options.rollover_bytes = config.rollover_bytes;
        std::vector<std::string> names;
        names.reserve(segments.size());
        for (const SegmentRange& segment : segments)
            names.push_back(transaction_segment_name(stream->name, segment.id, id));
        made = co_await context_.segments.create_named(std::move(names), options);
        if (made) co_return made;
    } else {
        made = fail(written.error());
        live->unknown = true;
    }
    live->abandoned = true;
    set_lease(stream, *live, context_.options.retry_delay);
    auto left = co_await look(stream, id);
    if (!left || *left == nullptr || !is_open((*left)->record)) co_return made;
    record.state = TransactionRecord::State::kAborting;
    auto aborted = co_await write(stream, *left, std::move(record));  // when that fails too: at the end of its lease
    co_return made;
}

// Ids grow: the lower half counts, in blocks that are taken durably before any of it is used.
Async<TransactionId> Transactions::next_id(std::string scope, std::int32_t epoch) {
    if (ids_[scope].next == ids_[scope].end) {
        std::string key = TransactionCounterRecord::key(scope);
        KeyedMutex::Lock lock = co_await context_.locks.acquire(key);
        if (ids_[scope].next == ids_[scope].end) {
            auto found = co_await context_.metadata.get<TransactionCounterRecord>(scope, key);
            if (!found) co_return fail(found.error());
            Stored<TransactionCounterRecord> counter = *found ? **found : Stored<TransactionCounterRecord>();
            Ids taken{counter.record.next, counter.record.next + kIdsAtOnce};
            counter.record.next = taken.end;
            Batch batch;
            batch.adds();
            batch.put(key, counter.record.encode(), counter.version);
            auto written = co_await context_.metadata.commit(scope, std::move(batch));
            if (!written) co_return fail(written.error());
            ids_[scope] = taken;
        }
    }
    auto high = static_cast<std::uint64_t>(static_cast<std::uint32_t>(epoch)) << 32;
    co_return TransactionId{high, static_cast<std::uint64_t>(ids_[scope].next++)};
}

// ---- commit, abort, ping ----

Async<TransactionState> Transactions::state_of_completed(StreamName name, TransactionId id) {
    if (!is_possible_name(name)) co_return TransactionState::kUnknown;
    std::string key = CompletedTransactionRecord::key(name, id);
    auto found = co_await context_.metadata.get<CompletedTransactionRecord>(name.scope, std::move(key));
    if (!found) co_return fail(found.error());
    if (!*found) co_return TransactionState::kUnknown;
    co_return (*found)->record.committed ? TransactionState::kCommitted : TransactionState::kAborted;
}

Async<TransactionOutcome> Transactions::commit(StreamName name, TransactionId id, CommitRequest request) {
    return end(std::move(name), id, std::move(request));
}

Async<TransactionOutcome> Transactions::abort(StreamName name, TransactionId id) {
    return end(std::move(name), id, std::nullopt);
}

Async<TransactionOutcome> Transactions::end(StreamName name, TransactionId id, std::optional<CommitRequest> commit) {
    auto scoped = check_scoped(name.scope);
    if (!scoped) co_return fail(scoped.error());
    if (commit && commit->writer.size() > kTextLimit)
        co_return fail(Errc::kInvalidArgument, fmt::format("writerId has more than {} bytes", kTextLimit));
    KeyedMutex::Lock lock = co_await lock_transaction(name, id);
    Stream stream = find(name);
    auto live = co_await look(stream, id);
    if (!live) co_return fail(live.error());
    auto outcome_if = [](bool same) { return same ? TransactionOutcome::kSuccess : TransactionOutcome::kFailure; };
    if (*live == nullptr) {
        auto state = co_await state_of_completed(name, id);
        if (!state) co_return fail(state.error());
        co_return outcome_if(*state == (commit ? TransactionState::kCommitted : TransactionState::kAborted));
    }
    TransactionRecord next = (*live)->record;
    auto ending = commit ? TransactionRecord::State::kCommitting : TransactionRecord::State::kAborting;
    if (!is_open(next)) co_return outcome_if(next.state == ending);
    next.state = ending;
    next.kept_ms = next.kept_bytes = 0;
    if (commit) {
        next.order = ++stream->last_order;
        next.writer = std::move(commit->writer);
        next.time = commit->time.value_or(TransactionRecord::kNoTime);
    }
    auto written = co_await write(stream, *live, std::move(next));
    if (!written) co_return fail(written.error());
    co_return TransactionOutcome::kSuccess;
}

Async<PingStatus> Transactions::ping(StreamName name, TransactionId id, std::int64_t lease_ms) {
    auto scoped = check_scoped(name.scope);
    if (!scoped) co_return fail(scoped.error());
    if (lease_ms < 0) co_return fail(Errc::kInvalidArgument, fmt::format("lease is {} ms", lease_ms));
    KeyedMutex::Lock lock = co_await lock_transaction(name, id);
    Stream stream = find(name);
    auto live = co_await look(stream, id);
    if (!live) co_return fail(live.error());
    if (*live == nullptr) {
        auto state = co_await state_of_completed(name, id);
        if (!state) co_return fail(state.error());
        if (*state == TransactionState::kUnknown) co_return PingStatus::kUnknown;
        co_return *state == TransactionState::kCommitted ? PingStatus::kCommitted : PingStatus::kAborted;
    }
    TransactionRecord next = (*live)->record;
    if (!is_open(next)) {
        bool commits = next.state == TransactionRecord::State::kCommitting;
        co_return commits ? PingStatus::kCommitted : PingStatus::kAborted;
    }
    if (lease_ms > context_.options.transactions.lease_max.count()) co_return PingStatus::kLeaseTooLarge;
    if (context_.now_ms() + lease_ms > next.end_by_ms) {
        auto keeps = co_await keeps_prepared_of(name);
        if (!keeps) co_return fail(keeps.error());
        if (!*keeps) co_return PingStatus::kMaxExecutionTimeExceeded;
    }
    if (lease_ms > next.lease_ms || next.kept_ms != 0) {
        next.lease_ms = std::max(next.lease_ms, lease_ms);
        next.kept_ms = next.kept_bytes = 0;
        auto written = co_await write(stream, *live, std::move(next));
        if (!written) co_return fail(written.error());
    }
    set_lease(stream, **live, std::chrono::milliseconds(lease_ms));
    co_return PingStatus::kOk;
}

// ---- questions ----

Async<TransactionState> Transactions::state(StreamName name, TransactionId id) {
    auto scoped = check_scoped(name.scope);
    if (!scoped) co_return fail(scoped.error());
    Stream stream = find(name);
    if (stream != nullptr) {
        auto found = stream->live.find(id);
        if (found != stream->live.end() && !found->second->unknown) co_return state_of(found->second->record);
        if (found != stream->live.end()) {
            KeyedMutex::Lock lock = co_await lock_transaction(name, id);
            auto live = co_await look(stream, id);
            if (!live) co_return fail(live.error());
            if (*live != nullptr) co_return state_of((*live)->record);
        }
    }
    auto state = co_await state_of_completed(name, id);
    co_return state;
}

Async<std::vector<CompletedTransaction>> Transactions::completed(StreamName name, std::size_t limit) {
    auto scoped = check_scoped(name.scope);
    if (!scoped) co_return fail(scoped.error());
    std::vector<CompletedTransaction> all;
    if (!is_possible_name(name)) co_return all;
    std::string prefix = CompletedTransactionRecord::prefix(name);
    std::string after;
    auto newest_first = [](const CompletedTransaction& a, const CompletedTransaction& b) {
        return std::tuple(b.completed_ms, b.id.low) < std::tuple(a.completed_ms, a.id.low);
    };
    while (true) {
        auto page = co_await context_.metadata.scan(name.scope, prefix, after);
        if (!page) co_return fail(page.error());
        if (page->empty()) break;
        for (const container::TableEntry& entry : *page) {
            auto key = CompletedTransactionRecord::parse_key(entry.key);
            auto record = CompletedTransactionRecord::decode(entry.value);
            if (!key) co_return fail(key.error());
            if (!record) co_return fail(record.error());
            all.push_back({key->id, record->committed, record->completed_ms});
        }
        std::ranges::sort(all, newest_first);
        if (all.size() > limit) all.resize(limit);
        after = page->back().key;
    }
    co_return all;
}

Async<std::optional<std::vector<TransactionStatus>>> Transactions::list(StreamName name,
                                                                        std::optional<TransactionId> after,
                                                                        std::size_t limit) {
    using Listed = std::optional<std::vector<TransactionStatus>>;
    auto scoped = check_scoped(name.scope);
    if (!scoped) co_return fail(scoped.error());
    if (!is_possible_name(name)) co_return Listed();
    auto found = co_await context_.metadata.stream(name);
    if (!found) co_return fail(found.error());
    if (!*found) co_return Listed();
    std::vector<TransactionStatus> all;
    Stream stream = find(name);
    if (stream == nullptr) co_return Listed(std::move(all));
    auto now = context_.executor.clock().now();
    auto at = after ? stream->live.upper_bound(*after) : stream->live.begin();
    for (; at != stream->live.end() && all.size() < limit; ++at) {
        const Live& live = *at->second;
        TransactionStatus status;
        status.id = live.id;
        status.state = state_of(live.record);
        status.begun_ms = live.record.begun_ms;
        status.lease_ms = live.record.lease_ms;
        if (leases_.holds(live.lease)) {
            auto left = std::chrono::duration_cast<std::chrono::milliseconds>(live.lease.due() - now);
            auto grace = context_.options.transactions.grace;
            status.lease_left_ms = std::max<std::int64_t>(0, (left - grace).count());
        }
        if (live.record.kept_ms != 0) status.kept_ms = live.record.kept_ms;
        status.kept_bytes = live.record.kept_bytes;
        all.push_back(status);
    }
    co_return Listed(std::move(all));
}

}  // namespace millrace::controller
