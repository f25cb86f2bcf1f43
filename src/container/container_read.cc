// Reads: from memory while the frames last, else from the log, else from long-term storage; at the tail they wait.
#include <fmt/format.h>

#include "container/container_impl.h"

namespace millrace::container {
namespace {

// One read of the log covers neighbouring extents of a segment as long as not too much of others lies between them.
constexpr std::uint64_t kMaxLogRead = 4ULL << 20;
constexpr std::uint64_t kMaxLogGap = 256ULL << 10;

}  // namespace

ReadId SegmentContainer::Impl::read(std::string_view name, std::int64_t offset, std::size_t max_bytes,
                                    ReadCallback done) {
    if (failed_ || stopping_) {
        done(fail(Errc::kClosed));
        return {};
    }
    auto found = names_.find(name);
    NameRef entry = found == names_.end() ? want(name) : found->second;
    ReadId read_id(++last_read_);
    if (!entry->loading) return read_known(read_id, *entry, name, offset, max_bytes, std::move(done));
    auto kept = std::make_shared<ReadCallback>(std::move(done));
    loading_reads_.emplace(read_id.value(), kept);
    entry->waiting.emplace_back([this, entry, read_id, name = std::string(name), offset, max_bytes] {
        auto waiting = loading_reads_.extract(read_id.value());
        if (waiting.empty()) return;  // cancelled
        ReadCallback tell = std::move(*waiting.mapped());
        if (failed_ || stopping_) return tell(fail(Errc::kClosed));
        read_known(read_id, *entry, name, offset, max_bytes, std::move(tell));
    });
    return read_id;
}

ReadId SegmentContainer::Impl::read_known(ReadId read_id, const NameEntry& entry, std::string_view name,
                                          std::int64_t offset, std::size_t max_bytes, ReadCallback done) {
    if (entry.segment == nullptr || !entry.segment->exists) {
        done(fail(entry.error.value_or(missing(name))));
        return {};
    }
    Segment& segment = *entry.segment;
    segment.visited = true;
    const SegmentState& state = segment.durable;
    auto length = static_cast<std::int64_t>(state.length);
    max_bytes = std::min(max_bytes, options_.max_read_bytes);
    if (offset < 0 || (offset > length && state.sealed)) {
        done(fail(Errc::kInvalidArgument, fmt::format("read at {} of a segment of {}", offset, length)));
        return {};
    }
    if (offset < static_cast<std::int64_t>(state.start)) {
        done(fail(Error(Errc::kTruncated, static_cast<std::int64_t>(state.start))));
        return {};
    }
    if (offset < length) {
        serve(segment, static_cast<std::uint64_t>(offset), max_bytes, false, std::move(done));
        return {};
    }
    if (state.sealed) {
        done(ReadResult{{}, false, true});
        return {};
    }
    segment.waiting.push_back({read_id, offset, max_bytes, std::move(done)});
    waiting_reads_.emplace(read_id.value(), &segment);
    return read_id;
}

bool SegmentContainer::Impl::cancel_read(ReadId read_id) {
    if (loading_reads_.erase(read_id.value()) > 0) return true;
    auto found = waiting_reads_.find(read_id.value());
    if (found == waiting_reads_.end()) return false;
    std::erase_if(found->second->waiting, [&](const WaitingRead& read) { return read.id == read_id; });
    waiting_reads_.erase(found);
    return true;
}

// `offset` lies within the durable bytes.
void SegmentContainer::Impl::serve(Segment& segment, std::uint64_t offset, std::size_t max_bytes, bool waited,
                                   ReadCallback done) {
    if (segment.table != nullptr) return table_segments_.read(segment, offset, max_bytes, waited, std::move(done));
    ReadResult result;
    const Extent* extent = segment.index.find(offset);
    if (extent == segment.index.end() || !cache_.holds(extent->slab)) {
        if (extent != segment.index.end() && extent->in_log()) {
            ++counters_.reads_from_log;
            return read_from_log(segment, extent, offset, max_bytes, std::move(done));
        }
        ++counters_.reads_from_storage;
        auto deliver = [held = want(segment.name), done = std::move(done)](Result<bytes::Chain> data) mutable {
            if (!data) return done(fail(data.error()));
            done(ReadResult{std::move(*data), false, false});
        };
        return tiering_.read(segment, offset, max_bytes, std::move(deliver));
    }
    std::uint64_t at = offset;
    bool all_in_memory = true;
    for (; extent != segment.index.end() && result.data.size() < max_bytes; ++extent) {
        // Between extents that are kept here there may be bytes that are only in long-term storage.
        bytes::SlabRef slab = extent->offset <= at ? cache_.find(extent->slab) : bytes::SlabRef();
        if (!slab) {
            all_in_memory = false;
            break;
        }
        std::uint64_t skipped = at - extent->offset;
        std::size_t taken = std::min<std::uint64_t>(extent->size - skipped, max_bytes - result.data.size());
        result.data.append(bytes::Slice(std::move(slab), extent->slab_offset + skipped, taken));
        at += taken;
    }
    if (result.data.empty()) return done(fail(Errc::kCorrupt, "the segment's index has a hole"));
    ++counters_.reads_from_memory;
    bool filled = result.data.size() == max_bytes;
    bool at_end = at == segment.durable.length;
    result.at_tail = waited || (all_in_memory && !filled && at_end && !segment.durable.sealed);
    result.end_of_segment = !waited && all_in_memory && !filled && at_end && segment.durable.sealed;
    done(std::move(result));
}

// The log was freed while it was asked: the bytes have moved, or are truncated.
void SegmentContainer::Impl::read_again(SegmentId segment_id, std::uint64_t offset, std::size_t max_bytes,
                                        wal::LogAddress before, ReadCallback done) {
    Segment* segment = failed_ || stopping_ ? nullptr : find_segment(segment_id);
    if (segment == nullptr) return done(fail(failed_ || stopping_ ? Errc::kClosed : Errc::kNotFound));
    if (offset < segment->durable.start)
        return done(fail(Error(Errc::kTruncated, static_cast<std::int64_t>(segment->durable.start))));
    const Extent* extent = segment->index.find(offset);
    if (extent != segment->index.end() && extent->address == before)
        return done(fail(Errc::kUnavailable, "the log does not find its bytes"));
    serve(*segment, offset, max_bytes, false, std::move(done));
}

// Up to a frame that is damaged: who reads on from there is told.
void SegmentContainer::Impl::read_before(SegmentId segment_id, std::uint64_t offset, std::size_t max_bytes,
                                         ReadCallback done) {
    Segment* segment = failed_ || stopping_ ? nullptr : find_segment(segment_id);
    if (segment == nullptr) return done(fail(failed_ || stopping_ ? Errc::kClosed : Errc::kNotFound));
    if (offset < segment->durable.start)
        return done(fail(Error(Errc::kTruncated, static_cast<std::int64_t>(segment->durable.start))));
    serve(*segment, offset, max_bytes, false, std::move(done));
}

void SegmentContainer::Impl::read_from_log(const Segment& segment, const Extent* first, std::uint64_t offset,
                                           std::size_t max_bytes, ReadCallback done) {
    struct Piece {
        std::uint64_t position;  // within what is read
        std::size_t size;
    };
    std::vector<Piece> pieces;
    std::uint64_t skipped = offset - first->offset;
    wal::LogAddress begin = first->address.plus(skipped);
    std::uint64_t end = begin.offset;
    std::size_t total = 0;
    for (const Extent* extent = first; extent != segment.index.end() && total < max_bytes; ++extent) {
        std::uint64_t from = extent->address.offset + (extent == first ? skipped : 0);
        std::size_t size = std::min<std::uint64_t>(extent->size - (extent == first ? skipped : 0), max_bytes - total);
        if (!extent->in_log() || extent->offset > offset + total) break;
        bool near = extent == first || (extent->address.file == begin.file && from >= end && from - end <= kMaxLogGap &&
                                        from + size - begin.offset <= kMaxLogRead);
        if (!near || (extent != first && cache_.holds(extent->slab))) break;
        pieces.push_back({from - begin.offset, size});
        end = from + size;
        total += size;
    }
    auto deliver = [this, held = want(segment.name), asked = segment.id, offset, max_bytes, begin = first->address,
                    log_begin = begin.offset, pieces = std::move(pieces),
                    done = std::move(done)](Result<bytes::Slice> read) mutable {
        if (!read && read.error() == Errc::kNotFound)
            return read_again(asked, offset, max_bytes, begin, std::move(done));
        auto damaged = read ? std::nullopt : wal::damaged_frame(read.error());
        if (damaged) {
            std::size_t before = 0;
            for (const Piece& piece : pieces) {
                if (log_begin + piece.position + piece.size <= damaged->begin) before += piece.size;
            }
            if (before > 0) return read_before(asked, offset, before, std::move(done));
        }
        if (!read) return done(fail(std::move(read.error())));
        ReadResult result;
        for (const Piece& piece : pieces) result.data.append(read->sub(piece.position, piece.size));
        done(std::move(result));
    };
    pipeline_.log()->read(begin, end - begin.offset, std::move(deliver));
}

}  // namespace millrace::container
