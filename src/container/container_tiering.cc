// Bytes that move to long-term storage: what the storage writer asks of the container, and what its records do to the
// state.
#include <fmt/format.h>

#include "base/log.h"
#include "container/container_impl.h"

namespace millrace::container {
namespace {
constexpr std::size_t kDamagedMax = 100'000;  // extents that are known to be; others are tried again in every round
}

Segment* SegmentContainer::Impl::find_segment(SegmentId segment_id) {
    auto found = segments_.find(segment_id);
    if (found != segments_.end()) return found->second->durable.gone ? nullptr : found->second.get();
    if (started_) return nullptr;
    auto loaded = load_now(segment_id);
    if (loaded) return *loaded;
    if (!replay_error_) replay_error_ = loaded.error();
    return nullptr;
}

std::uint64_t SegmentContainer::Impl::move_through(std::uint64_t bytes) const {
    std::uint64_t sum = 0;
    for (const LogUsage::File& file : usage_.files()) {
        sum += file.live_bytes;
        if (sum >= bytes) return file.file == usage_.files().back().file ? kAllFiles : file.file;
    }
    return kAllFiles;
}

void SegmentContainer::Impl::no_longer_planned(Segment& segment) {
    if (segment.sessions == 0) unused_.erase(&segment);
}

// As far as the round's bytes go on without a gap.
std::size_t SegmentContainer::Impl::take_part(std::size_t round, Segment& segment, std::uint64_t offset,
                                              std::size_t max_bytes, bytes::Chain& out) {
    if (failed_ || stopping_) return 0;
    std::size_t taken = 0;
    const Extent* extent = segment.index.find(offset);
    for (; extent != segment.index.end() && taken < max_bytes && extent->offset <= offset + taken; ++extent) {
        std::uint64_t skipped = offset + taken - extent->offset;
        std::size_t size = std::min<std::uint64_t>(extent->size - skipped, max_bytes - taken);
        bytes::Slice slice = windows_[round].find(*extent);
        if (slice.empty()) break;
        out.append(size == extent->size ? std::move(slice) : slice.sub(skipped, size));
        taken += size;
    }
    return taken;
}

void SegmentContainer::Impl::read_part(SegmentId segment_id, std::uint64_t offset, std::size_t max_bytes,
                                       runtime::Callback<Result<bytes::Chain>> done) {
    Segment* segment = find_segment(segment_id);
    if (failed_ || stopping_) return done(fail(Errc::kClosed));
    if (segment == nullptr) return done(fail(Errc::kNotFound));
    const Extent* extent = segment->index.find(offset);
    bool indexed = extent != segment->index.end();
    if (!indexed && segment->manifest.find(offset) == nullptr) return done(fail(Errc::kTruncated));
    if (indexed) {
        bytes::Chain taken = take_from_window(*segment, extent, offset, max_bytes);
        if (!taken.empty()) return done(std::move(taken));
        if (MoveWindow* window = window_of(*extent)) {
            if (const Error* damage = window->damage(*extent)) {
                leave_damaged(*segment, extent, offset + max_bytes);
                return done(fail(*damage));
            }
            auto again = [this, segment_id, offset, max_bytes, done = std::move(done)](Result<> loaded) mutable {
                // What was freed meanwhile is truncated, or elsewhere.
                if (!loaded && loaded.error() != Errc::kNotFound) return done(fail(loaded.error()));
                if (!loaded) return read_part_alone(segment_id, offset, max_bytes, std::move(done));
                read_part(segment_id, offset, max_bytes, std::move(done));
            };
            return window->load(*pipeline_.log(), *extent, std::move(again));
        }
    } else if (offset >= segment->durable.start) {
        ++counters_.reads_from_storage;
        return tiering_.read_piece(*segment, offset, max_bytes, std::move(done));
    }
    read_part_alone(segment_id, offset, max_bytes, std::move(done));
}

bool SegmentContainer::Impl::will_move(std::size_t round, const Extent& extent) {
    if (!damaged_.empty() && damaged_.contains({extent.address.file, extent.address.offset})) return false;
    if (!windows_[round].holds(extent)) windows_[round].add(extent, cache_.find(extent.slab));
    return true;
}

// What is damaged of these extents stays in the log, and holds up nothing else: later rounds go around it.
void SegmentContainer::Impl::leave_damaged(Segment& segment, const Extent* extent, std::uint64_t to) {
    std::uint64_t first = extent->offset;
    std::uint64_t left = 0;
    for (; extent != segment.index.end() && extent->offset < to && damaged_.size() < kDamagedMax; ++extent) {
        MoveWindow* window = extent->in_log() ? window_of(*extent) : nullptr;
        if (window == nullptr || window->damage(*extent) == nullptr) continue;
        if (!damaged_.emplace(extent->address.file, extent->address.offset).second) continue;
        segment.damaged_bytes += extent->size;
        tiering_.count_log_only(-std::int64_t{extent->size});
        left += extent->size;
    }
    if (left > 0)
        log::error("segment {}: {} bytes from {} on are damaged in the journal, and are not moved", segment.name, left,
                   first);
}

void SegmentContainer::Impl::leaves_log(Segment& segment, const Extent& extent) {
    usage_.remove(extent.address.file, extent.size);
    segment.log_only_bytes -= extent.size;
    if (damaged_.erase({extent.address.file, extent.address.offset}) > 0)
        segment.damaged_bytes -= extent.size;
    else
        tiering_.count_log_only(-std::int64_t{extent.size});
}

// Of the round that has planned it.
MoveWindow* SegmentContainer::Impl::window_of(const Extent& extent) {
    auto found = std::ranges::find_if(windows_, [&](MoveWindow& window) { return window.covers(extent); });
    return found == windows_.end() ? nullptr : &*found;
}

// As far as the rounds' bytes go on without a gap.
bytes::Chain SegmentContainer::Impl::take_from_window(Segment& segment, const Extent* extent, std::uint64_t offset,
                                                      std::size_t max_bytes) {
    bytes::Chain taken;
    std::uint64_t at = offset;
    for (; extent != segment.index.end() && taken.size() < max_bytes && extent->offset <= at; ++extent) {
        MoveWindow* window = window_of(*extent);
        bytes::Slice slice = window == nullptr ? bytes::Slice() : window->find(*extent);
        if (slice.empty()) break;
        std::uint64_t skipped = at - extent->offset;
        std::size_t size = std::min<std::uint64_t>(extent->size - skipped, max_bytes - taken.size());
        taken.append(slice.sub(skipped, size));
        at += size;
    }
    return taken;
}

void SegmentContainer::Impl::read_part_alone(SegmentId segment_id, std::uint64_t offset, std::size_t max_bytes,
                                             runtime::Callback<Result<bytes::Chain>> done) {
    Segment* segment = find_segment(segment_id);
    if (failed_ || stopping_) return done(fail(Errc::kClosed));
    if (segment == nullptr) return done(fail(Errc::kNotFound));
    if (offset < segment->durable.start) return done(fail(Errc::kTruncated));
    serve(*segment, offset, max_bytes, false, [done = std::move(done)](Result<ReadResult> read) mutable {
        if (!read) return done(fail(read.error()));
        done(std::move(read->data));
    });
}

void SegmentContainer::Impl::log_object(WrittenObject written, runtime::Callback<Result<>> done) {
    control(SpaceNeed::kMoved, {},
            [this, written = std::move(written), done = std::move(done)](const Error* closed) mutable {
                if (closed != nullptr) return done(fail(*closed));
                pipeline_.put(written.record);
                after_commit([this, written = std::move(written), done = std::move(done)](const Error* error) mutable {
                    if (error != nullptr) return done(fail(*error));
                    if (!tiering_.apply(written.record, written.segments)) {
                        log::error("container {}: object {} does not fit the manifests of its segments", id.value(),
                                   written.record.object.key);
                    }
                    if (index_full()) drop_stale_extents();
                    advance_truncation();
                    done({});
                });
            });
}

// These bytes are in long-term storage: the log is no longer needed for them, and the index only while they are in
// memory.
void SegmentContainer::Impl::settle(Segment& segment, std::uint64_t from, std::uint64_t to) {
    segment.index.within(from, to, [&](Extent& extent) {
        if (!extent.in_log()) return;
        leaves_log(segment, extent);
        extent.address = {};
    });
    drop_stale(segment);
}

// A segment that nobody writes to any more keeps its last extents until then.
void SegmentContainer::Impl::drop_stale_extents() {
    for (auto& [segment_id, segment] : segments_) drop_stale(*segment);
}

void SegmentContainer::Impl::drop_stale(Segment& segment) {
    bool all = index_full();  // then memory is given up for space in the index
    segment.index.drop_front(
        [&](const Extent& extent) { return !extent.in_log() && (all || !cache_.holds(extent.slab)); },
        [&](const Extent& extent) { drop_bytes(segment, extent); });
}

// The log wants its oldest files back.
void SegmentContainer::Impl::free_oldest() {
    if (tiering_.active() && !tiering_.in_trouble()) {
        tiering_.poke();
        return advance_truncation();
    }
    carry_forward(wanted_);
}

// ---- replay ----

Result<> SegmentContainer::Impl::on(const ObjectWrittenRecord& record) {
    // As when it was written: a part that does not fit counts for nothing, and its bytes are still in the log.
    if (!tiering_.apply(record)) log::warn("object {} does not fit the manifests of its segments", record.object.key);
    return {};
}

}  // namespace millrace::container
