// Scaling: segments of a stream are replaced by others of the same keys: split, merged, or both. The intent in the
// stream's record says which and by what; epoch_change.h says how it is carried on. Executor thread only.
#pragma once

#include <optional>

#include "controller/epoch_change.h"
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
    Async<ScaleProgress> progress(StreamName name, std::int32_t epoch);  // of the scale that ended the epoch

  private:
    Async<std::optional<EpochChange>> under_way(StreamName name, const ScaleRequest& request);

    Context& context_;
    Streams& streams_;
};

// From the intent to the settled stream, with the stream's lock held.
Async<> carry_on_scaling(Context& context, StreamName name, Stored<StreamRecord> stream);

}  // namespace millrace::controller
