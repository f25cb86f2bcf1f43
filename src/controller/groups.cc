#include "controller/groups.h"

#include <algorithm>

#include <fmt/format.h>

#include "controller/names.h"
#include "controller/records/subscriber_record.h"
#include "controller/stream_cut.h"
#include "runtime/async.h"

namespace millrace::controller {

namespace {

constexpr std::int64_t kGroupStreamRollover = 4 << 20;

bool subscribes(const ReaderGroupConfig& config) { return config.retention != ReaderGroupRetention::kNone; }

// To these the group is subscribed with this configuration.
std::vector<StreamName> subscriptions(const ReaderGroupConfig& config) {
    std::vector<StreamName> streams;
    if (!subscribes(config)) return streams;
    for (const StreamPosition& position : config.start) streams.push_back(position.stream);
    std::ranges::sort(streams);
    streams.erase(std::unique(streams.begin(), streams.end()), streams.end());
    return streams;
}

StreamCut start_in(const ReaderGroupConfig& config, const StreamName& stream) {
    auto found = std::ranges::find(config.start, stream, &StreamPosition::stream);
    return found == config.start.end() ? StreamCut() : found->cut;
}

Result<> check_positions(const ReaderGroupConfig& config) {
    for (const auto* positions : {&config.start, &config.end}) {
        if (positions->size() > kListLimit) return fail(Errc::kInvalidArgument, "a reader group of too many streams");
        for (const StreamPosition& position : *positions) {
            if (is_possible_name(position.stream)) continue;
            return fail(Errc::kInvalidArgument, fmt::format("no stream can be named '{}'", to_string(position.stream)));
        }
    }
    return {};
}

Error named(const std::string& what, const Error& error) {
    return Error(error.code(), fmt::format("{}: {}", what, error.message()));
}

}  // namespace

// ---- operations ----

Async<CreateReaderGroupResult> Groups::create(std::string scope, std::string group, ReaderGroupConfig config) {
    CreateReaderGroupResult result;
    auto answer = [&result](CreateReaderGroupStatus status) {
        result.status = status;
        return result;
    };
    auto scoped = check_scoped(scope);
    if (!scoped) co_return fail(scoped.error());
    if (!is_allowed_user_name(group)) co_return answer(CreateReaderGroupStatus::kInvalidName);
    if (!is_possible_name(scope)) co_return answer(CreateReaderGroupStatus::kScopeNotFound);
    auto checked = check_positions(config);
    if (!checked) co_return fail(checked.error());

    KeyedMutex::Lock lock = co_await context_.lock_group(scope, group);
    auto existing = co_await settled(scope, group);
    if (!existing) co_return fail(existing.error());
    if (*existing) {
        result.config = std::move((*existing)->record.config);
        co_return result;
    }
    auto in_scope = co_await context_.metadata.scope(scope);
    if (!in_scope) co_return fail(in_scope.error());
    if (!*in_scope) co_return answer(CreateReaderGroupStatus::kScopeNotFound);
    auto streams = co_await has_streams_to_subscribe(config);
    if (!streams) co_return fail(streams.error());
    if (!*streams) co_return answer(CreateReaderGroupStatus::kFailure);

    config.generation = 0;
    if (config.id.is_nil()) config.id = context_.executor.random().uuid();
    Stored<GroupRecord> stored;
    stored.record.config = config;
    Group made(scope, group, std::move(stored));
    auto begun = co_await begin_creation(std::move(made));
    if (!begun) co_return fail(begun.error());
    if (!*begun) co_return answer(CreateReaderGroupStatus::kScopeNotFound);
    auto created = co_await settled(scope, group);
    if (!created) co_return fail(created.error());
    result.config = std::move(config);
    co_return result;
}

Async<bool> Groups::begin_creation(Group group) {
    StreamName stream = reader_group_stream(group.scope, group.name);
    KeyedMutex::Lock lock = co_await context_.lock_stream(stream);
    auto existing = co_await streams_.settled(stream);
    if (!existing) co_return fail(existing.error());
    Batch batch;
    if (!*existing) {
        auto added = co_await streams_.add_creation(batch, stream, fixed_config(1, kGroupStreamRollover));
        if (!added) co_return fail(added.error());
        // carry_on_creating() looks after the stream, so the group's pending entry stands for both.
    }
    batch.put(GroupRecord::key(group.scope, group.name), group.stored.record.encode(), container::kNotExists);
    auto begun = co_await context_.commit_new_intent(group.pending(), std::move(batch));
    co_return begun;
}

Async<UpdateReaderGroupResult> Groups::update(std::string scope, std::string group, ReaderGroupConfig config) {
    UpdateReaderGroupResult result;
    result.generation = config.generation;
    auto answer = [&result](UpdateReaderGroupStatus status) {
        result.status = status;
        return result;
    };
    auto checked = check_positions(config);
    if (!checked) co_return fail(checked.error());
    KeyedMutex::Lock lock = co_await context_.lock_group(scope, group);
    auto found = co_await settled(scope, group);
    if (!found) co_return fail(found.error());
    if (!*found) co_return answer(UpdateReaderGroupStatus::kNotFound);
    Stored<GroupRecord> stored = std::move(**found);
    bool is_current = stored.record.config.generation == config.generation && stored.record.config.id == config.id;
    if (!is_current) co_return answer(UpdateReaderGroupStatus::kInvalidConfig);
    auto streams = co_await has_streams_to_subscribe(config);
    if (!streams) co_return fail(streams.error());
    if (!*streams) co_return answer(UpdateReaderGroupStatus::kFailure);

    result.generation = ++config.generation;
    stored.record.state = GroupRecord::State::kUpdating;
    stored.record.next = std::move(config);
    Group updated(scope, group, std::move(stored));
    Batch batch;
    batch.adds();
    batch.put(GroupRecord::key(scope, group), updated.stored.record.encode(), updated.stored.version);
    auto begun = co_await context_.commit_intent(updated.pending(), std::move(batch));
    if (!begun) co_return fail(begun.error());
    auto done = co_await settled(scope, group);
    if (!done) co_return fail(done.error());
    co_return result;
}

Async<DeleteReaderGroupStatus> Groups::remove(std::string scope, std::string group, std::optional<Uuid> only_id) {
    KeyedMutex::Lock lock = co_await context_.lock_group(scope, group);
    auto found = co_await settled(scope, group);
    if (!found) co_return fail(found.error());
    if (!*found) co_return DeleteReaderGroupStatus::kNotFound;
    Stored<GroupRecord> stored = std::move(**found);
    if (only_id && stored.record.config.id != *only_id) co_return DeleteReaderGroupStatus::kNotFound;
    stored.record.state = GroupRecord::State::kDeleting;
    Group deleted(scope, group, std::move(stored));
    Batch batch;
    batch.put(GroupRecord::key(scope, group), deleted.stored.record.encode(), deleted.stored.version);
    auto begun = co_await context_.commit_intent(deleted.pending(), std::move(batch));
    if (!begun) co_return fail(begun.error());
    auto gone = co_await settled(scope, group);
    if (!gone) co_return fail(gone.error());
    co_return DeleteReaderGroupStatus::kSuccess;
}

Async<> Groups::finish(std::string scope, std::string group) {
    KeyedMutex::Lock lock = co_await context_.lock_group(scope, group);
    auto found = co_await settled(scope, group);
    if (!found) co_return fail(found.error());
    co_return Result<>();
}

// ---- carrying on ----

Async<Found<GroupRecord>> Groups::settled(std::string scope, std::string group) {
    auto scoped = check_scoped(scope);
    if (!scoped) co_return fail(scoped.error());
    if (!is_possible_name(scope) || !is_possible_name(group)) co_return Found<GroupRecord>();
    while (true) {
        auto found = co_await context_.metadata.group(scope, group);
        if (!found || !*found || (*found)->record.state == GroupRecord::State::kActive) co_return found;
        Group unfinished(scope, group, std::move(**found));
        PendingEntry pending = unfinished.pending();
        auto carried = co_await carry_on(std::move(unfinished));
        if (carried) continue;
        context_.retry_later(std::move(pending), carried.error());
        co_return fail(carried.error());
    }
}

Async<> Groups::carry_on(Group group) {
    switch (group.stored.record.state) {
        case GroupRecord::State::kCreating:
            return carry_on_creating(std::move(group));
        case GroupRecord::State::kUpdating:
            return carry_on_updating(std::move(group));
        default:
            return carry_on_deleting(std::move(group));
    }
}

Async<> Groups::carry_on_creating(Group group) {
    GroupRecord& record = group.stored.record;
    for (const StreamName& stream : subscriptions(record.config)) {
        auto subscribed = co_await subscribe(stream, group.subscriber(), record.config.generation, record.config.id,
                                             start_in(record.config, stream));
        if (!subscribed) co_return subscribed;
    }
    StreamName own = reader_group_stream(group.scope, group.name);
    auto made = co_await streams_.finish(own);
    if (!made) co_return made;
    record.state = GroupRecord::State::kActive;
    Batch batch;
    batch.put(GroupRecord::key(group.scope, group.name), record.encode(), group.stored.version);
    batch.remove(group.pending().key());
    auto committed = co_await context_.metadata.commit(group.scope, std::move(batch));
    co_return committed;
}

Async<> Groups::carry_on_updating(Group group) {
    GroupRecord& record = group.stored.record;
    auto before = subscriptions(record.config);
    auto after = subscriptions(*record.next);
    for (const StreamName& stream : after) {
        auto subscribed = co_await subscribe(stream, group.subscriber(), record.next->generation, record.next->id,
                                             start_in(*record.next, stream));
        if (!subscribed) co_return subscribed;
    }
    for (const StreamName& stream : before) {
        if (std::ranges::binary_search(after, stream)) continue;
        auto ended = co_await unsubscribe(stream, group.subscriber(), record.config.id);
        if (!ended) co_return ended;
    }
    record.state = GroupRecord::State::kActive;
    record.config = std::move(*record.next);
    record.next.reset();
    Batch batch;
    batch.put(GroupRecord::key(group.scope, group.name), record.encode(), group.stored.version);
    batch.remove(group.pending().key());
    auto committed = co_await context_.metadata.commit(group.scope, std::move(batch));
    co_return committed;
}

Async<> Groups::carry_on_deleting(Group group) {
    const ReaderGroupConfig& config = group.stored.record.config;
    for (const StreamName& stream : subscriptions(config)) {
        auto ended = co_await unsubscribe(stream, group.subscriber(), config.id);
        if (!ended) co_return ended;
    }
    StreamName own = reader_group_stream(group.scope, group.name);
    auto removed = co_await streams_.seal_and_remove(own);
    if (!removed) co_return removed;
    Batch batch;
    batch.remove(GroupRecord::key(group.scope, group.name), group.stored.version);
    batch.remove(group.pending().key());
    auto committed = co_await context_.commit_in_scope(group.scope, std::move(batch), Context::Joining::kExisting);
    if (!committed) co_return fail(committed.error());
    if (!*committed)
        co_return fail(Errc::kCorrupt, fmt::format("reader group {} lies in no scope", group.subscriber()));
    co_return Result<>();
}

// ---- subscriptions ----

Async<bool> Groups::has_streams_to_subscribe(ReaderGroupConfig config) {
    for (const StreamName& stream : subscriptions(config)) {
        auto found = co_await context_.metadata.stream(stream);
        if (!found) co_return fail(named(to_string(stream), found.error()));
        if (!*found || (*found)->record.state == StreamState::kDeleting) co_return false;
    }
    co_return true;
}

// A stream that is gone meanwhile is left out: it took its subscribers along. A group that begins anew still holds back
// what it held back before, or what follows the cut where it begins.
Async<> Groups::subscribe(StreamName stream, std::string subscriber, std::int64_t generation, Uuid id,
                          StreamCut start) {
    KeyedMutex::Lock lock = co_await context_.lock_stream(stream);
    auto found = co_await streams_.settled(stream);
    if (!found) co_return fail(found.error());
    if (!*found) co_return Result<>();
    std::string key = SubscriberRecord::key(stream, subscriber);
    auto existing = co_await context_.metadata.get<SubscriberRecord>(stream.scope, key);
    if (!existing) co_return fail(existing.error());
    bool is_there = *existing && (*existing)->record.group_id == id && (*existing)->record.generation == generation;
    if (is_there) co_return Result<>();
    SubscriberRecord record;
    record.generation = generation;
    record.group_id = id;
    bool goes_on = *existing && (*existing)->record.group_id == id && !(*existing)->record.cut.empty();
    if (goes_on) {
        record.cut = std::move((*existing)->record.cut);
        StreamCut none;
        auto usable = co_await is_cut_acceptable(stream, (*found)->record, std::move(none), start);
        if (!usable) co_return fail(usable.error());
        if (*usable) record.cut = std::move(start);
    }
    Batch batch;
    batch.put(std::move(key), record.encode());
    batch.put(StreamRecord::key(stream), (*found)->record.encode(), (*found)->version);  // it still exists
    auto committed = co_await context_.metadata.commit(stream.scope, std::move(batch));
    co_return committed;
}

Async<> Groups::unsubscribe(StreamName stream, std::string subscriber, Uuid id) {
    KeyedMutex::Lock lock = co_await context_.lock_stream(stream);
    std::string key = SubscriberRecord::key(stream, subscriber);
    auto existing = co_await context_.metadata.get<SubscriberRecord>(stream.scope, key);
    if (!existing) co_return fail(existing.error());
    if (!*existing || (*existing)->record.group_id != id) co_return Result<>();
    Batch batch;
    batch.remove(std::move(key), (*existing)->version);
    auto committed = co_await context_.metadata.commit(stream.scope, std::move(batch));
    co_return committed;
}

Async<UpdateSubscriberStatus> Groups::report(SubscriberCut report) {
    KeyedMutex::Lock lock = co_await context_.lock_stream(report.stream);
    auto found = co_await streams_.settled(report.stream);
    if (!found) co_return fail(found.error());
    if (!*found) co_return UpdateSubscriberStatus::kStreamNotFound;
    if (!parse_scoped_name(report.subscriber)) co_return UpdateSubscriberStatus::kSubscriberNotFound;
    std::string key = SubscriberRecord::key(report.stream, report.subscriber);
    auto subscriber = co_await context_.metadata.get<SubscriberRecord>(report.stream.scope, key);
    if (!subscriber) co_return fail(subscriber.error());
    if (!*subscriber) co_return UpdateSubscriberStatus::kSubscriberNotFound;
    Stored<SubscriberRecord>& stored = **subscriber;
    if (stored.record.group_id != report.group_id) co_return UpdateSubscriberStatus::kSubscriberNotFound;
    if (stored.record.generation != report.generation) co_return UpdateSubscriberStatus::kGenerationMismatch;
    auto acceptable = co_await is_cut_acceptable(report.stream, (*found)->record, stored.record.cut, report.cut);
    if (!acceptable) co_return fail(acceptable.error());
    if (!*acceptable) co_return UpdateSubscriberStatus::kStreamCutNotValid;
    stored.record.cut = std::move(report.cut);
    Batch batch;
    batch.adds();
    batch.put(std::move(key), stored.record.encode(), stored.version);
    auto committed = co_await context_.metadata.commit(report.stream.scope, std::move(batch));
    if (!committed) co_return fail(committed.error());
    co_return UpdateSubscriberStatus::kSuccess;
}

// Valid, and not behind what was reported before.
Async<bool> Groups::is_cut_acceptable(StreamName stream, StreamRecord record, StreamCut previous, StreamCut cut) {
    std::optional<EpochSpan> before;
    if (!previous.empty()) before = epochs_of(previous);
    auto known = co_await context_.known_cut(stream, record.current_epoch, std::move(cut), before);
    if (!known) co_return fail(known.error());
    if (!*known) co_return false;
    if (previous.empty()) co_return true;
    auto previous_line = line_of(previous, (*known)->epochs);
    co_return previous_line && (*known)->line.is_at_or_after(*previous_line);
}

}  // namespace millrace::controller
