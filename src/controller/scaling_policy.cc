#include "controller/scaling_policy.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include <fmt/format.h>

namespace millrace::controller {

namespace {

using namespace std::chrono_literals;
using container::TrafficRates;
using container::TrafficWindow;
using std::chrono::milliseconds;

// ---- profile fast ----

constexpr double kFill = 0.75;      // of the target, that a part of a split gets
constexpr double kStepAbove = 1.5;  // times the target, in each of the last looks
constexpr double kTenSecondsAbove = 1.3;
constexpr double kOneMinuteAbove = 1.15;  // beside that
constexpr double kOneMinuteAlone = 1.3;
constexpr double kTenMinutesAbove = 1.1;
constexpr double kBelow = 0.4;  // of the target, that neighbours may have together to become one
constexpr std::size_t kMostParts = 64;
constexpr double kUndivided = 0.7;      // of the load of what it comes from
constexpr double kGrown = 2;            // times that
constexpr double kMoreThanShare = 1.5;  // times its share of the stream's load, by width
constexpr double kFewKeys = 4;          // times its share
constexpr double kLeastWidth = 1.0 / (1 << 20);
constexpr milliseconds kWarmUp = 5s;  // writers that come back after a restart catch up

// By the number of merges that turned out to be a mistake.
struct Patience {
    milliseconds quiet;
    TrafficWindow longest;
};
constexpr std::array kPatience = {Patience{90s, container::kOneMinute}, Patience{3min, container::kTwoMinutes},
                                  Patience{6min, container::kFiveMinutes}, Patience{12min, container::kTenMinutes},
                                  Patience{24min, container::kTwentyMinutes}};
constexpr milliseconds kMistakeWithin = 30min;
constexpr milliseconds kRemembered = 6h;

// ---- profile pravega ----

constexpr milliseconds kCooldown = 10min;
constexpr milliseconds kOldEnoughToMerge = 20min;

double unit_of(ScalingType type) { return type == ScalingType::kByKilobytes ? 1024.0 : 1.0; }

// A segment's rates in the policy's unit, with what chance may have added.
class Rates {
  public:
    Rates(ScalingType type, const TrafficRates& rates)
        : all_(rates), by_bytes_(type == ScalingType::kByKilobytes), unit_(unit_of(type)) {}

    double over(TrafficWindow window) const { return (by_bytes_ ? all_.bytes[window] : all_.events[window]) / unit_; }
    // Without what chance may have added: events that come by themselves vary by the root of their number.
    double surely(TrafficWindow window) const {
        double seconds = std::min(container::kTrafficWindowSeconds[window], age_seconds());
        return without_chance(over(window), all_.events[window] * 2 * seconds);
    }
    double surely_in_each_look() const {
        double least = recent(0);
        for (std::size_t i = 0; i < container::kTrafficLooks; ++i)
            least = std::min(least, without_chance(recent(i), all_.recent_events[i]));
        return least;
    }
    double last_two_looks() const { return (recent(0) + recent(1)) / 2; }
    double highest(TrafficWindow up_to) const {
        double most = 0;
        for (std::uint8_t w = 0; w <= up_to; ++w) most = std::max(most, over(static_cast<TrafficWindow>(w)));
        return most;
    }
    double age_seconds() const { return std::chrono::duration<double>(all_.age).count(); }

  private:
    double recent(std::size_t i) const { return (by_bytes_ ? all_.recent_bytes[i] : all_.recent_events[i]) / unit_; }
    static double without_chance(double rate, double events) {
        return events <= 0 ? 0 : std::max(0.0, rate * (1 - 2 / std::sqrt(events)));
    }

