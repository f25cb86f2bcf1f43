// Where a stream is to be cut off: a pure function of its policy, of the cuts that were noted at earlier times, and of
// how far its subscribers are. The rule is Pravega 0.13's.
//
// What a cut keeps is the time since it was noted (policies by time) or the bytes behind it (by size). A policy's param
// is the least that must be kept; its max is what may be kept for the sake of subscribers that are behind.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "controller/cut_bounds.h"
#include "controller/types.h"

namespace millrace::controller {

struct RetentionPoint {
    std::int64_t time_ms = 0;               // when the cut was the stream's end
    std::int64_t kept_bytes = 0;            // behind it
    CutOrder to_bound = CutOrder::kBefore;  // in relation to the subscribers' bound; of no meaning without one
};

struct RetentionView {
    RetentionPolicy policy;
    std::int64_t now_ms = 0;
    std::vector<RetentionPoint> points;         // oldest first
    std::optional<std::int64_t> bound_keeps{};  // bytes behind the subscribers' bound; none: no subscriber holds back
};

struct RetentionChoice {
    enum class Where : std::uint8_t { kNowhere, kPoint, kBound };
    enum class Why : std::uint8_t {
        kTooLittle,    // no cut keeps as much as the policy asks for
        kLeast,        // the newest cut that does
        kBound,        // up to the subscribers
        kBeforeBound,  // the newest cut before the subscribers: at the wanted one some of them are not yet
        kNoneBefore,   // and there is none
        kMost,         // subscribers are behind what may be kept for them
    };
    Where where = Where::kNowhere;
    Why why = Why::kTooLittle;
    std::size_t point = 0;  // with kPoint: its index
};

RetentionChoice choose(const RetentionView& view);
std::string_view to_text(RetentionChoice::Why why);  // for people

// The most that may be kept, with what clients mean: 0 is not given, and less than the least is the least.
std::int64_t most_of(const RetentionPolicy& policy);

// Whether the stream's end is worth noting: nothing else than a policy's 64th part is lost by not doing so.
bool is_worth_noting(const RetentionPolicy& policy, std::int64_t ms_since_last, std::int64_t bytes_since_last);

// Which of `count` noted cuts may be forgotten, oldest first, so that at most `limit` (>= 2) remain: every other one.
// The oldest and the newest stay.
std::vector<std::size_t> superfluous(std::size_t count, std::size_t limit);

}  // namespace millrace::controller
