// Traffic of segments: exponentially decayed rates of events and bytes over 10 s to 20 min, and what the last looks
// saw. Costs nothing per event: a segment counts its events and bytes anyway, and a timer looks at the counters of
// those that had traffic, every second.
//
//   DecayedRates rates;
//   rates.add({.events = 500, .bytes = 50'000}, 1s);   // what came in the last second
//   rates.now().events[kTenSeconds];                   // 500 per second
//
// A rate is the average since the beginning, weighted by e^(-age / window): after a step it has gone two thirds of the
// way within one window, and a segment that has just begun shows what it does now, not a ramp from nothing.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "runtime/executor.h"

namespace millrace::container {

class Segment;

enum TrafficWindow : std::uint8_t {
    kTenSeconds,
    kOneMinute,
    kTwoMinutes,
    kFiveMinutes,
    kTenMinutes,
    kTwentyMinutes,
    kTrafficWindows
};
inline constexpr std::array<double, kTrafficWindows> kTrafficWindowSeconds = {10, 60, 120, 300, 600, 1200};
inline constexpr std::size_t kTrafficLooks = 3;  // that are told one by one

struct TrafficCount {
    std::uint64_t events = 0;
    std::uint64_t bytes = 0;
};

struct TrafficRates {
    std::array<double, kTrafficWindows> events{};  // per second, by TrafficWindow
    std::array<double, kTrafficWindows> bytes{};
    // Per second, between the last looks, the newest first. A burst shows in one of them, a step in all.
    std::array<double, kTrafficLooks> recent_events{};
    std::array<double, kTrafficLooks> recent_bytes{};
    std::chrono::milliseconds age{};  // how long it was looked at: a window is meaningful when it is older
};

class DecayedRates {
  public:
    void add(TrafficCount count, std::chrono::steady_clock::duration elapsed);
    TrafficRates now() const;
    bool faded() const;  // so long without traffic that there is nothing left to tell

  private:
    std::array<double, kTrafficWindows> events_{};
    std::array<double, kTrafficWindows> bytes_{};
    std::array<double, kTrafficLooks> recent_events_{};
    std::array<double, kTrafficLooks> recent_bytes_{};
    std::array<double, kTrafficWindows>
        weights_{};  // of what was seen so far, below 1 while it is younger than the window
    std::chrono::steady_clock::duration age_{};
    std::chrono::steady_clock::duration silent_{};
};

// What a scaling decision needs to know of a segment.
struct SegmentTraffic {
    std::string segment;
    TrafficRates rates;
    std::int64_t scale_type = 0;  // as in CreateOptions; 0: it does not scale
    std::int64_t target_rate = 0;
};

// Of a segment that is looked at.
struct MeteredSegment {
    DecayedRates rates;
    TrafficCount seen;
    std::uint64_t merged_events = 0;  // the segment's own counter leaves them out
    std::chrono::steady_clock::time_point when;
    std::size_t position = 0;
};

// The segments of one container that had traffic within the last hour. Thread rule: the container's executor. The timer
// runs while there are any; a turn of it looks at a bounded number of them.
class TrafficMeter {
  public:
    static constexpr std::chrono::milliseconds kInterval{1000};
    static constexpr std::size_t kSegmentsPerTurn = 4096;

    explicit TrafficMeter(runtime::Executor& executor) : executor_(executor) {}

    // Before the counters move.
    void appending(Segment& segment);
    void merging(Segment& target, const Segment& source);
    void gone(Segment& segment);
    void stop();

    std::vector<SegmentTraffic> all() const;      // those without a mention had none
    std::vector<SegmentTraffic> scaling() const;  // those of them whose scale type is not 0
    std::size_t size() const { return segments_.size(); }

  private:
    static bool metered(const Segment& segment);
    void begin(Segment& segment);
    void arm();
    void turn();
    void look_at(Segment& segment, std::chrono::steady_clock::time_point now);
    std::vector<SegmentTraffic> those(bool scaling_only) const;

    runtime::Executor& executor_;
    std::vector<Segment*> segments_;
    std::size_t next_ = 0;  // to be looked at
    runtime::TimerId timer_;
    bool stopped_ = false;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // the timer may outlive the container
};

}  // namespace millrace::container
