#include "wal/local/journal_recovery.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "base/log.h"
#include "bytes/crc32c.h"
#include "wal/local/file_window.h"
#include "wal/local/marker.h"

namespace millrace::wal::local {
namespace {

// One pass over the frames of all files.
class JournalReader {
  public:
    JournalReader(JournalDirectory& directory, RecoveryVisitor& visitor) : directory_(directory), visitor_(visitor) {}

    Result<RecoveredJournal> run();

  private:
    enum class Step { kFrame, kFileEnd, kTail };

    Result<> open_files();
    Result<Step> read_frame(FileWindow& window);
    Result<Step> end_of_frames(FileWindow& window, std::uint64_t search_from);
    bool follows(const DecodedFrameHeader& decoded) const;
    Result<> accept(const FrameHeader& header, std::uint32_t crc, bytes::ByteSpan payload);
    Result<> accept_container_frame(const FrameHeader& header, bytes::ByteSpan payload);
    Result<> accept_table(const FrameHeader& header, bytes::ByteSpan payload);
    Result<> search(FileWindow& window, const JournalFile& file, std::uint64_t from, bool& seen);
    Result<> search_later_files(bool& seen);
    Result<> check_beginning() const;
    std::size_t index_of(ContainerId container);

    JournalFile& file() const { return *all_[at_]; }
    FrameNumber expected() const { return result_.position.last.next(); }
    bool at_beginning() const { return at_ == 0 && offset_ == kFileHeaderSize; }
    Error bad(std::string_view what) const { return damaged(file().path, offset_, what); }

