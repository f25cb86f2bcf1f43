#include "container/move_window.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/assert.h"

namespace millrace::container {
namespace {

// Frames of other containers lie between those of this one; reading small ones along is cheaper than another read.
constexpr std::uint64_t kGapMax = 32 << 10;
constexpr std::uint64_t kReadMax = 4 << 20;

}  // namespace

void MoveWindow::add(const Extent& extent, bytes::SlabRef slab) {
    MILLRACE_ASSERT(!sealed_);
    if (!slab) {
        ranges_.push_back({.file = extent.address.file,
                           .begin = extent.address.offset,
                           .end = extent.address.offset + extent.size,
                           .pieces = {},
                           .waiting = {}});
        return;
    }
    if (held_.empty()) first_held_ = extent.slab;
    if (extent.slab < first_held_) {
        held_.insert(held_.begin(), first_held_ - extent.slab, {});
        first_held_ = extent.slab;
    }
    std::size_t index = extent.slab - first_held_;
    if (index >= held_.size()) held_.resize(index + 1);
    if (!held_[index]) held_[index] = std::move(slab);
}

void MoveWindow::clear() {
    held_.clear();
    ranges_.clear();
    sealed_ = false;
    ++round_;
}

// Neighbours become one read.
void MoveWindow::seal() {
    if (std::exchange(sealed_, true)) return;
    std::ranges::sort(
        ranges_, [](const Range& a, const Range& b) { return std::tie(a.file, a.begin) < std::tie(b.file, b.begin); });
    std::size_t last = 0;
    for (std::size_t i = 1; i < ranges_.size(); ++i) {
        Range& into = ranges_[last];
        const Range& next = ranges_[i];
        bool near = next.file == into.file && next.begin <= into.end + kGapMax && next.end - into.begin <= kReadMax;
        if (near) {
            into.end = std::max(into.end, next.end);
        } else if (++last != i) {
            ranges_[last] = std::move(ranges_[i]);
        }
    }
    ranges_.resize(last + 1);
}

MoveWindow::Range* MoveWindow::range_of(const Extent& extent) {
    if (!extent.in_log() || ranges_.empty()) return nullptr;
    seal();
    auto after = std::ranges::upper_bound(ranges_, std::pair(extent.address.file, extent.address.offset), std::less{},
                                          [](const Range& range) { return std::pair(range.file, range.begin); });
    if (after == ranges_.begin()) return nullptr;
    Range& range = *std::prev(after);
    bool within = range.file == extent.address.file && extent.address.offset + extent.size <= range.end;
    return within ? &range : nullptr;
}

bytes::Slice MoveWindow::find(const Extent& extent) {
    if (extent.slab >= first_held_ && extent.slab - first_held_ < held_.size()) {
        if (const bytes::SlabRef& slab = held_[extent.slab - first_held_])
            return {slab, extent.slab_offset, extent.size};
    }
    const Piece* piece = piece_of(extent);
    if (piece == nullptr || piece->damage) return {};
    return piece->data.sub(extent.address.offset - piece->begin, extent.size);
}

// An extent lies within one frame, so within one piece.
const MoveWindow::Piece* MoveWindow::piece_of(const Extent& extent) {
    const Range* range = range_of(extent);
    if (range == nullptr || !range->is_read()) return nullptr;
    auto found = std::ranges::find_if(range->pieces, [at = extent.address.offset](const Piece& piece) {
        return at >= piece.begin && at < piece.end;
    });
    bool within = found != range->pieces.end() && extent.address.offset + extent.size <= found->end;
    return within ? &*found : nullptr;
}

const Error* MoveWindow::damage(const Extent& extent) {
    const Piece* piece = piece_of(extent);
    return piece != nullptr && piece->damage ? &*piece->damage : nullptr;
}

bool MoveWindow::covers(const Extent& extent) { return range_of(extent) != nullptr || !find(extent).empty(); }

void MoveWindow::load(wal::DurableLog& log, const Extent& extent, runtime::Callback<Result<>> done) {
    Range* range = range_of(extent);
    MILLRACE_ASSERT(range != nullptr && !range->is_read());
    range->waiting.push_back(std::move(done));
    // All at once: every segment of the round has bytes all over the window.
    for (std::size_t i = 0; i < ranges_.size(); ++i) ask(log, i);
}

void MoveWindow::ask(wal::DurableLog& log, std::size_t index) {
    Range& range = ranges_[index];
    if (range.is_read() || std::exchange(range.asked, true)) return;
    read(log, index, range.begin, range.end);
}

void MoveWindow::read(wal::DurableLog& log, std::size_t index, std::uint64_t begin, std::uint64_t end) {
    auto answer = [this, &log, alive = alive_, round = round_, index, begin, end](Result<bytes::Slice> read) {
        if (*alive && round == round_) took(log, index, begin, end, std::move(read));
    };
    log.read({ranges_[index].file, begin}, end - begin, std::move(answer));
}

// A damaged frame is left out: what is before it is read again without it, then what is behind it.
void MoveWindow::took(wal::DurableLog& log, std::size_t index, std::uint64_t begin, std::uint64_t end,
                      Result<bytes::Slice> read) {
    Range& range = ranges_[index];
    std::uint64_t reached = end;
    if (read) {
        range.pieces.push_back({begin, end, std::move(*read), std::nullopt});
    } else {
        auto frame = wal::damaged_frame(read.error());
        if (!frame || frame->begin >= end || frame->end <= begin) {
            range.pieces.clear();
            return tell(range, fail(std::move(read.error())));
        }
        if (frame->begin > begin) return this->read(log, index, begin, frame->begin);
        reached = std::min(frame->end, range.end);
        range.pieces.push_back({begin, reached, {}, std::move(read.error())});
    }
    if (reached < range.end) return this->read(log, index, reached, range.end);
    tell(range, {});
}

void MoveWindow::tell(Range& range, const Result<>& outcome) {
    range.asked = false;
    const auto alive = alive_;
    const std::uint64_t round = round_;
    for (auto& waits : std::exchange(range.waiting, {})) {
        waits(outcome);
        if (!*alive || round != round_) return;
    }
}

}  // namespace millrace::container
