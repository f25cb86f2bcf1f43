// Cuts compared, and the bounds of several: pure functions of lines that cover all keys. Of valid cuts the bounds are
// valid cuts too: before, within or behind a segment is a line at all keys of it or at none.
#pragma once

#include "controller/stream_cut.h"

namespace millrace::controller {

enum class CutOrder : std::uint8_t { kBefore, kEqual, kAfter, kOverlaps };  // overlaps: here before, there after

CutOrder order_of(const CutLine& a, const CutLine& b);
StreamCut earlier_of(const CutLine& a, const CutLine& b);  // at each key the earlier of the two
StreamCut later_of(const CutLine& a, const CutLine& b);

// What a cut is behind of another one, in segments and bytes: all of `segment` from `begin` to `end`. kToItsEnd: the
// length at which it was sealed.
struct Stretch {
    static constexpr std::int64_t kToItsEnd = -1;
    StreamSegmentId segment;
    std::int64_t begin = 0;
    std::int64_t end = 0;
    bool operator==(const Stretch&) const = default;
};
// `epochs`: of both cuts, and those between.
Result<std::vector<Stretch>> stretches_between(const StreamCut& from, const StreamCut& to,
                                               std::span<const Epoch> epochs);

}  // namespace millrace::controller
