// The two ends of a byte stream inside one process: a Transport moves bytes and reports to its Handler. Connection is
// the Transport over TCP. No coroutines and no allocation per event; everything happens on the transport's executor.
//
//   class Echo : public Handler {
//       std::size_t on_data(const bytes::Slice& window) override { transport->send(window.span()); return
//       window.size(); }
//       ...
//   };
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bytes/buffer.h"
#include "runtime/executor.h"

namespace millrace::net {

enum class CloseReason : std::uint8_t {
    kRequested,    // close() or close_after_flush(), by our own decision
    kPeerClosed,   // the same, after the peer had ended its half
    kPeerReset,    // the connection broke
    kSlowReader,   // the peer does not read what it asked for: more than ConnectionOptions::send_limit is queued
    kWindowLimit,  // the handler consumed nothing of a full window of ConnectionOptions::window_limit
};
std::string_view to_string(CloseReason reason);

// All calls come from the transport's executor, never from within a call of the handler's to the transport.
class Handler {
  public:
    virtual ~Handler() = default;

    // `window` is everything that was received and not yet consumed, contiguous. Returns how many bytes at its start
    // are done with. The slice (or parts of it, made with sub()) may be kept: the bytes stay as they are for as long as
    // somebody holds them. Called again when more has come; see also Transport::need().
    virtual std::size_t on_data(const bytes::Slice& window) = 0;

    // The peer will send no more, but may still read. The handler answers what is due, then calls close_after_flush().
    virtual void on_eof() = 0;

    // The last call, exactly once. `detail` is for a log line.
    virtual void on_closed(CloseReason reason, std::string_view detail) = 0;

    // The peer's side took some of the queued bytes: Transport::unsent_bytes() has fallen. Once a turn at most.
    virtual void on_sent() {}

    // The queue of unsent bytes has grown above the high watermark: stop producing. Then: it has fallen below the low
    // one.
    virtual void on_send_high() {}
    virtual void on_send_low() {}
};

class Transport {
  public:
    virtual ~Transport() = default;

    // Within on_data(): do not call again before the window holds `size` bytes. The buffer grows with the bytes that
    // come, not with what is asked for here. Forgotten after the next on_data().
    virtual void need(std::size_t size) = 0;

    // Between pause and resume there is no on_data() and no on_eof(), and the peer is held back by TCP once its window
    // is full. What was received and not consumed is offered again after resume.
    virtual void pause_reading() = 0;
    virtual void resume_reading() = 0;

    // Queues bytes; they are written at the end of the turn. Nothing happens after close() or close_after_flush().
    virtual void send(bytes::ByteSpan copied) = 0;
    virtual void send(std::vector<std::uint8_t>&& owned) = 0;
    virtual void send(const bytes::Chain& shared) = 0;
    virtual std::size_t unsent_bytes() const = 0;

    virtual void close() = 0;              // now; what is queued is lost
    virtual void close_after_flush() = 0;  // no more on_data(); what is queued is sent first
    virtual bool closed() const = 0;

    virtual runtime::Executor& executor() = 0;
    virtual const std::string& peer() const = 0;                              // "127.0.0.1:40404", for logs
    virtual std::chrono::steady_clock::time_point last_activity() const = 0;  // bytes came, or were taken by the peer
};

}  // namespace millrace::net
