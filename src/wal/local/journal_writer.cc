#include "wal/local/journal_writer.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/assert.h"
#include "base/log.h"

namespace millrace::wal::local {
namespace {

constexpr std::size_t kMaxFramesPerWrite = 512;  // pieces of one system call

}  // namespace

Placement::Placement(std::uint64_t offset, std::uint64_t file_bytes, std::vector<std::uint64_t> sizes_ahead,
                     std::uint64_t start_bytes, std::uint64_t kept_free)
    : sizes_(std::move(sizes_ahead)), offset_(offset), start_bytes_(start_bytes), kept_free_(kept_free) {
    sizes_.insert(sizes_.begin(), file_bytes);
}

bool Placement::place(std::uint64_t frame_bytes) {
    std::uint64_t offset = offset_;
    for (std::size_t index = index_; index < sizes_.size(); ++index) {
        if (offset + frame_bytes + kept_free_ <= sizes_[index]) {
            index_ = index;
            offset_ = offset + frame_bytes;
            return true;
        }
        offset = start_bytes_;
    }
    return false;
}

JournalWriter::JournalWriter(const JournalOptions& options, const Uuid& journal, const JournalPosition& position,
                             FilePool& pool, std::vector<ContainerState*>& containers, const Clock& clock,
                             JournalCounters& counters)
    : options_(options),
      journal_(journal),
      position_(position),
      pool_(pool),
      containers_(containers),
      clock_(clock),
      counters_(counters),
      acknowledged_(position.last) {}

void JournalWriter::start(std::weak_ptr<void> owner, Events events) {
    owner_ = std::move(owner);
    events_ = std::move(events);
}

void JournalWriter::push(QueuedFrame frame) { queue_.push_back(std::move(frame)); }

std::uint64_t JournalWriter::table_bytes() const { return frame_bytes(table_payload_size(containers_.size())); }

Placement JournalWriter::placement() const {
    std::uint64_t start = kFileHeaderSize + table_bytes();
    return Placement(std::max(position_.offset, start), pool_.current().bytes, pool_.sizes_ahead(), start, kept_free());
}

bool JournalWriter::has_room(std::uint64_t frame_bytes, std::uint64_t kept_free) const {
    return position_.offset + frame_bytes + kept_free <= pool_.current().bytes;
}

void JournalWriter::pump() {
    while (!failed_ && in_flight_.size() < options_.max_in_flight) {
        WriteRef write = gather();
        if (write == nullptr) return;
        submit(std::move(write));
    }
}

// The next write, all of it in one file; nothing when there is nothing to write, or no room yet.
JournalWriter::WriteRef JournalWriter::gather() {
    if (queue_.empty() && !wanted_ && !record_wanted_) return nullptr;
    auto write = std::make_shared<Write>();
    write->file = pool_.current_ref();
    write->offset = position_.offset;
    if (position_.offset == kFileHeaderSize) add_marker(*write, MarkerKind::kFileStart, false);
    if (record_wanted_ && has_room(table_bytes(), kPage)) {
        add_marker(*write, MarkerKind::kIdle, true);
        record_wanted_ = false;
    }
    gather_frames(*write);
    if (write->frames.empty()) return nullptr;
    return write;
}

void JournalWriter::gather_frames(Write& write) {
    while (!queue_.empty()) {
        std::uint64_t bytes = frame_bytes(queue_.front().frame.payload_size);
        if (!has_room(bytes, kept_free())) return end_file(write);
        if (full_write(write, bytes)) return;
        add_frame(write, std::move(queue_.front()));
        queue_.pop_front();
    }
    if (record_wanted_) return end_file(write);  // it found no room above
    if (!wanted_) return;
    // The marker of a quiet moment is not worth the last file; nor is that of a close, but it may use the room for a
    // record.
    bool spare = pool_.may_grow() || pool_.ready().size() > 1;
    if (has_room(table_bytes(), *wanted_ == MarkerKind::kClosed ? kPage : kept_free())) {
        add_marker(write, *std::exchange(wanted_, std::nullopt), false);
    } else if (spare) {
        end_file(write);
    } else {
        wanted_.reset();
    }
}

bool JournalWriter::full_write(const Write& write, std::uint64_t frame_bytes) const {
    if (write.frames.empty()) return false;
    return write.size + frame_bytes > options_.max_write_bytes || write.frames.size() >= kMaxFramesPerWrite;
}

// Leaves the rest of the current file, if there is a next one.
void JournalWriter::end_file(Write& write) {
    if (pool_.ready().empty()) return;
    add_marker(write, MarkerKind::kFileEnd, false);
    pool_.advance();
    position_.offset = kFileHeaderSize;
    pool_.maintain();
}

void JournalWriter::add_frame(Write& write, QueuedFrame queued) {
    ContainerState& container = *queued.container;
    MILLRACE_ASSERT(queued.sequence == container.placed_next);
    container.placed_next = queued.sequence.next();
    write.file->placed(container.index, queued.sequence);
    FrameHeader header;
    header.container = container.id;
    header.sequence = queued.sequence.value();
    header.first_kept = std::min(container.first_kept, queued.sequence).value();
    header.payload_size = static_cast<std::uint32_t>(queued.frame.payload_size);
    header.payload_crc = queued.payload_crc;
    std::uint64_t offset = position_.offset;
    Placed& placed = add(write, header, std::move(queued.frame.slab), queued.frame.begin);
    placed.container = &container;
    placed.first_kept = LogSequence(header.first_kept);
    placed.where = {queued.sequence, {write.file->generation.value(), offset + kFrameHeaderSize}};
}

void JournalWriter::add_marker(Write& write, MarkerKind kind, bool record) {
    std::vector<ContainerEntry> entries;
    std::vector<std::pair<ContainerState*, LogSequence>> table;
    if (kind != MarkerKind::kFileEnd) {
        for (ContainerState* container : containers_) {
            LogSequence first_kept = std::min(container->first_kept, container->placed_next);
            entries.push_back({container->id, container->placed_next, first_kept});
            table.emplace_back(container, first_kept);
        }
    }
    Marker marker = make_marker(kind, std::move(entries));
    MILLRACE_ASSERT(position_.offset + marker.disk_bytes() <= write.file->bytes);
    Placed& placed = add(write, marker.header, marker.slab, 0);
    placed.kind = kind;
    placed.table = std::move(table);
    placed.record = record;
    if (record) ++records_in_flight_;
}

// Gives the frame its number and place; the header is complete afterwards.
JournalWriter::Placed& JournalWriter::add(Write& write, FrameHeader header, bytes::SlabRef slab, std::size_t begin) {
    header.generation = write.file->generation;
    header.number = position_.last.next();
    header.chain = position_.chain;
    header.epoch = position_.epoch;
    header.behind = static_cast<std::uint32_t>(header.number.value() - acknowledged_.value());
    std::uint64_t size = header.disk_bytes();
    position_.chain = encode(header, journal_, position_.offset, slab->data() + begin);
    position_.last = header.number;
    write.file->frames.mark(position_.offset);
    position_.offset += size;
    write.file->last_number = header.number;

    bytes::ByteSpan data(slab->data() + begin, size);
    bool adjoins = !write.pieces.empty() && write.pieces.back().data() + write.pieces.back().size() == data.data();
    if (adjoins)
        write.pieces.back() = {write.pieces.back().data(), write.pieces.back().size() + size};
    else
        write.pieces.push_back(data);
    write.size += size;
    Placed& placed = write.frames.emplace_back();
    placed.number = header.number;
    placed.end = position_.offset;
    placed.slab = std::move(slab);
    return placed;
}

void JournalWriter::submit(WriteRef write) {
    in_flight_.push_back(write);
    write->begun = clock_.now();
    counters_.writes_begun.add();
    // The write keeps its memory and its file for itself; the journal may be gone when it completes.
    auto done = [this, owner = owner_, write](Result<> result) {
        if (auto alive = owner.lock()) completed(write, std::move(result));
    };
    write->file->file->write(write->offset, write->pieces, true, std::move(done));
}

void JournalWriter::completed(const WriteRef& write, Result<> result) {
    if (failed_) return;
    if (!result) {
        counters_.failed_writes.add();
        std::string text = fmt::format("journal file {}: write of {} bytes at offset {} failed: {}", write->file->path,
                                       write->size, write->offset, result.error().to_string());
        log::error("{}", text);
        return fail(Error(result.error().code() == Errc::kNoSpace ? Errc::kIo : result.error().code(), text));
    }
    write->complete = true;
    counters_.writes_ended.add();
    counters_.written_bytes.add(write->size);
    counters_.write_latency.record(clock_.now() - write->begun);
    std::vector<ContainerState*> touched;
    bool any = false;
    while (!in_flight_.empty() && in_flight_.front()->complete) {
        WriteRef front = std::move(in_flight_.front());
        in_flight_.pop_front();
        acknowledge(*front, touched);
        any = true;
    }
    if (!any) return;
    for (ContainerState* container : touched) {
        std::vector<Appended> frames = std::exchange(container->acknowledged, {});
        if (auto sink = container->sink.lock()) sink->acknowledged(std::move(frames));
    }
    events_.acknowledged();
}

void JournalWriter::acknowledge(Write& write, std::vector<ContainerState*>& touched) {
    for (Placed& frame : write.frames) {
        acknowledged_ = frame.number;
        write.file->acknowledged_end = frame.end;
        last_was_marker_ = frame.container == nullptr;
        if (frame.container != nullptr) {
            ContainerState& container = *frame.container;
            container.recorded_kept = std::max(container.recorded_kept, frame.first_kept);
            counters_.frames.add();
            if (container.acknowledged.empty()) touched.push_back(&container);
            container.acknowledged.push_back(frame.where);
            continue;
        }
        for (auto& [container, first_kept] : frame.table) {
            container->recorded_kept = std::max(container->recorded_kept, first_kept);
        }
        if (frame.kind == MarkerKind::kFileStart) write.file->started = true;
        if (frame.kind == MarkerKind::kClosed) closed_acknowledged_ = true;
        if (frame.record) --records_in_flight_;
    }
}

void JournalWriter::fail(const Error& error) {
    if (failed_) return;
    failed_ = true;
    queue_.clear();
    in_flight_.clear();
    events_.failed(error);
}

}  // namespace millrace::wal::local
