// History: how much of what a stream was is kept. Epochs grow in number with every change of segments; those that
// nothing can ask for any more go with a truncation.
#pragma once

#include "controller/context.h"

namespace millrace::controller {

// Epochs that stay behind the oldest one that the head needs: for readers that were overtaken by a truncation and ask
// what follows the segment they were in.
inline constexpr std::int32_t kEpochsBehindHead = 100;

// Adds to the batch with which a truncation ends (`after` is the stream's record then) the removal of the oldest
// epochs, with the sealed-segment entries of what they led to. A bounded number; the next truncation takes more. Kept
// is what the head, a sample, a subscriber's cut, a transaction or the current epoch refers to, and all that is newer.
// With the stream's lock held.
Async<> fold_history(Context& context, StreamName name, StreamRecord after, Batch& batch);

}  // namespace millrace::controller
