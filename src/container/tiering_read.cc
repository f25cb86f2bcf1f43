// Reading what lies in long-term storage: which object has it, how far a scan reads ahead.
#include <algorithm>

#include <fmt/format.h>

#include "container/tiering.h"

namespace millrace::container {
namespace {

constexpr std::uint64_t kFirstWindow = 1 << 20;
constexpr std::size_t kScansOfASegment = 4;
constexpr std::size_t kScannedSegments = 1024;

}  // namespace

void Tiering::read(Segment& segment, std::uint64_t offset, std::size_t max_bytes, TierReader::Done done) {
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
    bool passing = scan.window > kFirstWindow;
    // Bounds of the part, not of the object: what lies behind it belongs to others.
    reader_->read(object->second.record, entry->object_offset + within, size, passing,
                  [this, alive = alive_, id = segment.id, object_id = entry->object, offset, max_bytes,
                   done = std::move(done)](Result<bytes::Chain> data) mutable {
                      if (!*alive) return done(std::move(data));
                      if (!data) return read_again(id, object_id, offset, max_bytes, data.error(), std::move(done));
                      scan_of(id, offset).next = offset + data->size();
                      done(std::move(data));
                  });
}

// An object may have been removed while it was read: its bytes were truncated, or written again elsewhere.
void Tiering::read_again(SegmentId id, ObjectId object, std::uint64_t offset, std::size_t max_bytes, const Error& error,
                         TierReader::Done done) {
    Segment* segment = host_.find_segment(id);
    if (segment == nullptr) return done(fail(Errc::kNotFound));
    if (offset < segment->durable.start) {
        return done(fail(Error(Errc::kTruncated, static_cast<std::int64_t>(segment->durable.start))));
    }
    const ManifestEntry* entry = segment->manifest.find(offset);
    if (entry == nullptr || entry->object == object) return done(fail(error));
    read(*segment, offset, max_bytes, std::move(done));
}

Tiering::Scan& Tiering::scan_of(SegmentId segment, std::uint64_t offset) {
    if (scans_.size() > kScannedSegments) scans_.clear();
    std::vector<Scan>& scans = scans_[segment];
    for (Scan& scan : scans) {
        if (scan.next == offset) return scan;
    }
    if (scans.size() == kScansOfASegment) scans.erase(scans.begin());
    return scans.emplace_back(Scan{offset, 0, 0});
}

void Tiering::read_ahead(Segment& segment, Scan& scan) {
    std::uint64_t most = std::min(options_.read_ahead_max, options_.reader.cache_bytes / 2);
    // The window doubles whenever half of what was asked for has been read.
    if (scan.ahead > scan.next && scan.ahead - scan.next > scan.window / 2) return;
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
