#include "wal/local/local_log.h"

#include <cstring>
#include <deque>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "bytes/crc32c.h"

namespace millrace::wal::local {

class LocalLog::State final : public LogSink, public std::enable_shared_from_this<State> {
  public:
    State(std::shared_ptr<JournalCore> core, ContainerId container, runtime::Executor& executor)
        : core_(std::move(core)),
          executor_(executor),
          direct_(&executor == &core_->executor()),
          container_(&core_->register_container(container, next_)) {}

    void start() {
        on_journal([weak = weak_from_this(), core = core_, container = container_] { core->attach(*container, weak); });
    }

    void append(Frame frame, bool reserved, runtime::Callback<Result<Appended>> done);
    LogSequence next() const { return next_; }
    void truncate(LogSequence first_kept);
    void read(LogAddress address, std::size_t size, runtime::Callback<Result<bytes::Slice>> done);
    LogSpace space() const { return core_->space(); }
    void listen(runtime::Callback<SpaceEvent> listener) { listener_ = std::move(listener); }
    void shut();

    // LogSink, on the journal's executor.
    void acknowledged(std::vector<Appended> frames) override;
    void refused(LogSequence from, const Error& why) override;
    void failed(const Error& error) override;
    void space_event(const SpaceEvent& event) override;

  private:
    struct Pending {
        LogSequence sequence;
        runtime::Callback<Result<Appended>> done;
    };

    template <typename Work>
    void on_journal(Work work) {
        if (direct_)
            work();
        else
            core_->executor().post(std::move(work));
    }
    // Later, on the log's executor, if the log is still there.
    template <typename Work>
    void later(Work work) {
        executor_.post([weak = weak_from_this(), work = std::move(work)]() mutable {
            auto self = weak.lock();
            if (self != nullptr && !self->shut_) work(*self);
        });
    }
    void send(QueuedFrame frame);
    void flush();
    void deliver(std::vector<Appended> frames);
    void deliver_refusals();
    void deliver_failure();

    const std::shared_ptr<JournalCore> core_;
    runtime::Executor& executor_;
    const bool direct_;
    LogSequence next_;
    ContainerState* const container_;

    std::deque<Pending> pending_;  // appended, in order, not answered yet
    std::uint32_t round_ = 0;
    std::optional<LogSequence> refused_from_;  // this frame and those after it will be refused when it is their turn
    std::optional<Error> refusal_;
    std::optional<Error> failure_;
    runtime::Callback<SpaceEvent> listener_;
    bool shut_ = false;

