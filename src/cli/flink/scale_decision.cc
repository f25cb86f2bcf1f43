#include "cli/flink/scale_decision.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace millrace::cli {
namespace {

std::uint32_t within(const ScaleRules& rules, double wanted) {
    if (!(wanted > rules.min)) return rules.min;  // no number, too
    if (wanted >= rules.max) return rules.max;
    return static_cast<std::uint32_t>(wanted);
}

std::int64_t seconds_left(std::chrono::steady_clock::duration left) {
    return std::chrono::ceil<std::chrono::seconds>(left).count();
}

}  // namespace

std::uint32_t wanted_parallelism(const ScaleRules& rules, const StreamLoad& load, std::uint32_t present) {
    auto segments = static_cast<double>(std::max<std::uint64_t>(load.segments, 1));
    if (rules.by == ScaleBy::kSegments) return within(rules, segments);
    double rate = rules.by == ScaleBy::kEvents ? load.events_per_second : load.bytes_per_second;
    double tasks = rate / rules.per_task;
    if (present > 0 && std::abs(tasks - present) <= rules.tolerance * present && present <= segments)
        return within(rules, present);
    return within(rules, std::min(std::ceil(tasks), segments));
}

Decision decide(const ScaleRules& rules, const Situation& situation) {
    std::uint32_t present = situation.present;
    if (situation.looks.empty()) return {present, "nothing was seen yet"};
    std::uint32_t wanted = situation.looks.back().parallelism;
    auto since_change =
        situation.last_change ? situation.now - *situation.last_change : std::chrono::steady_clock::duration::max();
    if (wanted == present) return {present, "as it should be"};
    if (wanted > present) {
        if (since_change < rules.cooldown_up && !situation.only_look)
            return {present, fmt::format("{} are wanted; {} s until the next change", wanted,
                                         seconds_left(rules.cooldown_up - since_change))};
        return {wanted, fmt::format("{} -> {}", present, wanted)};
    }
    if (situation.only_look) return {wanted, fmt::format("{} -> {}", present, wanted)};
    // Limits that are below what the job has are orders, no load that may come back.
    if (present > rules.max) return {rules.max, fmt::format("{} -> {}: the limit", present, rules.max)};
    if (since_change < rules.cooldown_down)
        return {present, fmt::format("{} would do; {} s until it may have fewer", wanted,
                                     seconds_left(rules.cooldown_down - since_change))};
    TimePoint begin = situation.now - rules.cooldown_down;
    if (situation.looks.front().when > begin)
        return {present, fmt::format("{} would do; watched for {} s more", wanted,
                                     seconds_left(situation.looks.front().when - begin))};
    std::uint32_t largest = wanted;
    for (const Wanted& look : situation.looks) {
        if (look.when >= begin) largest = std::max(largest, look.parallelism);
    }
    if (largest >= present)
        return {present, fmt::format("{} would do, but {} were wanted not long ago", wanted, largest)};
    return {largest, fmt::format("{} -> {}", present, largest)};
}

}  // namespace millrace::cli
