// Scaling: segments of a stream are replaced by others of the same keys: split, merged, or both. The intent in the
// stream's record says which and by what; epoch_change.h says how it is carried on. Executor thread only.
#pragma once

#include <optional>

#include "controller/epoch_change.h"
#include "controller/records/autoscale_record.h"
#include "controller/scaling_policy.h"
#include "controller/streams.h"

namespace millrace::controller {

// What a scale of the epoch would do, or why not. Pure. kInvalidArgument: two ranges begin at one key, or there would
// be more segments than a stream can have.
struct ScaleCheck {
    ScaleStatus status = ScaleStatus::kStarted;
    ScaleIntent intent;  // with kStarted
};
Result<ScaleCheck> check_scale(const Epoch& current, std::int32_t min_segments, const ScaleRequest& request);

class Scaling {
  public:
    Scaling(Context& context, Streams& streams) : context_(context), streams_(streams) {}

    // kStarted: it will happen, whatever becomes of this process; mostly it has happened already.
    Async<ScaleResult> scale(StreamName name, ScaleRequest request);
    // False: the stream is not as it was when that was decided.
    Async<bool> scale_by_load(StreamName name, std::int32_t epoch, ScalingDecision decision);
    Async<ScaleProgress> progress(StreamName name, std::int32_t epoch);  // of the scale that ended the epoch

  private:
    using Inherited = std::map<std::int32_t, double>;  // as in AutoscaleRecord

    Async<EpochChange> begin(StreamName name, Stored<StreamRecord> stream, Epoch current, ScaleIntent intent,
                             Inherited inherited);
    Async<std::optional<EpochChange>> under_way(StreamName name, const ScaleRequest& request);

    Context& context_;
    Streams& streams_;
};

// Into the batch that begins a change of a stream: whether it is to be looked at for merges afterwards, with these
// settings and segments; `added` are new entries of the record.
Async<> note_width(Context& context, StreamName name, ScalingPolicy policy, std::vector<SegmentRange> segments,
                   std::map<std::int32_t, double> added, Batch& batch);

// From the intent to the settled stream, with the stream's lock held.
Async<> carry_on_scaling(Context& context, StreamName name, Stored<StreamRecord> stream);

}  // namespace millrace::controller
