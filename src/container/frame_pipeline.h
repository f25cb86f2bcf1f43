// From validated operations to durable frames. Records are put into the current frame; the frame goes to the log when a
// place in the pipeline is free (at the end of the turn) or when it is full; what was put in comes back, in order, when
// its frame is durable. Group commit without a timer: while the log is busy the next frame fills.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "container/container.h"
#include "container/frame_cache.h"
#include "container/operation.h"
#include "container/scan_pacer.h"
#include "container/segment.h"

namespace millrace::container {

// Runs when everything before it is durable (no error), or when the container failed or stops (with one).
using CommitTask = std::move_only_function<void(const Error*)>;

// A refusal follows from pending state, so it is told when that is durable, and not at all when it will never be.
template <typename Done>
CommitTask refusal(Done done, Error error) {
    return [done = std::move(done), error = std::move(error)](const Error* failed) mutable {
        if (failed != nullptr) error = *failed;
        done(fail(std::move(error)));
    };
}

// What happens when a frame is durable, in order.
struct FrameEvent {
    enum class Kind : std::uint8_t {
        kAppend,     // publish the data and acknowledge
        kOutcome,    // report a refused append
        kDropped,    // an append behind a reported error: only its bytes are given back
        kTask,       // run tasks[task]
        kRelocated,  // bytes carried forward have a new place
    };
    Kind kind = Kind::kAppend;
    AppendOutcome outcome;
    Segment* segment = nullptr;
    SegmentId relocated;  // of kRelocated
    AttributeEntry* writer = nullptr;
    std::uint64_t offset = 0;
    std::uint32_t size = 0;
    std::uint32_t slab_offset = 0;
    std::int32_t event_count = 0;
    std::uint32_t task = 0;
};

struct PendingFrame {
    bytes::SlabRef slab;
    std::uint64_t slab_id = 0;
    std::size_t begin = 0;
    std::size_t payload_size = 0;  // 0: no record yet
    std::uint32_t records = 0;
    std::int64_t wall_ms = 0;
    std::vector<FrameEvent> events;
    std::vector<CommitTask> tasks;
};

class FramePublisher {
  public:
    virtual ~FramePublisher() = default;
    virtual void on_durable(PendingFrame& frame,
                            const wal::Appended* where) = 0;  // `where` is null for a frame without records
    virtual void on_place_free() = 0;                         // after each completion
    virtual void on_log_refused() = 0;  // even the log's reserve is used up: what is under way waits for space
    virtual void on_log_failed(const Error& error) = 0;
};

class FramePipeline {
  public:
    FramePipeline(runtime::Executor& executor, FrameCache& cache, const ContainerOptions& options,
                  FramePublisher& publisher)
        : executor_(executor), cache_(cache), options_(options), publisher_(publisher) {}

    void start(std::unique_ptr<wal::DurableLog> log) { log_ = std::move(log); }
    wal::DurableLog* log() const { return log_.get(); }

    // Whether a record of that size can be put now without the pipeline growing past its bound. May close the current
    // frame.
    bool has_room(std::size_t record_bytes);

    // Memory for a record of exactly `record_bytes` in the current frame; never refused. The offset is within the slab.
    std::uint8_t* put(std::size_t record_bytes, std::size_t* slab_offset);
    template <typename Record>
    void put(const Record& record) {
        scratch_.clear();
        bytes::Writer out(scratch_);
        encode(record, out);
        std::memcpy(put(scratch_.size(), nullptr), scratch_.data(), scratch_.size());
    }

    // `bytes` more behind the record put last, or null when the frame has no room for them. Only while mark() is what
    // it was after that record and its event.
    std::uint8_t* extend(std::size_t bytes);

    // Events belong to the frame of the record put last.
    FrameEvent& event() {
        schedule_flush();
        ++mark_;
        return frame().events.emplace_back();
    }
    FrameEvent& last_event() { return current_->events.back(); }
    std::uint64_t mark() const { return mark_; }  // changes with every record, event and frame
    void task(CommitTask task);

    // Names the record that is put next, and says whether it is published, and all before it. Not the frame that is
    // open: when the record does not fit, it is the first of the frame behind it.
    std::uint64_t turn() const { return submitted_ + 2; }
    bool is_over(std::uint64_t turn) const { return turn <= published_ || idle(); }

    LogSequence current_sequence() const;  // of the frame that is being filled
    // Nothing is under way, and nothing that is durable waits to be published.
    bool idle() const {
        return !publishing_ && in_flight_.empty() && (current_ == nullptr || current_->events.empty());
    }
    // The log refused what is under way for want of space: it is kept and sent again by retry().
    bool refused() const { return refused_ > 0; }
    void retry();
    void fail_all(const Error& error);

  private:
    PendingFrame& frame();
    void open(std::size_t record_bytes);
    bool fits(std::size_t record_bytes) const;
    bool has_place();
    void watch_for_waiting();
    void schedule_flush();
    void flush();
    void submit();
    void send(PendingFrame& frame);
    void publish(PendingFrame& frame, const wal::Appended* where);
    void completed(Result<wal::Appended> result);
    void recycle(std::unique_ptr<PendingFrame> frame);

    runtime::Executor& executor_;
    FrameCache& cache_;
    const ContainerOptions& options_;
    FramePublisher& publisher_;
    std::unique_ptr<wal::DurableLog> log_;

    std::unique_ptr<PendingFrame> current_;
    std::deque<std::unique_ptr<PendingFrame>> in_flight_;
    std::vector<std::unique_ptr<PendingFrame>> spare_;
    bytes::SlabRef slab_;  // the one that frames are cut from
    std::uint64_t slab_id_ = 0;
    std::size_t slab_used_ = 0;
    std::uint64_t submitted_ = 0;  // frames
    std::uint64_t published_ = 0;
    std::size_t sent_ = 0;  // of in_flight_: the log has not answered yet
    std::size_t refused_answers_ = 0;
    std::size_t refused_ = 0;  // all of in_flight_, or none: nothing is sent until retry()
    std::uint64_t mark_ = 1;
    bool publishing_ = false;
    bool held_back_ = false;  // the current frame: for want of a place
    AppendsWaiting waiting_;
    bool flush_scheduled_ = false;
    bool failed_ = false;
    std::vector<std::uint8_t> scratch_;
};

}  // namespace millrace::container
