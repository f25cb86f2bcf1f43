#include "container/container.h"

#include <fmt/format.h>

#include "base/assert.h"
#include "base/log.h"
#include "container/container_impl.h"

namespace millrace::container {

// ---- life cycle ----

SegmentContainer::Impl::Impl(ContainerId container_id, runtime::Executor& runs_on, ContainerOptions options,
                             std::unique_ptr<state::StateStore> store)
    : id(container_id),
      executor(runs_on),
      options_(options),
      memory_(options.memory ? options.memory : std::make_shared<MemoryBudget>(options.cache_bytes, 1)),
      cache_(memory_, options.frame_bytes),
      pipeline_(runs_on, cache_, options_, *this),
      keeper_(std::move(store), runs_on, *this, options_.state),
      table_segments_(*this, keeper_),
      tiering_(container_id, runs_on, *this, options.tiering, memory_) {}

SegmentContainer::Impl::~Impl() {
    for (auto& [name, entry] : names_) entry->waiting.clear();  // what waits holds the entry
}

void SegmentContainer::Impl::start(std::unique_ptr<wal::DurableLog> log, runtime::Callback<Error> on_failure,
                                   std::unique_ptr<lts::ChunkStore> tier, std::string tier_prefix) {
    MILLRACE_ASSERT(!started_);
    started_ = true;
    on_failure_ = std::move(on_failure);
    pipeline_.start(std::move(log));
    pipeline_.log()->on_space([this](wal::DurableLog::SpaceEvent event) {
        if (failed_) return;
        if (log_full_ && !event.full) log::info("container {}: the log has space again, writers go on", id.value());
        log_full_ = event.full;
        refusal_told_ = refusal_told_ && event.full;
        if (event.wanted > wanted_) wanted_ = event.wanted;
        pipeline_.retry();
        if (wanted_.value() != 0) maybe_checkpoint();
        if (wants_space()) tiering_.poke();
        process();
    });
    log_full_ = pipeline_.log()->space().full;
    std::int64_t newest_ms = replay_wall_ms_ == 0 ? executor.clock().wall_millis() : replay_wall_ms_;
    tiering_.start(std::move(tier), std::move(tier_prefix), newest_ms);
    keeper_.start();
    // The next frame would be one that the state has already.
    if (pipeline_.log()->next_sequence() <= keeper_.published()) {
        return on_log_failed(
            Error(Errc::kCorrupt,
                  fmt::format("container {}: its state includes frame {} of its log, which ends before; restore "
                              "the data directory from a copy",
                              id.value(), keeper_.published().value())));
    }
    process();
}

void SegmentContainer::Impl::end_waiting() {
    ending_ = true;
    process();
}

// Storage may work and yet make no space, for want of anything to move.
void SegmentContainer::Impl::watch_patience() {
    constexpr std::chrono::milliseconds kPatience{30'000};
    if (patience_.value() != 0 || patience_over_) return;
    patience_ = executor.call_after(kPatience, [this] {
        patience_ = {};
        patience_over_ = appends_wait();
        process();
    });
}

void SegmentContainer::Impl::stop(runtime::Task stopped) {
    stopping_ = true;
    executor.cancel(patience_);
    executor.cancel(hold_);
    executor.cancel(cache_watch_);
    stopped_ = std::move(stopped);
    traffic_.stop();
    tiering_.stop();
    Error closed(Errc::kClosed, "the container stops");
    if (!started_ || failed_) {
        for (auto& [segment_id, segment] : segments_) fail_waiting(*segment, closed);
        keeper_.finish(false, std::exchange(stopped_, {}));
        return;
    }
    process();
    if (pipeline_.refused()) give_up_waiting();
}

// What waits for space in the log was not acknowledged: its writers are told to come again.
void SegmentContainer::Impl::give_up_waiting() {
    log::warn("container {}: stops while the log is full; what waited for space was not acknowledged", id.value());
    fail_everything();
    if (stopped_) keeper_.finish(false, std::exchange(stopped_, {}));
}

// A task at the end of the pipeline runs when all that was taken is durable.
void SegmentContainer::Impl::maybe_stopped() {
    if (!stopping_ || !stopped_ || !queue_.empty()) return;
    after_commit([this, stopped = std::exchange(stopped_, {})](const Error*) mutable {
        Error closed(Errc::kClosed, "the container stops");
        for (auto& [segment_id, segment] : segments_) fail_waiting(*segment, closed);
        // Not from within the publication of a frame.
        executor.post([this, stopped = std::move(stopped)]() mutable { keeper_.finish(!failed_, std::move(stopped)); });
    });
}

ContainerStats SegmentContainer::Impl::stats() const {
    ContainerStats stats = counters_;
    stats.segments = segment_count_;
    stats.resident_segments = segments_.size();
    stats.cache_bytes = cache_.held_bytes();
    stats.waiting_reads = waiting_reads_.size();
    stats.index_entries = index_entries_;
    for (const LogUsage::File& file : usage_.files()) stats.log_bytes_held += file.logged_bytes;
    stats.log_bytes_since_checkpoint = log_bytes_since_checkpoint_;
    stats.state_waiting_bytes = keeper_.waiting_bytes();
    state::StateStats store = keeper_.store().stats();
    stats.state_queued_bytes = store.queued_bytes;
    stats.state_memory_bytes = store.write_buffer_bytes + store.reader_bytes;
    stats.state_disk_bytes = store.disk_bytes;
    if (pipeline_.log() != nullptr) stats.log = pipeline_.log()->space();
    table_segments_.count(stats);
    stats.tiering = tiering_.stats();
    stats.failed = failed_;
    return stats;
}

// ---- the queue: everything that changes state, in order of arrival ----

const char* SegmentContainer::Impl::why_appends_wait() const {
    return log_full_ ? "the log is full; truncate or delete streams, or raise its limit"
                     : "the index of the log's bytes has reached its limit; truncate or delete streams";
}

void SegmentContainer::Impl::control(SpaceNeed need, Needs needs, std::move_only_function<void(const Error*)> run,
                                     AppendSession* session) {
    if (failed_ || stopping_) {
        Error closed(Errc::kClosed, failed_ ? "the container has failed" : "the container stops");
        executor.post([run = std::move(run), closed]() mutable { run(&closed); });
        return;
    }
    ++counters_.operations;
    queue_.emplace_back(Control{std::move(run), need, std::move(needs), session, std::nullopt});
    (void)is_ready(std::get<Control>(queue_.back()));  // what it needs is asked for now
    process();
}

void SegmentContainer::Impl::enqueue_append(AppendBatch batch) {
    queue_.emplace_back(std::move(batch));
    process();
}

void SegmentContainer::Impl::process() {
    if (processing_ || !started_ || failed_) return;
    if (!appends_wait()) patience_over_ = false;
    if (keeper_.behind() && !stopping_) return;  // saved() comes back here
    processing_ = true;
    if (index_full() && !index_warned_) drop_stale_extents();
    Error full(Errc::kNoSpace, why_appends_wait());
    if (index_full() != index_warned_) {
        index_warned_ = !index_warned_;
        if (index_warned_)
            log::warn("container {}: appends wait: {}", id.value(), why_appends_wait());
        else
            log::info("container {}: the index has room again, writers go on", id.value());
    }
    while (!queue_.empty() && !failed_) {
        if (auto* batch = std::get_if<AppendBatch>(&queue_.front())) {
            if (!process_batch(*batch)) break;
        } else {
            auto& next = std::get<Control>(queue_.front());
            if (!is_ready(next)) break;  // it comes back here
            bool needs_space = appends_wait() && next.need == SpaceNeed::kOrdinary;
            if (needs_space && space_will_come()) {
                watch_patience();
                break;
            }
            next.run(next.error ? &*next.error : needs_space ? &full : nullptr);
        }
        queue_.pop_front();
        batch_progress_ = 0;
    }
    // While the log is full appends wait, and what frees space overtakes them. A set-up stays behind its session's
    // appends, and what needs space waits too if long-term storage is about to make some. While appends are held back
    // only the records of objects that were written go on: everything else keeps its order.
    bool full_or_held = appends_wait() || hold_.value() != 0;
    if (full_or_held && !queue_.empty() && !failed_) {
        std::vector<Control> overtaking;
        std::erase_if(queue_, [&](Work& work) {
            auto* waiting = std::get_if<Control>(&work);
            if (waiting == nullptr || waiting->need == SpaceNeed::kNone || !is_ready(*waiting)) return false;
            if (waiting->need != SpaceNeed::kMoved && !appends_wait()) return false;
            if (waiting->need == SpaceNeed::kOrdinary && space_will_come()) {
                watch_patience();
                return false;
            }
            overtaking.push_back(std::move(*waiting));
            return true;
        });
        for (Control& next : overtaking)
            next.run(next.error ? &*next.error : next.need == SpaceNeed::kOrdinary ? &full : nullptr);
    }
    processing_ = false;
    maybe_stopped();
}

// ---- appends ----

// For a moment; the record of the next object ends it.
bool SegmentContainer::Impl::held_back() {
    constexpr std::chrono::milliseconds kLookAgain{50};
    if (!tiering_.holds_appends() || stopping_) return false;
    if (hold_.value() == 0) {
        ++counters_.holds;
        if (options_.tiering.scans) options_.tiering.scans->appends_wait(executor.clock().now());
        hold_ = executor.call_after(kLookAgain, [this] {
            hold_ = {};
            process();
        });
    }
    return true;
}

namespace {

// With many segments each append finds its own out of the processor's caches: they are fetched step by step while those
// before it are taken.
void prefetch_ahead(const std::vector<AppendRequest>& requests, std::size_t at) {
    constexpr std::size_t kStep = 3;
    if (at + 3 * kStep < requests.size()) __builtin_prefetch(requests[at + 3 * kStep].session);
    if (at + 2 * kStep < requests.size()) {
        const AppendSession& session = *requests[at + 2 * kStep].session;
        if (session.segment != nullptr) session.segment->prefetch();
        __builtin_prefetch(session.writer);
    }
    if (at + kStep < requests.size()) {
        const Segment* segment = requests[at + kStep].session->segment;
        if (segment != nullptr) __builtin_prefetch(segment->event_count);
    }
}

}  // namespace

bool SegmentContainer::Impl::process_batch(AppendBatch& batch) {
    while (batch_progress_ < batch.requests.size()) {
        prefetch_ahead(batch.requests, batch_progress_);
        AppendRequest& request = batch.requests[batch_progress_];
        if (appends_wait() && !stopping_) return false;
        if (held_back()) return false;
        if (!pipeline_.has_room(kRecordHeader + kAppendFixedWriter + request.size())) return false;
        take_append(request);
        ++batch_progress_;
    }
    return true;
}

void SegmentContainer::Impl::take_append(AppendRequest& request) {
    AppendSession& session = *request.session;
    if (session.failed || session.segment == nullptr) {
        return drop_append(request);
    }
    Segment& segment = *session.segment;
    if (stopping_ || request.event_number < session.last_stored) return refuse(request, AppendStatus::kFatal);
    if (segment.pending.gone) return refuse(request, AppendStatus::kNoSuchSegment);
    if (segment.pending.sealed) return refuse(request, AppendStatus::kSealed);
    if (session.writer->pending != session.last_stored || request.event_number == session.last_stored) {
        return refuse(request, AppendStatus::kBadEventNumber);
    }
    if (request.expected_offset >= 0 && static_cast<std::uint64_t>(request.expected_offset) != segment.pending.length) {
        return refuse(request, AppendStatus::kBadOffset);
    }
    if (!extend_append(request, segment)) put_append(request, segment);
}

void SegmentContainer::Impl::drop_append(const AppendRequest& request) {
    FrameEvent& event = pipeline_.event();
    event.kind = FrameEvent::Kind::kDropped;
    event.outcome.session = request.session;
    event.outcome.bytes = static_cast<std::uint32_t>(request.size());
}

void SegmentContainer::Impl::refuse(AppendRequest& request, AppendStatus status) {
    AppendSession& session = *request.session;
    if (status != AppendStatus::kBadOffset) session.failed = true;
    FrameEvent& event = pipeline_.event();
    event.kind = FrameEvent::Kind::kOutcome;
    event.outcome = AppendOutcome{&session,
                                  status,
                                  request.conditional,
                                  request.event_number,
                                  session.last_acked,
                                  request.request_id,
                                  0,
                                  static_cast<std::uint32_t>(request.size())};
}

namespace {

void copy_pieces(const AppendRequest& request, std::uint8_t* at) {
    for (const bytes::ByteSpan& piece : request.pieces) {
        if (piece.empty()) continue;
        std::memcpy(at, piece.data(), piece.size());
        at += piece.size();
    }
}

// Pending state after an append that was put.
void advance(const AppendRequest& request, Segment& segment) {
    AppendSession& session = *request.session;
    segment.pending.length += request.size();
    session.last_stored = request.event_number;
    session.writer->pending = request.event_number;
    if (segment.event_count == nullptr) segment.event_count = &segment.attribute(kEventCount);
    std::int64_t& count = segment.event_count->pending;
    count = count == kNullAttribute ? request.event_count : count + request.event_count;
}

}  // namespace

void SegmentContainer::Impl::put_append(AppendRequest& request, Segment& segment) {
    AppendSession& session = *request.session;
    AppendRecord record;
    record.id = segment.id;
    record.offset = segment.pending.length;
    record.data_size = static_cast<std::uint32_t>(request.size());
    record.event_count = request.event_count;
    record.has_writer = true;
    record.writer = session.writer_id;
    record.event_number = request.event_number;

    constexpr std::size_t kHead = kRecordHeader + kAppendFixedWriter;
    std::size_t slab_offset = 0;
    std::uint8_t* head = pipeline_.put(kHead + record.data_size, &slab_offset);
    copy_pieces(request, head + encode_append_head(record, head));
    advance(request, segment);

    FrameEvent& event = pipeline_.event();
    event.kind = FrameEvent::Kind::kAppend;
    event.segment = &segment;
    event.writer = session.writer;
    event.offset = record.offset;
    event.size = record.data_size;
    event.slab_offset = static_cast<std::uint32_t>(slab_offset + kHead);
    event.event_count = request.event_count;
    event.outcome = AppendOutcome{&session,
                                  AppendStatus::kAppended,
                                  request.conditional,
                                  request.event_number,
                                  0,
                                  request.request_id,
                                  static_cast<std::int64_t>(segment.pending.length),
                                  record.data_size};
    last_append_ = {request.conditional ? 0 : pipeline_.mark(), head, &session, record};
}

// Neighbours of one session in one frame are one record, one place in the index and one acknowledgement.
bool SegmentContainer::Impl::extend_append(AppendRequest& request, Segment& segment) {
    constexpr std::uint32_t kMaxJoined = 1 << 20;
    LastAppend& last = last_append_;
    auto size = static_cast<std::uint32_t>(request.size());
    if (last.mark != pipeline_.mark() || last.session != request.session || request.conditional) return false;
    if (last.record.data_size + size > kMaxJoined) return false;
    std::uint8_t* at = pipeline_.extend(size);
    if (at == nullptr) return false;
    copy_pieces(request, at);
    last.record.data_size += size;
    last.record.event_count += request.event_count;
    last.record.event_number = request.event_number;
    encode_append_head(last.record, last.head);
    advance(request, segment);

    FrameEvent& event = pipeline_.last_event();
    event.size += size;
    event.event_count += request.event_count;
    event.outcome.event_number = request.event_number;
    event.outcome.request_id = request.request_id;
    event.outcome.end_offset = static_cast<std::int64_t>(segment.pending.length);
    event.outcome.bytes += size;
    ++event.outcome.requests;
    return true;
}

void SegmentContainer::Impl::setup_append(AppendSession& session, Done<std::int64_t> done) {
    Needs needs{{want(session.segment_name)}, {session.writer_id}};
    control(
        SpaceNeed::kNone, std::move(needs),
        [this, session = &session, done = std::move(done)](const Error* closed) mutable {
            release_session(*session);
            if (closed != nullptr) return done(fail(*closed));
            session->failed = true;  // until it is set up
            Segment* segment = find_pending(session->segment_name);
            if (segment == nullptr) {
                // Said in order with the acknowledgements before it.
                return after_commit(refusal(std::move(done), missing(session->segment_name)));
            }
            if (segment->table != nullptr) {
                Error table(Errc::kInvalidArgument, segment->name + " is a table: it takes no appends");
                return after_commit(refusal(std::move(done), std::move(table)));
            }
            // An append would set it to an event number.
            if (session->writer_id.high == kCoreAttributeHigh) {
                Error core(Errc::kInvalidArgument, "the id of a segment's own attribute is no writer's");
                return after_commit(refusal(std::move(done), std::move(core)));
            }
            session->segment = segment;
            ++segment->sessions;
            session->writer = &segment->attribute(session->writer_id);
            ++session->writer->pins;
            session->last_stored = session->last_acked = session->writer->pending;
            session->failed = false;
            after_commit([last = session->last_stored, done = std::move(done)](const Error* error) mutable {
                if (error != nullptr) return done(fail(*error));
                done(last);
            });
        },
        &session);
}

void SegmentContainer::Impl::close_append(AppendSession& session, runtime::Task forgotten) {
    auto close = [this, session = &session, forgotten = std::move(forgotten)](const Error* closed) mutable {
        auto finish = [this, session, forgotten = std::move(forgotten)](const Error*) mutable {
            release_session(*session);
            forgotten();
        };
        // A failed container's pipeline is empty: nothing refers to the session any more.
        if (closed != nullptr && failed_) return finish(nullptr);
        after_commit(std::move(finish));
    };
    // A stopping container still takes this, behind the appends that are queued.
    if (failed_)
        return executor.post([close = std::move(close)]() mutable {
            Error error(Errc::kClosed);
            close(&error);
        });
    if (appends_wait() && started_) {
        // Behind appends that wait for space it would wait with them, and they for nobody.
        drop_queued(session);
        return close(nullptr);
    }
    queue_.emplace_back(Control{std::move(close), SpaceNeed::kNone, {}, nullptr, std::nullopt});
    process();
}

// What the session still has in the queue was not acknowledged, and never will be.
void SegmentContainer::Impl::drop_queued(AppendSession& session) {
    Error closed(Errc::kClosed, "the writer has left");
    std::vector<Control> setups;
    bool front = true;
    std::erase_if(queue_, [&](Work& work) {
        std::size_t done = std::exchange(front, false) ? batch_progress_ : 0;
        if (auto* batch = std::get_if<AppendBatch>(&work)) {
            auto& requests = batch->requests;
            auto first = requests.begin() + static_cast<std::ptrdiff_t>(std::min(done, requests.size()));
            auto gone = std::remove_if(first, requests.end(), [&](const AppendRequest& request) {
                if (request.session != &session) return false;
                drop_append(request);
                return true;
            });
            requests.erase(gone, requests.end());
            return false;
        }
        auto& waiting = std::get<Control>(work);
        if (waiting.session != &session) return false;
        setups.push_back(std::move(waiting));
        return true;
    });
    for (Control& setup : setups) setup.run(&closed);
}

void SegmentContainer::Impl::release_session(AppendSession& session) {
    Segment* segment = std::exchange(session.segment, nullptr);
    AttributeEntry* writer = std::exchange(session.writer, nullptr);
    if (segment == nullptr) return;
    // A writer that never wrote leaves nothing.
    bool saved = !writer->marked && writer->batch <= saved_batch_;
    bool nothing = writer->pending == kNullAttribute && writer->durable == kNullAttribute && saved;
    if (--writer->pins == 0 && nothing) segment->attributes.erase(session.writer_id);
    if (--segment->sessions == 0 && segment->planned == 0 && segment->durable.gone) unused_.erase(segment);
}

// ---- names ----

Segment* SegmentContainer::Impl::find_pending(std::string_view name) {
    auto found = names_.find(name);
    if (found == names_.end() || found->second->segment == nullptr) return nullptr;
    Segment* segment = found->second->segment;
    segment->visited = true;
    segment->used = pipeline_.turn();
    return segment->pending.gone ? nullptr : segment;
}

Error SegmentContainer::Impl::missing(std::string_view name) const {
    if (merged_.contains(name)) return {Errc::kMerged, std::string(name)};
    return {Errc::kNotFound, std::string(name)};
}

// ---- the public face ----

SegmentContainer::SegmentContainer(ContainerId id, runtime::Executor& executor, ContainerOptions options,
                                   std::unique_ptr<state::StateStore> store)
    : impl_(std::make_unique<Impl>(id, executor, options, std::move(store))) {}
SegmentContainer::~SegmentContainer() = default;

ContainerId SegmentContainer::id() const { return impl_->id; }
runtime::Executor& SegmentContainer::executor() const { return impl_->executor; }
Result<> SegmentContainer::load() { return impl_->load(); }
Result<> SegmentContainer::replay(const wal::Appended& where, bytes::ByteSpan payload) {
    return impl_->replay(where, payload);
}
Result<> SegmentContainer::finish_recovery() { return impl_->finish_recovery(); }
bool SegmentContainer::has_tiered_bytes() const { return impl_->tiering().holds_anything(); }
void SegmentContainer::start(std::unique_ptr<wal::DurableLog> log, runtime::Callback<Error> on_failure,
                             std::unique_ptr<lts::ChunkStore> tier, std::string tier_prefix) {
    impl_->start(std::move(log), std::move(on_failure), std::move(tier), std::move(tier_prefix));
}
void SegmentContainer::end_waiting() { impl_->end_waiting(); }
void SegmentContainer::stop(runtime::Task stopped) { impl_->stop(std::move(stopped)); }
void SegmentContainer::setup_append(AppendSession& session, Done<std::int64_t> done) {
    impl_->setup_append(session, std::move(done));
}
void SegmentContainer::append(AppendBatch batch) { impl_->enqueue_append(std::move(batch)); }
void SegmentContainer::close_append(AppendSession& session, runtime::Task forgotten) {
    impl_->close_append(session, std::move(forgotten));
}
ReadId SegmentContainer::read(std::string_view segment, std::int64_t offset, std::size_t max_bytes, ReadCallback done) {
    return impl_->read(segment, offset, max_bytes, std::move(done));
}
bool SegmentContainer::cancel_read(ReadId read) { return impl_->cancel_read(read); }
void SegmentContainer::create(std::string name, CreateOptions options, Done<> done) {
    impl_->create(std::move(name), options, std::move(done));
}
void SegmentContainer::seal(std::string name, Done<std::int64_t> done) { impl_->seal(name, std::move(done)); }
void SegmentContainer::truncate(std::string name, std::int64_t offset, Done<> done) {
    impl_->truncate(name, offset, std::move(done));
}
void SegmentContainer::remove(std::string name, Done<> done) { impl_->remove(name, std::move(done)); }
void SegmentContainer::merge(std::string target, std::string source, std::vector<AttributeUpdate> updates,
                             Done<std::int64_t> done) {
    impl_->merge(target, source, std::move(updates), std::move(done));
}
void SegmentContainer::merge_batch(std::string target, std::vector<std::string> sources,
                                   Done<std::vector<std::int64_t>> done) {
    impl_->merge_batch(target, sources, std::move(done));
}
void SegmentContainer::update_attributes(std::string name, std::vector<AttributeUpdate> updates, Done<> done) {
    impl_->update_attributes(name, std::move(updates), std::move(done));
}
void SegmentContainer::info(std::string_view name, Done<SegmentInfo> done) { impl_->info(name, std::move(done)); }
void SegmentContainer::attribute(std::string_view name, const Uuid& id, Done<std::int64_t> done) {
    impl_->attribute(name, id, std::move(done));
}
std::vector<SegmentTraffic> SegmentContainer::traffic() const { return impl_->traffic(); }
std::vector<SegmentTraffic> SegmentContainer::scaling_traffic() const { return impl_->scaling_traffic(); }
std::vector<std::string> SegmentContainer::transient_segments() const { return impl_->transient_segments(); }
void SegmentContainer::update_table(std::string table, std::vector<TableUpdate> updates, SpaceNeed need,
                                    Done<std::vector<std::int64_t>> done) {
    impl_->update_table(std::move(table), std::move(updates), need, std::move(done));
}
TableSegments& SegmentContainer::tables() { return impl_->table_segments(); }
std::optional<TableEntry> SegmentContainer::table_get(std::string_view table, std::string_view key) const {
    return impl_->tables().get(table, key);
}
std::vector<TableEntry> SegmentContainer::table_scan(std::string_view table, std::string_view prefix,
                                                     std::string_view after, std::size_t limit) const {
    return impl_->tables().scan(table, prefix, after, limit);
}
ContainerStats SegmentContainer::stats() const { return impl_->stats(); }
TieringGauges::Values SegmentContainer::tiering_gauges() const { return impl_->tiering().gauges().read(); }

}  // namespace millrace::container
