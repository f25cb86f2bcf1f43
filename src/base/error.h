// Expected failures are values: Result<T> holds a T or an Error. Cost: an Error without a message allocates nothing.
//
//   Result<Frame> read();
//   auto frame = read();
//   if (!frame) return std::unexpected(frame.error());
//
// The codes are a closed set: a code is added only when a caller can react to it. Each boundary (wire replies, gRPC
// status, HTTP status) maps every code to exactly one answer, in one table.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace millrace {

enum class Errc : std::uint8_t {
    kInvalidArgument,  // the caller's input cannot be served as it is, now or later
    kNotFound,         // the named thing does not exist
    kExists,           // the name is taken
    kSealed,           // the segment (or stream) is sealed
    kTruncated,        // offset below the start of the segment; Error::value is the start offset
    kBadOffset,        // conditional append or table condition: Error::value is the actual length
    kBadAttribute,     // an attribute condition failed (for appends: the writer's event number)
    kBadVersion,       // a table entry has another version than the condition asks for
    kNoKey,            // a table entry that the condition names does not exist
    kMerged,           // the segment was merged into another one
    kUnsupported,      // valid, but not offered by this server
    kLimit,            // larger than a documented limit
    kNoSpace,          // the disk or the configured log limit is full; retry after space was freed
    kIo,               // the device answered an operation with an error
    kCorrupt,          // bytes on disk (or from a peer) that cannot have been written by a correct writer
    kNewerFormat,      // written by a newer version of the program
    kLocked,           // another process owns it
    kClosed,           // shut down, cancelled, or the peer is gone
    kUnavailable,      // not now; retry
    kConflict,         // somebody else changed it meanwhile; read again and retry
};

std::string_view to_string(Errc code);

class [[nodiscard]] Error {
  public:
    Error(Errc code)
        : code_(code) {}  // NOLINT(google-explicit-constructor): `return Errc::kNotFound` style is the point
    Error(Errc code, std::string message) : code_(code), message_(std::move(message)) {}
    Error(Errc code, std::int64_t value) : code_(code), value_(value) {}
    Error(Errc code, std::int64_t value, std::string message)
        : code_(code), value_(value), message_(std::move(message)) {}

    Errc code() const { return code_; }
    std::int64_t value() const { return value_; }  // meaning depends on the code; 0 where it has none
    const std::string& message() const { return message_; }
    std::string to_string() const;  // "kNotFound: stream a/b" for logs

    friend bool operator==(const Error& e, Errc code) { return e.code_ == code; }

  private:
    Errc code_;
    std::int64_t value_ = 0;
    std::string message_;
};

template <typename T = void>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(Errc code) { return std::unexpected<Error>(Error(code)); }
inline std::unexpected<Error> fail(Errc code, std::string message) {
    return std::unexpected<Error>(Error(code, std::move(message)));
}
inline std::unexpected<Error> fail(Error error) { return std::unexpected<Error>(std::move(error)); }

}  // namespace millrace