    JournalDirectory& directory_;
    RecoveryVisitor& visitor_;
    RecoveredJournal result_;
    std::vector<JournalFileRef> all_;
    std::map<ContainerId, std::size_t> index_;
    std::vector<ContainerEntry> beginning_;   // the table of the oldest file's start
    std::size_t at_ = 0;                      // the file being read
    std::uint64_t offset_ = kFileHeaderSize;  // of the frame being read
};

Result<> JournalReader::open_files() {
    auto generations = directory_.prepare();
    if (!generations) return fail(generations.error());
    for (std::size_t i = 0; i < generations->size(); ++i) {
        Generation generation = (*generations)[i];
        if (i > 0 && (*generations)[i - 1].next() != generation) {
            return fail(damaged(directory_.path() + "/" + file_name((*generations)[i - 1].next()), 0,
                                fmt::format("it is missing, but there is {}", file_name(generation))));
        }
        auto opened = directory_.open(generation);
        if (!opened) return fail(opened.error());
        if (i == 0) result_.journal = opened->journal;
        if (opened->journal != result_.journal) {
            return fail(damaged(opened->file->path, 16, "it belongs to another journal than the files before it"));
        }
        all_.push_back(opened->file);
    }
    return {};
}

Result<RecoveredJournal> JournalReader::run() {
    if (auto opened = open_files(); !opened) return fail(opened.error());
    if (all_.empty()) return std::move(result_);
    for (at_ = 0;; ++at_) {
        offset_ = kFileHeaderSize;
        FileWindow window(*file().file, file().bytes);
        Step step = Step::kFrame;
        while (step == Step::kFrame) {
            auto read = read_frame(window);
            if (!read) return fail(read.error());
            step = *read;
        }
        result_.live.push_back(all_[at_]);
        if (step == Step::kTail) break;
        if (at_ + 1 == all_.size()) return fail(bad("the file that should follow is missing"));
    }
    result_.position.offset = offset_;
    result_.ready.assign(all_.begin() + static_cast<std::ptrdiff_t>(at_) + 1, all_.end());
    if (auto checked = check_beginning(); !checked) return fail(checked.error());
    return std::move(result_);
}

// A frame that follows in number, chain and epoch is ours and meant to be here; anything else is the end, or damage.
bool JournalReader::follows(const DecodedFrameHeader& decoded) const {
    const FrameHeader& header = decoded.header;
    if (at_beginning()) {
        bool first_ever = file().generation.value() > 1 || (header.number.value() == 1 && header.chain == 0);
        return header.is_marker(MarkerKind::kFileStart) && first_ever;
    }
    const JournalPosition& position = result_.position;
    if (header.number != expected() || header.chain != position.chain) return false;
    return header.epoch == position.epoch || (header.is_marker() && header.epoch == position.epoch + 1);
}

Result<JournalReader::Step> JournalReader::read_frame(FileWindow& window) {
    if (offset_ == file().bytes) return fail(bad("it is full without the frame that ends it"));
    auto page = window.view(offset_, kPage);
    if (!page) return fail(page.error());
    auto decoded = decode_frame_header(*page, result_.journal, file().generation, offset_);
    if (!decoded || !follows(*decoded)) return end_of_frames(window, offset_ + kPage);

    const FrameHeader header = decoded->header;
    if (header.disk_bytes() > file().bytes - offset_) return fail(bad("a frame is longer than the rest of the file"));
    auto frame = window.view(offset_, kFrameHeaderSize + header.payload_size);
    if (!frame) return fail(frame.error());
    bytes::ByteSpan payload = frame->subspan(kFrameHeaderSize);
    if (bytes::crc32c(payload) != header.payload_crc) return end_of_frames(window, offset_ + kPage);

    if (header.is_marker(MarkerKind::kFileStart) != (offset_ == kFileHeaderSize)) {
        return fail(bad("a file start is missing, or out of place"));
    }
    if (auto accepted = accept(header, decoded->crc, payload); !accepted) return fail(accepted.error());
    offset_ += header.disk_bytes();
    return header.is_marker(MarkerKind::kFileEnd) ? Step::kFileEnd : Step::kFrame;
}

Result<> JournalReader::accept(const FrameHeader& header, std::uint32_t crc, bytes::ByteSpan payload) {
    Result<> accepted = header.is_marker() ? accept_table(header, payload) : accept_container_frame(header, payload);
    if (!accepted) return accepted;
    result_.position.last = header.number;
    result_.position.chain = crc;
    result_.position.epoch = header.epoch;
    result_.durable = std::max(result_.durable, header.durable());
    file().last_number = header.number;
    file().frames.mark(offset_);
    file().acknowledged_end = offset_ + header.disk_bytes();
    file().started = true;
    return {};
}

std::size_t JournalReader::index_of(ContainerId container) {
    auto [found, added] = index_.try_emplace(container, result_.containers.size());
    if (added) result_.containers.push_back({.id = container});
    return found->second;
}

Result<> JournalReader::accept_container_frame(const FrameHeader& header, bytes::ByteSpan payload) {
    std::size_t index = index_of(header.container);
    RecoveredContainer& container = result_.containers[index];
    LogSequence sequence(header.sequence);
    if (sequence != container.next) {
        return fail(bad(fmt::format("container {} has frame {} where {} should be", header.container.value(),
                                    sequence.value(), container.next.value())));
    }
    container.next = sequence.next();
    container.first_kept = std::max(container.first_kept, LogSequence(header.first_kept));
    file().placed(index, sequence);
    if (sequence < container.first_kept) return {};
    ++result_.report.frames;
    result_.report.bytes += payload.size();
    LogAddress address{file().generation.value(), offset_ + kFrameHeaderSize};
    return visitor_.frame(header.container, Appended{sequence, address}, payload);
}

Result<> JournalReader::accept_table(const FrameHeader& header, bytes::ByteSpan payload) {
    if (header.is_marker(MarkerKind::kFileEnd)) return {};
    auto entries = decode_table(payload);
    if (!entries) return fail(bad("a marker's table of containers makes no sense"));
    bool first = at_beginning();
    for (const ContainerEntry& entry : *entries) {
        RecoveredContainer& container = result_.containers[index_of(entry.container)];
        if (first) container.next = entry.next;
        if (container.next != entry.next) {
            return fail(bad(fmt::format("a marker says that container {} is at frame {}, but it is at {}",
                                        entry.container.value(), entry.next.value(), container.next.value())));
        }
        container.first_kept = std::max(container.first_kept, entry.first_kept);
    }
    if (first) beginning_ = std::move(*entries);
    return {};
}

// No frame with the expected number at offset_. Damage if any later header vouches for it, otherwise the end of the
// journal.
Result<JournalReader::Step> JournalReader::end_of_frames(FileWindow& window, std::uint64_t search_from) {
    if (at_beginning() && file().generation.value() > 1) {
        return fail(bad("the oldest file does not begin with a valid frame"));
    }
    bool seen = false;
    auto page = window.view(offset_, kPage);
    if (!page) return fail(page.error());
    auto here = decode_frame_header(*page, result_.journal, file().generation, offset_);
    if (here && here->header.number == expected() && here->header.epoch >= result_.position.epoch) seen = true;
    if (auto searched = search(window, file(), search_from, seen); !searched) return fail(searched.error());
    if (auto searched = search_later_files(seen); !searched) return fail(searched.error());
    if (seen) {
        ++result_.report.torn_tails;
        log::warn(
            "journal file {}: the frame at offset {} was being written when the process ended; it was never "
            "acknowledged and "
            "is dropped",
            file().path, offset_);
    }
    return Step::kTail;
}

Result<> JournalReader::search(FileWindow& window, const JournalFile& in, std::uint64_t from, bool& seen) {
    for (std::uint64_t at = from; at < in.bytes; at += kPage) {
        auto page = window.view(at, kPage);
        if (!page) return fail(page.error());
        auto decoded = decode_frame_header(*page, result_.journal, in.generation, at);
        if (!decoded) continue;
        const FrameHeader& header = decoded->header;
        if (header.durable() >= expected()) {
            return fail(
                bad(fmt::format("frame {} is not valid, but frame {} at offset {} of {} tells that it had been written",
                                expected().value(), header.number.value(), at, in.path)));
        }
        seen = seen || (header.epoch >= result_.position.epoch && header.number > expected());
    }
    return {};
}

// Files made ready but not used yet hold no header with their generation. That a file does not begin with one shows
// little: its file start may be damaged. So what a look at a file brings into memory anyway is searched; and all of the
// next file where the journal ends so near to a file's end that its last frames may be the loss: together that is about
// what a start reads whose file is almost empty.
Result<> JournalReader::search_later_files(bool& seen) {
    bool near_the_end = file().bytes - offset_ <= FileWindow::kChunk;
    for (std::size_t i = at_ + 1; i < all_.size(); ++i) {
        const JournalFile& later = *all_[i];
        FileWindow window(*later.file, later.bytes);
        std::uint64_t first_look = std::min(kFileHeaderSize + FileWindow::kChunk, later.bytes);
        bool was_used = near_the_end && i == at_ + 1;
        for (std::uint64_t at = kFileHeaderSize; at < first_look && !was_used; at += kPage) {
            auto page = window.view(at, kPage);
            if (!page) return fail(page.error());
            was_used = decode_frame_header(*page, result_.journal, later.generation, at).has_value();
        }
        if (!was_used) continue;
        if (auto searched = search(window, later, kFileHeaderSize, seen); !searched) return searched;
    }
    return {};
}

// Everything that is needed must be in the files that are there.
Result<> JournalReader::check_beginning() const {
    for (const ContainerEntry& entry : beginning_) {
        const RecoveredContainer& container = result_.containers[index_.at(entry.container)];
        if (container.first_kept < entry.next) {
            return fail(
                damaged(all_[0]->path, 0,
                        fmt::format("journal files before it are missing: container {} needs frames {} to {}",
                                    entry.container.value(), container.first_kept.value(), entry.next.value() - 1)));
        }
    }
    return {};
}

}  // namespace

Result<RecoveredJournal> read_journal(JournalDirectory& directory, RecoveryVisitor& visitor) {
    return JournalReader(directory, visitor).run();
}

namespace {

// A process that was killed may have left frames that the next one can read but that are not on stable storage.
Result<> make_durable(RecoveredJournal& journal) {
    for (const JournalFileRef& file : journal.live) {
        if (file->last_number <= journal.durable) continue;
        if (auto synced = file->file->sync_blocking(); !synced) return synced;
    }
    return {};
}

class EpochStart {
  public:
    EpochStart(JournalDirectory& directory, const JournalOptions& options, RecoveredJournal& journal)
        : directory_(directory), options_(options), journal_(journal) {
        for (const RecoveredContainer& container : journal.containers) {
            containers_.push_back({container.id, container.next, container.first_kept});
        }
    }

