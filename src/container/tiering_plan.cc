// What a round moves: runs of bytes that are only in the log, and small pieces in storage that become one; which of
// them share an object.
#include <algorithm>
#include <bit>

#include "container/tiering.h"

namespace millrace::container {
namespace {

constexpr std::size_t kPatienceWithPieces = 4;  // so many times more of them, while there is something else to do
constexpr std::size_t kPackPartsMax = 16'384;

int magnitude(std::uint64_t bytes) { return std::bit_width(bytes) / 3; }

}  // namespace

void Tiering::plan_round() {
    planning_ = static_cast<std::size_t>(std::ranges::find(rounds_, false, &Round::open) - rounds_.begin());
    rounds_[planning_].open = true;
    overlapping_ = in_round() ? overlapping_ + 1 : 0;
    ++rounds_open_;
    memory_->round_begins();
    poked_ = false;
    watch();
    ++counters_.rounds;
    auto dirty = std::exchange(dirty_, {});
    std::uint64_t last_file = host_.move_through(options_.round_bytes);
    const bool nearly_done = last_file == kAllFiles;
    // What memory has anyway moves in one go.
    if (options_.shares_disk && !memory_->has_overflowed()) last_file = kAllFiles;
    // While there is enough to move, joining can wait, but not for ever.
    pressed_ = nears_round();
    if (pressed_) pressed_at_ = executor_.clock().now();
    for (Segment* segment : in_memory(std::move(dirty))) {
        segment->dirty = false;
        plan_log_runs(*segment, last_file);
        // Until its bytes have moved it stays in the list, for the next round.
        if (segment->log_only_bytes > segment->damaged_bytes) became_dirty(*segment);
    }
    // One that began beside a round that joins does not know which pieces that is.
    if (nearly_done && std::ranges::none_of(rounds_, &Round::joins)) plan_joins();
    close_pack();
    if (rounds_[planning_].objects == 0) end_round(planning_);
}

// Neighbours in one pack are neighbours in the next; and a simulated run is always the same. One that left memory and
// came back may have been noted twice.
std::vector<Segment*> Tiering::in_memory(std::vector<SegmentId> ids) {
    std::ranges::sort(ids);
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    std::vector<Segment*> found;
    found.reserve(ids.size());
    for (SegmentId id : ids) {
        Segment* segment = host_.find_segment(id);
        if (segment == nullptr) continue;
        segment->prefetch();
        found.push_back(segment);
    }
    return found;
}

// A round has work for all writers.
std::uint64_t Tiering::object_bytes_of_round() const {
    return std::clamp(options_.round_bytes / options_.writers, options_.chunk_bytes_min, options_.object_bytes_max);
}

void Tiering::plan_log_runs(Segment& segment, std::uint64_t last_file) {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    const std::uint64_t most = object_bytes_of_round();
    for (const Extent& extent : segment.index) {
        if (!extent.in_log() || extent.address.file > last_file || extent.offset < segment.planned_to) continue;
        if (!host_.will_move(planning_, extent)) continue;
        rounds_[planning_].bytes += extent.size;
        planned_bytes_ += extent.size;
        if (extent.offset == end && extent.end() - begin <= most) {
            end = extent.end();
            continue;
        }
        add_run(segment, begin, end);
        begin = extent.offset;
        end = extent.end();
    }
    add_run(segment, begin, end);
    segment.planned_to = std::max(segment.planned_to, end);
}

// Only so much at a time: many segments become worth it at the same moment, and what is new must not wait for them.
// For the same reason they have objects of their own while much is new; otherwise all share a pack. A part that cannot
// be read is left out.
void Tiering::plan_joins() {
    if (pressed_) close_pack();
    const std::size_t before = rounds_[planning_].objects;
    join_budget_ = pressed_ ? object_bytes_of_round() : options_.writers * object_bytes_of_round();
    joins_left_ = false;
    for (Segment* segment : in_memory(std::exchange(scattered_, {}))) {
        segment->scattered = false;
        plan_small_pieces(*segment);
    }
    rounds_[planning_].joins = rounds_[planning_].objects > before || !pack_.parts.empty();
}

// Runs of small neighbours in storage that are worth one piece.
void Tiering::plan_small_pieces(Segment& segment) {
    // While there is enough else to do, only many new ones are worth a look.
    if (pressed_ && segment.new_pieces < options_.pieces_max * kPatienceWithPieces) return became_scattered(segment);
    if (join_budget_ == 0) {
        joins_left_ = true;
        return became_scattered(segment);
    }
    segment.new_pieces = 0;
    const auto& entries = segment.manifest.entries();
    bool left_over = false;
    for (std::size_t first = 0; first < entries.size();) {
        std::size_t last = first;
        std::uint64_t bytes = 0;
        // Of one order of magnitude only, so that a byte is written again a few times and not with every join.
        while (last < entries.size() && entries[last].size < options_.piece_bytes_min &&
               magnitude(entries[last].size) == magnitude(entries[first].size) &&
               (last == first || entries[last].offset == entries[last - 1].end()) &&
               bytes + entries[last].size <= options_.object_bytes_max) {
            bytes += entries[last].size;
            ++last;
        }
        std::size_t count = last - first;
        bool worth_it = pressed_ ? count >= options_.pieces_max * kPatienceWithPieces
                                 : count >= options_.pieces_max || (count > 1 && bytes >= options_.piece_bytes_min);
        if (worth_it && join_budget_ == 0) {
            segment.new_pieces = static_cast<std::uint32_t>(count);
            joins_left_ = left_over = true;
            break;
        }
        if (worth_it) {
            add_run(segment, entries[first].offset, entries[last - 1].end());
            join_budget_ -= std::min(join_budget_, bytes);
        } else {
            left_over = left_over || count > 0;
        }
        first = std::max(last, first + 1);
    }
    if (left_over) became_scattered(segment);
}

void Tiering::add_run(Segment& segment, std::uint64_t begin, std::uint64_t end) {
    if (begin == end) return;
    ++segment.planned;
    rounds_[planning_].planned.push_back(&segment);
    ObjectPart part{segment.id, begin, end - begin, 0};
    if (part.size >= options_.chunk_bytes_min) {
        ObjectPlan chunk;
        chunk.object.kind = ObjectKind::kChunk;
        chunk.parts.push_back(part);
        chunk.segments.push_back(&segment);
        return add_plan(std::move(chunk));
    }
    if (pack_bytes_ + part.size > object_bytes_of_round() || pack_.parts.size() == kPackPartsMax) close_pack();
    pack_.parts.push_back(part);
    pack_.segments.push_back(&segment);
    pack_bytes_ += part.size;
}

void Tiering::add_plan(ObjectPlan plan) {
    plan.round = planning_;
    ++rounds_[planning_].objects;
    plans_.push_back(std::move(plan));
}

void Tiering::close_pack() {
    if (pack_.parts.empty()) return;
    pack_.object.kind = pack_.parts.size() == 1 ? ObjectKind::kChunk : ObjectKind::kPack;
    add_plan(std::exchange(pack_, {}));
    pack_bytes_ = 0;
}

}  // namespace millrace::container
