// How many subtasks a job that reads a stream should have: pure functions of what was seen.
//
// Up at once, down slowly: a larger number is taken as soon as the pause after the last change is over; a smaller one
// only when nothing larger was wanted during a whole `cooldown_down`, and then the largest that was. So a load that
// swings around a bound moves the job up once, and not back and forth.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace millrace::cli {

enum class ScaleBy : std::uint8_t {
    kSegments,  // one subtask for each segment that is open for writing
    kEvents,    // `per_task` events per second each, but no more than there are segments
    kBytes,     // the same with bytes
};

struct ScaleRules {
    ScaleBy by = ScaleBy::kSegments;
    double per_task = 0;     // events or bytes per second
    double tolerance = 0.1;  // a rate that is so near to what the present subtasks are for changes nothing
    std::uint32_t min = 1;
    std::uint32_t max = 128;
    std::chrono::milliseconds cooldown_up{30'000};
    std::chrono::milliseconds cooldown_down{300'000};
};

// Of all streams that the job reads, together.
struct StreamLoad {
    std::uint64_t segments = 0;  // 0: sealed
    double events_per_second = 0;
    double bytes_per_second = 0;
};

// Within the rules' limits.
std::uint32_t wanted_parallelism(const ScaleRules& rules, const StreamLoad& load, std::uint32_t present);

using TimePoint = std::chrono::steady_clock::time_point;

// What was wanted at one look, one after the other without gaps.
struct Wanted {
    TimePoint when;
    std::uint32_t parallelism = 0;
};

struct Situation {
    TimePoint now;
    std::uint32_t present = 0;             // parallelism that the job is asked to have
    std::optional<TimePoint> last_change;  // by us
    std::span<const Wanted> looks;         // oldest first; the last one is of now
    bool only_look = false;                // there will be no other: nothing is waited for
};

struct Decision {
    std::uint32_t target = 0;  // `present`: nothing is changed
    std::string reason;        // for the log; static while nothing changes
};

Decision decide(const ScaleRules& rules, const Situation& situation);

}  // namespace millrace::cli
