// Counts HTTP requests by method and status, with their times. Wraps what serves them:
//
//   Respond counted = meter.begin(request.method, std::move(respond));
//
// Thread rule: the HTTP server's executor.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <utility>

#include "api/rest/http.h"
#include "base/clock.h"
#include "base/metrics.h"

namespace millrace::metrics {

class HttpMeter {
  public:
    explicit HttpMeter(const Clock& clock) : clock_(clock) {}

    // The answer is counted when it is given; one that never is, is not. The meter outlives it.
    rest::Respond begin(rest::Method method, rest::Respond respond);

    struct Values {
        std::map<std::pair<std::string_view, std::uint16_t>, std::uint64_t> requests;  // by method and status
        LatencyHistogram::Values latency;
    };
    Values read() const { return {requests_, latency_.read()}; }

  private:
    const Clock& clock_;
    std::map<std::pair<std::string_view, std::uint16_t>, std::uint64_t> requests_;
    LatencyHistogram latency_;
};

}  // namespace millrace::metrics
