#include "container/frame_pipeline.h"

#include "base/units.h"

namespace millrace::container {
namespace {
constexpr std::size_t kFrameOverhead = wal::kHeaderRoom + kPayloadHeader;
}

PendingFrame& FramePipeline::frame() {
    if (!current_) {
        if (spare_.empty()) {
            current_ = std::make_unique<PendingFrame>();
        } else {
            current_ = std::move(spare_.back());
            spare_.pop_back();
        }
    }
    return *current_;
}

bool FramePipeline::fits(std::size_t record_bytes) const {
    if (!current_ || current_->payload_size == 0) return true;
    return current_->begin + wal::kHeaderRoom + current_->payload_size + record_bytes <= current_->slab->capacity();
}

// Gives the current frame its place in a slab, before its first record.
void FramePipeline::open(std::size_t record_bytes) {
    std::size_t begin = align_up(slab_used_, bytes::kPageSize);
    if (!slab_ || begin + kFrameOverhead + record_bytes > slab_->capacity()) {
        slab_id_ = cache_.allocate(kFrameOverhead + record_bytes, &slab_);
        begin = 0;
    }
    PendingFrame& made = frame();
    made.slab = slab_;
    made.slab_id = slab_id_;
    made.begin = begin;
    made.payload_size = kPayloadHeader;
    made.records = 0;
}

bool FramePipeline::has_room(std::size_t record_bytes) {
    if (fits(record_bytes)) return true;
    if (!has_place()) return false;
    submit();
    return true;
}

std::uint8_t* FramePipeline::put(std::size_t record_bytes, std::size_t* slab_offset) {
    if (!fits(record_bytes)) submit();
    if (frame().payload_size == 0) open(record_bytes);
    std::size_t at = current_->begin + wal::kHeaderRoom + current_->payload_size;
    current_->payload_size += record_bytes;
    ++current_->records;
    ++mark_;
    slab_used_ = at + record_bytes;
    schedule_flush();
    if (slab_offset != nullptr) *slab_offset = at;
    return current_->slab->data() + at;
}

std::uint8_t* FramePipeline::extend(std::size_t bytes) {
    std::size_t at = current_->begin + wal::kHeaderRoom + current_->payload_size;
    if (at + bytes > current_->slab->capacity()) return nullptr;
    current_->payload_size += bytes;
    slab_used_ = at + bytes;
    return current_->slab->data() + at;
}

void FramePipeline::task(CommitTask task) {
    FrameEvent& made = event();
    made.kind = FrameEvent::Kind::kTask;
    made.task = static_cast<std::uint32_t>(current_->tasks.size());
    current_->tasks.push_back(std::move(task));
}

LogSequence FramePipeline::current_sequence() const { return log_->next_sequence(); }

void FramePipeline::schedule_flush() {
    if (flush_scheduled_) return;
    flush_scheduled_ = true;
    executor_.defer([this] { flush(); });
}

void FramePipeline::flush() {
    flush_scheduled_ = false;
    if (!current_ || failed_) return;
    if (current_->payload_size == 0) {
        // Nothing to make durable: what is to be said goes behind the frames under way.
        if (current_->events.empty()) return;
        if (in_flight_.empty()) {
            std::unique_ptr<PendingFrame> frame = std::move(current_);
            publish(*frame, nullptr);
            recycle(std::move(frame));
            publisher_.on_place_free();
            return;
        }
        PendingFrame& last = *in_flight_.back();
        for (FrameEvent& event : current_->events) {
            if (event.kind == FrameEvent::Kind::kTask) event.task += static_cast<std::uint32_t>(last.tasks.size());
            last.events.push_back(event);
        }
        for (CommitTask& task : current_->tasks) last.tasks.push_back(std::move(task));
        recycle(std::move(current_));
        return;
    }
    if (has_place()) submit();
}

bool FramePipeline::has_place() {
    bool free = !refused() && in_flight_.size() < options_.max_frames_in_flight;
    if (!free) held_back_ = true;
    return free;
}

void FramePipeline::submit() {
    std::unique_ptr<PendingFrame> frame = std::move(current_);
    ++mark_;
    frame->wall_ms = executor_.clock().wall_millis();
    encode_payload_header({frame->records, frame->wall_ms}, frame->slab->data() + frame->begin + wal::kHeaderRoom);
    slab_used_ = frame->begin + wal::kHeaderRoom + frame->payload_size;
    ++submitted_;
    watch_for_waiting();
    in_flight_.push_back(std::move(frame));
    // Behind refused frames it waits with them: it must not take their sequence.
    if (refused())
        ++refused_;
    else
        send(*in_flight_.back());
}

// A frame waits when it was held back, and behind others that the log is at work on.
void FramePipeline::watch_for_waiting() {
    bool waits = std::exchange(held_back_, false);
    std::size_t before = 0;
    for (const auto& frame : in_flight_) before += frame->payload_size;
    waits = waits || before >= options_.frame_bytes / 2;
    if (waiting_.frame_sent(waits) && options_.tiering.scans)
        options_.tiering.scans->appends_wait(executor_.clock().now());
}

void FramePipeline::publish(PendingFrame& frame, const wal::Appended* where) {
    publishing_ = true;
    publisher_.on_durable(frame, where);
    publishing_ = false;
}

void FramePipeline::send(PendingFrame& frame) {
    // Admission was decided when the operations were taken, so the frame itself may use the reserve.
    wal::Frame out{frame.slab, frame.begin, frame.payload_size};
    ++sent_;
    log_->append(std::move(out), true, [this](Result<wal::Appended> result) { completed(std::move(result)); });
}

void FramePipeline::completed(Result<wal::Appended> result) {
    if (failed_) return;
    if (!result && result.error() == Errc::kNoSpace) {
        // Nothing was written, and the frames behind it are refused with it: all are sent again, in order, so they get
        // the sequences that they had.
        if (++refused_answers_ == 1) refused_ = in_flight_.size();
        if (refused_answers_ == sent_) {
            sent_ = refused_answers_ = 0;
            publisher_.on_log_refused();
        }
        return;
    }
    if (!result) {
        publisher_.on_log_failed(result.error());
        return;
    }
    --sent_;
    std::unique_ptr<PendingFrame> frame = std::move(in_flight_.front());
    in_flight_.pop_front();
    publish(*frame, &*result);
    ++published_;
    recycle(std::move(frame));
    publisher_.on_place_free();
    if (!flush_scheduled_) flush();
}

void FramePipeline::retry() {
    if (failed_ || refused_ == 0 || refused_answers_ > 0) return;
    refused_ = 0;
    for (auto& frame : in_flight_) send(*frame);
}

void FramePipeline::recycle(std::unique_ptr<PendingFrame> frame) {
    frame->slab = {};
    frame->payload_size = 0;
    frame->records = 0;
    frame->events.clear();
    frame->tasks.clear();
    if (spare_.size() < 8) spare_.push_back(std::move(frame));
}

void FramePipeline::fail_all(const Error& error) {
    failed_ = true;
    auto fail = [&](PendingFrame& frame) {
        for (FrameEvent& event : frame.events) {
            if (event.kind == FrameEvent::Kind::kTask)
                frame.tasks[event.task](&error);
            else if (event.outcome.session != nullptr) {
                event.outcome.status = AppendStatus::kFatal;
                event.outcome.session->sink->on_outcomes({&event.outcome, 1}, 0);
            }
        }
    };
    for (auto& frame : in_flight_) fail(*frame);
    if (current_) fail(*current_);
    in_flight_.clear();
    current_.reset();
}

}  // namespace millrace::container