    const TrafficRates& all_;
    bool by_bytes_;
    double unit_;
};

// What an overloaded segment has; 0: it is none.
double overload(const Rates& rates, double target) {
    if (rates.surely_in_each_look() > kStepAbove * target)
        return std::max(rates.last_two_looks(), rates.over(container::kTenSeconds));
    bool is_high = rates.surely(container::kTenSeconds) > kTenSecondsAbove * target &&
                   rates.surely(container::kOneMinute) > kOneMinuteAbove * target && rates.age_seconds() >= 120;
    if (is_high) return rates.over(container::kTenSeconds);
    bool stays_high = rates.surely(container::kOneMinute) > kOneMinuteAlone * target && rates.age_seconds() >= 60;
    if (stays_high) return rates.over(container::kOneMinute);
    bool is_too_high_for_long =
        rates.surely(container::kTenMinutes) > kTenMinutesAbove * target && rates.age_seconds() >= 600;
    return is_too_high_for_long ? rates.over(container::kTenMinutes) : 0;
}

double now_of(ScalingType type, const SegmentLoad& load) {
    if (!load.rates) return 0;
    Rates rates(type, *load.rates);
    return std::max(rates.over(container::kTenSeconds), rates.last_two_looks());
}

// Of one split.
std::size_t most_parts(const ScalingPolicy& policy) {
    return static_cast<std::size_t>(std::max(2, policy.scale_factor));
}

void add_parts(const SegmentRange& range, std::size_t parts, double inherited, std::vector<Part>& made) {
    double width = (range.max_key - range.min_key) / static_cast<double>(parts);
    double from = range.min_key;
    for (std::size_t i = 1; i <= parts; ++i) {
        double to = i == parts ? range.max_key : range.min_key + static_cast<double>(i) * width;
        made.push_back({{from, to}, inherited});
        from = to;
    }
}

bool can_be_split(const SegmentRange& range, std::size_t parts) {
    return range.max_key - range.min_key >= static_cast<double>(parts) * kLeastWidth;
}

std::optional<ScalingDecision> splits(const StreamLoad& stream) {
    if (stream.observed < kWarmUp) return std::nullopt;
    auto target = static_cast<double>(stream.policy.target_rate);
    double total = 0;
    for (const SegmentLoad& load : stream.segments) total += now_of(stream.policy.type, load);
    ScalingDecision decision;
    std::size_t count = stream.segments.size();
    double highest = 0;
    auto consider = [&](const SegmentLoad& load, double rate) {
        double width = load.range.max_key - load.range.min_key;
        double shares = total > 0 ? now_of(stream.policy.type, load) / total / width : 1;
        bool is_hot_key = load.inherited > 0 && rate >= kUndivided * load.inherited && rate < kGrown * load.inherited &&
                          shares >= kMoreThanShare;
        if (is_hot_key) return;
        auto needed = static_cast<std::size_t>(std::min(std::ceil(rate / (kFill * target)), 1e6));
        std::size_t parts = shares >= kFewKeys ? 2 : std::clamp<std::size_t>(needed, 2, kMostParts);
        if (count + parts - 1 > kMostByLoad || !can_be_split(load.range, parts)) return;
        count += parts - 1;
        highest = std::max(highest, rate);
        decision.replaced.push_back(load.range.id);
        add_parts(load.range, parts, rate, decision.made);
    };
    for (const SegmentLoad& load : stream.segments) {
        if (!load.rates) continue;
        double rate = overload(Rates(stream.policy.type, *load.rates), target);
        if (rate > 0) consider(load, rate);
    }
    if (decision.replaced.empty()) return std::nullopt;
    // Those that would follow in a moment come along: one new epoch instead of many.
    std::vector<StreamSegmentId> overloaded = decision.replaced;
    for (const SegmentLoad& load : stream.segments) {
        if (!load.rates || std::ranges::find(overloaded, load.range.id) != overloaded.end()) continue;
        Rates rates(stream.policy.type, *load.rates);
        double rate = std::min(rates.over(container::kTenSeconds), rates.last_two_looks());
        if (rate > target) consider(load, rate);
    }
    decision.reason = fmt::format("{:.4g} of {} in one segment", highest, stream.policy.target_rate);
    return decision;
}

// Merges that a split followed soon.
std::size_t mistakes(const StreamLoad& stream) {
    std::size_t mistakes = 0;
    std::optional<std::int64_t> merged_ms;
    for (const ScalingEvent& event : stream.last_changes) {
        if (stream.now_ms - event.when_ms > kRemembered.count()) continue;
        if (event.splits) {
            if (merged_ms && event.when_ms - *merged_ms <= kMistakeWithin.count()) ++mistakes;
            merged_ms.reset();
        }
        if (event.merges) merged_ms = event.when_ms;
    }
    return mistakes;
}

std::size_t room_below(const StreamLoad& stream) {
    auto least = static_cast<std::size_t>(std::max(stream.policy.min_segments, 1));
    return stream.segments.size() > least ? stream.segments.size() - least : 0;
}

void merge(std::span<const SegmentLoad> together, ScalingDecision& decision) {
    for (const SegmentLoad& load : together) decision.replaced.push_back(load.range.id);
    decision.made.push_back({{together.front().range.min_key, together.back().range.max_key}, 0});
}

std::optional<ScalingDecision> merges(const StreamLoad& stream) {
    std::size_t room = room_below(stream);
    if (room == 0) return std::nullopt;
    const Patience& patience = kPatience[std::min(mistakes(stream), kPatience.size() - 1)];
    std::int64_t changed_ms = stream.last_changes.empty() ? 0 : stream.last_changes.back().when_ms;
    bool quiet = stream.observed >= patience.quiet && stream.now_ms - changed_ms >= patience.quiet.count();
    if (!quiet) return std::nullopt;
    double allowed = kBelow * static_cast<double>(stream.policy.target_rate);
    auto rate_of = [&](const SegmentLoad& load) {
        return load.rates ? Rates(stream.policy.type, *load.rates).highest(patience.longest) : 0;
    };
    ScalingDecision decision;
    std::span<const SegmentLoad> segments(stream.segments);
    for (std::size_t i = 0; i + 1 < segments.size() && decision.made.size() < room;) {
        bool together = rate_of(segments[i]) + rate_of(segments[i + 1]) <= allowed;
        if (together) merge(segments.subspan(i, 2), decision);
        i += together ? 2 : 1;
    }
    if (decision.made.empty()) return std::nullopt;
    decision.reason = fmt::format("less than {:.4g} of {} in two neighbours", allowed, stream.policy.target_rate);
    return decision;
}

// ---- profile pravega ----

bool is_busy(const Rates& rates, double target, milliseconds age) {
    if (age <= kCooldown) return false;
    return rates.over(container::kTwoMinutes) > 5 * target || rates.over(container::kFiveMinutes) > 2 * target ||
           rates.over(container::kTenMinutes) > target;
}

std::optional<ScalingDecision> splits_as_pravega(const StreamLoad& stream) {
    auto target = static_cast<double>(stream.policy.target_rate);
    ScalingDecision decision;
    for (const SegmentLoad& load : stream.segments) {
        if (!load.rates) continue;
        Rates rates(stream.policy.type, *load.rates);
        if (!is_busy(rates, target, std::min(load.age, load.rates->age))) continue;
        double highest = std::max({rates.over(container::kTwoMinutes), rates.over(container::kFiveMinutes),
                                   rates.over(container::kTenMinutes)});
        auto needed = static_cast<std::size_t>(std::min(highest / target, 1e6));
        std::size_t parts = std::clamp<std::size_t>(needed, 2, most_parts(stream.policy));
        bool too_many = stream.segments.size() + decision.made.size() + parts > kMostByLoad;
        if (too_many || !can_be_split(load.range, parts)) continue;
        decision.replaced.push_back(load.range.id);
        add_parts(load.range, parts, highest, decision.made);
    }
    if (decision.replaced.empty()) return std::nullopt;
    decision.reason = fmt::format("over {} for minutes", stream.policy.target_rate);
    return decision;
}

std::optional<ScalingDecision> merges_as_pravega(const StreamLoad& stream) {
    std::size_t room = room_below(stream);
    if (room == 0 || stream.observed <= kOldEnoughToMerge) return std::nullopt;
    auto target = static_cast<double>(stream.policy.target_rate);
    auto is_cold = [&](const SegmentLoad& load) {
        if (load.age <= kOldEnoughToMerge) return false;
        if (!load.rates) return true;
        Rates rates(stream.policy.type, *load.rates);
        return rates.over(container::kTwoMinutes) < target && rates.over(container::kFiveMinutes) < target &&
               rates.over(container::kTenMinutes) < target && rates.over(container::kTwentyMinutes) < target / 2;
    };
    std::span<const SegmentLoad> segments(stream.segments);
    for (std::size_t i = 0; i + 1 < segments.size(); ++i) {
        if (!is_cold(segments[i]) || !is_cold(segments[i + 1])) continue;
        bool three = room >= 2 && i + 2 < segments.size() && is_cold(segments[i + 2]);
        ScalingDecision decision;
        merge(segments.subspan(i, three ? 3 : 2), decision);
        decision.reason = fmt::format("less than half of {} for 20 minutes", stream.policy.target_rate);
        return decision;
    }
    return std::nullopt;
}

}  // namespace

std::optional<ScalingDecision> decide(ScalingProfile profile, const StreamLoad& stream) {
    if (stream.policy.type == ScalingType::kFixed || stream.policy.target_rate <= 0) return std::nullopt;
    bool as_pravega = profile == ScalingProfile::kPravega;
    auto split = as_pravega ? splits_as_pravega(stream) : splits(stream);
    if (split) return split;
    return as_pravega ? merges_as_pravega(stream) : merges(stream);
}

bool is_overloaded(ScalingProfile profile, ScalingType type, std::int64_t target_rate, const TrafficRates& rates) {
    if (type == ScalingType::kFixed || target_rate <= 0) return false;
    Rates measured(type, rates);
    auto target = static_cast<double>(target_rate);
    if (profile == ScalingProfile::kPravega) return is_busy(measured, target, rates.age);
    return overload(measured, target) > 0;
}

}  // namespace millrace::controller
