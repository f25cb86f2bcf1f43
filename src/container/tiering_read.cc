// Reading what lies in long-term storage: which object has it, how far a scan reads ahead.
#include <algorithm>

#include <fmt/format.h>

#include "container/object_format.h"
#include "container/scan_pacer.h"
#include "container/tiering.h"

namespace millrace::container {
namespace {

constexpr std::uint64_t kFirstWindow = 1 << 20;
constexpr std::size_t kScansOfASegment = 4;
constexpr std::size_t kScannedSegments = 1024;
constexpr std::uint64_t kPieceCache = 16 << 20;
constexpr std::uint64_t kPiecesAhead = 8 << 20;  // on their way

}  // namespace

// A scan waits for its turn before it takes anything; what it reads ahead follows from what it takes.
void Tiering::read(Segment& segment, std::uint64_t offset, std::size_t max_bytes, TierReader::Done done) {
    bool paced = options_.scans != nullptr && scan_of(segment.id, offset).passing;
    auto wait = paced ? options_.scans->wait(executor_.clock().now()) : std::chrono::milliseconds(0);
    if (wait.count() == 0) return read_now(segment, offset, max_bytes, std::move(done));
    executor_.call_after(wait,
                         [this, alive = alive_, id = segment.id, offset, max_bytes, done = std::move(done)]() mutable {
                             if (!*alive || stopped_) return done(fail(Errc::kClosed));
                             Segment* there = living(id, offset, done);
                             if (there != nullptr) read_now(*there, offset, max_bytes, std::move(done));
                         });
}

void Tiering::read_now(Segment& segment, std::uint64_t offset, std::size_t max_bytes, TierReader::Done done) {
    const ManifestEntry* entry = segment.manifest.find(offset);
    if (entry == nullptr || !reader_) {
        return done(fail(Errc::kCorrupt, fmt::format("segment {} has no bytes at {}", segment.name, offset)));
    }
    auto object = objects_.find(entry->object);
    if (object == objects_.end()) return done(fail(Errc::kCorrupt, "a manifest names an object that is not known"));
    std::uint64_t within = offset - entry->offset;
    std::size_t size = std::min<std::uint64_t>(max_bytes, entry->size - within);
    Scan& scan = scan_of(segment.id, offset);
    read_ahead(segment, scan);  // what is asked for comes first in it
    bool passing = scan.passing;
    // Bounds of the part, not of the object: what lies behind it belongs to others.
    reader_->read(object->second.record, entry->object_offset + within, size, passing,
                  [this, alive = alive_, id = segment.id, object_id = entry->object, offset, max_bytes, passing,
                   done = std::move(done)](Result<bytes::Chain> data) mutable {
                      if (!*alive) return done(std::move(data));
                      if (!data) return read_again(id, object_id, offset, max_bytes, data.error(), std::move(done));
                      scan_of(id, offset).next = offset + data->size();
                      if (passing && options_.scans) options_.scans->took(data->size(), executor_.clock().now());
                      done(std::move(data));
                  });
}

// Blocks as small as an object has them. Those of one segment's pieces are asked for together; its neighbours' pieces
// lie in the same ones.
void Tiering::read_piece(Segment& segment, std::uint64_t offset, std::size_t max_bytes, TierReader::Done done) {
    const ManifestEntry* entry = segment.manifest.find(offset);
    auto object = entry == nullptr ? objects_.end() : objects_.find(entry->object);
    if (object == objects_.end() || stopped_ || !store_) return read_now(segment, offset, max_bytes, std::move(done));
    if (!piece_reader_) {
        TierReaderOptions options;
        options.block_bytes = options.range_bytes = kObjectBlock;
        options.cache_bytes = kPieceCache;
        options.loading_bytes = kPiecesAhead;
        piece_reader_ = std::make_unique<TierReader>(*store_, options);
        pieces_to_ = 0;
    }
    if (segment.id != pieces_of_ || offset >= pieces_to_) {
        pieces_of_ = segment.id;
        pieces_to_ = offset;
        std::uint64_t blocks = 0;
        for (const ManifestEntry* next = entry; next != segment.manifest.entries().data() + segment.manifest.size();
             ++next) {
            auto there = objects_.find(next->object);
            blocks += next->size + kObjectBlock;
            if (there == objects_.end() || blocks > kPiecesAhead || next->offset >= offset + max_bytes) break;
            (void)piece_reader_->will_need(there->second.record, next->object_offset, next->size);
            pieces_to_ = next->end();
        }
    }
    std::uint64_t within = offset - entry->offset;
    std::size_t size = std::min<std::uint64_t>(max_bytes, entry->size - within);
    ++piece_reads_;
    piece_reader_->read(object->second.record, entry->object_offset + within, size, false,
                        [this, alive = alive_, id = segment.id, object_id = entry->object, offset, max_bytes,
                         done = std::move(done)](Result<bytes::Chain> data) mutable {
                            if (!*alive) return done(std::move(data));
                            --piece_reads_;
                            if (data) return done(std::move(data));
                            read_again(id, object_id, offset, max_bytes, data.error(), std::move(done));
                        });
}

// An object may have been removed while it was read: its bytes were truncated, or written again elsewhere.
void Tiering::read_again(SegmentId id, ObjectId object, std::uint64_t offset, std::size_t max_bytes, const Error& error,
                         TierReader::Done done) {
    Segment* segment = living(id, offset, done);
    if (segment == nullptr) return;
    const ManifestEntry* entry = segment->manifest.find(offset);
    if (entry == nullptr || entry->object == object) return done(fail(error));
    read_now(*segment, offset, max_bytes, std::move(done));
}

// Null, and `done` is told why, when the bytes have gone.
Segment* Tiering::living(SegmentId id, std::uint64_t offset, TierReader::Done& done) {
    Segment* segment = host_.find_segment(id);
    if (segment == nullptr) {
        done(fail(Errc::kNotFound));
        return nullptr;
    }
    if (offset < segment->durable.start) {
        done(fail(Error(Errc::kTruncated, static_cast<std::int64_t>(segment->durable.start))));
        return nullptr;
    }
    return segment;
}

Tiering::Scan& Tiering::scan_of(SegmentId segment, std::uint64_t offset) {
    if (scans_.size() > kScannedSegments) scans_.clear();
    std::vector<Scan>& scans = scans_[segment];
    for (Scan& scan : scans) {
        if (scan.next == offset) return scan;
    }
    if (scans.size() == kScansOfASegment) scans.erase(scans.begin());
    return scans.emplace_back(Scan{.next = offset});
}

void Tiering::read_ahead(Segment& segment, Scan& scan) {
    std::uint64_t most = std::min(options_.read_ahead_max, options_.reader.cache_bytes / 2);
    // The window doubles whenever half of what was asked for has been read.
    if (scan.ahead > scan.next && scan.ahead - scan.next > scan.window / 2) return;
    scan.passing = scan.window > 0;
    scan.window = scan.window == 0 ? kFirstWindow : std::min(scan.window * 2, most);
    std::uint64_t at = std::max(scan.ahead, scan.next);
    std::uint64_t until = scan.next + scan.window;
    while (at < until) {
        const ManifestEntry* entry = segment.manifest.find(at);
        if (entry == nullptr) break;
        auto object = objects_.find(entry->object);
        if (object == objects_.end()) break;
        std::uint64_t within = at - entry->offset;
        std::uint64_t wanted = std::min(entry->size - within, until - at);
        std::uint64_t asked = reader_->will_need(object->second.record, entry->object_offset + within, wanted);
        at += asked;
        if (asked < wanted) break;
    }
    scan.ahead = at;
}

}  // namespace millrace::container
