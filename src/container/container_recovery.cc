// Replay of the log, checkpoints that let it be truncated, and carrying living bytes forward when a few of them hold a
// file back.
#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "base/units.h"
#include "container/container_impl.h"
#include "container/state/manifest_record.h"

namespace millrace::container {
namespace {
// What is carried forward is the rest of a laggard, not data in use: a little in each file (an option), or a small part
// of what was logged there.
constexpr std::uint64_t kCarriedShare = 8;
}  // namespace

// ---- replay ----

Result<> SegmentContainer::Impl::replay(const wal::Appended& where, bytes::ByteSpan payload) {
    auto damaged = [&](const Error& error) {
        return fail(Error(error.code(), fmt::format("container {}, frame {} in journal file {}: {}", id.value(),
                                                    where.sequence.value(), where.payload.file, error.message())));
    };
    if (replay_frames_++ == 0 && where.sequence.value() > loaded_.value() + 1) {
        return fail(Errc::kCorrupt,
                    fmt::format("container {}: its log begins with frame {}, but its state includes only those up to "
                                "{}; restore the data directory from a copy",
                                id.value(), where.sequence.value(), loaded_.value()));
    }
    replay_where_ = where;
    if (payload.size() >= kPayloadHeader) replay_wall_ms_ = bytes::load_le<std::int64_t>(payload.data() + 8);
    usage_.frame(where.payload.file, where.sequence, payload.size());
    log_bytes_ += payload.size();
    if (where.sequence <= loaded_) {
        if (!log_index_) log_index_ = std::make_unique<LogIndex>();
        if (auto read = log_index_->read(where, payload); !read) return damaged(read.error());
        return {};
    }
    if (auto adopted = adopt_log_index(); !adopted) return adopted;
    auto header = decode_payload(payload, *this);
    if (!header) return damaged(header.error());
    if (replay_error_) return fail(*replay_error_);
    log_bytes_since_checkpoint_ += payload.size();
    keeper_.published(where.sequence);
    return {};
}

// Leaves out the segments whose bytes in the log have all moved to long-term storage, which are most of many: one pass
// over the manifests costs less than to look for each segment.
Result<> SegmentContainer::Impl::drop_tiered(std::map<SegmentId, TailIndex>& segments) {
    constexpr std::size_t kFew = 256;
    if (segments.size() <= kFew) return {};
    state::KeyRange range{state::ManifestRecord::range(segments.begin()->first).begin,
                          state::ManifestRecord::range(segments.rbegin()->first).end};
    SegmentId current;
    Manifest manifest;
    auto finish = [&] {
        auto found = segments.find(current);
        if (found == segments.end()) return;
        const TailIndex& index = found->second;
        bool moved = std::all_of(index.begin(), index.end(),
                                 [&](const Extent& extent) { return manifest.covers(extent.offset, extent.end()); });
        if (moved) segments.erase(found);
    };
    auto loaded = keeper_.store().load(range, [&](std::string_view key, std::string_view value) -> Result<> {
        auto record = state::ManifestRecord::decode(key, value);
        if (!record) return fail(std::move(record.error()));
        if (record->segment != current) {
            finish();
            current = record->segment;
            manifest = {};
        }
        manifest.put({record->offset, record->size, ObjectId(record->object.value()), record->object_offset},
                     [](const ManifestEntry&) {});
        return {};
    });
    finish();
    return loaded;
}

// The state says which segments there are and what of them is in long-term storage; the log still has these bytes.
Result<> SegmentContainer::Impl::adopt_log_index() {
    if (!log_index_) return {};
    auto read = std::exchange(log_index_, {});
    if (auto dropped = drop_tiered(read->segments()); !dropped) return dropped;
    for (auto& [segment_id, index] : read->segments()) {
        Segment* segment = find_segment(segment_id);
        if (segment == nullptr) continue;  // it has gone
        for (const Extent& extent : index) {
            if (extent.end() <= segment->durable.start || segment->manifest.covers(extent.offset, extent.end()))
                continue;
            segment->index.add(extent);
            index_grew(*segment, extent);
        }
    }
    return {};
}

Result<> SegmentContainer::Impl::finish_recovery() {
    if (replay_frames_ > 0 && replay_where_.sequence < loaded_) {
        return fail(Errc::kCorrupt,
                    fmt::format("container {}: its state includes frame {} of its log, which ends with {}; restore the "
                                "data directory from a copy",
                                id.value(), loaded_.value(), replay_where_.sequence.value()));
    }
    if (auto adopted = adopt_log_index(); !adopted) return adopted;
    if (replay_error_) return fail(*replay_error_);
    // Only now: bytes that the state knows may have been truncated or carried forward behind it.
    for (auto& [segment_id, segment] : segments_) {
        if (segment->table != nullptr) continue;
        std::uint64_t at = segment->durable.start;
        while (at < segment->durable.length) {
            const Extent* extent = segment->index.find(at);
            const ManifestEntry* entry = segment->manifest.find(at);
            if (extent == segment->index.end() && entry == nullptr) break;
            at = std::max(extent == segment->index.end() ? 0 : extent->end(), entry == nullptr ? 0 : entry->end());
        }
        if (at < segment->durable.length) {
            return fail(Errc::kCorrupt, fmt::format("segment {} lacks its bytes from {} to {}", segment->name, at,
                                                    segment->durable.length));
        }
    }
    for (auto& [segment_id, segment] : segments_) {
        segment->pending = segment->durable;
        for (auto& [key, entry] : segment->attributes) entry.pending = entry.durable;
        if (segment->log_only_bytes > 0) tiering_.became_dirty(*segment);
        if (segment->attributes.contains(kEventCount)) segment->event_count = &segment->attribute(kEventCount);
    }
    // Frames up to the state are needed for their bytes only.
    checkpoint_ = loaded_.value() > 0 ? LogSequence(loaded_.value() + 1) : LogSequence(0);
    return {};
}

Result<Segment*> SegmentContainer::Impl::replayed(SegmentId segment_id) {
    if (Segment* segment = find_segment(segment_id)) return segment;
    return fail(Errc::kCorrupt, fmt::format("an operation on segment {}, which is not there", segment_id.value()));
}

wal::LogAddress SegmentContainer::Impl::replay_address(std::size_t position) const {
    return replay_where_.payload.plus(position);
}

Result<> SegmentContainer::Impl::on(const CreateRecord& record) {
    if (segments_.contains(record.id)) return fail(Errc::kCorrupt, "a segment's id is used again");
    Segment& segment = adopt(std::make_unique<Segment>(record.id, record.name));
    segment.transient = record.transient;
    segment.exists = true;
    segment.last_modified_ms = record.created_ms;
    publish_attributes(segment, record.attributes);
    TableSegments::recognise(segment);
    mark(segment);
    ++segment_count_;
    if (segment.transient) transients_[segment.id] = segment.name;
    next_segment_ = std::max(next_segment_, record.id.value() + 1);
    return {};
}

Result<> SegmentContainer::Impl::on(const AppendRecord& record) {
    auto found = replayed(record.id);
    if (!found) return fail(std::move(found.error()));
    Segment& segment = **found;
    if (record.offset != segment.durable.length) {
        return fail(Errc::kCorrupt,
                    fmt::format("append at {} to a segment of {} bytes", record.offset, segment.durable.length));
    }
    if (record.data_size > 0) {
        Extent extent{record.offset, record.data_size, 0, 0, replay_address(record.data_position)};
        segment.index.add(extent);
        index_grew(segment, extent);
    }
    segment.durable.length = record.offset + record.data_size;
    segment.last_modified_ms = replay_wall_ms_;
    if (record.has_writer) publish_attribute(segment, record.writer, record.event_number);
    std::int64_t& count = segment.attribute(kEventCount).durable;
    count = count == kNullAttribute ? record.event_count : count + record.event_count;
    mark(segment);
    return {};
}

Result<> SegmentContainer::Impl::on(const AttributesRecord& record) {
    auto segment = replayed(record.id);
    if (!segment) return fail(std::move(segment.error()));
    publish_attributes(**segment, record.values);
    return {};
}

Result<> SegmentContainer::Impl::on(const SealRecord& record) {
    auto segment = replayed(record.id);
    if (!segment) return fail(std::move(segment.error()));
    (*segment)->durable.sealed = true;
    mark(**segment);
    return {};
}

Result<> SegmentContainer::Impl::on(const TruncateRecord& record) {
    auto found = replayed(record.id);
    if (!found) return fail(std::move(found.error()));
    Segment& segment = **found;
    segment.durable.start = std::max(segment.durable.start, record.start);
    drop_below(segment, segment.durable.start);
    mark(segment);
    return {};
}

Result<> SegmentContainer::Impl::on(const MergeRecord& record) {
    auto found = replayed(record.target);
    auto source = replayed(record.source);
    if (!found) return fail(std::move(found.error()));
    if (!source) return fail(std::move(source.error()));
    Segment& target = **found;
    splice(target, **source, record.target_offset);
    target.durable.length = std::max(target.durable.length, record.target_offset + record.source_size);
    target.last_modified_ms = replay_wall_ms_;
    publish_attributes(target, record.attributes);
    publish_gone(*source, true);
    return {};
}

Result<> SegmentContainer::Impl::on(const DeleteRecord& record) {
    auto segment = replayed(record.id);
    if (!segment) return fail(std::move(segment.error()));
    publish_gone(*segment, false);
    return {};
}

Result<> SegmentContainer::Impl::on(const TableRecord& record) {
    tables_.apply(record);
    save_internal(record);
    return {};
}

Result<> SegmentContainer::Impl::on(const RelocateRecord& record) {
    Segment* segment = find_segment(record.id);
    // Deleted before the relocation reached the log, or truncated away meanwhile.
    if (segment == nullptr || record.offset + record.data_size <= segment->durable.start) return {};
    if (segment->manifest.covers(record.offset, record.offset + record.data_size)) return {};
    Extent extent{record.offset, record.data_size, 0, 0, replay_address(record.data_position)};
    Extent replaced;
    if (!segment->index.put(extent, &replaced)) return fail(Errc::kCorrupt, "a relocation overlaps other bytes");
    drop_bytes(*segment, replaced);
    index_grew(*segment, extent);
    return {};
}

// ---- checkpoints ----

void SegmentContainer::Impl::maybe_checkpoint() {
    if (checkpoint_running_ || failed_ || stopping_ || !started_) return;
    bool asked = wanted_ > checkpoint_ && wanted_.value() != 0 && keeper_.published().value() + 1 > checkpoint_.value();
    if (!asked && log_bytes_since_checkpoint_ < options_.checkpoint_log_bytes && !keeper_.wants_flush()) {
        if (wanted_.value() != 0) free_oldest();
        return;
    }
    checkpoint_running_ = true;
    log_bytes_since_checkpoint_ = 0;
    keeper_.checkpoint([this](LogSequence flushed) {
        checkpoint_running_ = false;
        if (failed_) return;
        checkpoint_ = std::max(checkpoint_, LogSequence(flushed.value() + 1));
        ++counters_.checkpoints;
        counters_.checkpoint_ms = executor.clock().wall_millis();
        advance_truncation();
        if (wanted_.value() != 0) free_oldest();
    });
}

void SegmentContainer::Impl::advance_truncation() {
    if (checkpoint_.value() == 0) return;
    LogSequence first_kept = std::min(checkpoint_, usage_.first_needed().value_or(checkpoint_));
    usage_.truncated(first_kept);
    pipeline_.log()->truncate(first_kept);
    if (wanted_.value() != 0 && first_kept >= wanted_) wanted_ = LogSequence(0);
}

// ---- carrying forward ----

// The living bytes below `wanted`, when they are few: read and logged again, so that their files can be recycled.
void SegmentContainer::Impl::carry_forward(LogSequence wanted) {
    if (carrying_ || failed_ || stopping_ || checkpoint_ < wanted) return;
    std::uint64_t bytes = 0;
    std::uint64_t logged = 0;
    std::uint64_t freed_files = 0;
    std::uint64_t last_file = 0;
    const auto& files = usage_.files();
    for (std::size_t i = 0; i + 1 < files.size() && files[i + 1].first <= wanted; ++i) {
        bytes += files[i].live_bytes;
        logged += files[i].logged_bytes;
        last_file = files[i].file;
        ++freed_files;
    }
    if (bytes == 0) return advance_truncation();
    if (bytes > std::max(options_.carry_bytes_per_file * freed_files, logged / kCarriedShare))
        return;  // the space is really in use
    for (const auto& [segment_id, segment] : segments_) {
        for (const Extent& extent : segment->index) {
            if (extent.in_log() && extent.address.file <= last_file) carry_.push_back({segment_id, extent});
        }
    }
    std::sort(carry_.begin(), carry_.end(), [](const Carry& a, const Carry& b) {  // as they lie there
        return std::pair(a.extent.address.file, a.extent.address.offset) <
               std::pair(b.extent.address.file, b.extent.address.offset);
    });
    carrying_ = true;
    log::info("container {}: carries {} forward in the log to free its oldest files", id.value(), format_bytes(bytes));
    carry_next();
}

void SegmentContainer::Impl::carry_next() {
    if (failed_ || stopping_) return;
    if (carry_.empty()) {
        carrying_ = false;
        after_commit([this](const Error* error) {
            if (error == nullptr) advance_truncation();
        });
        return;
    }
    Carry next = carry_.front();
    carry_.pop_front();
    pipeline_.log()->read(next.extent.address, next.extent.size, [this, next](Result<bytes::Slice> data) {
        // What is damaged keeps its file; whoever truncates the segment frees it.
        if (!data && data.error() == Errc::kCorrupt) return carry_next();
        if (!data) {
            log::error("container {}: cannot carry bytes forward: {}", id.value(), data.error().to_string());
            carrying_ = false;
            carry_.clear();
            return;
        }
        put_relocated(next.segment, next.extent, *data);
        carry_next();
    });
}

void SegmentContainer::Impl::put_relocated(SegmentId segment_id, const Extent& extent, const bytes::Slice& data) {
    auto found = segments_.find(segment_id);
    if (found == segments_.end() || found->second->pending.gone || extent.end() <= found->second->pending.start) return;
    const Extent* now = found->second->index.find(extent.offset);
    if (now == found->second->index.end() || now->offset != extent.offset || now->address != extent.address) return;
    RelocateRecord record{segment_id, extent.offset, extent.size, 0};
    std::size_t slab_offset = 0;
    constexpr std::size_t kHead = kRecordHeader + kRelocateFixed;
    std::uint8_t* at = pipeline_.put(kHead + extent.size, &slab_offset);
    at += encode_relocate_head(record, at);
    std::memcpy(at, data.data(), data.size());
    // Its place in the log is known when its frame is durable: the event finds the segment again, it may be gone by
    // then.
    FrameEvent& event = pipeline_.event();
    event.kind = FrameEvent::Kind::kRelocated;
    event.relocated = segment_id;
    event.offset = extent.offset;
    event.size = extent.size;
    event.slab_offset = static_cast<std::uint32_t>(slab_offset + kHead);
}

void SegmentContainer::Impl::publish_relocated(const FrameEvent& event, const PendingFrame& frame,
                                               const wal::Appended& where) {
    auto found = segments_.find(event.relocated);
    if (found == segments_.end() || event.offset + event.size <= found->second->durable.start) return;
    if (found->second->manifest.covers(event.offset, event.offset + event.size)) return;
    std::size_t in_payload = event.slab_offset - (frame.begin + wal::kHeaderRoom);
    Extent moved{event.offset, event.size, event.slab_offset, frame.slab_id, where.payload.plus(in_payload)};
    Extent replaced;
    if (!found->second->index.put(moved, &replaced)) {
        log::error("container {}: relocated bytes do not fit their segment", id.value());
        return;
    }
    drop_bytes(*found->second, replaced);
    index_grew(*found->second, moved);
}

}  // namespace millrace::container
