#include "sim/controller_operations.h"

#include <algorithm>

#include <fmt/format.h>

namespace millrace::sim {

using namespace controller;  // NOLINT: all of it is the controller's vocabulary

namespace {

// An answer of the controller as a status; `good` are those that mean it is done.
template <typename Status>
auto judged(std::function<void(ControlAnswer, std::string)> told, Status good) {
    return [told = std::move(told), good](Result<Status> status) {
        if (!status) return told(ControlAnswer::kFailed, status.error().to_string());
        told(*status == good ? ControlAnswer::kDone : ControlAnswer::kRefused,
             std::to_string(static_cast<int>(*status)));
    };
}

StreamConfig drawn_config(Random& random) {
    StreamConfig config;
    config.scaling.min_segments = static_cast<std::int32_t>(1 + random.below(4));
    if (random.below(2) == 0) config.tags = {"red"};
    if (random.below(3) == 0) config.tags.emplace_back("yellow");
    return config;
}

bool begins_anew(const ObjectView& now, std::int32_t highest) {
    if (now.epochs.size() != 1 || now.sealed) return false;
    for (const SegmentRange& segment : now.current()) {
        if (number_of(segment.id) <= highest) return false;
        if (!now.head.contains(segment.id)) return false;
    }
    return now.head.size() == now.current().size();
}

ControlOperation create_stream(const StreamName& name, bool scope_exists, std::int32_t highest, Random& random) {
    StreamConfig config = drawn_config(random);
    ControlOperation op;
    op.what = fmt::format("create, {} segments", config.scaling.min_segments);
    op.start = [name, config](Controller& c, auto told) {
        c.create_stream(name, config, judged(std::move(told), CreateStreamStatus::kSuccess));
    };
    op.done = [config, highest](const ObjectView& before, const ObjectView& now) {
        return !before.exists && now.exists && now.config == config && begins_anew(now, highest) &&
               now.current().size() == static_cast<std::size_t>(config.scaling.min_segments);
    };
    op.may_refuse = [scope_exists](const ObjectView& before) { return before.exists || !scope_exists; };
    return op;
}

ControlOperation update_stream(const StreamName& name, Random& random) {
    StreamConfig config = drawn_config(random);
    ControlOperation op;
    op.what = fmt::format("update, {} segments", config.scaling.min_segments);
    op.start = [name, config](Controller& c, auto told) {
        c.update_stream(name, config, judged(std::move(told), UpdateStreamStatus::kSuccess));
    };
    op.done = [config](const ObjectView& before, const ObjectView& now) {
        auto wanted = static_cast<std::size_t>(config.scaling.min_segments);
        bool replaced = before.exists && before.current().size() != wanted;
        return before.exists && !before.sealed && now.exists && !now.sealed && now.config == config &&
               now.current().size() == wanted && now.epochs.size() == before.epochs.size() + (replaced ? 1 : 0) &&
               now.head == before.head;
    };
    op.may_refuse = [](const ObjectView& before) { return !before.exists || before.sealed; };
    return op;
}

ControlOperation seal_stream(const StreamName& name) {
    ControlOperation op;
    op.what = "seal";
    op.start = [name](Controller& c, auto told) {
        c.seal_stream(name, judged(std::move(told), UpdateStreamStatus::kSuccess));
    };
    op.done = [](const ObjectView& before, const ObjectView& now) {
        return before.exists && now.sealed && now.epochs == before.epochs && now.head == before.head;
    };
    op.may_refuse = [](const ObjectView& before) { return !before.exists; };
    return op;
}

ControlOperation delete_stream(const StreamName& name) {
    ControlOperation op;
    op.what = "delete";
    op.start = [name](Controller& c, auto told) {
        c.delete_stream(name, judged(std::move(told), DeleteStreamStatus::kSuccess));
    };
    op.done = [](const ObjectView& before, const ObjectView& now) { return before.sealed && !now.exists; };
    op.may_refuse = [](const ObjectView& before) { return !before.sealed; };
    return op;
}

// At the beginning of an epoch: what came before it goes.
ControlOperation truncate_stream(const StreamName& name, const ObjectView& view, Random& random) {
    StreamCut cut;
    if (view.exists) {
        for (const SegmentRange& s : view.epochs[random.below(view.epochs.size())].segments) cut[s.id] = 0;
    }
    ControlOperation op;
    op.what = fmt::format("truncate at {} segments", cut.size());
    op.start = [name, cut](Controller& c, auto told) {
        c.truncate_stream(name, cut, judged(std::move(told), UpdateStreamStatus::kSuccess));
    };
    op.done = [cut](const ObjectView& before, const ObjectView& now) {
        return before.exists && now.exists && now.head == cut && now.epochs == before.epochs;
    };
    op.may_refuse = [](const ObjectView&) { return true; };  // the epoch may lie before the head
    return op;
}

// Splits a segment in two, or merges two neighbours.
ControlOperation scale_stream(const StreamName& name, const ObjectView& view, Random& random) {
    ScaleRequest request;
    std::size_t change = 1;
    if (view.exists) {
        const auto& current = view.current();
        std::size_t at = random.below(current.size());
        const SegmentRange& one = current[at];
        request.sealed = {one.id};
        bool merges = at + 1 < current.size() && random.below(2) == 0;
        double middle = one.min_key + (one.max_key - one.min_key) / 2;
        if (merges) {
            request.sealed.push_back(current[at + 1].id);
            request.ranges = {{one.min_key, current[at + 1].max_key}};
            change = static_cast<std::size_t>(-1);
        } else {
            request.ranges = {{one.min_key, middle}, {middle, one.max_key}};
        }
    }
    ControlOperation op;
    op.what = fmt::format("scale {} to {}", request.sealed.size(), request.ranges.size());
    op.start = [name, request](Controller& c, auto told) {
        auto done = [told = std::move(told)](Result<ScaleResult> result) {
            if (!result) return told(ControlAnswer::kFailed, result.error().to_string());
            told(result->status == ScaleStatus::kStarted ? ControlAnswer::kDone : ControlAnswer::kRefused,
                 std::to_string(static_cast<int>(result->status)));
        };
        c.scale_stream(name, request, std::move(done));
    };
    op.done = [change](const ObjectView& before, const ObjectView& now) {
        return before.exists && !before.sealed && now.exists && !now.sealed &&
               now.epochs.size() == before.epochs.size() + 1 && now.head == before.head &&
               now.current().size() == before.current().size() + change;
    };
    op.may_refuse = [change](const ObjectView& before) {
        bool below = before.exists &&
                     before.current().size() + change < static_cast<std::size_t>(before.config.scaling.min_segments);
        return !before.exists || before.sealed || below;
    };
    return op;
}

ControlOperation draw_for_stream(const StreamName& name, const ObjectView& before, bool scope_exists,
                                 std::int32_t highest, Random& random) {
    std::uint64_t what = random.below(100);
    if (!before.exists && what < 80) return create_stream(name, scope_exists, highest, random);
    if (before.sealed && what < 60) return delete_stream(name);
    if (what < 10) return create_stream(name, scope_exists, highest, random);
    if (what < 25) return update_stream(name, random);
    if (what < 65) return scale_stream(name, before, random);
    if (what < 85) return truncate_stream(name, before, random);
    if (what < 97) return seal_stream(name);
    return delete_stream(name);
}

ReaderGroupConfig drawn_group(const ObjectName& name, Random& random) {
    ReaderGroupConfig config;
    config.id = Uuid{7, 7};
    config.retention = random.below(2) == 0 ? ReaderGroupRetention::kManual : ReaderGroupRetention::kNone;
    config.start.push_back({{name.scope, random.below(2) == 0 ? "a" : "b"}, {}});
    config.end = config.start;
    return config;
}

ControlOperation draw_for_group(const ObjectName& name, const ObjectView& before, std::int32_t highest,
                                Random& random) {
    ControlOperation op;
    ReaderGroupConfig config = drawn_group(name, random);
    bool creates = !before.exists || random.below(6) == 0;
    if (creates) {
        op.what = "create";
        op.start = [name, config](Controller& c, auto told) {
            auto done = [told = std::move(told)](Result<CreateReaderGroupResult> result) {
                if (!result) return told(ControlAnswer::kFailed, result.error().to_string());
                told(result->status == CreateReaderGroupStatus::kSuccess ? ControlAnswer::kDone
                                                                         : ControlAnswer::kRefused,
                     "");
            };
            c.create_reader_group(name.scope, name.name, config, std::move(done));
        };
        op.done = [config, highest](const ObjectView& was, const ObjectView& now) {
            if (was.exists) return now == was;  // told what there is
            return now.exists && now.group == config && begins_anew(now, highest);
        };
        op.may_refuse = [](const ObjectView& was) { return !was.exists; };  // no scope, or no stream to subscribe to
        return op;
    }
    if (random.below(2) == 0) {
        config.generation = before.group.generation;
        op.what = "update";
        op.start = [name, config](Controller& c, auto told) {
            auto done = [told = std::move(told)](Result<UpdateReaderGroupResult> result) {
                if (!result) return told(ControlAnswer::kFailed, result.error().to_string());
                told(result->status == UpdateReaderGroupStatus::kSuccess ? ControlAnswer::kDone
                                                                         : ControlAnswer::kRefused,
                     "");
            };
            c.update_reader_group(name.scope, name.name, config, std::move(done));
        };
        op.done = [config](const ObjectView& was, const ObjectView& now) {
            ReaderGroupConfig wanted = config;
            wanted.generation = was.group.generation + 1;
            return was.exists && now.exists && now.group == wanted;
        };
        op.may_refuse = [](const ObjectView&) { return true; };  // no stream to subscribe to
        return op;
    }
    op.what = "delete";
    op.start = [name, id = before.group.id](Controller& c, auto told) {
        c.delete_reader_group(name.scope, name.name, id, judged(std::move(told), DeleteReaderGroupStatus::kSuccess));
    };
    op.done = [](const ObjectView& was, const ObjectView& now) { return was.exists && !now.exists; };
    op.may_refuse = [](const ObjectView& was) { return !was.exists; };
    return op;
}

ControlOperation draw_for_table(const ObjectName& name, const ObjectView& before, bool scope_exists,
                                std::int32_t highest, Random& random) {
    ControlOperation op;
    if (!before.exists || random.below(3) == 0) {
        KeyValueTableConfig config{static_cast<std::int32_t>(1 + random.below(4)), 4, 0, 0};
        op.what = fmt::format("create, {} partitions", config.partitions);
        op.start = [name, config](Controller& c, auto told) {
            c.create_table(name.scope, name.name, config, judged(std::move(told), CreateTableStatus::kSuccess));
        };
        op.done = [config, highest](const ObjectView& was, const ObjectView& now) {
            return !was.exists && now.exists && now.table == config &&
                   now.table_segments.size() == static_cast<std::size_t>(config.partitions) &&
                   number_of(now.table_segments.front().id) > highest;
        };
        op.may_refuse = [scope_exists](const ObjectView& was) { return was.exists || !scope_exists; };
        return op;
    }
    op.what = "delete";
    op.start = [name](Controller& c, auto told) {
        c.delete_table(name.scope, name.name, judged(std::move(told), DeleteTableStatus::kSuccess));
    };
    op.done = [](const ObjectView& was, const ObjectView& now) { return was.exists && !now.exists; };
    op.may_refuse = [](const ObjectView& was) { return !was.exists; };
    return op;
}

}  // namespace

ControlOperation draw(const ObjectName& name, const ObjectView& before, bool scope_exists, std::int32_t highest,
                      Random& random) {
    switch (name.kind) {
        case Kind::kGroup:
            return draw_for_group(name, before, highest, random);
        case Kind::kTable:
            return draw_for_table(name, before, scope_exists, highest, random);
        case Kind::kStream:
            break;
    }
    return draw_for_stream({name.scope, name.name}, before, scope_exists, highest, random);
}

std::int32_t highest_number(const ObjectView& view) {
    std::int32_t highest = -1;
    for (const Epoch& epoch : view.epochs) {
        for (const SegmentRange& segment : epoch.segments) highest = std::max(highest, number_of(segment.id));
    }
    for (const SegmentRange& segment : view.table_segments) highest = std::max(highest, number_of(segment.id));
    return highest;
}

}  // namespace millrace::sim
