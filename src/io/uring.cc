#include "io/uring.h"

#include <array>
#include <cerrno>
#include <utility>

#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"

namespace millrace::io {
namespace {

constexpr unsigned kQueueEntries = 64;  // the completion queue has twice as many
constexpr int kRefusalsMax = 16;
constexpr std::chrono::milliseconds kRetryAfter{1};
constexpr long kDrainCheckNanos = 10'000'000;

// One operation that does nothing, on a ring of its own: a filter may allow the first system call and refuse the next.
int try_round_trip() {
    io_uring ring{};
    if (int error = io_uring_queue_init(1, &ring, 0); error < 0) return -error;
    int outcome = 0;
    io_uring_prep_nop(io_uring_get_sqe(&ring));
    io_uring_cqe* completion = nullptr;
    if (int submitted = io_uring_submit_and_wait(&ring, 1); submitted < 0)
        outcome = -submitted;
    else if (int error = io_uring_wait_cqe(&ring, &completion); error < 0)
        outcome = -error;
    io_uring_queue_exit(&ring);
    return outcome;
}

}  // namespace

std::expected<std::shared_ptr<Uring>, int> Uring::open(runtime::CoreLoop& loop) {
    if (int error = try_round_trip(); error != 0) return std::unexpected(error);
    // A ring for a single thread belongs to the one that enables it: the loop's, later.
    bool deferred_work = true;
    io_uring ring{};
    int error = io_uring_queue_init(kQueueEntries, &ring,
                                    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED);
    if (error == -EINVAL) {  // before Linux 6.1
        deferred_work = false;
        error = io_uring_queue_init(kQueueEntries, &ring, 0);
    }
    if (error < 0) return std::unexpected(-error);
    int event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event < 0)
        error = -errno;
    else
        error = io_uring_register_eventfd(&ring, event);
    if (error < 0) {
        if (event >= 0) ::close(event);
        io_uring_queue_exit(&ring);
        return std::unexpected(-error);
    }
    return std::shared_ptr<Uring>(new Uring(loop, ring, deferred_work, event));
}

Uring::Uring(runtime::CoreLoop& loop, const io_uring& ring, bool deferred_work, int event)
    : loop_(loop), ring_(ring), deferred_work_(deferred_work), event_(loop.context(), event) {}

Uring::~Uring() { io_uring_queue_exit(&ring_); }

void Uring::start(std::unique_ptr<Operation> operation) {
    if (closed_) {
        finished_.push_back({std::move(operation), fail(Errc::kClosed)});
        return post_finished();
    }
    waiting_.push_back(std::move(operation));
    schedule();
}

void Uring::schedule() {
    if (scheduled_) return;
    scheduled_ = true;
    loop_.defer([self = shared_from_this()] {
        self->scheduled_ = false;
        self->submit();
    });
}

void Uring::enable() {
    enabled_ = true;
    if (deferred_work_) {
        // liburing 2.3 declares a function for this, but its shared library does not export it.
        long error = ::syscall(SYS_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
        MILLRACE_ASSERT(error == 0);
    }
    watch();
}

// Fills one place of the submission queue. False when nothing can be added now.
bool Uring::prepare_next() {
    // More in flight than the completion queue holds would make the kernel keep the rest in a list.
    if (waiting_.empty() || in_flight_ >= ring_.cq.ring_entries) return false;
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    if (entry == nullptr) return false;
    Operation* operation = waiting_.front().release();  // owned by the kernel's answer
    waiting_.pop_front();
    auto vectors = operation->vector.next();
    auto count = static_cast<unsigned>(vectors.size());
    std::uint64_t at = operation->offset + operation->vector.transferred();
    int descriptor = operation->file->descriptor();
    switch (operation->kind) {
        case Operation::Kind::kWrite:
            io_uring_prep_writev2(entry, descriptor, vectors.data(), count, at, operation->sync ? RWF_DSYNC : 0);
            break;
        case Operation::Kind::kRead:
            io_uring_prep_readv(entry, descriptor, vectors.data(), count, at);
            break;
        case Operation::Kind::kSync:
            io_uring_prep_fsync(entry, descriptor, IORING_FSYNC_DATASYNC);
            break;
    }
    io_uring_sqe_set_data(entry, operation);
    operation->ring = shared_from_this();
    ++in_flight_;
    return true;
}

void Uring::submit() {
    if (!enabled_) enable();
    for (;;) {
        while (prepare_next()) {
        }
        if (io_uring_sq_ready(&ring_) == 0) return;
        int submitted = io_uring_submit(&ring_);
        if (submitted > 0 || submitted == -EINTR) continue;  // the queue was full, or not all was taken
        // Short of memory, or completions have to be taken first: both pass.
        MILLRACE_ASSERT(submitted == 0 || submitted == -EAGAIN || submitted == -EBUSY || submitted == -ENOMEM);
        loop_.call_after(kRetryAfter, [self = shared_from_this()] { self->schedule(); });
        return;
    }
}

// The eventfd is watched, never the ring's own descriptor: that one does not wake an edge-triggered epoll reliably.
void Uring::watch() {
    event_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                      [weak = weak_from_this()](const boost::system::error_code& error) {
                          if (error) return;
                          if (auto self = weak.lock()) self->on_event();
                      });
}

