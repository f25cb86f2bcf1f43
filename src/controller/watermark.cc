#include "controller/watermark.h"

#include <algorithm>
#include <bit>
#include <map>

#include "bytes/binary.h"

namespace millrace::controller {

namespace {

constexpr std::int32_t kEventType = 0;

// An object of the clients' serializer: format version, version, one revision (0), and the length of what follows.
constexpr std::size_t kEnvelope = 8;
constexpr std::size_t kSegmentBytes = 24;
constexpr std::size_t kEntryBytes = kEnvelope + kSegmentBytes + 8;

void envelope(bytes::Writer& out, std::size_t size) {
    out.u8(0);
    out.u8(0);
    out.u8(1);
    out.u8(0);
    out.u32(static_cast<std::uint32_t>(size));
}

std::size_t compact_size(std::size_t count) { return count < 0x80 ? 1 : count < 0x4000 ? 2 : 4; }

void compact(bytes::Writer& out, std::size_t count) {
    switch (compact_size(count)) {
        case 1:
            return out.u8(static_cast<std::uint8_t>(count));
        case 2:
            return out.u16(static_cast<std::uint16_t>(0x8000 | count));
        default:
            return out.u32(static_cast<std::uint32_t>(0xC0000000 | count));
    }
}

bool is_later(const CutEntry& a, const CutEntry& b) { return b.segment.id < a.segment.id; }

// Ranges of keys that the entries, which do not overlap, leave open.
std::vector<SegmentRange> gaps(const std::vector<CutEntry>& entries) {
    std::vector<SegmentRange> by_key;
    for (const CutEntry& entry : entries) by_key.push_back(entry.segment);
    std::ranges::sort(by_key, {}, &SegmentRange::min_key);
    std::vector<SegmentRange> open;
    double end = 0;
    for (const SegmentRange& segment : by_key) {
        if (end < segment.min_key) open.push_back({StreamSegmentId(0), end, segment.min_key});
        end = segment.max_key;
    }
    if (end < 1.0) open.push_back({StreamSegmentId(0), end, 1.0});
    return open;
}

// A set of keys, as ranges that do not touch.
class Keys {
  public:
    bool overlaps(const SegmentRange& range) const {
        auto next = end_by_begin_.lower_bound(range.max_key);  // begins behind it
        return next != end_by_begin_.begin() && std::prev(next)->second > range.min_key;
    }
    void add(const SegmentRange& range) {
        double begin = range.min_key;
        double end = range.max_key;
        auto at = end_by_begin_.upper_bound(end);
        while (at != end_by_begin_.begin() && std::prev(at)->second >= begin) {
            --at;
            begin = std::min(begin, at->first);
            end = std::max(end, at->second);
            at = end_by_begin_.erase(at);
        }
        end_by_begin_[begin] = end;
    }

  private:
    std::map<double, double> end_by_begin_;
};

// Those that no later one of them overlaps.
std::vector<CutEntry> not_overtaken(std::vector<CutEntry> entries) {
    std::ranges::sort(entries, is_later);
    Keys later;
    std::vector<CutEntry> kept;
    for (const CutEntry& entry : entries) {
        if (!later.overlaps(entry.segment)) kept.push_back(entry);
        later.add(entry.segment);
    }
    return kept;
}

}  // namespace

std::string event_of(const Watermark& watermark) {
    std::size_t data = 16 + compact_size(watermark.cut.size()) + watermark.cut.size() * kEntryBytes;
    std::vector<std::uint8_t> bytes;
    bytes::Writer out(bytes);
    out.i32(kEventType);
    out.u32(static_cast<std::uint32_t>(kEnvelope + data));
    envelope(out, data);
    out.i64(watermark.lower);
    out.i64(watermark.upper);
    compact(out, watermark.cut.size());
    for (const CutEntry& entry : watermark.cut) {
        envelope(out, kSegmentBytes);
        out.i64(entry.segment.id.value());
        out.u64(std::bit_cast<std::uint64_t>(entry.segment.min_key));
        out.u64(std::bit_cast<std::uint64_t>(entry.segment.max_key));
        out.i64(entry.offset);
    }
    return std::string(bytes.begin(), bytes.end());
}

WritersVerdict judge(std::span<const WriterTime> writers, std::optional<std::int64_t> previous_lower,
                     std::int64_t timeout_ms, std::int64_t now_ms) {
    WritersVerdict verdict;
    for (std::size_t i = 0; i < writers.size(); ++i) {
        const WriterTime& writer = writers[i];
        bool participates = !previous_lower || writer.time > *previous_lower;
        bool waited_for = writer.alive && now_ms - writer.lagging_since_ms.value_or(now_ms) < timeout_ms;
        if (!participates && !waited_for) {
            verdict.inactive.push_back(i);
            continue;
        }
        if (!participates) verdict.lagging.push_back(i);
        bool first = verdict.active.empty();
        verdict.lower = first ? writer.time : std::min(verdict.lower, writer.time);
        verdict.upper = first ? writer.time : std::max(verdict.upper, writer.time);
        verdict.active.push_back(i);
    }
    verdict.advances = !verdict.active.empty() && verdict.lagging.empty();
    return verdict;
}

std::vector<CutEntry> upper_bound_of(std::vector<CutEntry> entries, const Epoch& newest) {
    std::map<StreamSegmentId, CutEntry> furthest;
    for (CutEntry& entry : entries) {
        entry.offset = std::max<std::int64_t>(entry.offset, 0);
        auto [known, added] = furthest.try_emplace(entry.segment.id, entry);
        if (!added) known->second.offset = std::max(known->second.offset, entry.offset);
    }
    entries.clear();
    for (auto& [id, entry] : furthest) entries.push_back(entry);
    std::vector<CutEntry> bound = not_overtaken(entries);
    // Filling in may overtake others, which leaves more open; at the worst all of the epoch's segments are in it.
    for (std::vector<SegmentRange> open = gaps(bound); !open.empty(); open = gaps(bound)) {
        std::vector<CutEntry> filled = bound;
        Keys missing;
        for (const SegmentRange& gap : open) missing.add(gap);
        for (const SegmentRange& segment : newest.segments) {
            if (missing.overlaps(segment)) filled.push_back({segment, 0});
        }
        if (filled.size() == bound.size()) break;
        bound = not_overtaken(std::move(filled));
    }
    std::ranges::sort(bound, {}, [](const CutEntry& entry) { return entry.segment.id; });
    return bound;
}

}  // namespace millrace::controller
