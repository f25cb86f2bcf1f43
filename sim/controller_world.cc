#include "sim/controller_world.h"

#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "bytes/hash.h"
#include "controller/names.h"

namespace millrace::sim {

using controller::Epoch;
using controller::SegmentRange;
using controller::StreamName;
using controller::StreamSegmentId;

namespace {

constexpr std::string_view kTable = "_controller";
constexpr std::size_t kEpochsMost = 10'000;

// The stream whose segments an object has.
StreamName stream_of(const ObjectName& object) {
    switch (object.kind) {
        case Kind::kGroup:
            return controller::reader_group_stream(object.scope, object.name);
        case Kind::kTable:
            return controller::key_value_table_stream(object.scope, object.name);
        case Kind::kStream:
            break;
    }
    return {object.scope, object.name};
}

std::vector<StreamSegmentId> overlapping(const std::vector<SegmentRange>& segments, const SegmentRange& with) {
    std::vector<StreamSegmentId> found;
    for (const SegmentRange& each : segments) {
        if (each.overlaps(with)) found.push_back(each.id);
    }
    std::ranges::sort(found);
    return found;
}

bool tiles(const std::vector<SegmentRange>& segments) {
    double at = 0;
    for (const SegmentRange& each : segments) {
        if (each.min_key != at || each.max_key <= each.min_key) return false;
        at = each.max_key;
    }
    return at == 1;
}

}  // namespace

std::string ObjectName::to_string() const {
    constexpr std::array<std::string_view, 3> kKinds = {"stream", "group", "table"};
    return fmt::format("{} {}/{}", kKinds[static_cast<std::size_t>(kind)], scope, name);
}

Result<container::SegmentInfo> Observer::info(const std::string& segment) {
    return ask<container::SegmentInfo>(
        [&](auto done) { node_.segments().info(segment, node_.executor(), std::move(done)); });
}

bool Observer::has_scope(const std::string& scope) {
    auto exists = ask<bool>([&](auto done) { node_.controller().scope_exists(scope, std::move(done)); });
    if (!exists) trouble_ = "scope_exists: " + exists.error().to_string();
    return exists && *exists;
}

ObjectView Observer::view(const ObjectName& name) {
    ObjectView view;
    auto failed = [&](std::string_view what, const Error& error) {
        if (error != Errc::kNotFound) trouble_ = fmt::format("{}: {}: {}", name.to_string(), what, error.to_string());
    };
    StreamName stream = stream_of(name);
    if (name.kind == Kind::kTable) {
        using Config = std::optional<controller::KeyValueTableConfig>;
        auto config =
            ask<Config>([&](auto done) { node_.controller().table_config(name.scope, name.name, std::move(done)); });
        if (!config) failed("table_config", config.error());
        if (!config || !*config) return view;
        auto segments = ask<std::vector<SegmentRange>>(
            [&](auto done) { node_.controller().table_segments(name.scope, name.name, std::move(done)); });
        if (!segments) failed("table_segments", Error(Errc::kCorrupt, segments.error().to_string()));
        view.exists = true;
        view.table = **config;
        if (segments) view.table_segments = *segments;
        return view;
    }
    if (name.kind == Kind::kGroup) {
        using Config = std::optional<controller::ReaderGroupConfig>;
        auto config = ask<Config>(
            [&](auto done) { node_.controller().reader_group_config(name.scope, name.name, std::move(done)); });
        if (!config) failed("reader_group_config", config.error());
        if (!config || !*config) return view;
        view.group = **config;
    }
    auto config =
        ask<controller::StreamConfig>([&](auto done) { node_.controller().stream_config(stream, std::move(done)); });
    if (!config) failed("stream_config", config.error());
    if (!config) return view;
    view.exists = true;
    view.config = *config;
    auto epochs = ask<std::vector<Epoch>>(
        [&](auto done) { node_.controller().list_epochs(stream, 0, kEpochsMost, std::move(done)); });
    auto current = ask<std::vector<SegmentRange>>(
        [&](auto done) { node_.controller().current_segments(stream, std::move(done)); });
    auto head = ask<controller::StreamCut>([&](auto done) { node_.controller().head(stream, std::move(done)); });
    if (!epochs) failed("list_epochs", Error(Errc::kCorrupt, epochs.error().to_string()));
    if (!current) failed("current_segments", Error(Errc::kCorrupt, current.error().to_string()));
    if (!head) failed("head", Error(Errc::kCorrupt, head.error().to_string()));
    if (!epochs || !current || !head) return view;
    view.epochs = *epochs;
    view.head = *head;
    view.sealed = current->empty();
    if (!view.sealed && *current != view.current()) trouble_ = name.to_string() + ": the current epoch is not the last";
    return view;
}

std::optional<std::string> Observer::check_epochs(const ObjectName& name, const ObjectView& view) {
    StreamName stream = stream_of(name);
    for (std::size_t e = 0; e < view.epochs.size(); ++e) {
        const Epoch& epoch = view.epochs[e];
        if (epoch.epoch != static_cast<std::int32_t>(e)) return fmt::format("{}: epochs are missing", name.to_string());
        if (!tiles(epoch.segments)) return fmt::format("{}: epoch {} has gaps or overlaps", name.to_string(), e);
        for (const SegmentRange& segment : epoch.segments) {
            using All = std::vector<controller::Successor>;
            auto successors =
                ask<All>([&](auto done) { node_.controller().successors(stream, segment.id, std::move(done)); });
            if (!successors) return fmt::format("{}: successors: {}", name.to_string(), successors.error().to_string());
            bool last = e + 1 == view.epochs.size();
            const auto* next = last ? nullptr : &view.epochs[e + 1].segments;
            bool goes_on = last || std::ranges::find(*next, segment.id, &SegmentRange::id) != next->end();
            if (last && !successors->empty()) return fmt::format("{}: successors of the end", name.to_string());
            if (goes_on) continue;
            std::vector<StreamSegmentId> told;
            for (const controller::Successor& successor : *successors) {
                told.push_back(successor.segment.id);
                auto predecessors = successor.predecessors;
                std::ranges::sort(predecessors);
                if (predecessors != overlapping(epoch.segments, successor.segment))
                    return fmt::format("{}: predecessors in epoch {} do not agree", name.to_string(), e + 1);
            }
            std::ranges::sort(told);
            if (told != overlapping(*next, segment))
                return fmt::format("{}: successors in epoch {} do not agree", name.to_string(), e + 1);
        }
    }
    return std::nullopt;
}

// The segments from the head to the end; true: open for writing.
std::optional<std::string> Observer::expect_segments(const ObjectName& name, const ObjectView& view, Segments& open) {
    StreamName stream = stream_of(name);
    if (name.kind == Kind::kTable) {
        if (!tiles(view.table_segments)) return fmt::format("{}: gaps or overlaps", name.to_string());
        for (const SegmentRange& segment : view.table_segments) open[segment_name(stream, segment.id)] = true;
        return std::nullopt;
    }
    controller::StreamCut tail;
    for (const SegmentRange& segment : view.current()) {
        auto at_head = view.head.find(segment.id);
        tail[segment.id] = at_head == view.head.end() ? 0 : at_head->second;
    }
    using Ids = std::vector<StreamSegmentId>;
    auto between =
        ask<Ids>([&](auto done) { node_.controller().segments_between(stream, view.head, tail, std::move(done)); });
    if (!between) return fmt::format("{}: segments_between: {}", name.to_string(), between.error().to_string());
    for (StreamSegmentId id : *between) open[segment_name(stream, id)] = tail.contains(id) && !view.sealed;
    return std::nullopt;
}

// No intent is left, and no entry of something that is not there.
std::optional<std::string> Observer::check_records(const std::set<ObjectName>& existing) {
    std::set<std::string> streams;
    for (const ObjectName& name : existing) {
        if (name.kind == Kind::kTable) continue;
        streams.insert(to_string(stream_of(name)));
        streams.insert(to_string(controller::mark_of(stream_of(name))));
    }
    for (std::uint32_t i = 0; i < node_.containers(); ++i) {
        auto entries = node_.node().container(i).table_scan(std::string(kTable), "", "", 1'000'000);
        for (const auto& entry : entries) {
            std::string_view key = entry.key;
            if (key.starts_with("pending/")) return "an intent is left: " + entry.key;
            for (std::string_view kind :
                 {"stream/", "epoch/", "sealed/", "subscriber/", "txn/", "txndone/", "writer/", "sample/"}) {
                if (!key.starts_with(kind)) continue;
                std::string_view rest = key.substr(kind.size());
                std::string stream(rest.substr(0, rest.find('/', rest.find('/') + 1)));
                if (!streams.contains(stream)) return "an entry of nothing: " + entry.key;
            }
        }
    }
    return std::nullopt;
}

// Every segment that was ever made is one of those, or gone.
std::optional<std::string> Observer::check_segments(const Segments& open, const std::set<std::string>& perhaps) {
    for (const auto& [segment, is_open] : open) {
        auto found = info(segment);
        if (!found) return fmt::format("segment {} is missing", segment);
        if (found->sealed == is_open) return fmt::format("segment {} is {}", segment, is_open ? "sealed" : "open");
    }
    for (const std::string& segment : node_.made()) {
        bool may_be = open.contains(segment) || perhaps.contains(segment);
        if (!may_be && info(segment)) return "a segment of nothing: " + segment;
    }
    return std::nullopt;
}

std::optional<std::string> Observer::check(const std::set<ObjectName>& names, const Segments& more,
                                           const std::set<std::string>& perhaps) {
    std::set<ObjectName> existing;
    Segments open = more;
    for (const ObjectName& name : names) {
        ObjectView seen = view(name);
        if (trouble_) return trouble_;
        if (!seen.exists) continue;
        existing.insert(name);
        if (!has_scope(name.scope)) return name.to_string() + " is in no scope";
        if (auto wrong = check_epochs(name, seen)) return wrong;
        if (auto wrong = expect_segments(name, seen, open)) return wrong;
        if (name.kind == Kind::kTable) continue;
        // Its companion: a stream like others.
        StreamName mark = controller::mark_of(stream_of(name));
        ObjectName companion{Kind::kStream, mark.scope, mark.stream};
        ObjectView of_companion = view(companion);
        if (!of_companion.exists) return name.to_string() + " has no companion";
        if (auto wrong = expect_segments(companion, of_companion, open)) return wrong;
    }
    if (trouble_) return trouble_;
    if (auto wrong = check_records(existing)) return wrong;
    return check_segments(open, perhaps);
}

}  // namespace millrace::sim