void Uring::on_event() {
    std::uint64_t count = 0;
    [[maybe_unused]] ssize_t size = ::read(event_.native_handle(), &count, sizeof count);
    reap();
    watch();
    post_finished();
    if (!waiting_.empty()) schedule();
}

void Uring::reap() {
    if (deferred_work_ || io_uring_cq_has_overflow(&ring_)) io_uring_get_events(&ring_);
    std::array<io_uring_cqe*, kQueueEntries> batch;
    while (unsigned count = io_uring_peek_batch_cqe(&ring_, batch.data(), batch.size())) {
        for (unsigned i = 0; i < count; ++i) {
            std::unique_ptr<Operation> operation(static_cast<Operation*>(io_uring_cqe_get_data(batch[i])));
            operation->ring.reset();  // whoever called this holds the ring
            --in_flight_;
            settle(std::move(operation), batch[i]->res);
        }
        io_uring_cq_advance(&ring_, count);
    }
}

// Takes the kernel's answer: finished, or another round for the rest.
void Uring::settle(std::unique_ptr<Operation> operation, int result) {
    if (result == -EINTR || result == -EAGAIN) {
        if (++operation->refusals <= kRefusalsMax) return waiting_.push_front(std::move(operation));
    }
    const PosixFile& file = *operation->file;
    if (result < 0) {
        static constexpr const char* kActions[] = {"write", "read", "sync"};
        const char* action = kActions[static_cast<int>(operation->kind)];
        finished_.push_back({std::move(operation), fail(posix_error(-result, action, file.path()))});
        return;
    }
    operation->refusals = 0;
    auto count = static_cast<std::size_t>(result);
    bool complete = operation->kind == Operation::Kind::kSync;
    if (!complete) {
        operation->vector.advance(count);
        complete = operation->vector.done();
    }
    if (!complete && operation->kind == Operation::Kind::kRead) complete = file.ends_at(count);
    if (!complete && count == 0) {
        finished_.push_back(
            {std::move(operation), fail(Errc::kIo, "write " + file.path() + ": the device took nothing")});
        return;
    }
    if (!complete) return waiting_.push_front(std::move(operation));
    std::size_t transferred = operation->vector.transferred();
    finished_.push_back({std::move(operation), transferred});
}

// As tasks of the loop, so that the stall detector sees them.
void Uring::post_finished() {
    if (finished_.empty()) return;
    loop_.post([batch = std::exchange(finished_, {})]() mutable {
        for (Finished& finished : batch) {
            auto operation = std::move(finished.operation);
            operation->done(std::move(finished.result));
        }
    });
}

void Uring::close() {
    closed_ = true;
    if (!loop_.on_this_thread()) {
        if (in_flight_ > 0) log::warn("io_uring closed with {} operations in flight on a stopped loop", in_flight_);
        return;
    }
    while (!waiting_.empty() || in_flight_ > 0) {
        submit();
        io_uring_cqe* completion = nullptr;
        __kernel_timespec limit{.tv_sec = 0, .tv_nsec = kDrainCheckNanos};
        if (in_flight_ > 0) io_uring_wait_cqe_timeout(&ring_, &completion, &limit);
        reap();
    }
    post_finished();
}

}  // namespace millrace::io
