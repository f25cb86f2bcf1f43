#include "net/connection.h"

#include <array>
#include <cerrno>
#include <cstring>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"

namespace millrace::net {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr std::size_t kGatherMax = 64;
std::atomic<std::size_t> live_connections{0};

}  // namespace

// Asio's part: tells when the descriptor is ready. Reads and writes are plain system calls.
struct Connection::Poller {
    explicit Poller(asio::io_context& context) : stream(context) {}
    asio::posix::stream_descriptor stream;
};

std::shared_ptr<Connection> Connection::create(runtime::CoreLoop& loop, Socket socket, ConnectionOptions options) {
    MILLRACE_ASSERT(socket.descriptor() >= 0);
    int descriptor = socket.release();
    std::shared_ptr<Connection> connection(new Connection(loop, descriptor, socket.peer(), options));
    error_code error;
    (void)connection->poller_->stream.assign(descriptor, error);
    if (error) {
        ::close(descriptor);
        connection->broken("watch", error.value());
    }
    return connection;
}

Connection::Connection(runtime::CoreLoop& loop, int descriptor, const std::string& peer, ConnectionOptions options)
    : loop_(loop),
      options_(options),
      poller_(std::make_unique<Poller>(loop.context())),
      descriptor_(descriptor),
      peer_(peer),
      received_(options.window_limit),
      last_activity_(loop.clock().now()) {
    live_connections.fetch_add(1, std::memory_order_relaxed);
}

Connection::~Connection() {
    if (state_ != State::kClosed) live_connections.fetch_sub(1, std::memory_order_relaxed);
}

std::size_t Connection::live() { return live_connections.load(std::memory_order_relaxed); }

void Connection::start(std::shared_ptr<Handler> handler) {
    MILLRACE_ASSERT(loop_.on_this_thread() && handler_ == nullptr && handler != nullptr);
    handler_ = std::move(handler);
    if (state_ == State::kClosed) return post_closed();
    watch_for_break();
    wait_readable();
}

// Waits as long as the connection lives, and so keeps it alive. Sees a reset also while nothing is read.
void Connection::watch_for_break() {
    poller_->stream.async_wait(asio::posix::stream_descriptor::wait_error,
                               [self = shared_from_this()](const error_code& error) {
                                   if (!error) self->on_watched();
                               });
}

void Connection::on_watched() {
    runtime::CoreLoop::Held held(loop_);
    if (state_ == State::kClosed) return;
    pollfd state{descriptor_, 0, 0};
    if (::poll(&state, 1, 0) > 0 && (state.revents & (POLLERR | POLLHUP)) != 0) {
        // While we read, the read finds the error, after what came before it.
        if (!may_read()) {
            int error = 0;
            socklen_t size = sizeof error;
            ::getsockopt(descriptor_, SOL_SOCKET, SO_ERROR, &error, &size);
            return broken("wait", error == 0 ? ECONNRESET : error);
        }
    } else {
        std::uint8_t urgent;  // out-of-band data has no meaning here, and would wake us for ever
        (void)::recv(descriptor_, &urgent, 1, MSG_OOB | MSG_DONTWAIT);
    }
    watch_for_break();
}

// --- Reading ---

void Connection::wait_readable() {
    if (waiting_readable_ || !may_read()) return;
    waiting_readable_ = true;
    poller_->stream.async_wait(asio::posix::stream_descriptor::wait_read,
                               [self = shared_from_this()](const error_code& error) {
                                   self->waiting_readable_ = false;
                                   if (!error) self->on_readable();
                               });
}

void Connection::on_readable() {
    runtime::CoreLoop::Held held(loop_);
    if (state_ == State::kLingering) return discard_pass();
    read_pass();
    received_.park();
    wait_readable();
}

void Connection::read_pass() {
    std::size_t budget = options_.read_per_turn;
    while (budget > 0 && state_ == State::kOpen && may_read()) {
        bytes::MutableByteSpan space = received_.space(need_);
        if (space.empty()) {
            return finish(CloseReason::kWindowLimit, fmt::format("{} bytes are not a frame", received_.size()));
        }
        std::size_t asked = std::min(space.size(), budget);
        ssize_t count = ::recv(descriptor_, space.data(), asked, MSG_DONTWAIT);
        if (count < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN || errno == EWOULDBLOCK) return;
            return broken("read", errno);
        }
        if (count == 0) {
            eof_ = true;
            return handler_->on_eof();
        }
        auto got = static_cast<std::size_t>(count);
        budget -= got;
        bytes_received_ += got;
        received_.received(got);
        last_activity_ = loop_.clock().now();
        deliver();
        if (got < asked) return;  // the socket is empty
    }
}

void Connection::deliver() {
    if (state_ != State::kOpen || paused_ || received_.size() == 0 || received_.size() < need_) return;
    need_ = 0;
    bytes::Slice window = received_.window();
    std::size_t consumed = handler_->on_data(window);
    MILLRACE_ASSERT(consumed <= window.size());
    received_.consume(consumed);
}

void Connection::resume_reading() {
    if (!paused_) return;
    paused_ = false;
    if (resume_posted_) return;
    resume_posted_ = true;
    loop_.post([self = shared_from_this()] { self->on_resumed(); });
}

void Connection::on_resumed() {
    resume_posted_ = false;
    if (state_ != State::kOpen || handler_ == nullptr || paused_) return;
    deliver();
    received_.park();
    wait_readable();
}

