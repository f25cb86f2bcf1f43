// AutoScaler: looks at the traffic of segments, and scales the streams whose policies say so. What to do is decided by
// scaling_policy.h; here is when, and from which facts.
//
// Overload is looked for at every turn, in the traffic alone: metadata is read only of streams that have an overloaded
// segment. Merges are looked for more seldom, and among the streams that have more segments than their least
// (context.h, `wide_streams`). So the cost follows the active segments and the streams that have scaled.
//
// What decisions need of the past (epochs, hot keys) is in records, so another process goes on where one ended; rates
// begin anew. A failure is logged, and tried again at a later turn.
//
// Thread rule: the controller's executor. Life cycle: start() after the controller's recovery, stop(); what is under
// way then ends as background work of the context.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include <absl/container/flat_hash_map.h>

#include "controller/scaling.h"
#include "controller/scaling_policy.h"
#include "store/traffic_api.h"

namespace millrace::controller {

class AutoScaler {
  public:
    static constexpr std::chrono::milliseconds kTurn{500};
    static constexpr int kTurnsToMerge = 10;
    static constexpr std::int32_t kHistory = 64;  // epochs that are looked back

    AutoScaler(Context& context, Scaling& scaling, store::TrafficApi& traffic, ScalingProfile profile)
        : context_(context), scaling_(scaling), traffic_(traffic), profile_(profile) {}

    void start();
    void stop();
    const AutoScalingStats& stats() const { return stats_; }

  private:
    using Rates = std::map<StreamSegmentId, container::TrafficRates>;

    // What was read of a stream, good as long as the stream's record says the same epoch.
    struct Known {
        std::int32_t epoch_number = -1;
        Epoch epoch;
        std::map<std::int32_t, std::int64_t> made_ms;  // by epoch, of those that are looked back
        std::vector<ScalingEvent> changes;
        AutoscaleRecord record;
    };
    // The streams that have an overloaded segment, and, in a turn that looks for merges, those with more than the
    // least.
    struct Look {
        std::map<StreamName, Rates> streams;
    };

    void arm();
    Async<> turn();
    Async<> remember_wide_streams();
    Async<Look> look(bool for_merges);
    Async<> consider(StreamName name, Rates rates);
    Async<> read(StreamName name, std::int32_t current);
    StreamLoad load_of(const Known& known, const StreamConfig& config, const Rates& rates) const;
    Async<> act(StreamName name, std::int32_t epoch, ScalingDecision decision);

    Context& context_;
    Scaling& scaling_;
    store::TrafficApi& traffic_;
    const ScalingProfile profile_;
    std::chrono::steady_clock::time_point since_;
    runtime::TimerId timer_;
    bool stopped_ = false;
    bool remembered_ = false;
    int turns_ = 0;
    std::map<StreamName, Known> known_;
    std::set<StreamName> acting_;
    AutoScalingStats stats_;
};

}  // namespace millrace::controller
