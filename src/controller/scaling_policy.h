// The decision to scale: a pure function of a stream's traffic, policy, segments and last epochs. Who calls it, when,
// and what it does with the answer is auto_scaler.h; nothing here looks at a clock or remembers anything.
//
// Profile `fast`, the default:
// - Splits are eager. A step shows in every one of the last looks (a burst does not) and is answered at once, by as
//   many parts as the rate needs at three quarters of the target each. Less than half above the target is waited for
//   longer. Rates of few events are believed less: what chance could have made is no reason.
// - Merges are lazy. Neighbours that together have less than two fifths of the target become one, pairs at a time,
//   after a while without any change. Whenever a split follows a merge, the merge was a mistake, and that while
//   doubles: a load that goes up and down is soon served by the segments for its peak.
// - A hot key cannot be divided. A segment whose load went on undivided when what it comes from was split
//   (`inherited`), while the rest of the stream has less, is left alone until it has twice as much. A segment with
//   several times its share of the load is halved, not cut in many: few keys make it so.
// - The policy's scale factor is not looked at: with the usual factor of 2 a tenfold step would take four splits, one
//   after the other, each a change of segments for every writer and reader.
//
// Profile `pravega`: the reference's windows (2, 5, 10 and 20 minutes), no decision within 10 minutes of a segment's
// creation, at most "scale factor" parts (two, when that is less), merges of two or three neighbours.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "container/traffic.h"
#include "controller/types.h"

namespace millrace::controller {

enum class ScalingProfile : std::uint8_t { kFast, kPravega };

// More than this many segments are not made by load alone: a target that was meant otherwise shall not make thousands.
inline constexpr std::size_t kMostByLoad = 1'000;

struct SegmentLoad {
    SegmentRange range;
    std::chrono::milliseconds age{};               // since it was made
    std::optional<container::TrafficRates> rates;  // none: no traffic within the last hour
    double inherited = 0;  // rate of what it comes from when that was split, in the policy's unit; 0: not known
};

// A change of the number of segments.
struct ScalingEvent {
    std::int64_t when_ms = 0;
    bool splits = false;
    bool merges = false;
};

struct StreamLoad {
    ScalingPolicy policy;
    std::vector<SegmentLoad> segments;       // by key; they tile the key space
    std::vector<ScalingEvent> last_changes;  // ascending; some dozens are enough
    std::int64_t now_ms = 0;
    std::chrono::milliseconds observed{};  // for how long traffic is looked at at all
};

// Of what takes the place of segments.
struct Part {
    KeyRange range;
    double inherited = 0;
    bool operator==(const Part&) const = default;
};

struct ScalingDecision {
    std::vector<StreamSegmentId> replaced;
    std::vector<Part> made;
    std::string reason;
};

std::optional<ScalingDecision> decide(ScalingProfile profile, const StreamLoad& stream);

// Whether decide() could want to split a segment with such traffic: cheap, to be asked of every segment.
bool is_overloaded(ScalingProfile profile, ScalingType type, std::int64_t target_rate,
                   const container::TrafficRates& rates);

}  // namespace millrace::controller
