// Readers of history do not slow writers: while appends wait for the log, all scans of history together get a
// guaranteed rate, and when they do not, all that there is. One for all containers of a process, since they share its
// disk and its cores.
//
//   pacer.appends_wait(now);                     // seen by a container, see AppendsWaiting
//   auto wait = pacer.wait(now);                 // before a scan reads on
//   pacer.took(size, now);                       // when it has
//
// Thread rule: any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace millrace::container {

struct ScanPacerOptions {
    std::uint64_t bytes_per_second = 64ULL << 20;  // guaranteed to all scans together; 0: scans are never held back
    std::chrono::milliseconds wait_max{250};       // of one read, so that many scans all get on
    std::chrono::milliseconds credit{50};          // what was not taken for so long is taken later
    std::chrono::milliseconds memory{200};         // so long after the last sign of it appends count as waiting
};

class ScanPacer {
  public:
    using TimePoint = std::chrono::steady_clock::time_point;

    explicit ScanPacer(ScanPacerOptions options = {}) : options_(options) {}

    void appends_wait(TimePoint now) { pressed_until_.store((now + options_.memory).time_since_epoch().count()); }
    bool pressed(TimePoint now) const { return now.time_since_epoch().count() < pressed_until_.load(); }

    // How long a scan waits before it reads on: until what was taken before it is paid.
    std::chrono::milliseconds wait(TimePoint now) const;
    void took(std::uint64_t bytes, TimePoint now);

  private:
    const ScanPacerOptions options_;
    std::atomic<TimePoint::rep> pressed_until_{TimePoint::min().time_since_epoch().count()};
    std::atomic<TimePoint::rep> paid_at_{TimePoint::min().time_since_epoch().count()};  // for what was taken until now
};

// Whether one container's appends wait for the log: most of its last frames had to. A burst is no sign of it, nor is a
// writer that sends little at a time.
class AppendsWaiting {
  public:
    bool frame_sent(bool waited) {
        share_ += ((waited ? 1.0 : 0.0) - share_) / kFrames;
        return share_ > 0.5;
    }

  private:
    static constexpr double kFrames = 16;
    double share_ = 0;
};

}  // namespace millrace::container
