#include "controller/stream_cut.h"

#include <algorithm>
#include <optional>
#include <set>

#include <fmt/format.h>

namespace millrace::controller {

namespace {

// The entries that cover the key the sweep is at.
struct Covering {
    std::multiset<StreamSegmentId> reached;
    std::multiset<StreamSegmentId> ahead;

    std::multiset<StreamSegmentId>& of(const CutEntry& entry) { return entry.offset < 0 ? ahead : reached; }
};

std::string name_of(StreamSegmentId id) { return fmt::format("{}.#epoch.{}", number_of(id), epoch_of(id)); }

// The distinct segments of the epochs: each epoch names all its segments, mostly the same as the one before.
template <typename Visit>
void for_each_segment(std::span<const Epoch> epochs, Visit visit) {
    std::set<StreamSegmentId> seen;
    for (const Epoch& epoch : epochs) {
        for (const SegmentRange& segment : epoch.segments) {
            if (seen.insert(segment.id).second) visit(segment);
        }
    }
}

}  // namespace

Result<CutLine> CutLine::through(std::vector<CutEntry> entries) {
    std::vector<double> keys;
    for (const CutEntry& entry : entries) {
        keys.push_back(entry.segment.min_key);
        keys.push_back(entry.segment.max_key);
    }
    std::ranges::sort(keys);
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());

    std::vector<const CutEntry*> beginning;
    for (const CutEntry& entry : entries) beginning.push_back(&entry);
    std::vector<const CutEntry*> ending = beginning;
    std::ranges::sort(beginning, {}, [](const CutEntry* e) { return e->segment.min_key; });
    std::ranges::sort(ending, {}, [](const CutEntry* e) { return e->segment.max_key; });
    std::map<StreamSegmentId, std::int64_t> offsets;
    for (const CutEntry& entry : entries) offsets[entry.segment.id] = std::max(entry.offset, kNotReached);

    CutLine line;
    Covering covering;
    auto next_beginning = beginning.begin();
    auto next_ending = ending.begin();
    for (std::size_t i = 0; i + 1 < keys.size(); ++i) {
        for (; next_ending != ending.end() && (*next_ending)->segment.max_key <= keys[i]; ++next_ending) {
            auto& ids = covering.of(**next_ending);
            ids.erase(ids.find((*next_ending)->segment.id));
        }
        for (; next_beginning != beginning.end() && (*next_beginning)->segment.min_key <= keys[i]; ++next_beginning) {
            covering.of(**next_beginning).insert((*next_beginning)->segment.id);
        }
        if (covering.reached.size() > 1) {
            return fail(Errc::kInvalidArgument,
                        fmt::format("the cut has overlapping segments, {} and {}", name_of(*covering.reached.begin()),
                                    name_of(*covering.reached.rbegin())));
        }
        if (covering.reached.empty() && covering.ahead.empty()) continue;
        bool reached = !covering.reached.empty();
        StreamSegmentId at = reached ? *covering.reached.begin() : *covering.ahead.begin();
        if (!covering.ahead.empty() && *covering.ahead.begin() < at) {
            return fail(Errc::kInvalidArgument, fmt::format("the cut is in segment {} but has not reached {} before it",
                                                            name_of(at), name_of(*covering.ahead.begin())));
        }
        line.pieces_.push_back({keys[i], keys[i + 1], at, offsets[at]});
    }
    return line;
}

CutLine CutLine::at_start_of(const Epoch& epoch) {
    CutLine line;
    for (const SegmentRange& s : epoch.segments) line.pieces_.push_back({s.min_key, s.max_key, s.id, 0});
    return line;
}

bool CutLine::is_whole() const {
    double end = 0;
    for (const Piece& piece : pieces_) {
        if (piece.from != end) return false;
        end = piece.to;
    }
    return end == 1.0;
}

CutLine::Side CutLine::side_of(const SegmentRange& segment) const {
    std::optional<Side> side;
    auto piece = std::ranges::upper_bound(pieces_, segment.min_key, {}, &Piece::to);
    for (; piece != pieces_.end() && piece->from < segment.max_key; ++piece) {
        Side here = piece->segment > segment.id ? Side::kBehind : Side::kAhead;
        if (piece->segment == segment.id && piece->offset >= 0) here = Side::kOn;
        if (side && *side != here) return Side::kAcross;
        side = here;
    }
    return side.value_or(Side::kAhead);
}

bool CutLine::is_at_or_after(const CutLine& other) const {
    auto a = pieces_.begin();
    auto b = other.pieces_.begin();
    while (a != pieces_.end() && b != other.pieces_.end()) {
        if (a->from < b->to && b->from < a->to) {
            if (std::pair(a->segment, a->offset) < std::pair(b->segment, b->offset)) return false;
        }
        bool a_ends_first = a->to <= b->to;
        bool b_ends_first = b->to <= a->to;
        if (a_ends_first) ++a;
        if (b_ends_first) ++b;
    }
    return true;
}

EpochSpan epochs_of(const StreamCut& cut) {
    return {epoch_of(cut.begin()->first), epoch_of(cut.rbegin()->first)};  // ids are ordered by epoch
}

