#include "container/scan_pacer.h"

#include <algorithm>

namespace millrace::container {

using namespace std::chrono;

milliseconds ScanPacer::wait(TimePoint now) const {
    if (!pressed(now)) return {};
    TimePoint free_at{TimePoint::duration(paid_at_.load())};
    return free_at <= now ? milliseconds(0) : std::min(ceil<milliseconds>(free_at - now), options_.wait_max);
}

void ScanPacer::took(std::uint64_t bytes, TimePoint now) {
    if (options_.bytes_per_second == 0 || !pressed(now)) return;
    duration<double> seconds(static_cast<double>(bytes) / static_cast<double>(options_.bytes_per_second));
    auto cost = duration_cast<TimePoint::duration>(seconds).count();
    // A scan that came a little late catches up.
    auto earliest = (now - options_.credit).time_since_epoch().count();
    auto before = paid_at_.load();
    while (!paid_at_.compare_exchange_weak(before, std::max(before, earliest) + cost)) {
    }
}

}  // namespace millrace::container
