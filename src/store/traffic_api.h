// TrafficApi: what the controller may ask about the traffic of segments. Any thread; the callback runs on the executor
// that was named.
#pragma once

#include <vector>

#include "base/error.h"
#include "container/traffic.h"
#include "runtime/executor.h"

namespace millrace::store {

class TrafficApi {
  public:
    virtual ~TrafficApi() = default;
    // The segments of a container that had traffic within the last hour. Rates are at most some seconds old.
    virtual void traffic(ContainerId container, runtime::Executor& on,
                         runtime::Callback<Result<std::vector<container::SegmentTraffic>>> done) = 0;
    // Those of them that have a scaling policy.
    virtual void scaling_traffic(ContainerId container, runtime::Executor& on,
                                 runtime::Callback<Result<std::vector<container::SegmentTraffic>>> done) = 0;
};

}  // namespace millrace::store
