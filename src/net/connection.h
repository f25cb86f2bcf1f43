// Connection: one TCP connection on one core loop. Life: create(), start(handler), then events, until the handler's
// on_closed(). The loop keeps the connection alive that long, and the connection its handler; so the handler holds a
// plain pointer to the transport, good until on_closed() returns. When the loop is stopped first, both are destroyed
// without on_closed(). Owner thread only.
//
// Reading: waits for readability without a buffer, then reads up to read_per_turn bytes into a ReceiveBuffer and hands
// the window to the handler. Writing: send() queues, the end of the turn writes everything with one gathering call.
// Back-pressure: watermarks tell the handler, and a peer that lets send_limit bytes pile up is cut off.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/units.h"
#include "net/receive_buffer.h"
#include "net/send_queue.h"
#include "net/socket.h"
#include "net/transport.h"
#include "runtime/core_loop.h"

namespace millrace::net {

struct ConnectionOptions {
    std::size_t window_limit = 17 * kMiB + 64 * kKiB;  // unconsumed bytes; a frame must fit
    std::size_t read_per_turn = kMiB;                  // then others get their turn
    std::size_t write_per_turn = kMiB;
    std::size_t send_high = 8 * kMiB;
    std::size_t send_low = 2 * kMiB;
    std::size_t send_limit = 64 * kMiB;
    Millis flush_timeout{30'000};  // close_after_flush() gives up when the peer takes nothing for so long
    Millis linger_timeout{
        1'000};  // and then waits so long for the peer's end, so that no reset destroys the last reply
};

class Connection final : public Transport, public std::enable_shared_from_this<Connection> {
  public:
    static std::shared_ptr<Connection> create(runtime::CoreLoop& loop, Socket socket, ConnectionOptions options = {});
    ~Connection() override;

    void start(std::shared_ptr<Handler> handler);  // once

    void need(std::size_t size) override { need_ = size; }
    void pause_reading() override { paused_ = true; }
    void resume_reading() override;

    void send(bytes::ByteSpan copied) override;
    void send(std::vector<std::uint8_t>&& owned) override;
    void send(const bytes::Chain& shared) override;
    std::size_t unsent_bytes() const override { return queue_.bytes(); }

    void close() override;
    void close_after_flush() override;
    bool closed() const override { return state_ == State::kClosed; }

    runtime::Executor& executor() override { return loop_; }
    const std::string& peer() const override { return peer_; }
    std::chrono::steady_clock::time_point last_activity() const override { return last_activity_; }
    std::uint64_t bytes_received() const { return bytes_received_; }
    std::uint64_t bytes_sent() const { return bytes_sent_; }

    static std::size_t live();  // any thread: connections of the process that are not closed

  private:
    struct Poller;
    enum class State : std::uint8_t {
        kOpen,
        kFlushing,   // close_after_flush(): writes what is queued, reads nothing
        kLingering,  // has ended its half, throws away what comes until the peer ends too
        kClosed,
    };

    Connection(runtime::CoreLoop& loop, int descriptor, const std::string& peer, ConnectionOptions options);

    void watch_for_break();
    void on_watched();
    bool may_read() const { return (state_ == State::kOpen && !paused_ && !eof_) || state_ == State::kLingering; }
    void wait_readable();
    void on_readable();
    void read_pass();
    void deliver();
    void on_resumed();
    void discard_pass();

    bool accepts_sends() const { return state_ == State::kOpen; }
    void queued();
    void schedule_flush();
    void flush();
    void write_once();
    void wait_writable();
    void report_sent();
    void report_watermarks();

    void end_own_half();
    void set_deadline(Millis delay);
    void broken(const char* operation, int error);
    void finish(CloseReason reason, std::string detail);
    void post_closed();

    runtime::CoreLoop& loop_;
    const ConnectionOptions options_;
    std::unique_ptr<Poller> poller_;
    const int descriptor_;  // owned by poller_
    const std::string peer_;
    std::shared_ptr<Handler> handler_;
    State state_ = State::kOpen;
    CloseReason close_reason_ = CloseReason::kRequested;
    std::string close_detail_;

    ReceiveBuffer received_;
    std::size_t need_ = 0;
    bool paused_ = false;
    bool eof_ = false;
    bool waiting_readable_ = false;
    bool resume_posted_ = false;

    SendQueue queue_;
    bool flush_scheduled_ = false;
    bool waiting_writable_ = false;
    bool above_high_ = false;

    runtime::TimerId deadline_;
    std::chrono::steady_clock::time_point last_activity_;
    std::uint64_t bytes_received_ = 0;
    std::uint64_t bytes_sent_ = 0;
    std::uint64_t reported_sent_ = 0;
};

}  // namespace millrace::net