Result<std::vector<CutEntry>> locate(const StreamCut& cut, std::span<const Epoch> epochs) {
    std::vector<CutEntry> entries;
    for (const auto& [id, offset] : cut) {
        auto unknown = fail(Errc::kNotFound, fmt::format("no segment {} in the stream", name_of(id)));
        if (epochs.empty()) return unknown;
        std::int64_t index = static_cast<std::int64_t>(epoch_of(id)) - epochs.front().epoch;
        if (index < 0 || index >= static_cast<std::int64_t>(epochs.size())) return unknown;
        const auto& segments = epochs[static_cast<std::size_t>(index)].segments;
        auto found = std::ranges::find(segments, id, &SegmentRange::id);
        if (found == segments.end()) return unknown;
        entries.push_back({*found, offset});
    }
    return entries;
}

Result<CutLine> line_of(const StreamCut& cut, std::span<const Epoch> epochs) {
    auto entries = locate(cut, epochs);
    if (!entries) return fail(entries.error());
    return CutLine::through(std::move(*entries));
}

bool is_valid(const CutLine& line, const StreamCut& cut, std::span<const Epoch> epochs) {
    bool valid = line.is_whole();
    for_each_segment(epochs, [&](const SegmentRange& segment) {
        if (!valid) return;
        CutLine::Side side = line.side_of(segment);
        if (side == CutLine::Side::kAcross) valid = false;
        auto entry = cut.find(segment.id);
        if (entry != cut.end() && entry->second < 0 && side != CutLine::Side::kAhead) valid = false;
    });
    return valid;
}

std::vector<SegmentRange> segments_between(const CutLine& from, const CutLine& to, std::span<const Epoch> epochs) {
    // Piece by piece, so that a cut with gaps (a reader group's, while it waits for a merge) restrains only where it
    // is.
    auto is_behind = [](const CutLine& line, const SegmentRange& s) {
        return std::ranges::any_of(line.pieces(), [&](const CutLine::Piece& p) {
            return p.from < s.max_key && s.min_key < p.to && p.segment > s.id;
        });
    };
    auto is_ahead = [](const CutLine& line, const SegmentRange& s) {
        return std::ranges::any_of(line.pieces(), [&](const CutLine::Piece& p) {
            bool before = p.segment < s.id || (p.segment == s.id && p.offset < 0);
            return p.from < s.max_key && s.min_key < p.to && before;
        });
    };
    std::vector<SegmentRange> between;
    for_each_segment(epochs, [&](const SegmentRange& segment) {
        if (!is_behind(from, segment) && !is_ahead(to, segment)) between.push_back(segment);
    });
    std::ranges::sort(between, {}, &SegmentRange::id);
    return between;
}

std::vector<StreamSegmentId> segments_left_behind(const CutLine& from, const CutLine& to, const StreamCut& cut,
                                                  std::span<const Epoch> epochs) {
    std::vector<StreamSegmentId> left;
    for (const SegmentRange& segment : segments_between(from, to, epochs)) {
        if (!cut.contains(segment.id) && to.side_of(segment) == CutLine::Side::kBehind) left.push_back(segment.id);
    }
    return left;
}

std::vector<SegmentRange> equal_ranges(std::int32_t n, std::int32_t first_number, std::int32_t epoch) {
    std::vector<SegmentRange> ranges(static_cast<std::size_t>(n));
    double width = 1.0 / n;
    for (std::int32_t i = 0; i < n; ++i) {
        double max_key = i + 1 == n ? 1.0 : (i + 1) * width;
        ranges[static_cast<std::size_t>(i)] = {segment_id(first_number + i, epoch), i * width, max_key};
    }
    return ranges;
}

Epoch first_epoch(std::vector<SegmentRange> segments, std::int64_t creation_ms) {
    Epoch epoch;
    epoch.creation_ms = creation_ms;
    epoch.segments = std::move(segments);
    return epoch;
}

Epoch next_epoch(const Epoch& before, std::vector<SegmentRange> segments, std::int64_t creation_ms) {
    auto followed_by_several = [](const std::vector<SegmentRange>& some, const std::vector<SegmentRange>& others) {
        return std::ranges::count_if(some, [&](const SegmentRange& s) {
            auto first = std::ranges::upper_bound(others, s.min_key, {}, &SegmentRange::max_key);
            auto last = std::ranges::lower_bound(others, s.max_key, {}, &SegmentRange::min_key);
            return last - first > 1;
        });
    };
    Epoch epoch;
    epoch.epoch = before.epoch + 1;
    epoch.reference = epoch.epoch;
    epoch.creation_ms = std::max(creation_ms, before.creation_ms + 1);
    epoch.splits = before.splits + followed_by_several(before.segments, segments);
    epoch.merges = before.merges + followed_by_several(segments, before.segments);
    epoch.segments = std::move(segments);
    return epoch;
}

std::vector<Successor> successors_of(StreamSegmentId segment, const Epoch& before, const Epoch& after) {
    std::vector<Successor> successors;
    auto self = std::ranges::find(before.segments, segment, &SegmentRange::id);
    if (self == before.segments.end()) return successors;
    for (const SegmentRange& next : after.segments) {
        if (!next.overlaps(*self)) continue;
        Successor successor{next, {}};
        for (const SegmentRange& earlier : before.segments) {
            if (earlier.overlaps(next)) successor.predecessors.push_back(earlier.id);
        }
        successors.push_back(std::move(successor));
    }
    return successors;
}

}  // namespace millrace::controller
