// The one table from error codes to wire replies, for every request but appends (append_replies.h has theirs). Most
// codes have one answer whatever was asked; the few that depend on the request are listed beside it.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "bytes/binary.h"
#include "wire/command_type.h"

namespace millrace::store {

struct RequestContext {
    wire::CommandType command{};
    std::int64_t request_id = 0;
    std::string_view segment;  // that the reply names: for merges the source, for batch merges the target
    std::int64_t offset = -1;  // the request's, where it has one
};

enum class ErrorReply : std::uint8_t {
    kNone,  // there is no answer that a client could use: the connection is closed
    kNoSuchSegment,
    kSegmentAlreadyExists,
    kSegmentIsSealed,
    kSegmentIsTruncated,
    kAttributeNotUpdated,  // SEGMENT_ATTRIBUTE_UPDATED(false): also what a merge says whose attribute condition failed
    kTableKeyBadVersion,
    kTableKeyDoesNotExist,
    kTableSegmentNotEmpty,
    kOperationUnsupported,
    kErrorMessage,             // ERROR_MESSAGE, illegal argument: the request cannot succeed
    kErrorMessageUnspecified,  // ERROR_MESSAGE, unspecified: nothing is wrong with the request
};

ErrorReply error_reply(wire::CommandType command, Errc code);

// Appends the reply. False: nothing was written, the connection has to be closed.
bool encode_error(const RequestContext& context, const Error& error, bytes::Writer& out);

// "createTableSegment": how OPERATION_UNSUPPORTED names a request.
std::string_view operation_name(wire::CommandType command);

}  // namespace millrace::store