    // To be posted at the end of the turn, when the journal is on another executor.
    std::vector<QueuedFrame> outbox_;
    LogSequence outbox_kept_;
    bool flush_scheduled_ = false;
};

void LocalLog::State::append(Frame frame, bool reserved, runtime::Callback<Result<Appended>> done) {
    MILLRACE_ASSERT(frame.begin % kPage == 0 && frame.payload_size <= core_->options().max_payload_bytes);
    std::uint64_t disk_bytes = frame_bytes(frame.payload_size);
    MILLRACE_ASSERT(frame.begin + disk_bytes <= frame.slab->capacity());
    LogSequence sequence = std::exchange(next_, next_.next());
    pending_.push_back({sequence, std::move(done)});
    if (failure_) return later([](State& self) { self.deliver_failure(); });
    if (refused_from_) return;

    QueuedFrame queued;
    std::uint8_t* payload = frame.slab->data() + frame.payload_begin();
    std::memset(payload + frame.payload_size, 0, disk_bytes - kFrameHeaderSize - frame.payload_size);
    queued.payload_crc = bytes::crc32c({payload, frame.payload_size});
    queued.container = container_;
    queued.frame = std::move(frame);
    queued.sequence = sequence;
    queued.round = round_;
    queued.reserved = reserved;
    send(std::move(queued));
}

void LocalLog::State::send(QueuedFrame frame) {
    if (direct_) return core_->append(std::move(frame));
    outbox_.push_back(std::move(frame));
    flush();
}

void LocalLog::State::truncate(LogSequence first_kept) {
    if (direct_) return core_->truncate(*container_, first_kept);
    outbox_kept_ = std::max(outbox_kept_, first_kept);
    flush();
}

void LocalLog::State::flush() {
    if (flush_scheduled_) return;
    flush_scheduled_ = true;
    executor_.defer([self = shared_from_this()] {
        self->flush_scheduled_ = false;
        auto batch = [core = self->core_, container = self->container_, frames = std::exchange(self->outbox_, {}),
                      first_kept = std::exchange(self->outbox_kept_, LogSequence())]() mutable {
            for (QueuedFrame& frame : frames) core->append(std::move(frame));
            if (first_kept.value() > 0) core->truncate(*container, first_kept);
        };
        self->core_->executor().post(std::move(batch));
    });
}

// The checksums are made on the log's executor: the journal's has all containers to serve.
void LocalLog::State::read(LogAddress address, std::size_t size, runtime::Callback<Result<bytes::Slice>> done) {
    auto deliver = [done = std::move(done)](State& self, Result<JournalRead> read) mutable {
        if (!read) return done(fail(std::move(read.error())));
        done(self.core_->checked_bytes(*read, self.container_->id));
    };
    auto answer = [weak = weak_from_this(), direct = direct_,
                   deliver = std::move(deliver)](Result<JournalRead> read) mutable {
        auto self = weak.lock();
        if (self == nullptr) return;
        if (direct) {
            if (!self->shut_) deliver(*self, std::move(read));
            return;
        }
        self->later([deliver = std::move(deliver), read = std::move(read)](State& state) mutable {
            deliver(state, std::move(read));
        });
    };
    on_journal([core = core_, address, size, answer = std::move(answer)]() mutable {
        core->read(address, size, std::move(answer));
    });
}

void LocalLog::State::shut() {
    shut_ = true;
    pending_.clear();
    listener_ = nullptr;
}

void LocalLog::State::acknowledged(std::vector<Appended> frames) {
    if (direct_) return deliver(std::move(frames));
    later([frames = std::move(frames)](State& self) mutable { self.deliver(std::move(frames)); });
}

void LocalLog::State::refused(LogSequence from, const Error& why) {
    later([from, why](State& self) {
        self.refused_from_ = from;
        self.refusal_ = why;
        self.deliver_refusals();
    });
}

void LocalLog::State::failed(const Error& error) {
    later([error](State& self) {
        if (!self.failure_) self.failure_ = error;
        self.deliver_failure();
    });
}

void LocalLog::State::space_event(const SpaceEvent& event) {
    later([event](State& self) {
        if (!self.listener_) return;
        auto listener = std::exchange(self.listener_, nullptr);  // it may replace itself
        listener(event);
        if (!self.listener_ && !self.shut_) self.listener_ = std::move(listener);
    });
}

void LocalLog::State::deliver(std::vector<Appended> frames) {
    auto self = shared_from_this();
    for (const Appended& frame : frames) {
        if (shut_) return;
        MILLRACE_ASSERT(!pending_.empty() && pending_.front().sequence == frame.sequence);
        auto done = std::move(pending_.front().done);
        pending_.pop_front();
        done(frame);
    }
    if (!shut_) deliver_refusals();
}

// When everything before the refused frame is answered: refuses it and all after it, and goes back to its sequence.
void LocalLog::State::deliver_refusals() {
    if (!refused_from_ || failure_) return;
    if (!pending_.empty() && pending_.front().sequence < *refused_from_) return;
    auto self = shared_from_this();
    next_ = *std::exchange(refused_from_, std::nullopt);
    ++round_;
    Error why = *refusal_;
    auto refused = std::exchange(pending_, {});
    for (Pending& frame : refused) {
        frame.done(fail(why));
        if (shut_) return;
    }
}

void LocalLog::State::deliver_failure() {
    auto self = shared_from_this();
    auto lost = std::exchange(pending_, {});
    for (Pending& frame : lost) {
        frame.done(fail(*failure_));
        if (shut_) return;
    }
}

LocalLog::LocalLog(std::shared_ptr<JournalCore> core, ContainerId container, runtime::Executor& executor)
    : state_(std::make_shared<State>(std::move(core), container, executor)) {
    state_->start();
}

LocalLog::~LocalLog() { state_->shut(); }

void LocalLog::append(Frame frame, bool reserved, runtime::Callback<Result<Appended>> done) {
    state_->append(std::move(frame), reserved, std::move(done));
}
LogSequence LocalLog::next_sequence() const { return state_->next(); }
void LocalLog::truncate(LogSequence first_kept) { state_->truncate(first_kept); }
void LocalLog::read(LogAddress address, std::size_t size, runtime::Callback<Result<bytes::Slice>> done) {
    state_->read(address, size, std::move(done));
}
LogSpace LocalLog::space() const { return state_->space(); }
void LocalLog::on_space(runtime::Callback<SpaceEvent> listener) { state_->listen(std::move(listener)); }

}  // namespace millrace::wal::local
