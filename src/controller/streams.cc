#include "controller/streams.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "base/log.h"
#include "bytes/hash.h"
#include "controller/history.h"
#include "controller/names.h"
#include "controller/records/last_number_record.h"
#include "controller/records/retention_records.h"
#include "controller/records/sealed_segment_record.h"
#include "controller/records/subscriber_record.h"
#include "controller/records/watermark_record.h"
#include "controller/records/writer_record.h"
#include "controller/scaling.h"
#include "controller/stream_cut.h"
#include "controller/transactions.h"
#include "runtime/async.h"

namespace millrace::controller {

namespace {

PendingEntry pending(const StreamName& name) { return {PendingEntry::Kind::kStream, name.scope, name.stream}; }

constexpr std::size_t kRemovedAtATime = 1000;  // names of segments

// The head as offsets by segment, whether the stream was ever truncated or not.
StreamCut start_of(const Epoch& epoch) {
    StreamCut cut;
    for (const SegmentRange& segment : epoch.segments) cut[segment.id] = 0;
    return cut;
}

std::vector<std::string> entries_of(const StreamName& name) {
    return {EpochRecord::prefix(name), SealedSegmentRecord::prefix(name), SubscriberRecord::prefix(name),
            SampleRecord::prefix(name), WriterRecord::prefix(name)};
}

}  // namespace

Result<> check_config(const StreamConfig& config) {
    auto refused = [](std::string why) { return fail(Errc::kInvalidArgument, std::move(why)); };
    if (config.scaling.min_segments < 1) {
        return refused(fmt::format("a stream has at least one segment, not {}", config.scaling.min_segments));
    }
    if (config.scaling.min_segments > kMaxSegments) {
        return refused(
            fmt::format("a stream has at most {} segments, not {}", kMaxSegments, config.scaling.min_segments));
    }
    if (config.rollover_bytes < 0) return refused(fmt::format("rollover size of {} bytes", config.rollover_bytes));
    if (config.tags.size() > kTagLimit) {
        return refused(fmt::format("a stream has at most {} tags, not {}", kTagLimit, config.tags.size()));
    }
    for (const std::string& tag : config.tags) {
        if (bytes::utf16le(tag).size() / 2 <= kMaxTagLength) continue;
        return refused(fmt::format("a tag has at most {} characters", kMaxTagLength));
    }
    return {};
}

Result<> check_numbers(std::int32_t last_number, std::int32_t more) {
    if (last_number < std::numeric_limits<std::int32_t>::max() - more) return {};
    return fail(Errc::kLimit, "the name has used up its segment numbers");
}

StreamConfig normalised(StreamConfig config) {
    std::ranges::sort(config.tags);
    config.tags.erase(std::unique(config.tags.begin(), config.tags.end()), config.tags.end());
    return config;
}

StreamConfig fixed_config(std::int32_t segments, std::int64_t rollover_bytes) {
    StreamConfig config;
    config.scaling.min_segments = segments;
    config.rollover_bytes = rollover_bytes;
    return config;
}

// ---- operations ----

Async<CreateStreamStatus> Streams::create(StreamName name, StreamConfig config) {
    auto scoped = check_scoped(name.scope);
    if (!scoped) co_return fail(scoped.error());
    if (!is_allowed_name(name.stream)) co_return CreateStreamStatus::kInvalidStreamName;
    if (!is_possible_name(name.scope)) co_return CreateStreamStatus::kScopeNotFound;
    config = normalised(std::move(config));
    auto checked = check_config(config);
    if (!checked) co_return fail(checked.error());

    KeyedMutex::Lock lock = co_await context_.lock_stream(name);
    auto before = co_await context_.metadata.stream(name);
    if (!before) co_return fail(before.error());
    // The same request again, after it could not be told its end: the stream is the one that it asked for.
    bool is_repeated =
        *before && (*before)->record.state == StreamState::kCreating && (*before)->record.config == config;
    auto existing = co_await settled(name);
    if (!existing) co_return fail(existing.error());
    if (*existing) co_return is_repeated ? CreateStreamStatus::kSuccess : CreateStreamStatus::kStreamExists;

    Batch batch;
    auto added = co_await add_creation(batch, name, std::move(config));
    if (!added) co_return fail(added.error());
    auto begun = co_await context_.commit_new_intent(pending(name), std::move(batch));
    if (!begun) co_return fail(begun.error());
    if (!*begun) co_return CreateStreamStatus::kScopeNotFound;
    auto made = co_await settled(name);
    if (!made) co_return fail(made.error());
    co_return CreateStreamStatus::kSuccess;
}

Async<UpdateStreamStatus> Streams::update(StreamName name, StreamConfig config) {
    config = normalised(std::move(config));
    auto checked = check_config(config);
    if (!checked) co_return fail(checked.error());
    KeyedMutex::Lock lock = co_await context_.lock_stream(name);
    auto committed = co_await context_.transactions->commit_waiting(name);
    if (!committed) co_return fail(committed.error());
    auto found = co_await settled(name);
    if (!found) co_return fail(found.error());
    if (!*found) co_return co_await missing(name.scope);
    Stream stream = std::move(**found);
    if (stream.record.state == StreamState::kSealed) co_return UpdateStreamStatus::kStreamSealed;
    auto current = co_await current_epoch(context_, name, stream.record.current_epoch);
    if (!current) co_return fail(current.error());

    UpdateIntent intent;
    std::int32_t wanted = config.scaling.min_segments;
    auto count = static_cast<std::int32_t>(current->segments.size());
    bool other_count = config.scaling.type == ScalingType::kFixed ? count != wanted : count < wanted;
    if (!other_count && config == stream.record.config) co_return UpdateStreamStatus::kSuccess;
    if (other_count) {
        auto enough = check_numbers(stream.record.last_number, wanted);
        if (!enough) co_return fail(enough.error());
        intent.next_segments = wanted;
        intent.next_creation_ms = context_.now_ms();
    }
    Batch batch;
    batch.adds();
    auto segments = other_count ? std::vector<SegmentRange>(static_cast<std::size_t>(wanted)) : current->segments;
    auto noted = co_await note_width(context_, name, config.scaling, std::move(segments), {}, batch);
    if (!noted) co_return fail(noted.error());
    intent.config = std::move(config);
    stream.record.state = StreamState::kUpdating;
    stream.record.intent = std::move(intent);
    batch.put(StreamRecord::key(name), stream.record.encode(), stream.version);
    auto begun = co_await context_.commit_intent(pending(name), std::move(batch));
    if (!begun) co_return fail(begun.error());
    auto updated = co_await settled(name);
    if (!updated) co_return fail(updated.error());
    co_return UpdateStreamStatus::kSuccess;
}

Async<UpdateStreamStatus> Streams::truncate(StreamName name, StreamCut cut) {
    for (auto& [id, offset] : cut) offset = std::max(offset, kNotReached);
    KeyedMutex::Lock lock = co_await context_.lock_stream(name);
    auto found = co_await settled(name);
    if (!found) co_return fail(found.error());
    if (!*found) co_return co_await missing(name.scope);
    if ((*found)->record.state == StreamState::kSealed) co_return UpdateStreamStatus::kStreamSealed;
    auto accepted = co_await begin_truncation(name, std::move(**found), std::move(cut));
    if (!accepted) co_return fail(accepted.error());
    if (!*accepted) co_return UpdateStreamStatus::kFailure;
    auto truncated = co_await settled(name);
    if (!truncated) co_return fail(truncated.error());
    co_return UpdateStreamStatus::kSuccess;
}

// False: the stream cannot be truncated there.
Async<bool> Streams::begin_truncation(StreamName name, Stream stream, StreamCut cut) {
    EpochSpan of_head = stream.record.head.empty() ? EpochSpan() : epochs_of(stream.record.head);
    auto known = co_await context_.known_cut(name, stream.record.current_epoch, cut, of_head);
    if (!known) co_return fail(known.error());
    if (!*known) co_return false;
    const std::vector<Epoch>& epochs = (*known)->epochs;
    StreamCut head = stream.record.head.empty() ? start_of(epochs.front()) : stream.record.head;
    auto head_line = line_of(head, epochs);
    if (!head_line)
        co_return fail(Errc::kCorrupt,
                       fmt::format("head of stream {}: {}", to_string(name), head_line.error().message()));
    if (!(*known)->line.is_at_or_after(*head_line)) co_return false;
    auto within = co_await context_.segments.hold(name, cut);
    if (!within) co_return fail(within.error());
    if (!*within) co_return false;
    if (cut == head) co_return true;

    TruncateIntent intent;
    intent.cut = std::move(cut);
    stream.record.state = StreamState::kTruncating;
    stream.record.intent = std::move(intent);
    Batch batch;
    batch.put(StreamRecord::key(name), stream.record.encode(), stream.version);
    auto begun = co_await context_.commit_intent(pending(name), std::move(batch));
    if (!begun) co_return fail(begun.error());
    co_return true;
}

Async<UpdateStreamStatus> Streams::seal(StreamName name) {
    KeyedMutex::Lock lock = co_await context_.lock_stream(name);
    auto found = co_await settled(name);
    if (!found) co_return fail(found.error());
    if (!*found) co_return co_await missing(name.scope);
    if ((*found)->record.state == StreamState::kSealed) co_return UpdateStreamStatus::kSuccess;
    auto begun = co_await begin_sealing(name, std::move(**found));
    if (!begun) co_return fail(begun.error());
    auto sealed = co_await settled(name);
    if (!sealed) co_return fail(sealed.error());
    co_return UpdateStreamStatus::kSuccess;
}

Async<> Streams::begin_sealing(StreamName name, Stream stream) {
    stream.record.state = StreamState::kSealing;
    Batch batch;
    batch.put(StreamRecord::key(name), stream.record.encode(), stream.version);
    auto begun = co_await context_.commit_intent(pending(name), std::move(batch));
    co_return begun;
}

// What there is not: the stream, or its scope too.
Async<UpdateStreamStatus> Streams::missing(std::string scope) {
    if (!is_possible_name(scope)) co_return UpdateStreamStatus::kScopeNotFound;
    auto found = co_await context_.metadata.scope(std::move(scope));
    if (!found) co_return fail(found.error());
    co_return *found ? UpdateStreamStatus::kStreamNotFound : UpdateStreamStatus::kScopeNotFound;
}

Async<DeleteStreamStatus> Streams::remove(StreamName name) {
    KeyedMutex::Lock lock = co_await context_.lock_stream(name);
    auto found = co_await settled(name);
    if (!found) co_return fail(found.error());
    if (!*found) co_return DeleteStreamStatus::kStreamNotFound;
    if ((*found)->record.state != StreamState::kSealed) co_return DeleteStreamStatus::kStreamNotSealed;
    auto begun = co_await begin_deleting(name, std::move(**found));
    if (!begun) co_return fail(begun.error());
    auto gone = co_await settled(name);
    if (!gone) co_return fail(gone.error());
    co_return DeleteStreamStatus::kSuccess;
}

// Remembers the names' last numbers at once: from here on, no new stream of the name begins before them.
Async<> Streams::begin_deleting(StreamName name, Stream stream) {
    Batch batch;
    auto add = [&batch](const StreamName& which, Stream& what) {
        what.record.state = StreamState::kDeleting;
        batch.put(StreamRecord::key(which), what.record.encode(), what.version);
        batch.put(LastNumberRecord::key(which), LastNumberRecord{what.record.last_number}.encode());
    };
    add(name, stream);
    if (!is_mark(name.stream)) {
        StreamName mark = mark_of(name);
        auto companion = co_await settle_one(mark);
        if (!companion) co_return fail(companion.error());
        if (*companion) add(mark, **companion);
    }
    auto begun = co_await context_.commit_intent(pending(name), std::move(batch));
    co_return begun;
}

Async<> Streams::finish(StreamName name) {
    KeyedMutex::Lock lock = co_await context_.lock_stream(name);
    auto found = co_await settled(name);
    if (!found) co_return fail(found.error());
    // Normally the end of the intent took it along.
    auto left = co_await context_.metadata.get_entry(name.scope, pending(name).key());
    if (!left) co_return fail(left.error());
    if (!*left) co_return Result<>();
    Batch batch;
    batch.remove((*left)->key, (*left)->version);
    auto removed = co_await context_.metadata.commit(name.scope, std::move(batch));
    co_return removed;
}

Async<> Streams::seal_and_remove(StreamName name) {
    KeyedMutex::Lock lock = co_await context_.lock_stream(name);
    auto found = co_await settled(name);
    if (found && *found && (*found)->record.state == StreamState::kActive) {
        auto begun = co_await begin_sealing(name, std::move(**found));
        if (!begun) co_return begun;
        found = co_await settled(name);
    }
    if (!found) co_return fail(found.error());
    if (!*found) co_return Result<>();
    auto begun = co_await begin_deleting(name, std::move(**found));
    if (!begun) co_return begun;
    auto gone = co_await settled(name);
    if (!gone) co_return fail(gone.error());
    co_return Result<>();
}

Async<> Streams::add_creation(Batch& batch, StreamName name, StreamConfig config) {
    auto last = co_await context_.metadata.get<LastNumberRecord>(name.scope, LastNumberRecord::key(name));
    if (!last) co_return fail(last.error());
    StreamRecord record;
    record.creation_ms = context_.now_ms();
    if (*last) {
        auto enough = check_numbers((*last)->record.last_number, config.scaling.min_segments);
        if (!enough) co_return enough;
        record.first_number = (*last)->record.last_number + 1;
    }
    record.last_number = record.first_number + config.scaling.min_segments - 1;
    record.config = std::move(config);
    batch.put(StreamRecord::key(name), record.encode(), container::kNotExists);
    if (is_mark(name.stream)) co_return Result<>();
    StreamName mark = mark_of(name);
    auto companion = co_await settle_one(mark);
    if (!companion) co_return fail(companion.error());
    if (*companion) co_return Result<>();
    auto added = co_await add_creation(batch, mark, fixed_config(1, 0));
    co_return added;
}

// ---- carrying on ----

Async<Found<StreamRecord>> Streams::settled(StreamName name) {
    if (is_mark(name.stream)) {
        // An intent of the stream covers its companion.
        StreamName base = base_of(name);
        auto settled = co_await settle_one(base);
        if (!settled) co_return fail(settled.error());
    }
    auto found = co_await settle_one(name);
    co_return found;
}

Async<Found<StreamRecord>> Streams::settle_one(StreamName name) {
    auto scoped = check_scoped(name.scope);
    if (!scoped) co_return fail(scoped.error());
    if (!is_possible_name(name)) co_return Found<StreamRecord>();
    while (true) {
        auto found = co_await context_.metadata.stream(name);
        if (!found || !*found || (*found)->record.is_settled()) co_return found;
        auto carried = co_await carry_on(name, std::move(**found));
        if (carried) continue;
        context_.retry_later(pending(name), carried.error());
        co_return fail(carried.error());
    }
}

Async<> Streams::carry_on(StreamName name, Stream stream) {
    switch (stream.record.state) {
        case StreamState::kCreating:
            return carry_on_creating(std::move(name), std::move(stream));
        case StreamState::kUpdating:
            return carry_on_updating(std::move(name), std::move(stream));
        case StreamState::kTruncating:
            return carry_on_truncating(std::move(name), std::move(stream));
        case StreamState::kSealing:
            return carry_on_sealing(std::move(name), std::move(stream));
        case StreamState::kScaling:
            return carry_on_scaling(context_, std::move(name), std::move(stream));
        case StreamState::kRolling:
            return context_.transactions->carry_on_rolling(std::move(name), std::move(stream));
        default:
            return carry_on_deleting(std::move(name), std::move(stream));
    }
}

Async<> Streams::carry_on_creating(StreamName name, Stream stream) {
    std::vector<std::pair<StreamName, Stream>> made;
    made.emplace_back(name, std::move(stream));
    if (!is_mark(name.stream)) {
        StreamName mark = mark_of(name);
        auto companion = co_await context_.metadata.stream(mark);
        if (!companion) co_return fail(companion.error());
        bool unmade = *companion && (*companion)->record.state == StreamState::kCreating;
        if (unmade) made.emplace_back(mark, std::move(**companion));
    }
    Batch batch;
    std::vector<SegmentToMake> segments;  // of both, in one go
    for (auto& [which, what] : made) {
        StreamRecord& record = what.record;
        auto ranges = equal_ranges(record.config.scaling.min_segments, record.first_number, 0);
        std::ranges::move(new_segments(which, ids_of(ranges), options_of(record.config)), std::back_inserter(segments));
        record.state = StreamState::kActive;
        batch.put(StreamRecord::key(which), record.encode(), what.version);
        EpochRecord first{first_epoch(std::move(ranges), record.creation_ms)};
        batch.put(EpochRecord::key(which, 0), first.encode());
        batch.remove(pending(which).key());
        add_retention(batch, which, record.config);
        if (is_internal(which.stream)) continue;
        for (const std::string& tag : record.config.tags) batch.put(TagEntry::key(which, tag), marker_value());
    }
    auto created = co_await context_.segments.create_all(std::move(segments));
    if (!created) co_return created;
    auto committed = co_await context_.metadata.commit(name.scope, std::move(batch));
    co_return committed;
}

Async<> Streams::carry_on_updating(StreamName name, Stream stream) {
    UpdateIntent intent = std::get<UpdateIntent>(stream.record.intent);
    auto current = co_await current_epoch(context_, name, stream.record.current_epoch);
    if (!current) co_return fail(current.error());
    auto set = co_await context_.segments.set_policy(name, ids_of(current->segments), intent.config.scaling);
    if (!set) co_return set;
    Batch batch;
    StreamRecord after = stream.record;
    if (intent.next_segments > 0) {
        auto ranges = equal_ranges(intent.next_segments, after.last_number + 1, current->epoch + 1);
        EpochChange change{*current, next_epoch(*current, std::move(ranges), intent.next_creation_ms)};
        auto carried = co_await carry_through(context_, name, std::move(change), intent.config, after, batch);
        if (!carried) co_return carried;
    }
    if (!is_internal(name.stream)) {
        for (const std::string& tag : stream.record.config.tags) {
            if (!std::ranges::binary_search(intent.config.tags, tag)) batch.remove(TagEntry::key(name, tag));
        }
        for (const std::string& tag : intent.config.tags) batch.put(TagEntry::key(name, tag), marker_value());
    }
    add_retention(batch, name, intent.config);
    after.state = StreamState::kActive;
    after.config = std::move(intent.config);
    after.intent = std::monostate();
    batch.put(StreamRecord::key(name), after.encode(), stream.version);
    batch.remove(pending(name).key());
    auto committed = co_await context_.metadata.commit(name.scope, std::move(batch));
    co_return committed;
}

Async<> Streams::carry_on_truncating(StreamName name, Stream stream) {
    StreamCut cut = std::get<TruncateIntent>(stream.record.intent).cut;
    std::int32_t first = stream.record.head.empty() ? 0 : epochs_of(stream.record.head).first;
    auto epochs = co_await context_.metadata.epochs(name, first, epochs_of(cut).last);
    if (!epochs) co_return fail(epochs.error());
    StreamCut head = stream.record.head.empty() ? start_of(epochs->front()) : stream.record.head;
    auto from = line_of(head, *epochs);
    auto to = line_of(cut, *epochs);
    if (!from || !to)
        co_return fail(Errc::kCorrupt, fmt::format("the cuts of stream {} are not in its epochs", to_string(name)));
    auto truncated = co_await context_.segments.truncate(name, cut);
    if (!truncated) co_return truncated;
    auto removed = co_await context_.segments.remove(name, segments_left_behind(*from, *to, cut, *epochs));
    if (!removed) co_return removed;
    stream.record.state = StreamState::kActive;
    stream.record.head = std::move(cut);
    stream.record.intent = std::monostate();
    Batch batch;
    auto folded = co_await fold_history(context_, name, stream.record, batch);
    if (!folded) log::warn("controller: the history of {} stays: {}", to_string(name), folded.error().to_string());
    batch.put(StreamRecord::key(name), stream.record.encode(), stream.version);
    batch.remove(pending(name).key());
    auto committed = co_await context_.metadata.commit(name.scope, std::move(batch));
    co_return committed;
}

Async<> Streams::carry_on_sealing(StreamName name, Stream stream) {
    if (std::holds_alternative<RollIntent>(stream.record.intent)) {
        auto rolled = co_await context_.transactions->carry_on_rolling(name, std::move(stream));
        co_return rolled;
    }
    auto ended = co_await context_.transactions->end_all(name, stream);
    if (!ended) co_return fail(ended.error());
    if (!*ended) co_return Result<>();
    auto current = co_await current_epoch(context_, name, stream.record.current_epoch);
    if (!current) co_return fail(current.error());
    auto sealed = co_await context_.segments.seal(name, ids_of(current->segments));
    if (!sealed) co_return fail(sealed.error());
    stream.record.state = StreamState::kSealed;
    Batch batch;
    batch.put(StreamRecord::key(name), stream.record.encode(), stream.version);
    batch.remove(pending(name).key());
    auto committed = co_await context_.metadata.commit(name.scope, std::move(batch));
    co_return committed;
}

Async<> Streams::carry_on_deleting(StreamName name, Stream stream) {
    std::vector<std::pair<StreamName, Stream>> going;
    going.emplace_back(name, std::move(stream));
    if (!is_mark(name.stream)) {
        StreamName mark = mark_of(name);
        auto companion = co_await context_.metadata.stream(mark);
        if (!companion) co_return fail(companion.error());
        bool goes_along = *companion && (*companion)->record.state == StreamState::kDeleting;
        if (goes_along) going.emplace_back(mark, std::move(**companion));
    }
    // The epochs name the segments, so they go after the segments of all streams.
    std::vector<std::string> segments;
    for (const auto& [which, what] : going) {
        auto removed = co_await remove_segments(which, segments);
        if (!removed) co_return removed;
    }
    auto segments_gone = co_await context_.segments.remove_all(std::move(segments));
    if (!segments_gone) co_return segments_gone;
    Batch batch;
    for (const auto& [which, what] : going) {
        std::vector<std::string> prefixes = entries_of(which);
        for (std::string& prefix : prefixes) {
            auto removed = co_await remove_entries(which.scope, std::move(prefix), batch);
            if (!removed) co_return removed;
        }
        auto forgotten = co_await context_.transactions->forget(which);
        if (!forgotten) co_return forgotten;
        for (const std::string& tag : what.record.config.tags) batch.remove(TagEntry::key(which, tag));
        batch.remove(RetainedEntry::key(which));
        batch.remove(WatermarkRecord::key(which));
        batch.remove(StreamRecord::key(which), what.version);
        batch.remove(AutoscaleRecord::key(which));
        batch.remove(pending(which).key());
    }
    auto committed = co_await context_.commit_in_scope(name.scope, std::move(batch), Context::Joining::kExisting);
    if (!committed) co_return fail(committed.error());
    if (!*committed) co_return fail(Errc::kCorrupt, fmt::format("stream {} lies in no scope", to_string(name)));
    co_return Result<>();
}

// Retention looks at the stream from now on. Whether it still has to is found out there.
void Streams::add_retention(Batch& batch, const StreamName& name, const StreamConfig& config) {
    if (!config.retention) return;
    batch.put(RetainedEntry::key(name), marker_value());
    context_.retained.insert(name);
}

// Leaves the last of them in `names`, to go with others'.
Async<> Streams::remove_segments(StreamName name, std::vector<std::string>& names) {
    std::vector<StreamSegmentId> done;  // an epoch repeats most segments of the one before
    std::string prefix = EpochRecord::prefix(name);
    std::string after;
    while (true) {
        auto page = co_await context_.metadata.scan(name.scope, prefix, after);
        if (!page) co_return fail(page.error());
        if (page->empty()) co_return Result<>();
        std::vector<StreamSegmentId> found;
        for (const container::TableEntry& entry : *page) {
            auto record = EpochRecord::decode(entry.value);
            if (!record) co_return fail(record.error());
            for (const SegmentRange& segment : record->epoch.segments) found.push_back(segment.id);
        }
        std::ranges::sort(found);
        found.erase(std::unique(found.begin(), found.end()), found.end());
        std::vector<StreamSegmentId> left;
        std::ranges::set_difference(found, done, std::back_inserter(left));
        for (StreamSegmentId id : left) names.push_back(segment_name(name, id));
        if (names.size() >= kRemovedAtATime) {
            auto removed = co_await context_.segments.remove_all(std::exchange(names, {}));
            if (!removed) co_return removed;
        }
        done = std::move(found);
        after = page->back().key;
    }
}

Async<> Streams::remove_entries(std::string scope, std::string prefix, Batch& last) {
    while (true) {
        auto page = co_await context_.metadata.scan(scope, prefix, std::string());
        if (!page) co_return fail(page.error());
        bool is_last = page->size() < Metadata::kScanItems;
        Batch batch;
        for (container::TableEntry& entry : *page) batch.remove(std::move(entry.key), entry.version);
        if (is_last) {
            last.append(std::move(batch));
            co_return Result<>();
        }
        auto removed = co_await context_.metadata.commit(scope, std::move(batch));
        if (!removed) co_return removed;
    }
}

}  // namespace millrace::controller
