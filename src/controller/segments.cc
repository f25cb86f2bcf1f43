#include "controller/segments.h"

#include <memory>
#include <optional>

#include "base/log.h"
#include "controller/names.h"
#include "runtime/async.h"

namespace millrace::controller {

namespace {

// Runs `step` for 0 ... count - 1, at most kUnderWay at a time; after a failure nothing new is begun. Keeps itself
// alive.
struct Fan : std::enable_shared_from_this<Fan> {
    std::size_t count = 0;
    std::function<void(std::size_t, runtime::Callback<Result<>>)> step;
    runtime::Callback<Result<>> done;
    std::size_t next = 0;
    std::size_t under_way = 0;
    std::optional<Error> error;
    bool pumping = false;

    void pump() {
        if (pumping) return;  // a step that ended at once: the loop below goes on
        pumping = true;
        while (next < count && under_way < Segments::kUnderWay && !error) {
            ++under_way;
            step(next++, [self = shared_from_this()](Result<> result) { self->ended(std::move(result)); });
        }
        pumping = false;
        bool begun_all = next == count || error;
        if (under_way > 0 || !begun_all || !done) return;
        auto finish = std::exchange(done, nullptr);
        if (error) return finish(fail(std::move(*error)));
        finish(Result<>());
    }
    void ended(Result<> result) {
        --under_way;
        if (!result && !error) error = result.error();
        pump();
    }
};

bool is_gone(const Error& error) { return error == Errc::kNotFound || error == Errc::kMerged; }

// A callback that turns some failures into success.
template <typename T, typename Accept>
auto accepting(runtime::Callback<Result<>> done, Accept accept) {
    return [done = std::move(done), accept](Result<T> result) mutable {
        if (!result && !accept(result.error())) return done(fail(result.error()));
        done(Result<>());
    };
}

}  // namespace

std::vector<StreamSegmentId> ids_of(std::span<const SegmentRange> segments) {
    std::vector<StreamSegmentId> ids;
    for (const SegmentRange& segment : segments) ids.push_back(segment.id);
    return ids;
}

container::CreateOptions options_of(const StreamConfig& config) {
    container::CreateOptions options;
    options.scale_type = static_cast<std::int8_t>(config.scaling.type);
    options.target_rate = config.scaling.target_rate;
    options.rollover_bytes = config.rollover_bytes;
    return options;
}

std::vector<SegmentToMake> new_segments(const StreamName& stream, std::span<const StreamSegmentId> ids,
                                        const container::CreateOptions& options) {
    std::vector<SegmentToMake> segments;
    for (StreamSegmentId id : ids) segments.push_back({segment_name(stream, id), options});
    return segments;
}

Async<> Segments::each(std::size_t count, Step step) {
    // Only the steps under way keep the fan, and the fan keeps this coroutine: when the steps are dropped, all of it
    // goes.
    auto start = [&](runtime::Callback<Result<>> done) {
        auto fan = std::make_shared<Fan>();
        fan->count = count;
        fan->step = std::move(step);
        fan->done = std::move(done);
        fan->pump();
    };
    Result<> result = co_await runtime::await<Result<>>(start);
    co_return result;
}

Async<> Segments::create(StreamName stream, std::vector<StreamSegmentId> ids, const StreamConfig& config) {
    return create_all(new_segments(stream, ids, options_of(config)));
}

Async<> Segments::create_named(std::vector<std::string> names, const container::CreateOptions& options) {
    std::vector<SegmentToMake> segments;
    for (std::string& name : names) segments.push_back({std::move(name), options});
    return create_all(std::move(segments));
}

Async<> Segments::create_all(std::vector<SegmentToMake> segments) {
    Step step = [&](std::size_t i, runtime::Callback<Result<>> done) {
        auto exists = [](const Error& error) { return error == Errc::kExists; };
        api_.create(segments[i].name, segments[i].options, executor_, accepting<void>(std::move(done), exists));
    };
    Result<> result = co_await each(segments.size(), std::move(step));
    co_return result;
}

Async<> Segments::set_policy(StreamName stream, std::vector<StreamSegmentId> ids, ScalingPolicy policy) {
    Step step = [&](std::size_t i, runtime::Callback<Result<>> done) {
        auto no_matter = [](const Error& error) { return is_gone(error) || error == Errc::kSealed; };
        api_.update_policy(segment_name(stream, ids[i]), static_cast<std::uint8_t>(policy.type), policy.target_rate,
                           executor_, accepting<void>(std::move(done), no_matter));
    };
    Result<> result = co_await each(ids.size(), std::move(step));
    co_return result;
}

Async<container::SegmentInfo> Segments::info(std::string segment) {
    using Reply = Result<container::SegmentInfo>;
    auto ask = [&](runtime::Callback<Reply> done) { api_.info(segment, executor_, std::move(done)); };
    Reply reply = co_await runtime::await<Reply>(ask);
    co_return reply;
}

Async<bytes::Chain> Segments::read(std::string segment, std::int64_t offset, std::size_t max_bytes) {
    using Reply = Result<bytes::Chain>;
    auto ask = [&](runtime::Callback<Reply> done) {
        api_.read(std::move(segment), offset, max_bytes, executor_, std::move(done));
    };
    Reply reply = co_await runtime::await<Reply>(ask);
    co_return reply;
}

Async<std::int64_t> Segments::append_at(std::string segment, std::int64_t expected_offset, std::string event) {
    using Reply = Result<std::int64_t>;
    auto ask = [&](runtime::Callback<Reply> done) {
        api_.append_at(std::move(segment), expected_offset, std::move(event), executor_, std::move(done));
    };
    Reply reply = co_await runtime::await<Reply>(ask);
    co_return reply;
}

Async<StreamCut> Segments::ends(StreamName stream, std::vector<StreamSegmentId> ids) {
    StreamCut ends;
    for (StreamSegmentId id : ids) ends[id] = 0;
    Step step = [&](std::size_t i, runtime::Callback<Result<>> done) {
        auto answered = [end = &ends[ids[i]], done = std::move(done)](Result<container::SegmentInfo> info) mutable {
            if (!info) return done(fail(info.error()));
            *end = info->length;
            done(Result<>());
        };
        api_.info(segment_name(stream, ids[i]), executor_, std::move(answered));
    };
    Result<> result = co_await each(ids.size(), std::move(step));
    if (!result) co_return fail(result.error());
    co_return std::move(ends);
}

Async<std::vector<std::int64_t>> Segments::seal(StreamName stream, std::vector<StreamSegmentId> ids) {
    std::vector<std::int64_t> lengths(ids.size(), -1);
    std::vector<bool> sealed_before(ids.size(), false);
    Step step = [&](std::size_t i, runtime::Callback<Result<>> done) {
        auto sealed = [&, i, done = std::move(done)](Result<std::int64_t> length) mutable {
            if (length) lengths[i] = *length;
            if (!length && !is_gone(length.error()) && length.error() != Errc::kSealed) {
                return done(fail(length.error()));
            }
            sealed_before[i] = !length && length.error() == Errc::kSealed;
            done(Result<>());
        };
        api_.seal(segment_name(stream, ids[i]), executor_, std::move(sealed));
    };
    Result<> result = co_await each(ids.size(), std::move(step));
    if (!result) co_return fail(result.error());
    for (std::size_t i = 0; i < ids.size(); ++i) {
        if (!sealed_before[i]) continue;
        auto found = co_await info(segment_name(stream, ids[i]));
        if (!found && !is_gone(found.error())) co_return fail(found.error());
        if (found) lengths[i] = found->length;
    }
    co_return std::move(lengths);
}

Async<> Segments::truncate(StreamName stream, StreamCut cut) {
    std::vector<std::pair<StreamSegmentId, std::int64_t>> entries;
    for (const auto& entry : cut) {
        if (entry.second >= 0) entries.push_back(entry);
    }
    Step step = [&](std::size_t i, runtime::Callback<Result<>> done) {
        auto [id, offset] = entries[i];
        auto truncated = [](const Error& error) { return is_gone(error) || error == Errc::kTruncated; };
        api_.truncate(segment_name(stream, id), offset, executor_, accepting<void>(std::move(done), truncated));
    };
    Result<> result = co_await each(entries.size(), std::move(step));
    co_return result;
}

Async<> Segments::remove(StreamName stream, std::vector<StreamSegmentId> ids) {
    std::vector<std::string> names;
    for (StreamSegmentId id : ids) names.push_back(segment_name(stream, id));
    return remove_all(std::move(names));
}

Async<> Segments::remove_all(std::vector<std::string> names) {
    Step step = [&](std::size_t i, runtime::Callback<Result<>> done) {
        api_.remove(names[i], executor_, accepting<void>(std::move(done), is_gone));
    };
    Result<> result = co_await each(names.size(), std::move(step));
    co_return result;
}

Async<std::vector<std::vector<std::int64_t>>> Segments::merge(std::vector<Merge> merges) {
    using Ends = std::vector<std::int64_t>;
    std::vector<Ends> all(merges.size());
    Step step = [&](std::size_t i, runtime::Callback<Result<>> done) {
        auto merged = [ends = &all[i], done = std::move(done)](Result<Ends> result) mutable {
            if (!result) return done(fail(result.error()));
            *ends = std::move(*result);
            done(Result<>());
        };
        api_.merge(merges[i].target, merges[i].sources, executor_, std::move(merged));
    };
    Result<> result = co_await each(merges.size(), std::move(step));
    if (!result) co_return fail(result.error());
    co_return std::move(all);
}

Async<std::int64_t> Segments::total_length(std::vector<std::string> names) {
    std::int64_t total = 0;
    Step step = [&](std::size_t i, runtime::Callback<Result<>> done) {
        auto answered = [&total, done = std::move(done)](Result<container::SegmentInfo> info) mutable {
            if (!info && !is_gone(info.error())) return done(fail(info.error()));
            if (info) total += info->length;
            done(Result<>());
        };
        api_.info(names[i], executor_, std::move(answered));
    };
    Result<> result = co_await each(names.size(), std::move(step));
    if (!result) co_return fail(result.error());
    co_return total;
}

Async<bool> Segments::hold(StreamName stream, StreamCut cut) {
    bool hold = true;
    std::vector<std::pair<StreamSegmentId, std::int64_t>> entries(cut.begin(), cut.end());
    Step step = [&](std::size_t i, runtime::Callback<Result<>> done) {
        auto [id, offset] = entries[i];
        if (offset <= 0) return done(Result<>());
        auto answered = [&hold, offset, done = std::move(done)](Result<container::SegmentInfo> info) mutable {
            if (!info && !is_gone(info.error())) return done(fail(info.error()));
            if (!info || info->length < offset) hold = false;
            done(Result<>());
        };
        api_.info(segment_name(stream, id), executor_, std::move(answered));
    };
    Result<> result = co_await each(entries.size(), std::move(step));
    if (!result) co_return fail(result.error());
    co_return hold;
}

}  // namespace millrace::controller
