#include "wal/local/journal_core.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/assert.h"
#include "base/log.h"

namespace millrace::wal::local {
namespace {

constexpr Millis kIdleDelay{100};
constexpr Millis kRetryDelay{1000};
constexpr std::size_t kLaggardFiles = 4;
constexpr std::uint64_t kSmallFrame = 64 * kKiB;
constexpr std::size_t kDamagedMax = 10'000;  // frames that are told
constexpr const char* kFull = "the journal is full";

}  // namespace

JournalCore::JournalCore(io::FileSystem& files, runtime::Executor& executor, const JournalOptions& options,
                         RecoveredJournal recovered)
    : executor_(executor),
      options_(options),
      journal_(recovered.journal),
      pool_(std::make_shared<FilePool>(files, JournalDirectory(files, options.directory), options, recovered)),
      writer_(options_, recovered.journal, recovered.position, *pool_, containers_, executor.clock(), counters_) {
    for (const RecoveredContainer& found : recovered.containers) {
        auto state = std::make_unique<ContainerState>(found.id);
        state->accepted_next = state->placed_next = found.next;
        state->first_kept = state->recorded_kept = found.first_kept;
        state->index = containers_.size();
        state->attached = true;
        containers_.push_back(state.get());
        registry_.emplace(found.id, std::move(state));
    }
    used_bytes_ = pool_->used_bytes();
}

void JournalCore::start() {
    started_ = true;
    writer_.start(weak_from_this(), {[this] { on_acknowledged(); }, [this](const Error& error) { on_failed(error); }});
    auto weak = weak_from_this();
    pool_->start([this](const JournalFile& file) { return is_free(file, &ContainerState::recorded_kept); },
                 [this, weak] {
                     if (auto self = weak.lock()) on_pool_change();
                 },
                 [this, weak](const Error& error) {
                     if (auto self = weak.lock()) writer_.fail(error);
                 });
    update_space();
    schedule_pump();
}

ContainerState& JournalCore::register_container(ContainerId container, LogSequence& next) {
    MILLRACE_ASSERT(container != kMarkerContainer);
    std::lock_guard lock(registry_lock_);
    auto& state = registry_[container];
    if (state == nullptr) state = std::make_unique<ContainerState>(container);
    MILLRACE_ASSERT(!state->opened);
    state->opened = true;
    next = state->accepted_next;  // nobody has appended yet
    return *state;
}

LogSpace JournalCore::space() const { return {used_bytes_.load(), options_.limit_bytes, full_.load()}; }

void JournalCore::attach(ContainerState& container, const std::weak_ptr<LogSink>& sink) {
    if (!container.sink.expired()) return;
    container.sink = sink;
    if (!container.attached) {
        container.attached = true;
        container.index = containers_.size();
        containers_.push_back(&container);
        std::uint64_t table = frame_bytes(table_payload_size(containers_.size()));
        MILLRACE_ASSERT(options_.file_bytes >= frame_bytes(options_.max_payload_bytes) + 2 * (kPage + table));
    }
    if (failure_) {
        if (auto log = container.sink.lock()) log->failed(*failure_);
    }
}

void JournalCore::append(QueuedFrame frame) {
    ContainerState& container = *frame.container;
    if (failure_ || frame.round < container.round) return;  // the log knows
    if (closing_) return refuse(frame, Errc::kClosed, "the journal is closed");
    MILLRACE_ASSERT(frame.sequence == container.accepted_next);
    if (!admitted(frame)) {
        refused_ = true;
        refuse(frame, Errc::kNoSpace, kFull);
        return update_space();
    }
    container.accepted_next = frame.sequence.next();
    writer_.push(std::move(frame));
    schedule_pump();
}

// While a further file may be made there is no limit here: frames wait for it. Otherwise what is queued has a place for
// certain, and ordinary frames leave one whole file.
bool JournalCore::admitted(const QueuedFrame& frame) const {
    if (pool_->may_grow()) return true;
    if (full_.load() && !frame.reserved) return false;
    Placement placement = writer_.placement();
    for (const QueuedFrame& queued : writer_.queue()) {
        if (!placement.place(frame_bytes(queued.frame.payload_size))) return false;
    }
    if (!placement.place(frame_bytes(frame.frame.payload_size))) return false;
    return frame.reserved || placement.files_left() >= pool_->kept_back();
}

void JournalCore::refuse(const QueuedFrame& first, Errc why, const char* text) {
    ContainerState& container = *first.container;
    container.accepted_next = first.sequence;
    container.round = first.round + 1;
    if (why == Errc::kNoSpace) counters_.refused_frames.add();
    if (auto log = container.sink.lock()) log->refused(first.sequence, Error(why, text));
}

// A file that was hoped for will not come: queued frames that needed it are refused, with all that follow them in their
// logs.
void JournalCore::refuse_what_has_no_room() {
    if (pool_->may_grow()) return;
    Placement placement = writer_.placement();
    std::deque<QueuedFrame> kept;
    for (QueuedFrame& frame : writer_.queue()) {
        if (frame.round < frame.container->round) continue;
        Placement before = placement;
        bool placed = placement.place(frame_bytes(frame.frame.payload_size));
        if (placed && (frame.reserved || placement.files_left() >= pool_->kept_back())) {
            kept.push_back(std::move(frame));
            continue;
        }
        placement = before;
        refused_ = true;
        refuse(frame, Errc::kNoSpace, kFull);
    }
    writer_.queue() = std::move(kept);
}

void JournalCore::schedule_pump() {
    if (pump_scheduled_) return;
    pump_scheduled_ = true;
    executor_.defer([weak = weak_from_this()] {
        if (auto self = weak.lock()) {
            self->pump_scheduled_ = false;
            self->pump();
        }
    });
}

void JournalCore::pump() {
    if (!started_) return;
    const JournalFile* before = &pool_->current();
    writer_.pump();
    bool moved_on = &pool_->current() != before;
    if (moved_on) ready_before_ = std::min(ready_before_, pool_->ready().size());
    if (moved_on || full_.load() || !pool_->may_grow()) update_space();
    if (!pool_->may_grow()) arm_retry_timer();
    continue_close();
}

void JournalCore::on_acknowledged() {
    arm_idle_timer();
    recycle();
    schedule_pump();
}

void JournalCore::on_failed(const Error& error) {
    failure_ = error;
    pool_->stop();
    for (ContainerState* container : std::vector<ContainerState*>(containers_)) {
        if (auto log = container->sink.lock()) log->failed(error);
    }
    continue_close();
}

void JournalCore::on_pool_change() {
    bool gained = pool_->may_grow() || pool_->ready().size() > ready_before_;
    ready_before_ = pool_->ready().size();
    if (gained) refused_ = false;
    refuse_what_has_no_room();
    update_space();
    schedule_pump();
}

void JournalCore::truncate(ContainerState& container, LogSequence first_kept) {
    if (failure_ || first_kept <= container.first_kept) return;
    MILLRACE_ASSERT(first_kept <= container.accepted_next);
    container.first_kept = first_kept;
    recycle();
    ask_laggards();
}

bool JournalCore::is_free(const JournalFile& file, LogSequence ContainerState::* kept) const {
    for (std::size_t i = 0; i < file.last_sequence.size(); ++i) {
        if (file.last_sequence[i] >= (containers_[i]->*kept).value()) return false;
    }
    return true;
}

// A truncation point must be on stable storage before the file goes whose frames it covers.
void JournalCore::recycle() {
    if (failure_ || !started_ || pool_->live().size() < 2) return;
    const JournalFile& oldest = *pool_->live().front();
    if (is_free(oldest, &ContainerState::recorded_kept)) {
        pool_->maintain();
    } else if (is_free(oldest, &ContainerState::first_kept)) {
        if (writer_.record_pending()) return;
        writer_.want_record();
        schedule_pump();
    }
}

void JournalCore::update_space() {
    used_bytes_ = pool_->used_bytes();
    bool full = false;
    if (!pool_->may_grow() && !failure_) {
        Placement placement = writer_.placement();
        bool room = true;
        for (const QueuedFrame& queued : writer_.queue()) {
            room = room && placement.place(frame_bytes(queued.frame.payload_size));
        }
        // Full is said a little early: whoever hears it has frames under way.
        std::uint64_t margin = std::min(std::max(kSmallFrame, options_.file_bytes / 8), options_.max_payload_bytes);
        full =
            refused_ || !room || !placement.place(frame_bytes(margin)) || placement.files_left() < pool_->kept_back();
    }
    if (full != full_.exchange(full)) {
        if (full)
            log::warn("journal in {} is full: {} used of {}; appends wait until streams are truncated or deleted",
                      options_.directory, format_bytes(pool_->used_bytes()), format_bytes(options_.limit_bytes));
        else
            log::info("journal in {} has space again", options_.directory);
        for (ContainerState* container : std::vector<ContainerState*>(containers_)) {
            if (auto log = container->sink.lock()) log->space_event({full, LogSequence()});
        }
    }
    if (full) arm_retry_timer();
    ask_laggards();
}

// Who holds back the oldest file, when space is short or when others are far ahead.
void JournalCore::ask_laggards() {
    if (failure_ || pool_->live().size() < 2) return;
    const JournalFile& oldest = *pool_->live().front();
    bool pressed = full_.load() || !pool_->may_grow() || pool_->used_bytes() > options_.limit_bytes / 4 * 3;
    if (!pressed && pool_->live().size() <= kLaggardFiles) return;
    if (!pressed) {
        std::size_t furthest = 0;
        for (const ContainerState* container : containers_) {
            if (container->placed_next.value() == 1) continue;
            furthest = std::max(furthest, oldest_needed(*container));
        }
        if (furthest <= kLaggardFiles) return;
    }
    for (std::size_t i = 0; i < oldest.last_sequence.size(); ++i) {
        ContainerState& container = *containers_[i];
        if (oldest.last_sequence[i] >= container.first_kept.value())
            ask(container, LogSequence(oldest.last_sequence[i] + 1));
    }
}

// Position in live() of the oldest file that holds a frame the container needs; the current one if there is none.
std::size_t JournalCore::oldest_needed(const ContainerState& container) const {
    const auto& live = pool_->live();
    for (std::size_t i = 0; i + 1 < live.size(); ++i) {
        const auto& last = live[i]->last_sequence;
        if (container.index < last.size() && last[container.index] >= container.first_kept.value()) return i;
    }
    return live.size() - 1;
}

void JournalCore::ask(ContainerState& container, LogSequence wanted) {
    auto log = container.sink.lock();
    if (log == nullptr || container.asked >= wanted) return;
    container.asked = wanted;
    log->space_event({full_.load(), wanted});
}

// Whole frames are read, since only they can be checked.
void JournalCore::read(LogAddress address, std::size_t size, runtime::Callback<Result<JournalRead>> done) {
    auto refuse = [&](Error error) {
        executor_.post([done = std::move(done), error = std::move(error)]() mutable {
            done(std::unexpected<Error>(std::move(error)));
        });
    };
    JournalFileRef file = pool_->find(Generation(address.file));
    if (file == nullptr) return refuse(Error(Errc::kNotFound, "the journal file is recycled"));
    bool within = size > 0 && address.offset >= kFileHeaderSize && address.offset <= file->acknowledged_end &&
                  size <= file->acknowledged_end - address.offset;
    if (!within) return refuse(Error(Errc::kInvalidArgument, "read beyond what is acknowledged"));
    JournalRead read = plan_read(file, address.offset, size);
    read.slab = bytes::Slab::allocate(read.bytes());
    std::uint64_t begin = read.begin();
    bytes::MutableByteSpan target(read.slab->data(), read.bytes());
    auto finish = [weak = weak_from_this(), read = std::move(read),
                   done = std::move(done)](Result<std::size_t> bytes) mutable {
        if (!bytes) return done(std::unexpected<Error>(bytes.error()));
        auto self = weak.lock();
        if (self == nullptr) return done(fail(Errc::kClosed));
        // What was recycled meanwhile may have been overwritten.
        if (self->pool_->find(read.file->generation) == nullptr) return done(fail(Errc::kNotFound));
        if (*bytes != read.bytes())
            return done(fail(Errc::kIo, "journal file " + read.file->path + " is shorter than it was"));
        done(std::move(read));
    };
    file->file->read(begin, target, std::move(finish));
}

Result<bytes::Slice> JournalCore::checked_bytes(const JournalRead& read, ContainerId asker) {
    auto bytes = checked(read, journal_, asker);
    if (bytes) return bytes;
    auto frame = damaged_frame(bytes.error());
    std::lock_guard lock(damage_lock_);
    bool is_new = damaged_.size() < kDamagedMax && damaged_.emplace(read.file->generation, frame->begin).second;
    if (is_new) {
        counters_.damaged_frames.add();
        log::error("{}; what was in it is neither served nor moved", bytes.error().message());
    }
    return bytes;
}

// One timer for a whole busy time: it looks whether anything happened since it last fired.
void JournalCore::arm_idle_timer() {
    if (idle_timer_armed_ || closing_) return;
    idle_timer_armed_ = true;
    seen_by_idle_timer_ = writer_.acknowledged();
    executor_.call_after(kIdleDelay, [weak = weak_from_this()] {
        if (auto self = weak.lock()) self->on_idle_timer();
    });
}

void JournalCore::on_idle_timer() {
    idle_timer_armed_ = false;
    if (failure_ || closing_) return;
    bool quiet = writer_.idle() && writer_.acknowledged() == seen_by_idle_timer_;
    if (!quiet) return arm_idle_timer();
    if (writer_.covered()) return;
    writer_.want_marker(MarkerKind::kIdle);
    schedule_pump();
}

void JournalCore::arm_retry_timer() {
    if (retry_timer_armed_ || closing_ || failure_) return;
    retry_timer_armed_ = true;
    executor_.call_after(kRetryDelay, [weak = weak_from_this()] {
        if (auto self = weak.lock()) self->on_retry_timer();
    });
}

void JournalCore::on_retry_timer() {
    retry_timer_armed_ = false;
    if (failure_ || closing_) return;
    for (ContainerState* container : containers_)
        container->asked = LogSequence();  // who did not answer is asked again
    pool_->retry();
    update_space();
    if (!pool_->may_grow()) arm_retry_timer();
}

void JournalCore::close(runtime::Callback<Result<>> done) {
    MILLRACE_ASSERT(!closing_);
    closing_ = true;
    close_done_ = std::move(done);
    if (!failure_ && !writer_.idle()) return;
    continue_close();
}

void JournalCore::continue_close() {
    if (!closing_ || !close_done_) return;
    if (!failure_) {
        if (!writer_.idle()) return;
        if (!writer_.closed_acknowledged()) {
            bool asked = writer_.marker_pending();
            if (!asked) writer_.want_marker(MarkerKind::kClosed);
            writer_.pump();
            bool waits = !writer_.idle() || (writer_.marker_pending() && pool_->busy());
            if (waits) return;
        }
        if (pool_->busy()) return;
        pool_->stop();
    }
    auto done = std::exchange(close_done_, nullptr);
    executor_.post([done = std::move(done), failure = failure_]() mutable {
        if (failure)
            done(std::unexpected<Error>(*failure));
        else
            done({});
    });
}

}  // namespace millrace::wal::local
