// Publication: a frame is durable, so its operations become state, readers wake, and writers are acknowledged: one
// step.
#include "base/assert.h"
#include "base/log.h"
#include "container/container_impl.h"

namespace millrace::container {

namespace {

void prefetch_ahead(const std::vector<FrameEvent>& events, std::size_t at) {
    constexpr std::size_t kStep = 4;
    if (at + 2 * kStep < events.size()) {
        const FrameEvent& event = events[at + 2 * kStep];
        if (event.segment != nullptr) event.segment->prefetch();
        __builtin_prefetch(event.writer);
        __builtin_prefetch(event.outcome.session);
    }
    if (at + kStep < events.size()) {
        const Segment* segment = events[at + kStep].segment;
        if (segment == nullptr) return;
        __builtin_prefetch(segment->event_count);
        __builtin_prefetch(segment->index.end(), 1);
    }
}

}  // namespace

void SegmentContainer::Impl::on_durable(PendingFrame& frame, const wal::Appended* where) {
    if (where != nullptr) {
        usage_.frame(where->payload.file, where->sequence, frame.payload_size);
        log_bytes_ += frame.payload_size;
        log_bytes_since_checkpoint_ += frame.payload_size;
        ++counters_.frames;
    }
    for (std::size_t i = 0; i < frame.events.size(); ++i) {
        prefetch_ahead(frame.events, i);
        FrameEvent& event = frame.events[i];
        bool is_recorded = event.kind == FrameEvent::Kind::kAppend || event.kind == FrameEvent::Kind::kRelocated;
        MILLRACE_ASSERT(where != nullptr || !is_recorded);
        switch (event.kind) {
            case FrameEvent::Kind::kAppend:
                publish_append(event, frame, *where);
                break;
            case FrameEvent::Kind::kOutcome:
                give(event.outcome, 0);
                break;
            case FrameEvent::Kind::kDropped:
                give(event.outcome, event.outcome.bytes);
                break;
            case FrameEvent::Kind::kRelocated:
                publish_relocated(event, frame, *where);
                break;
            case FrameEvent::Kind::kTask:
                give_collected();
                frame.tasks[event.task](nullptr);
                break;
        }
    }
    give_collected();
    wake_readers();
    if (where == nullptr) return;
    keeper_.published(where->sequence);
    table_segments_.store().sweep();
    // Many that the state could have: the next batch lets them go.
    if (segments_.size() > options_.state.resident_segments) keeper_.want_save();
    maybe_checkpoint();
}

void SegmentContainer::Impl::publish_append(FrameEvent& event, const PendingFrame& frame, const wal::Appended& where) {
    Segment& segment = *event.segment;
    AppendSession& session = *event.outcome.session;
    traffic_.appending(segment);
    if (event.size > 0) {
        std::size_t in_payload = event.slab_offset - (frame.begin + wal::kHeaderRoom);
        Extent extent{event.offset, event.size, event.slab_offset, frame.slab_id, where.payload.plus(in_payload)};
        segment.index.add(extent);
        index_grew(segment, extent);
        segment.durable.length = event.offset + event.size;
        if (!segment.touched && !segment.waiting.empty()) {
            segment.touched = true;
            touched_.push_back(&segment);
        }
    }
    segment.last_modified_ms = frame.wall_ms;
    event.writer->durable = event.outcome.event_number;
    if (!segment.durable.gone) {
        mark_attribute(segment, *event.writer, session.writer_id);
        mark(segment);
    }
    std::int64_t& count = segment.event_count->durable;
    count = count == kNullAttribute ? event.event_count : count + event.event_count;
    counters_.appends += event.outcome.requests;
    counters_.events += static_cast<std::uint64_t>(event.event_count);
    counters_.append_bytes += event.size;

    event.outcome.previous_event_number = session.last_acked;
    session.last_acked = event.outcome.event_number;
    give(event.outcome, 0);
}

void SegmentContainer::Impl::give(const AppendOutcome& outcome, std::uint64_t dropped_bytes) {
    AppendSink* sink = outcome.session->sink;
    if (sink != collected_sink_) give_collected();
    collected_sink_ = sink;
    collected_dropped_ += dropped_bytes;
    if (dropped_bytes == 0) collected_.push_back(outcome);
}

void SegmentContainer::Impl::give_collected() {
    if (collected_sink_ == nullptr) return;
    AppendSink* sink = std::exchange(collected_sink_, nullptr);
    sink->on_outcomes(collected_, std::exchange(collected_dropped_, 0));
    collected_.clear();
}

void SegmentContainer::Impl::on_place_free() {
    watch_cache();
    process();
}

// What is held beyond the own share goes when others want it, although nothing is appended here any more.
void SegmentContainer::Impl::watch_cache() {
    constexpr std::chrono::milliseconds kLook{1000};
    bool is_shared = memory_->share() < memory_->bytes();
    if (!is_shared || !cache_.beyond_share() || cache_watch_.value() != 0 || stopping_ || failed_) return;
    cache_watch_ = executor.call_after(kLook, [this] {
        cache_watch_ = {};
        cache_.trim();
        watch_cache();
    });
}

void SegmentContainer::Impl::on_log_refused() {
    if (stopping_) return give_up_waiting();
    if (!std::exchange(refusal_told_, true))
        log::warn("container {}: even the log's reserve is used up; raise its limit", id.value());
    // The news of space may have come before the last refusal.
    constexpr std::chrono::milliseconds kRetry{200};
    executor.call_after(kRetry, [this] {
        if (!failed_) pipeline_.retry();
    });
}

void SegmentContainer::Impl::on_log_failed(const Error& error) {
    if (failed_) return;
    log::error("container {} stops: {}", id.value(), error.to_string());
    fail_everything();
    if (stopped_) keeper_.finish(false, std::exchange(stopped_, {}));
    if (on_failure_) on_failure_(error);
}

void SegmentContainer::Impl::fail_everything() {
    failed_ = true;
    keeper_.abandon();
    traffic_.stop();
    tiering_.stop();
    Error closed(Errc::kClosed, "the container has failed");
    pipeline_.fail_all(closed);
    auto queue = std::exchange(queue_, {});  // what is told may come back with more
    for (auto& work : queue) {
        if (auto* waiting = std::get_if<Control>(&work)) waiting->run(&closed);
    }
    for (auto& [segment_id, segment] : segments_) fail_waiting(*segment, closed);
    tell_loading();
}

// The readings that wait for a segment's load are told that there is nobody any more.
void SegmentContainer::Impl::tell_loading() {
    std::map<std::string, NameRef> entries;
    for (auto& [name, entry] : names_) {
        if (!entry->waiting.empty()) entries[name] = entry;
    }
    for (const auto& [name, entry] : entries) {
        for (runtime::Task& task : std::exchange(entry->waiting, {})) task();
    }
}

void SegmentContainer::Impl::wake_readers() {
    // Replies may make new requests: work on what was touched by now.
    std::vector<Segment*> touched = std::exchange(touched_, {});
    for (Segment* segment : touched) {
        segment->touched = false;
        serve_waiting(*segment);
    }
}

void SegmentContainer::Impl::serve_waiting(Segment& segment) {
    std::vector<WaitingRead> ready;
    std::erase_if(segment.waiting, [&](WaitingRead& read) {
        if (static_cast<std::uint64_t>(read.offset) >= segment.durable.length) return false;
        ready.push_back(std::move(read));
        return true;
    });
    for (WaitingRead& read : ready) {
        waiting_reads_.erase(read.id.value());
        if (static_cast<std::uint64_t>(read.offset) < segment.durable.start) {
            read.done(fail(Error(Errc::kTruncated, static_cast<std::int64_t>(segment.durable.start))));
            continue;
        }
        serve(segment, static_cast<std::uint64_t>(read.offset), read.max_bytes, true, std::move(read.done));
    }
}

void SegmentContainer::Impl::fail_waiting(Segment& segment, const Error& error) {
    std::vector<WaitingRead> waiting = std::exchange(segment.waiting, {});
    for (WaitingRead& read : waiting) {
        waiting_reads_.erase(read.id.value());
        read.done(fail(error));
    }
    if (error != Errc::kSealed) table_segments_.fail_waiting(segment, error);
}

}  // namespace millrace::container
