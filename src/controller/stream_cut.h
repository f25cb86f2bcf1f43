// The algebra of stream cuts and epochs: pure functions of values.
//
// A cut gives offsets by segment. Drawn over the key space it is a line: at every key it is within one segment, or just
// before one that was not reached yet. Segments that overlap in keys follow each other in time, in the order of their
// ids; so at every key a segment lies behind the line, on it, or ahead of it. A cut is valid when the line covers all
// keys and no segment is behind it at one key and ahead of it at another: everything behind was read to its end,
// nothing ahead was begun.
#pragma once

#include <span>
#include <vector>

#include "base/error.h"
#include "controller/types.h"

namespace millrace::controller {

struct CutEntry {
    SegmentRange segment;
    std::int64_t offset = 0;  // negative: not reached
};

class CutLine {
  public:
    struct Piece {
        double from = 0;
        double to = 0;
        StreamSegmentId segment;
        std::int64_t offset = 0;  // kNotReached: the line is just before the segment
    };
    enum class Side { kBehind, kOn, kAhead, kAcross };

    // kInvalidArgument: two entries with offsets overlap, or one that is not reached comes before one that is.
    static Result<CutLine> through(std::vector<CutEntry> entries);
    static CutLine at_start_of(const Epoch& epoch);

    bool is_whole() const;  // covers every key
    const std::vector<Piece>& pieces() const { return pieces_; }
    // At all keys of the segment; kAhead and kBehind where the line has no piece is decided by the rest. kOn: the line
    // is within it.
    Side side_of(const SegmentRange& segment) const;
    bool is_at_or_after(const CutLine& other) const;  // at every key that both cover

  private:
    std::vector<Piece> pieces_;
};

// `epochs` are consecutive. What a cut needs: those from the lowest to the highest creation epoch of its segments.
struct EpochSpan {
    std::int32_t first = 0;
    std::int32_t last = 0;
};
EpochSpan epochs_of(const StreamCut& cut);  // cut not empty

// kNotFound: a segment that is not in the epoch that made it.
Result<std::vector<CutEntry>> locate(const StreamCut& cut, std::span<const Epoch> epochs);
Result<CutLine> line_of(const StreamCut& cut, std::span<const Epoch> epochs);
bool is_valid(const CutLine& line, const StreamCut& cut, std::span<const Epoch> epochs);

// Segments of the epochs that are on or behind `to` and not behind `from`, ascending.
std::vector<SegmentRange> segments_between(const CutLine& from, const CutLine& to, std::span<const Epoch> epochs);
// Segments that moving the head from `from` to the cut leaves wholly behind, ascending.
std::vector<StreamSegmentId> segments_left_behind(const CutLine& from, const CutLine& to, const StreamCut& cut,
                                                  std::span<const Epoch> epochs);

// n ranges of the same size; number and epoch of the first; the last ends at exactly 1.
std::vector<SegmentRange> equal_ranges(std::int32_t n, std::int32_t first_number, std::int32_t epoch);
Epoch first_epoch(std::vector<SegmentRange> segments, std::int64_t creation_ms);
Epoch next_epoch(const Epoch& before, std::vector<SegmentRange> segments, std::int64_t creation_ms);
// Those of `after` that follow a segment of `before`, each with all that it follows.
std::vector<Successor> successors_of(StreamSegmentId segment, const Epoch& before, const Epoch& after);

}  // namespace millrace::controller
