#include "controller/retention_rule.h"

#include <algorithm>
#include <limits>

namespace millrace::controller {

namespace {

constexpr std::int64_t kParts = 64;

using Where = RetentionChoice::Where;
using Why = RetentionChoice::Why;

class Chooser {
  public:
    explicit Chooser(const RetentionView& view) : view_(view), most_(most_of(view.policy)) {
        for (std::size_t i = 0; i < view.points.size(); ++i) {
            std::int64_t kept = keeps(i);
            if (kept < view.policy.param) continue;
            if (!least_ || kept < keeps(*least_)) least_ = i;
            if (kept <= most_ && (!max_ || kept > keeps(*max_))) max_ = i;
        }
        if (!max_) max_ = least_;
    }

    RetentionChoice choose() const {
        bool by_size = view_.policy.type == RetentionType::kSize;
        if (!view_.bound_keeps) return least_ ? at(*least_, Why::kLeast) : RetentionChoice();
        return by_size ? by_size_with_bound(*view_.bound_keeps) : by_time_with_bound();
    }

  private:
    std::int64_t keeps(std::size_t i) const {
        const RetentionPoint& point = view_.points[i];
        return view_.policy.type == RetentionType::kSize ? point.kept_bytes : view_.now_ms - point.time_ms;
    }
    CutOrder order(std::size_t i) const { return view_.points[i].to_bound; }
    static RetentionChoice at(std::size_t i, Why why) { return {Where::kPoint, why, i}; }
    static RetentionChoice at_bound() { return {Where::kBound, Why::kBound, 0}; }

    RetentionChoice before_bound() const {
        for (std::size_t i = view_.points.size(); i-- > 0;) {
            if (order(i) == CutOrder::kBefore) return at(i, Why::kBeforeBound);
        }
        return {Where::kNowhere, Why::kNoneBefore, 0};
    }

    RetentionChoice by_size_with_bound(std::int64_t bound_keeps) const {
        if (bound_keeps < view_.policy.param) {
            if (!least_) return {};
            return order(*least_) == CutOrder::kBefore ? at(*least_, Why::kLeast) : before_bound();
        }
        bool lagging = bound_keeps >= most_ && max_ && keeps(*max_) < bound_keeps;
        return lagging ? at(*max_, Why::kMost) : at_bound();
    }

    RetentionChoice by_time_with_bound() const {
        if (!least_) return {};
        if (order(*least_) == CutOrder::kBefore) return at(*least_, Why::kLeast);
        if (order(*least_) == CutOrder::kOverlaps) return before_bound();
        std::optional<std::size_t> too_old;  // the newest of those
        for (std::size_t i = 0; i < view_.points.size(); ++i) {
            if (keeps(i) >= most_) too_old = i;
        }
        if (!too_old || order(*too_old) == CutOrder::kBefore || order(*too_old) == CutOrder::kEqual) return at_bound();
        return at(order(*too_old) == CutOrder::kAfter ? *max_ : *too_old, Why::kMost);
    }

    const RetentionView& view_;
    const std::int64_t most_;
    std::optional<std::size_t> least_;  // keeps the least of those that keep enough
    std::optional<std::size_t> max_;    // keeps the most of those that keep enough and not too much
};

}  // namespace

RetentionChoice choose(const RetentionView& view) { return Chooser(view).choose(); }

std::string_view to_text(RetentionChoice::Why why) {
    switch (why) {
        case Why::kTooLittle:
            return "there is not yet more than the policy keeps";
        case Why::kLeast:
            return "what the policy keeps is behind it";
        case Why::kBound:
            return "all subscribers have read up to there";
        case Why::kBeforeBound:
            return "no subscriber has read less";
        case Why::kNoneBefore:
            return "a subscriber has read less than the first cut that was noted";
        case Why::kMost:
            return "subscribers are behind the most that is kept for them, and lose what is before it";
    }
    return "";
}

std::int64_t most_of(const RetentionPolicy& policy) {
    if (policy.max <= 0) return std::numeric_limits<std::int64_t>::max();
    return std::max(policy.max, policy.param);
}

bool is_worth_noting(const RetentionPolicy& policy, std::int64_t ms_since_last, std::int64_t bytes_since_last) {
    if (bytes_since_last <= 0) return false;
    return (policy.type == RetentionType::kSize ? bytes_since_last : ms_since_last) >= policy.param / kParts;
}

std::vector<std::size_t> superfluous(std::size_t count, std::size_t limit) {
    std::vector<std::size_t> indices;
    for (std::size_t i = 1; count > limit && i + 1 < count; i += 2) indices.push_back(i);
    return indices;
}

}  // namespace millrace::controller
