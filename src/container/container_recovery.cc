// Replay of the log, checkpoints that let it be truncated, and carrying living bytes forward when a few of them hold a
// file back.
#include <fmt/format.h>

#include "base/log.h"
#include "base/units.h"
#include "container/container_impl.h"

namespace millrace::container {
namespace {
// What is carried forward is the rest of a laggard, not data in use: a little in each file (an option), or a small part
// of what was logged there.
constexpr std::uint64_t kCarriedShare = 8;
constexpr std::size_t kCheckpointRecord = 256 << 10;
constexpr std::size_t kCheckpointAttributes = 4096;
}  // namespace

// ---- replay ----

Result<> SegmentContainer::Impl::replay(const wal::Appended& where, bytes::ByteSpan payload) {
    if (replay_frames_++ == 0) complete_ = where.sequence == LogSequence(1);
    replay_where_ = where;
    if (payload.size() >= kPayloadHeader) replay_wall_ms_ = bytes::load_le<std::int64_t>(payload.data() + 8);
    usage_.frame(where.payload.file, where.sequence, payload.size());
    auto header = decode_payload(payload, *this);
    if (!header) {
        return fail(Error(header.error().code(),
                          fmt::format("container {}, frame {} in journal file {}: {}", id.value(),
                                      where.sequence.value(), where.payload.file, header.error().message())));
    }
    log_bytes_ += payload.size();
    return {};
}

Result<> SegmentContainer::Impl::finish_recovery() {
    if (replay_frames_ > 0 && (!complete_ || in_checkpoint_)) {
        return fail(Errc::kCorrupt,
                    fmt::format("container {}: the log was truncated, but it holds no complete checkpoint; restore the "
                                "data directory from a copy",
                                id.value()));
    }
    // Only now: bytes that a checkpoint knew may have been truncated or carried forward behind it.
    for (auto& [segment_id, segment] : segments_) {
        TableSegments::recognise(*segment);
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
    named_.clear();
    return {};
}

Segment& SegmentContainer::Impl::replayed(SegmentId segment_id) {
    std::unique_ptr<Segment>& segment = segments_[segment_id];
    if (!segment) segment = std::make_unique<Segment>(segment_id, std::string());
    return *segment;
}

wal::LogAddress SegmentContainer::Impl::replay_address(std::size_t position) const {
    return replay_where_.payload.plus(position);
}

Result<> SegmentContainer::Impl::on(const CreateRecord& record) {
    Segment& segment = replayed(record.id);
    segment.name = record.name;
    segment.transient = record.transient;
    segment.exists = true;
    segment.last_modified_ms = record.created_ms;
    publish_attributes(segment, record.attributes);
    by_name_[record.name] = &segment;
    next_segment_ = std::max(next_segment_, record.id.value() + 1);
    return {};
}

Result<> SegmentContainer::Impl::on(const AppendRecord& record) {
    Segment& segment = replayed(record.id);
    if (complete_ && record.offset != segment.durable.length) {
        return fail(Errc::kCorrupt,
                    fmt::format("append at {} to a segment of {} bytes", record.offset, segment.durable.length));
    }
    if (record.data_size > 0 && record.offset + record.data_size > segment.durable.start) {
        Extent extent{record.offset, record.data_size, 0, 0, replay_address(record.data_position)};
        Extent replaced;
        if (!segment.index.put(extent, &replaced)) return fail(Errc::kCorrupt, "appends overlap");
        drop_bytes(segment, replaced);
        index_grew(segment, extent);
    }
    segment.durable.length = std::max(segment.durable.length, record.offset + record.data_size);
    segment.last_modified_ms = replay_wall_ms_;
    if (record.has_writer) segment.attribute(record.writer).durable = record.event_number;
    std::int64_t& count = segment.attribute(kEventCount).durable;
    count = count == kNullAttribute ? record.event_count : count + record.event_count;
    return {};
}

Result<> SegmentContainer::Impl::on(const AttributesRecord& record) {
    publish_attributes(replayed(record.id), record.values);
    return {};
}

Result<> SegmentContainer::Impl::on(const SealRecord& record) {
    replayed(record.id).durable.sealed = true;
    return {};
}

Result<> SegmentContainer::Impl::on(const TruncateRecord& record) {
    Segment& segment = replayed(record.id);
    segment.durable.start = std::max(segment.durable.start, record.start);
    drop_below(segment, segment.durable.start);
    return {};
}

Result<> SegmentContainer::Impl::on(const MergeRecord& record) {
    Segment& target = replayed(record.target);
    Segment& source = replayed(record.source);
    splice(target, source, record.target_offset);
    target.durable.length = std::max(target.durable.length, record.target_offset + record.source_size);
    target.last_modified_ms = replay_wall_ms_;
    publish_attributes(target, record.attributes);
    publish_gone(&source, true);
    return {};
}

Result<> SegmentContainer::Impl::on(const DeleteRecord& record) {
    publish_gone(&replayed(record.id), false);
    return {};
}

Result<> SegmentContainer::Impl::on(const TableRecord& record) {
    // A complete state's checkpoint repeats what is known; before the first checkpoint of a truncated log nothing is.
    tables_.apply(record);
    return {};
}

// From here to the end of the checkpoint: only for a log that was truncated, see docs/formats/container-log.md.
Result<> SegmentContainer::Impl::on(const CheckpointBeginRecord& record) {
    next_segment_ = std::max(next_segment_, record.next_segment);
    tables_.set_next_version(record.next_version);
    if (!complete_) {
        in_checkpoint_ = true;
        for (auto& [segment_id, segment] : segments_) {
            segment->manifest.clear([](const ManifestEntry&) {});
            segment->dirty = segment->scattered = false;
        }
        tiering_.forget_all();
        by_name_.clear();
        tables_.clear();
        table_segments_.forget_all();
        named_.clear();
    }
    replay_checkpoint_ = replay_where_.sequence;
    return {};
}

Result<> SegmentContainer::Impl::on(const CheckpointSegmentRecord& record) {
    if (!in_checkpoint_) return {};
    Segment& segment = replayed(record.id);
    segment.name = record.name;
    segment.transient = record.transient;
    segment.exists = true;
    segment.durable.length = record.length;
    segment.durable.start = record.start;
    segment.durable.sealed = record.sealed;
    segment.last_modified_ms = record.last_modified_ms;
    segment.attributes.clear();
    publish_attributes(segment, record.attributes);
    drop_below(segment, record.start);
    by_name_[record.name] = &segment;
    named_[record.id] = true;
    return {};
}

Result<> SegmentContainer::Impl::on(const CheckpointEndRecord&) {
    checkpoint_ = replay_checkpoint_;
    if (!in_checkpoint_) return {};
    in_checkpoint_ = false;
    complete_ = true;
    std::vector<SegmentId> dead;
    for (auto& [segment_id, segment] : segments_) {
        if (!named_.contains(segment_id)) dead.push_back(segment_id);
    }
    for (SegmentId segment_id : dead) {
        Segment& segment = *segments_[segment_id];
        segment.index.clear([&](const Extent& extent) { drop_bytes(segment, extent); });
        segments_.erase(segment_id);
    }
    return {};
}

Result<> SegmentContainer::Impl::on(const RelocateRecord& record) {
    auto found = segments_.find(record.id);
    // Deleted before the relocation reached the log, or truncated away meanwhile.
    if (complete_ && found == segments_.end()) return {};
    Segment& segment = replayed(record.id);
    if (record.offset + record.data_size <= segment.durable.start) return {};
    if (segment.manifest.covers(record.offset, record.offset + record.data_size)) return {};
    Extent extent{record.offset, record.data_size, 0, 0, replay_address(record.data_position)};
    Extent replaced;
    if (!segment.index.put(extent, &replaced)) return fail(Errc::kCorrupt, "a relocation overlaps other bytes");
    drop_bytes(segment, replaced);
    index_grew(segment, extent);
    return {};
}

// ---- checkpoints ----

void SegmentContainer::Impl::maybe_checkpoint() {
    if (checkpoint_running_ || checkpoint_wanted_ || failed_ || stopping_ || !started_) return;
    bool asked = wanted_ > checkpoint_ && wanted_.value() != 0;
    // A checkpoint is worth no more than what was logged since the last one.
    if (!asked && log_bytes_since_checkpoint_ < std::max(options_.checkpoint_log_bytes, checkpoint_bytes_)) {
        if (wanted_.value() != 0) free_oldest();
        return;
    }
    checkpoint_wanted_ = true;
    process();
}

// Nothing is under way, so pending and durable state are the same: the state at this place of the log.
void SegmentContainer::Impl::write_checkpoint() {
    checkpoint_wanted_ = false;
    checkpoint_running_ = true;
    log_bytes_since_checkpoint_ = 0;
    auto first = std::make_shared<LogSequence>();
    pipeline_.put(CheckpointBeginRecord{next_segment_, tables_.next_version()});
    *first = pipeline_.current_sequence();
    checkpoint_objects();
    for (const auto& [name, segment] : by_name_) {
        if (segment->pending.gone) continue;
        CheckpointSegmentRecord record{segment->id,
                                       name,
                                       segment->transient,
                                       segment->pending.sealed,
                                       segment->pending.length,
                                       segment->pending.start,
                                       segment->last_modified_ms,
                                       {}};
        AttributesRecord more{segment->id, {}};
        bool first_part = true;
        auto put_part = [&] {
            if (std::exchange(first_part, false))
                pipeline_.put(record);
            else if (!more.values.empty())
                pipeline_.put(more);
            more.values.clear();
        };
        for (const auto& [key, entry] : segment->attributes) {
            if (entry.pending == kNullAttribute) continue;
            auto& values = first_part ? record.attributes : more.values;
            values.emplace_back(key, entry.pending);
            if (values.size() == kCheckpointAttributes) put_part();
        }
        put_part();
        checkpoint_manifest(*segment);
    }
    tables_.checkpoint(kCheckpointRecord, [this](const TableRecord& record) { pipeline_.put(record); });
    for (const auto& [name, segment] : by_name_) {
        if (segment->table != nullptr && !segment->pending.gone) table_segments_.checkpoint(*segment);
    }
    pipeline_.put(CheckpointEndRecord{});
    after_commit([this, first](const Error* error) {
        if (error != nullptr) return;
        checkpoint_running_ = false;
        checkpoint_ = *first;
        checkpoint_bytes_ = std::exchange(log_bytes_since_checkpoint_, 0);
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
