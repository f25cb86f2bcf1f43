#include "controller/scaling.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "base/log.h"
#include "controller/names.h"
#include "controller/transactions.h"
#include "runtime/async.h"

namespace millrace::controller {

namespace {

PendingEntry pending(const StreamName& name) { return {PendingEntry::Kind::kStream, name.scope, name.stream}; }

// Neighbours that touch become one. Two that overlap stay two, so they equal nothing that tiles.
std::vector<KeyRange> merged(std::vector<KeyRange> ranges) {
    std::ranges::sort(ranges, {}, &KeyRange::from);
    std::vector<KeyRange> blocks;
    for (const KeyRange& range : ranges) {
        if (!blocks.empty() && blocks.back().to == range.from)
            blocks.back().to = range.to;
        else
            blocks.push_back(range);
    }
    return blocks;
}

ScaleIntent intent_of(const ScaleRequest& request) {
    ScaleIntent intent{request.sealed, request.ranges, request.creation_ms};
    std::ranges::sort(intent.replaced);
    intent.replaced.erase(std::unique(intent.replaced.begin(), intent.replaced.end()), intent.replaced.end());
    std::ranges::sort(intent.ranges, {}, &KeyRange::from);
    return intent;
}

EpochChange change_of(Epoch current, const ScaleIntent& intent, std::int32_t last_number) {
    return replacing(std::move(current), intent.replaced, intent.ranges, last_number, intent.creation_ms);
}

ScaleResult started(const EpochChange& change) {
    ScaleResult result;
    result.epoch = change.before.epoch;
    for (const SegmentRange& segment : change.after.segments) {
        if (epoch_of(segment.id) == change.after.epoch) result.segments.push_back(segment);
    }
    return result;
}

}  // namespace

Result<ScaleCheck> check_scale(const Epoch& current, std::int32_t min_segments, const ScaleRequest& request) {
    auto is_range = [](const KeyRange& range) { return range.from < range.to; };  // not with a NaN
    bool all_ranges = std::ranges::all_of(request.ranges, is_range);
    if (!all_ranges) return ScaleCheck{ScaleStatus::kFailure, {}};
    ScaleIntent intent = intent_of(request);
    auto same_start = std::ranges::adjacent_find(intent.ranges, {}, &KeyRange::from);
    if (same_start != intent.ranges.end())
        return fail(Errc::kInvalidArgument, fmt::format("two ranges begin at {}", same_start->from));

    std::vector<KeyRange> replaced;
    for (const SegmentRange& segment : current.segments) {
        bool goes = std::ranges::binary_search(intent.replaced, segment.id);
        if (goes) replaced.push_back({segment.min_key, segment.max_key});
    }
    if (replaced.size() != intent.replaced.size()) return ScaleCheck{ScaleStatus::kPreconditionFailed, {}};
    if (merged(replaced) != merged(intent.ranges)) return ScaleCheck{ScaleStatus::kFailure, {}};
    std::size_t count = current.segments.size() - replaced.size() + intent.ranges.size();
    if (static_cast<std::int64_t>(count) < min_segments) return ScaleCheck{ScaleStatus::kPreconditionFailed, {}};
    if (count > static_cast<std::size_t>(kMaxSegments)) {
        return fail(Errc::kInvalidArgument,
                    fmt::format("a stream has at most {} segments, not {}", kMaxSegments, count));
    }
    return ScaleCheck{ScaleStatus::kStarted, std::move(intent)};
}

Async<ScaleResult> Scaling::scale(StreamName name, ScaleRequest request) {
    ScaleResult refused;
    refused.status = ScaleStatus::kFailure;
    auto scoped = check_scoped(name.scope);
    if (!scoped) co_return fail(scoped.error());
    if (!is_possible_name(name)) co_return refused;
    KeyedMutex::Lock lock = co_await context_.lock_stream(name);
    auto before = co_await under_way(name, request);
    if (!before) co_return fail(before.error());
    auto found = co_await streams_.settled(name);
    if (!found) co_return fail(found.error());
    if (*before) co_return started(**before);
    auto committed = co_await context_.transactions->commit_waiting(name);
    if (!committed) co_return fail(committed.error());
    found = co_await streams_.settled(name);
    if (!found) co_return fail(found.error());
    if (!*found || (*found)->record.state == StreamState::kSealed) co_return refused;

    Stored<StreamRecord> stream = std::move(**found);
    auto current = co_await current_epoch(context_, name, stream.record.current_epoch);
    if (!current) co_return fail(current.error());
    auto checked = check_scale(*current, stream.record.config.scaling.min_segments, request);
    if (!checked) co_return fail(checked.error());
    refused.status = checked->status;
    if (checked->status != ScaleStatus::kStarted) co_return refused;
    ScaleIntent intent = std::move(checked->intent);
    intent.creation_ms = std::min(intent.creation_ms, context_.now_ms());  // a clock that is ahead would never be met
    auto change = co_await begin(name, std::move(stream), std::move(*current), std::move(intent), {});
    if (!change) co_return fail(change.error());
    auto scaled = co_await streams_.settled(name);
    if (!scaled) log::warn("controller: scale of {} waits: {}", to_string(name), scaled.error().to_string());
    co_return started(*change);
}

Async<EpochChange> Scaling::begin(StreamName name, Stored<StreamRecord> stream, Epoch current, ScaleIntent intent,
                                  Inherited inherited) {
    auto enough = check_numbers(stream.record.last_number, static_cast<std::int32_t>(intent.ranges.size()));
    if (!enough) co_return fail(enough.error());
    EpochChange change = change_of(std::move(current), intent, stream.record.last_number);
    stream.record.state = StreamState::kScaling;
    stream.record.intent = std::move(intent);
    Batch batch;
    batch.adds();
    batch.put(StreamRecord::key(name), stream.record.encode(), stream.version);
    auto noted = co_await note_width(context_, name, stream.record.config.scaling, change.after.segments,
                                     std::move(inherited), batch);
    if (!noted) co_return fail(noted.error());
    auto begun = co_await context_.commit_intent(pending(name), std::move(batch));
    if (!begun) co_return fail(begun.error());
    co_return std::move(change);
}

Async<bool> Scaling::scale_by_load(StreamName name, std::int32_t epoch, ScalingDecision decision) {
    KeyedMutex::Lock lock = co_await context_.lock_stream(name);
    auto committed = co_await context_.transactions->commit_waiting(name);
    if (!committed) co_return fail(committed.error());
    auto found = co_await streams_.settled(name);
    if (!found) co_return fail(found.error());
    if (!*found || (*found)->record.state != StreamState::kActive) co_return false;
    Stored<StreamRecord> stream = std::move(**found);
    if (stream.record.current_epoch != epoch) co_return false;
    auto current = co_await current_epoch(context_, name, epoch);
    if (!current) co_return fail(current.error());
    ScaleRequest request;
    request.sealed = std::move(decision.replaced);
    for (const Part& part : decision.made) request.ranges.push_back(part.range);
    request.creation_ms = context_.now_ms();
    auto checked = check_scale(*current, stream.record.config.scaling.min_segments, request);
    if (!checked) co_return fail(checked.error());
    if (checked->status != ScaleStatus::kStarted) co_return false;

    // Numbers are given by key.
    Inherited inherited;
    std::ranges::sort(decision.made, {}, [](const Part& part) { return part.range.from; });
    std::int32_t number = stream.record.last_number;
    for (const Part& part : decision.made) {
        ++number;
        if (part.inherited > 0) inherited[number] = part.inherited;
    }
    auto change =
        co_await begin(name, std::move(stream), std::move(*current), std::move(checked->intent), std::move(inherited));
    if (!change) co_return fail(change.error());
    auto scaled = co_await streams_.settled(name);
    if (!scaled) co_return fail(scaled.error());
    co_return true;
}

Async<> note_width(Context& context, StreamName name, ScalingPolicy policy, std::vector<SegmentRange> segments,
                   std::map<std::int32_t, double> added, Batch& batch) {
    std::string key = AutoscaleRecord::key(name);
    bool by_load = policy.type != ScalingType::kFixed;
    bool is_wide = by_load && static_cast<std::int64_t>(segments.size()) > policy.min_segments;
    auto before = co_await context.metadata.get<AutoscaleRecord>(name.scope, key);
    if (!before) co_return fail(before.error());
    AutoscaleRecord record;
    record.inherited = std::move(added);
    if (by_load && *before) {
        for (const SegmentRange& segment : segments) {
            auto known = (*before)->record.inherited.find(number_of(segment.id));
            if (known != (*before)->record.inherited.end()) record.inherited.insert(*known);
        }
    }
    if (is_wide || !record.inherited.empty()) {
        batch.put(std::move(key), record.encode());
        context.wide_streams.insert(std::move(name));
    } else if (*before) {
        batch.remove(std::move(key));
    }
    co_return Result<>();
}

// The same scale, when it was asked for before and is not at its end.
Async<std::optional<EpochChange>> Scaling::under_way(StreamName name, const ScaleRequest& request) {
    auto found = co_await context_.metadata.stream(name);
    if (!found) co_return fail(found.error());
    if (!*found) co_return std::optional<EpochChange>();
    const StreamRecord& record = (*found)->record;
    const auto* intent = std::get_if<ScaleIntent>(&record.intent);
    if (intent == nullptr) co_return std::optional<EpochChange>();
    ScaleIntent asked = intent_of(request);
    if (asked.replaced != intent->replaced || asked.ranges != intent->ranges) co_return std::optional<EpochChange>();
    auto current = co_await current_epoch(context_, name, record.current_epoch);
    if (!current) co_return fail(current.error());
    co_return std::optional<EpochChange>(change_of(std::move(*current), *intent, record.last_number));
}

Async<ScaleProgress> Scaling::progress(StreamName name, std::int32_t epoch) {
    auto scoped = check_scoped(name.scope);
    if (!scoped) co_return fail(scoped.error());
    if (epoch < 0) co_return fail(Errc::kInvalidArgument, fmt::format("epoch {}", epoch));
    if (!is_possible_name(name)) co_return ScaleProgress::kInvalidInput;
    auto found = co_await context_.metadata.stream(name);
    if (!found) co_return fail(found.error());
    bool exists = *found && (*found)->record.state != StreamState::kDeleting;
    if (!exists || epoch > (*found)->record.current_epoch) co_return ScaleProgress::kInvalidInput;
    if ((*found)->record.state == StreamState::kCreating) co_return ScaleProgress::kInProgress;
    auto current = co_await current_epoch(context_, name, (*found)->record.current_epoch);
    if (!current) co_return fail(current.error());
    bool is_current = current->epoch == epoch || current->reference == epoch;
    co_return is_current ? ScaleProgress::kInProgress : ScaleProgress::kSuccess;
}

Async<> carry_on_scaling(Context& context, StreamName name, Stored<StreamRecord> stream) {
    auto current = co_await current_epoch(context, name, stream.record.current_epoch);
    if (!current) co_return fail(current.error());
    EpochChange change =
        change_of(std::move(*current), std::get<ScaleIntent>(stream.record.intent), stream.record.last_number);
    Batch batch;
    StreamRecord after = stream.record;
    auto carried = co_await carry_through(context, name, std::move(change), after.config, after, batch);
    if (!carried) co_return carried;
    after.state = StreamState::kActive;
    after.intent = std::monostate();
    batch.put(StreamRecord::key(name), after.encode(), stream.version);
    batch.remove(pending(name).key());
    auto committed = co_await context.metadata.commit(name.scope, std::move(batch));
    co_return committed;
}

}  // namespace millrace::controller
