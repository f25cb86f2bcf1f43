// Error replies. server_stack_trace is the empty string unless tracing to clients is configured.
#pragma once

#include <cstdint>
#include <string>

#include "base/ids.h"
#include "wire/command_type.h"

namespace millrace::wire {

// AuthTokenCheckFailed::error_code. No other values: some clients fail on them.
inline constexpr std::int32_t kAuthUnspecified = -1;
inline constexpr std::int32_t kAuthCheckFailed = 0;
inline constexpr std::int32_t kAuthTokenExpired = 1;

// ErrorMessage::error_code.
inline constexpr std::int32_t kErrorUnspecified = -1;
inline constexpr std::int32_t kErrorIllegalArgument = 0;

// The segment is in a state that forbids the request. `offset` is the request's, -1 where it has none; of a failed
// append it is the event number.
template <CommandType Type>
struct SegmentErrorAtOffset {
    static constexpr CommandType kType = Type;
    std::int64_t request_id = 0;
    std::string segment;
    std::string server_stack_trace;
    std::int64_t offset = -1;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.if_any("serverStackTrace", c.server_stack_trace);
        v.optional("offset", c.offset);
    }
};

using SegmentIsSealed = SegmentErrorAtOffset<CommandType::kSegmentIsSealed>;
using NoSuchSegment = SegmentErrorAtOffset<CommandType::kNoSuchSegment>;

struct SegmentAlreadyExists {
    static constexpr CommandType kType = CommandType::kSegmentAlreadyExists;
    std::int64_t request_id = 0;
    std::string segment;
    std::string server_stack_trace;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.if_any("serverStackTrace", c.server_stack_trace);
    }
};

template <CommandType Type>
struct TableError {
    static constexpr CommandType kType = Type;
    std::int64_t request_id = 0;
    std::string segment;
    std::string server_stack_trace;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.text("serverStackTrace", c.server_stack_trace);
    }
};

using TableSegmentNotEmpty = TableError<CommandType::kTableSegmentNotEmpty>;
using TableKeyDoesNotExist = TableError<CommandType::kTableKeyDoesNotExist>;
using TableKeyBadVersion = TableError<CommandType::kTableKeyBadVersion>;

struct WrongHost {
    static constexpr CommandType kType = CommandType::kWrongHost;
    std::int64_t request_id = 0;
    std::string segment;
    std::string correct_host;  // no client looks at it
    std::string server_stack_trace;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.text("correctHost", c.correct_host);
        v.if_any("serverStackTrace", c.server_stack_trace);
    }
};

struct InvalidEventNumber {
    static constexpr CommandType kType = CommandType::kInvalidEventNumber;
    Uuid writer_id;
    std::int64_t request_id = 0;
    std::string server_stack_trace;
    std::int64_t event_number = -1;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("writerId", c.writer_id);
        v.value("requestId", c.request_id);
        v.if_any("serverStackTrace", c.server_stack_trace);
        v.optional("eventNumber", c.event_number);
    }
};

struct SegmentIsTruncated {
    static constexpr CommandType kType = CommandType::kSegmentIsTruncated;
    std::int64_t request_id = 0;
    std::string segment;
    std::int64_t start_offset = 0;
    std::string server_stack_trace;
    std::int64_t offset = -1;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.value("startOffset", c.start_offset);
        v.if_any("serverStackTrace", c.server_stack_trace);
        v.optional("offset", c.offset);
    }
};

struct OperationUnsupported {
    static constexpr CommandType kType = CommandType::kOperationUnsupported;
    std::int64_t request_id = 0;
    std::string operation_name;
    std::string server_stack_trace;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.text("operationName", c.operation_name);
        v.if_any("serverStackTrace", c.server_stack_trace);
    }
};

struct AuthTokenCheckFailed {
    static constexpr CommandType kType = CommandType::kAuthTokenCheckFailed;
    std::int64_t request_id = 0;
    std::string server_stack_trace;
    std::int32_t error_code = kAuthUnspecified;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.if_any("serverStackTrace", c.server_stack_trace);
        v.optional("errorCode", c.error_code);
    }
};

struct ErrorMessage {
    static constexpr CommandType kType = CommandType::kErrorMessage;
    std::int64_t request_id = 0;
    std::string segment;
    std::string message;
    std::int32_t error_code = kErrorUnspecified;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.text("message", c.message);
        v.value("errorCode", c.error_code);
    }
};

}  // namespace millrace::wire
