// Frames in a window of received bytes. Nothing is buffered or copied here: the caller owns the window, keeps what was
// not consumed, and comes back with more.
//
//   FrameParser frames(window);
//   for (;;) {
//       auto frame = frames.next();
//       if (!frame) return close(frame.error());
//       if (!*frame) break;                          // read at least frames.missing() bytes more
//       handle(**frame);                             // its payload lies in the window
//   }
//   buffer.consume(frames.consumed());
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/error.h"
#include "bytes/binary.h"
#include "wire/command_type.h"
#include "wire/limits.h"

namespace millrace::wire {

struct FrameHeader {
    CommandType type{};
    std::int32_t length = 0;  // of the payload
};

// The longest payload that is accepted for a type.
std::int32_t max_payload(CommandType type);

// An unknown code, a negative length and one beyond max_payload() are errors: the connection cannot go on.
Result<FrameHeader> parse_frame_header(std::span<const std::uint8_t, kFrameHeaderBytes> bytes);

void write_frame_header(bytes::Writer& out, FrameHeader header);

struct Frame {
    CommandType type{};
    bytes::ByteSpan payload;
};

class FrameParser {
  public:
    explicit FrameParser(bytes::ByteSpan window) : window_(window) {}

    // The next frame; nothing if it is not complete. After an error every call repeats it.
    Result<std::optional<Frame>> next();

    std::size_t consumed() const { return at_; }  // bytes of the frames handed out
    std::size_t missing() const {
        return missing_;
    }  // at least so many bytes complete the next step; set when next() found nothing

  private:
    bytes::ByteSpan window_;
    std::size_t at_ = 0;
    std::size_t missing_ = 0;
};

}  // namespace millrace::wire