// After the last reply: what the peer still sends must be read, or the kernel answers it with a reset.
void Connection::discard_pass() {
    std::array<std::uint8_t, 16 * kKiB> scratch;
    for (std::size_t budget = options_.read_per_turn; budget > 0;) {
        ssize_t count = ::recv(descriptor_, scratch.data(), scratch.size(), MSG_DONTWAIT);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
        if (count <= 0) return finish(CloseReason::kRequested, "");
        budget -= std::min(budget, static_cast<std::size_t>(count));
    }
    wait_readable();
}

// --- Writing ---

void Connection::send(bytes::ByteSpan copied) {
    if (!accepts_sends()) return;
    queue_.copy(copied);
    queued();
}

void Connection::send(std::vector<std::uint8_t>&& owned) {
    if (!accepts_sends()) return;
    queue_.own(std::move(owned));
    queued();
}

void Connection::send(const bytes::Chain& shared) {
    if (!accepts_sends()) return;
    for (const bytes::Slice& slice : shared.slices()) queue_.share(slice);
    queued();
}

void Connection::queued() {
    if (queue_.bytes() > options_.send_limit) {
        // Perhaps it is this turn that is long, and not the peer that is slow.
        while (!waiting_writable_ && !queue_.empty() && state_ != State::kClosed) write_once();
        if (queue_.bytes() > options_.send_limit) {
            return finish(CloseReason::kSlowReader, fmt::format("{} bytes are not read", queue_.bytes()));
        }
    }
    schedule_flush();
}

void Connection::schedule_flush() {
    if (flush_scheduled_ || state_ == State::kClosed) return;
    flush_scheduled_ = true;
    loop_.defer([self = shared_from_this()] {
        self->flush_scheduled_ = false;
        self->flush();
    });
}

void Connection::flush() {
    if (state_ == State::kClosed || state_ == State::kLingering) return;
    if (!waiting_writable_ && !queue_.empty()) write_once();
    if (waiting_writable_) queue_.release_slabs();
    report_sent();
    report_watermarks();
    if (state_ == State::kFlushing && queue_.empty()) return end_own_half();
    if (!waiting_writable_ && !queue_.empty()) schedule_flush();
}

void Connection::write_once() {
    std::array<iovec, kGatherMax> pieces;
    msghdr message{};
    std::size_t total = 0;
    message.msg_iov = pieces.data();
    message.msg_iovlen = queue_.gather(pieces, options_.write_per_turn, total);
    ssize_t count;
    do {
        count = ::sendmsg(descriptor_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK) return wait_writable();
        return broken("write", errno);
    }
    auto written = static_cast<std::size_t>(count);
    queue_.sent(written);
    bytes_sent_ += written;
    last_activity_ = loop_.clock().now();
    if (state_ == State::kFlushing) set_deadline(options_.flush_timeout);
    if (written < total) wait_writable();
}

void Connection::wait_writable() {
    waiting_writable_ = true;
    poller_->stream.async_wait(asio::posix::stream_descriptor::wait_write,
                               [self = shared_from_this()](const error_code& error) {
                                   self->waiting_writable_ = false;
                                   if (error) return;
                                   runtime::CoreLoop::Held held(self->loop_);
                                   self->flush();
                               });
}

void Connection::report_sent() {
    if (state_ == State::kClosed || handler_ == nullptr || bytes_sent_ == reported_sent_) return;
    reported_sent_ = bytes_sent_;
    handler_->on_sent();
}

void Connection::report_watermarks() {
    if (state_ == State::kClosed || handler_ == nullptr) return;
    if (!above_high_ && queue_.bytes() > options_.send_high) {
        above_high_ = true;
        handler_->on_send_high();
    } else if (above_high_ && queue_.bytes() <= options_.send_low) {
        above_high_ = false;
        handler_->on_send_low();
    }
}

// --- Closing ---

void Connection::close() { finish(eof_ ? CloseReason::kPeerClosed : CloseReason::kRequested, ""); }

void Connection::close_after_flush() {
    if (state_ != State::kOpen) return;
    state_ = State::kFlushing;
    set_deadline(options_.flush_timeout);
    schedule_flush();
}

// Everything is written.
void Connection::end_own_half() {
    if (eof_) return finish(CloseReason::kPeerClosed, "");
    state_ = State::kLingering;
    received_.clear();
    ::shutdown(descriptor_, SHUT_WR);
    set_deadline(options_.linger_timeout);
    wait_readable();
}

void Connection::set_deadline(Millis delay) {
    loop_.cancel(deadline_);
    deadline_ = loop_.call_after(delay, [weak = weak_from_this()] {
        if (auto self = weak.lock()) self->close();
    });
}

void Connection::broken(const char* operation, int error) {
    finish(CloseReason::kPeerReset, fmt::format("{}: {}", operation, std::strerror(error)));
}

// May be called from within any of the handler's calls, so the handler hears of it in a task of its own.
void Connection::finish(CloseReason reason, std::string detail) {
    if (state_ == State::kClosed) return;
    state_ = State::kClosed;
    close_reason_ = reason;
    close_detail_ = std::move(detail);
    live_connections.fetch_sub(1, std::memory_order_relaxed);
    loop_.cancel(deadline_);
    queue_.clear();
    error_code ignored;
    (void)poller_->stream.close(ignored);
    if (handler_ != nullptr) post_closed();
}

void Connection::post_closed() {
    loop_.post([self = shared_from_this()] {
        self->received_.clear();
        auto handler = std::move(self->handler_);
        handler->on_closed(self->close_reason_, self->close_detail_);
    });
}

}  // namespace millrace::net
