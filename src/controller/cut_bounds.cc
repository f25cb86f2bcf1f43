#include "controller/cut_bounds.h"

#include <algorithm>

namespace millrace::controller {

namespace {

// Calls visit(piece of a, piece of b) for each range of keys in which both are one piece.
template <typename Visit>
void walk(const CutLine& a, const CutLine& b, Visit visit) {
    auto left = a.pieces().begin();
    auto right = b.pieces().begin();
    while (left != a.pieces().end() && right != b.pieces().end()) {
        if (left->from < right->to && right->from < left->to) visit(*left, *right);
        bool left_ends = left->to <= right->to;
        bool right_ends = right->to <= left->to;
        if (left_ends) ++left;
        if (right_ends) ++right;
    }
}

std::pair<StreamSegmentId, std::int64_t> place_of(const CutLine::Piece& piece) { return {piece.segment, piece.offset}; }

}  // namespace

CutOrder order_of(const CutLine& a, const CutLine& b) {
    bool before = false;
    bool after = false;
    walk(a, b, [&](const CutLine::Piece& left, const CutLine::Piece& right) {
        before = before || place_of(left) < place_of(right);
        after = after || place_of(right) < place_of(left);
    });
    if (before && after) return CutOrder::kOverlaps;
    if (before) return CutOrder::kBefore;
    return after ? CutOrder::kAfter : CutOrder::kEqual;
}

StreamCut earlier_of(const CutLine& a, const CutLine& b) {
    StreamCut cut;
    walk(a, b, [&](const CutLine::Piece& left, const CutLine::Piece& right) {
        cut.insert(std::min(place_of(left), place_of(right)));
    });
    return cut;
}

StreamCut later_of(const CutLine& a, const CutLine& b) {
    StreamCut cut;
    walk(a, b, [&](const CutLine::Piece& left, const CutLine::Piece& right) {
        cut.insert(std::max(place_of(left), place_of(right)));
    });
    return cut;
}

Result<std::vector<Stretch>> stretches_between(const StreamCut& from, const StreamCut& to,
                                               std::span<const Epoch> epochs) {
    auto from_line = line_of(from, epochs);
    if (!from_line) return fail(from_line.error());
    auto to_line = line_of(to, epochs);
    if (!to_line) return fail(to_line.error());
    std::vector<Stretch> stretches;
    for (const SegmentRange& segment : segments_between(*from_line, *to_line, epochs)) {
        Stretch stretch{segment.id, 0, Stretch::kToItsEnd};
        auto begin = from.find(segment.id);
        if (begin != from.end()) stretch.begin = std::max<std::int64_t>(begin->second, 0);
        auto end = to.find(segment.id);
        if (end != to.end()) stretch.end = std::max<std::int64_t>(end->second, 0);
        stretches.push_back(stretch);
    }
    return stretches;
}

}  // namespace millrace::controller
