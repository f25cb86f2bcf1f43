#include "container/traffic.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "container/segment.h"

namespace millrace::container {
namespace {

constexpr std::chrono::hours kFadedAfter{1};  // three times the longest window: five percent are left

double seconds(std::chrono::steady_clock::duration time) { return std::chrono::duration<double>(time).count(); }

TrafficCount count_of(const Segment& segment) {
    std::uint64_t merged = segment.metered == nullptr ? 0 : segment.metered->merged_events;
    std::int64_t appended = segment.event_count == nullptr ? kNullAttribute : segment.event_count->durable;
    return {(appended == kNullAttribute ? 0 : static_cast<std::uint64_t>(appended)) + merged, segment.durable.length};
}

}  // namespace

void DecayedRates::add(TrafficCount count, std::chrono::steady_clock::duration elapsed) {
    if (elapsed <= std::chrono::steady_clock::duration::zero()) return;
    double time = seconds(elapsed);
    for (std::size_t i = 0; i < kTrafficWindowSeconds.size(); ++i) {
        double kept = std::exp(-time / kTrafficWindowSeconds[i]);
        events_[i] = events_[i] * kept + static_cast<double>(count.events) / time * (1 - kept);
        bytes_[i] = bytes_[i] * kept + static_cast<double>(count.bytes) / time * (1 - kept);
        weights_[i] = weights_[i] * kept + (1 - kept);
    }
    std::shift_right(recent_events_.begin(), recent_events_.end(), 1);
    std::shift_right(recent_bytes_.begin(), recent_bytes_.end(), 1);
    recent_events_[0] = static_cast<double>(count.events) / time;
    recent_bytes_[0] = static_cast<double>(count.bytes) / time;
    age_ += elapsed;
    silent_ = count.events == 0 && count.bytes == 0 ? silent_ + elapsed : std::chrono::steady_clock::duration::zero();
}

TrafficRates DecayedRates::now() const {
    TrafficRates rates;
    for (std::size_t i = 0; i < kTrafficWindowSeconds.size(); ++i) {
        if (weights_[i] <= 0) continue;
        rates.events[i] = events_[i] / weights_[i];
        rates.bytes[i] = bytes_[i] / weights_[i];
    }
    rates.recent_events = recent_events_;
    rates.recent_bytes = recent_bytes_;
    rates.age = std::chrono::duration_cast<std::chrono::milliseconds>(age_);
    return rates;
}

bool DecayedRates::faded() const { return silent_ >= kFadedAfter; }

bool TrafficMeter::metered(const Segment& segment) { return segment.metered != nullptr; }

void TrafficMeter::begin(Segment& segment) {
    if (stopped_) return;
    segment.metered = std::make_unique<MeteredSegment>();
    segment.metered->seen = count_of(segment);
    segment.metered->when = executor_.clock().now();
    segment.metered->position = segments_.size();
    segments_.push_back(&segment);
    arm();
}

void TrafficMeter::appending(Segment& segment) {
    if (!metered(segment)) begin(segment);
}

void TrafficMeter::merging(Segment& target, const Segment& source) {
    appending(target);
    if (metered(target)) target.metered->merged_events += count_of(source).events;
}

void TrafficMeter::gone(Segment& segment) {
    std::unique_ptr<MeteredSegment> last = std::move(segment.metered);
    if (last == nullptr) return;
    segments_[last->position] = segments_.back();
    if (segments_.back() != &segment) segments_.back()->metered->position = last->position;
    segments_.pop_back();
}

void TrafficMeter::stop() {
    stopped_ = true;
    executor_.cancel(std::exchange(timer_, {}));
}

// Many segments are taken in turns, so that none holds the core for long; each has its own time since the last look.
void TrafficMeter::arm() {
    if (stopped_ || timer_.value() != 0) return;
    auto turns = static_cast<std::int64_t>((segments_.size() + kSegmentsPerTurn - 1) / kSegmentsPerTurn);
    timer_ =
        executor_.call_after(kInterval / std::max<std::int64_t>(turns, 1), [this, alive = std::weak_ptr<bool>(alive_)] {
            if (!alive.expired()) turn();
        });
}

void TrafficMeter::turn() {
    timer_ = {};
    auto now = executor_.clock().now();
    std::size_t looks = std::min(segments_.size(), kSegmentsPerTurn);
    for (std::size_t i = 0; i < looks && !segments_.empty(); ++i) {
        if (next_ >= segments_.size()) next_ = 0;
        Segment& segment = *segments_[next_];
        look_at(segment, now);
        if (segment.metered->rates.faded())
            gone(segment);
        else
            ++next_;
    }
    if (!segments_.empty()) arm();
}

void TrafficMeter::look_at(Segment& segment, std::chrono::steady_clock::time_point now) {
    MeteredSegment& metered = *segment.metered;
    TrafficCount count = count_of(segment);
    // An event counter can be set by a client, backwards too.
    TrafficCount fresh{count.events > metered.seen.events ? count.events - metered.seen.events : 0,
                       count.bytes - metered.seen.bytes};
    metered.rates.add(fresh, now - metered.when);
    metered.seen = count;
    metered.when = now;
}

std::vector<SegmentTraffic> TrafficMeter::all() const { return those(false); }
std::vector<SegmentTraffic> TrafficMeter::scaling() const { return those(true); }

std::vector<SegmentTraffic> TrafficMeter::those(bool scaling_only) const {
    std::vector<SegmentTraffic> traffic;
    for (const Segment* segment : segments_) {
        auto policy = [&](const Uuid& id) {
            std::int64_t value = segment->durable_attribute(id);
            return value == kNullAttribute ? 0 : value;
        };
        std::int64_t scale_type = policy(kScalePolicyType);
        if (scaling_only && scale_type == 0) continue;
        traffic.push_back({segment->name, segment->metered->rates.now(), scale_type, policy(kScalePolicyRate)});
    }
    return traffic;
}

}  // namespace millrace::container
