#include "controller/auto_scaler.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "controller/names.h"
#include "runtime/async.h"

namespace millrace::controller {

void AutoScaler::start() {
    since_ = context_.executor.clock().now();
    arm();
}

void AutoScaler::stop() {
    stopped_ = true;
    context_.executor.cancel(std::exchange(timer_, {}));
}

// The next turn is after the end of this one: turns never overlap, however long one takes.
void AutoScaler::arm() {
    if (stopped_) return;
    timer_ = context_.executor.call_after(kTurn, [this] { context_.in_background("looking at the load", turn()); });
}

Async<> AutoScaler::turn() {
    bool for_merges = ++turns_ % kTurnsToMerge == 0;
    if (!remembered_) {
        auto remembered = co_await remember_wide_streams();
        remembered_ = remembered.has_value();
    }
    auto looked = co_await look(for_merges);
    if (looked) {
        std::erase_if(known_, [&](const auto& each) {
            return !looked->streams.contains(each.first) && !context_.wide_streams.contains(each.first);
        });
        for (auto& [name, rates] : looked->streams) {
            if (stopped_ || acting_.contains(name)) continue;
            auto considered = co_await consider(name, std::move(rates));
            if (!considered)
                log::warn("controller: the load of {}: {}", to_string(name), considered.error().to_string());
        }
    }
    arm();
    co_return Result<>();
}

// Those of the processes before.
Async<> AutoScaler::remember_wide_streams() {
    for (std::uint32_t i = 0; i < context_.metadata.containers(); ++i) {
        std::string after;
        while (true) {
            std::string prefix(AutoscaleRecord::kPrefix);
            auto page = co_await context_.metadata.scan_container(ContainerId(i), std::move(prefix), after);
            if (!page) co_return fail(page.error());
            if (page->empty()) break;
            for (const container::TableEntry& entry : *page) {
                if (auto name = AutoscaleRecord::name_of(entry.key)) context_.wide_streams.insert(std::move(*name));
            }
            after = page->back().key;
        }
    }
    co_return Result<>();
}

Async<AutoScaler::Look> AutoScaler::look(bool for_merges) {
    using Reply = Result<std::vector<container::SegmentTraffic>>;
    Look all;
    std::set<StreamName> looked_at;
    if (for_merges) looked_at = context_.wide_streams;
    for (std::uint32_t i = 0; i < context_.metadata.containers(); ++i) {
        auto ask = [&](runtime::Callback<Reply> done) {
            traffic_.scaling_traffic(ContainerId(i), context_.executor, std::move(done));
        };
        Reply reply = co_await runtime::await<Reply>(ask);
        if (!reply) co_return fail(reply.error());
        for (container::SegmentTraffic& segment : *reply) {
            auto parsed = parse_segment_name(segment.segment);
            if (!parsed) continue;
            auto type = static_cast<ScalingType>(std::clamp<std::int64_t>(segment.scale_type, 0, 2));
            if (is_overloaded(profile_, type, segment.target_rate, segment.rates)) looked_at.insert(parsed->stream);
            all.streams[parsed->stream].emplace(parsed->id, segment.rates);
        }
    }
    std::erase_if(all.streams, [&](const auto& each) { return !looked_at.contains(each.first); });
    for (const StreamName& name : looked_at) all.streams.try_emplace(name);
    co_return std::move(all);
}

Async<> AutoScaler::consider(StreamName name, Rates rates) {
    auto found = co_await context_.metadata.stream(name);
    if (!found) co_return fail(found.error());
    bool is_over = !*found || (*found)->record.state == StreamState::kSealed ||
                   (*found)->record.state == StreamState::kDeleting ||
                   (*found)->record.config.scaling.type == ScalingType::kFixed;
    if (is_over) {
        context_.wide_streams.erase(name);
        known_.erase(name);
        co_return Result<>();
    }
    const StreamRecord& record = (*found)->record;
    if (record.state != StreamState::kActive) co_return Result<>();
    auto known = known_.find(name);
    if (known == known_.end() || known->second.epoch_number != record.current_epoch) {
        auto read_now = co_await read(name, record.current_epoch);
        if (!read_now) co_return read_now;
        known = known_.find(name);
    }
    auto decision = decide(profile_, load_of(known->second, record.config, rates));
    auto count = static_cast<std::int32_t>(known->second.epoch.segments.size());
    if (!decision && count <= record.config.scaling.min_segments) context_.wide_streams.erase(name);
    if (!decision) co_return Result<>();
    acting_.insert(name);
    context_.in_background("scaling of " + to_string(name), act(name, record.current_epoch, std::move(*decision)));
    co_return Result<>();
}

Async<> AutoScaler::read(StreamName name, std::int32_t current) {
    auto epochs = co_await context_.metadata.epochs(name, std::max(0, current - kHistory), current);
    if (!epochs) co_return fail(epochs.error());
    auto record = co_await context_.metadata.get<AutoscaleRecord>(name.scope, AutoscaleRecord::key(name));
    if (!record) co_return fail(record.error());
    Known known;
    known.epoch_number = current;
    for (std::size_t i = 0; i < epochs->size(); ++i) {
        const Epoch& epoch = (*epochs)[i];
        known.made_ms[epoch.epoch] = epoch.creation_ms;
        bool is_copy = epoch.reference != epoch.epoch;
        if (i == 0 || is_copy) continue;
        const Epoch& before = (*epochs)[i - 1];
        known.changes.push_back({epoch.creation_ms, epoch.splits > before.splits, epoch.merges > before.merges});
    }
    known.epoch = std::move(epochs->back());
    if (*record) known.record = std::move((*record)->record);
    known_[name] = std::move(known);
    co_return Result<>();
}

StreamLoad AutoScaler::load_of(const Known& known, const StreamConfig& config, const Rates& rates) const {
    StreamLoad stream;
    stream.policy = config.scaling;
    stream.now_ms = context_.now_ms();
    stream.observed = std::chrono::duration_cast<std::chrono::milliseconds>(context_.executor.clock().now() - since_);
    stream.last_changes = known.changes;
    for (const SegmentRange& segment : known.epoch.segments) {
        SegmentLoad load;
        load.range = segment;
        auto made = known.made_ms.find(epoch_of(segment.id));
        std::int64_t made_ms = made == known.made_ms.end() ? known.made_ms.begin()->second : made->second;
        load.age = std::chrono::milliseconds(std::max<std::int64_t>(stream.now_ms - made_ms, 0));
        if (auto rate = rates.find(segment.id); rate != rates.end()) load.rates = rate->second;
        auto inherited = known.record.inherited.find(number_of(segment.id));
        if (inherited != known.record.inherited.end()) load.inherited = inherited->second;
        stream.segments.push_back(std::move(load));
    }
    return stream;
}

Async<> AutoScaler::act(StreamName name, std::int32_t epoch, ScalingDecision decision) {
    std::size_t gone = decision.replaced.size();
    std::size_t made = decision.made.size();
    std::string reason = decision.reason;
    auto scaled = co_await scaling_.scale_by_load(name, epoch, std::move(decision));
    acting_.erase(name);
    if (!scaled)
        co_return fail(scaled.error().code(), fmt::format("{}: {}", to_string(name), scaled.error().message()));
    if (!*scaled) co_return Result<>();
    (made > gone ? stats_.splits : stats_.merges) += 1;
    stats_.last = fmt::format("{}: {} segments became {} ({})", to_string(name), gone, made, reason);
    log::info("scaling {}, epoch {}", stats_.last, epoch + 1);
    co_return Result<>();
}

}  // namespace millrace::controller
