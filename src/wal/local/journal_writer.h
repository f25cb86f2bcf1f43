// The journal's write pipeline: gathers queued frames into synced writes, several of them in flight, and acknowledges
// in the order of frame numbers. Paced by the device alone: what is queued when a place in the pipeline gets free is
// the next write.
//
// Thread rule: the journal's executor. Durability: acknowledged() means that the frame and all before it are on stable
// storage.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "wal/local/file_pool.h"
#include "wal/local/journal_container.h"
#include "wal/local/journal_stats.h"
#include "wal/local/marker.h"

namespace millrace::wal::local {

// Where frames would go, file by file, without writing them.
class Placement {
  public:
    Placement(std::uint64_t offset, std::uint64_t file_bytes, std::vector<std::uint64_t> sizes_ahead,
              std::uint64_t start_bytes, std::uint64_t kept_free);

    bool place(std::uint64_t frame_bytes);  // false (and nothing changed) when no file has room
    std::size_t files_left() const { return sizes_.size() - index_ - 1; }  // after the one reached

  private:
    std::vector<std::uint64_t> sizes_;
    std::size_t index_ = 0;
    std::uint64_t offset_;
    std::uint64_t start_bytes_;  // header and file start
    std::uint64_t kept_free_;    // at the end of every file
};

class JournalWriter {
  public:
    struct Events {
        std::function<void()> acknowledged;        // something was; sinks have been told
        std::function<void(const Error&)> failed;  // once; nothing is acknowledged afterwards
    };

    JournalWriter(const JournalOptions& options, const Uuid& journal, const JournalPosition& position, FilePool& pool,
                  std::vector<ContainerState*>& containers, const Clock& clock, JournalCounters& counters);

    // Completions that come when `owner` is gone are ignored.
    void start(std::weak_ptr<void> owner, Events events);

    void push(QueuedFrame frame);
    std::deque<QueuedFrame>& queue() { return queue_; }
    const std::deque<QueuedFrame>& queue() const { return queue_; }
    void want_marker(MarkerKind kind) { wanted_ = kind; }  // after everything queued
    void want_record() { record_wanted_ = true; }          // an idle marker at once, from the room kept for it
    bool record_pending() const { return record_wanted_ || records_in_flight_ > 0; }
    bool marker_pending() const { return wanted_.has_value(); }

    void pump();
    void fail(const Error& error);

    bool idle() const { return queue_.empty() && in_flight_.empty(); }
    bool failed() const { return failed_; }
    bool covered() const { return last_was_marker_; }  // the last acknowledged frame is a marker
    FrameNumber acknowledged() const { return acknowledged_; }
    bool closed_acknowledged() const { return closed_acknowledged_; }
    Placement placement() const;

  private:
    struct Placed {
        FrameNumber number;
        ContainerState* container = nullptr;  // null: a marker
        Appended where;
        LogSequence first_kept;
        std::uint64_t end = 0;  // offset in the file
        MarkerKind kind = MarkerKind::kIdle;
        bool record = false;
        std::vector<std::pair<ContainerState*, LogSequence>> table;
        bytes::SlabRef slab;
    };
    struct Write {
        JournalFileRef file;
        std::uint64_t offset = 0;
        std::uint64_t size = 0;
        std::vector<bytes::ByteSpan> pieces;
        std::vector<Placed> frames;
        bool complete = false;
        std::chrono::steady_clock::time_point begun;
    };
    using WriteRef = std::shared_ptr<Write>;

    WriteRef gather();
    void gather_frames(Write& write);
    bool has_room(std::uint64_t frame_bytes, std::uint64_t kept_free) const;
    bool full_write(const Write& write, std::uint64_t frame_bytes) const;
    void add_frame(Write& write, QueuedFrame queued);
    void add_marker(Write& write, MarkerKind kind, bool record);
    Placed& add(Write& write, FrameHeader header, bytes::SlabRef slab, std::size_t begin);
    void end_file(Write& write);
    void submit(WriteRef write);
    void completed(const WriteRef& write, Result<> result);
    void acknowledge(Write& write, std::vector<ContainerState*>& touched);
    std::uint64_t table_bytes() const;
    std::uint64_t kept_free() const { return table_bytes() + kPage; }

    const JournalOptions& options_;
    const Uuid journal_;
    JournalPosition position_;
    FilePool& pool_;
    std::vector<ContainerState*>& containers_;
    const Clock& clock_;
    JournalCounters& counters_;
    std::weak_ptr<void> owner_;
    Events events_;

    std::deque<QueuedFrame> queue_;
    std::deque<WriteRef> in_flight_;  // in the order of frame numbers; complete ones wait for those before them
    std::optional<MarkerKind> wanted_;
    bool record_wanted_ = false;
    int records_in_flight_ = 0;
    FrameNumber acknowledged_;
    bool last_was_marker_ = true;
    bool closed_acknowledged_ = false;
    bool failed_ = false;
};

}  // namespace millrace::wal::local