    Result<> run() {
        ++journal_.position.epoch;
        if (journal_.position.offset != kFileHeaderSize) {
            Marker restart = make_marker(MarkerKind::kRestart, containers_);
            bool fits = journal_.position.offset + restart.disk_bytes() + kPage <= journal_.live.back()->bytes;
            if (fits) return write(restart);
            if (auto moved = next_file(); !moved) return moved;
        }
        return write(make_marker(MarkerKind::kFileStart, containers_));
    }

  private:
    Result<> next_file() {
        if (journal_.ready.empty()) {
            Generation generation = journal_.live.back()->generation.next();
            auto made = directory_.create(journal_.journal, generation, options_.file_bytes, 0);
            if (!made) return fail(made.error());
            journal_.ready.push_back(std::move(*made));
        }
        if (auto ended = write(make_marker(MarkerKind::kFileEnd, {})); !ended) return ended;
        journal_.live.push_back(std::move(journal_.ready.front()));
        journal_.ready.pop_front();
        journal_.position.offset = kFileHeaderSize;
        return {};
    }

    Result<> write(Marker marker) {
        JournalPosition& position = journal_.position;
        JournalFile& file = *journal_.live.back();
        FrameHeader& header = marker.header;
        header.generation = file.generation;
        header.number = position.last.next();
        header.chain = position.chain;
        header.epoch = position.epoch;
        std::uint32_t crc = encode(header, journal_.journal, position.offset, marker.slab->data());
        bytes::ByteSpan data(marker.slab->data(), marker.disk_bytes());
        if (auto written = file.file->write_blocking(position.offset, data); !written) return written;
        if (auto synced = file.file->sync_blocking(); !synced) return synced;
        position.last = header.number;
        position.chain = crc;
        file.frames.mark(position.offset);
        position.offset += data.size();
        file.last_number = header.number;
        file.acknowledged_end = position.offset;
        file.started = true;
        return {};
    }

    JournalDirectory& directory_;
    const JournalOptions& options_;
    RecoveredJournal& journal_;
    std::vector<ContainerEntry> containers_;
};

}  // namespace

Result<> begin_epoch(JournalDirectory& directory, const JournalOptions& options, const Uuid& fresh,
                     RecoveredJournal& journal) {
    if (journal.live.empty()) {
        journal.journal = fresh;
        auto made = directory.create(fresh, Generation(1), options.first_file_bytes, 0);
        if (!made) return fail(made.error());
        journal.live.push_back(std::move(*made));
    }
    if (auto synced = make_durable(journal); !synced) return synced;
    return EpochStart(directory, options, journal).run();
}

}  // namespace millrace::wal::local
