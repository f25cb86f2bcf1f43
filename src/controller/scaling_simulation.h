// A stream under load, second by second, with the real decision, the real rates and the real epochs, for tests of the
// policy: what does it make of this load over hours?
#pragma once

#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include "controller/epoch_change.h"
#include "controller/scaling_policy.h"
#include "controller/stream_cut.h"

namespace millrace::controller {

struct HotKey {
    double key = 0;    // its place in the key space
    double share = 0;  // of the load; what the hot keys leave is spread evenly
};

class ScalingSimulation {
  public:
    using Load = std::function<double(double seconds)>;  // events per second of the stream
    static constexpr double kTurn = 0.5;                 // seconds: traffic is looked at every second turn

    ScalingSimulation(ScalingProfile profile, ScalingPolicy policy, std::uint64_t seed = 1)
        : profile_(profile), policy_(policy), random_(seed) {
        epoch = first_epoch(equal_ranges(policy.min_segments, 0, 0), 0);
        set_hot_keys({});
    }

    void run(double for_seconds, const Load& load) {
        for (double end = now + for_seconds; now < end;) {
            now += kTurn;
            double rate = std::max(0.0, load(now));
            bool looks = ++turns_ % 2 == 0;
            bool is_urgent = false;
            for (std::size_t i = 0; i < state_.size(); ++i) {
                State& state = state_[i];
                state.pending += arrivals(rate * state.share * kTurn);
                if (!looks) continue;
                auto events = static_cast<std::uint64_t>(state.pending);
                auto bytes = static_cast<std::uint64_t>(static_cast<double>(events) * event_bytes);
                state.pending = 0;
                state.is_known = state.is_known || events > 0;
                if (!state.is_known) continue;
                state.rates.add({events, bytes}, std::chrono::seconds(1));
                is_urgent = is_urgent || is_overloaded(profile_, policy_.type, policy_.target_rate, state.rates.now());
            }
            if (is_urgent || turns_ % kTurnsToMerge == 0) act();
        }
    }
    void set_hot_keys(std::vector<HotKey> keys) {
        hot_keys = std::move(keys);
        state_.resize(epoch.segments.size());
        for (std::size_t i = 0; i < state_.size(); ++i) state_[i].share = share_of(epoch.segments[i]);
    }
    std::size_t count() const { return epoch.segments.size(); }
    std::size_t epochs_since(double seconds) const {
        return static_cast<std::size_t>(std::ranges::count_if(
            epochs, [&](const ScalingEvent& e) { return e.when_ms > static_cast<std::int64_t>(seconds * 1000); }));
    }

    double event_bytes = 100;
    bool chance = true;  // arrivals vary as independent events do
    double now = 1000;
    Epoch epoch;
    std::vector<ScalingEvent> epochs;
    std::size_t most = 0;  // segments at any time

  private:
    struct State {
        container::DecayedRates rates;
        bool is_known = false;
        double made = 0;
        double pending = 0;
        double inherited = 0;
        double share = 0;
    };

    double share_of(const SegmentRange& segment) const {
        double rest = 1;
        double share = 0;
        for (const HotKey& hot : hot_keys) {
            rest -= hot.share;
            if (hot.key >= segment.min_key && hot.key < segment.max_key) share += hot.share;
        }
        return share + rest * (segment.max_key - segment.min_key);
    }
    double arrivals(double expected) {
        if (!chance) return expected;
        if (expected <= 0) return 0;
        if (expected < 20) return static_cast<double>(std::poisson_distribution<std::int64_t>(expected)(random_));
        return std::max(0.0, std::round(std::normal_distribution<>(expected, std::sqrt(expected))(random_)));
    }
    void act() {
        StreamLoad stream;
        stream.policy = policy_;
        stream.now_ms = static_cast<std::int64_t>(now * 1000);
        stream.observed = std::chrono::hours(24);
        stream.last_changes = epochs;
        for (std::size_t i = 0; i < state_.size(); ++i) {
            const State& state = state_[i];
            SegmentLoad load;
            load.range = epoch.segments[i];
            load.age = std::chrono::milliseconds(static_cast<std::int64_t>((now - state.made) * 1000));
            if (state.is_known) load.rates = state.rates.now();
            load.inherited = state.inherited;
            stream.segments.push_back(load);
        }
        auto decision = decide(profile_, stream);
        if (decision) apply(*decision);
        most = std::max(most, count());
    }
    void apply(const ScalingDecision& decision) {
        std::vector<StreamSegmentId> replaced = decision.replaced;
        std::ranges::sort(replaced);
        std::vector<KeyRange> ranges;
        for (const Part& made : decision.made) ranges.push_back(made.range);
        EpochChange change = replacing(epoch, replaced, ranges, last_number_, static_cast<std::int64_t>(now * 1000));
        std::vector<State> after;
        for (const SegmentRange& segment : change.after.segments) {
            auto before = std::ranges::find(epoch.segments, segment.id, &SegmentRange::id);
            if (before != epoch.segments.end()) {
                after.push_back(state_[static_cast<std::size_t>(before - epoch.segments.begin())]);
                continue;
            }
            last_number_ = std::max(last_number_, number_of(segment.id));
            State& state = after.emplace_back();
            state.made = now;
            state.share = share_of(segment);
            auto made = std::ranges::find(decision.made, segment.min_key, [](const Part& m) { return m.range.from; });
            state.inherited = made->inherited;
        }
        epoch = change.after;
        state_ = std::move(after);
        epochs.push_back({epoch.creation_ms, epoch.splits > change.before.splits, epoch.merges > change.before.merges});
    }

    static constexpr std::uint64_t kTurnsToMerge = 10;

    std::vector<HotKey> hot_keys;
    ScalingProfile profile_;
    ScalingPolicy policy_;
    std::mt19937_64 random_;
    std::vector<State> state_;  // of the epoch's segments, in their order
    std::int32_t last_number_ = 1'000;
    std::uint64_t turns_ = 0;
};

}  // namespace millrace::controller
