#include "store/error_replies.h"

#include <string>

#include "wire/codec.h"

namespace millrace::store {

using wire::CommandType;

namespace {

ErrorReply usual_reply(Errc code) {
    switch (code) {
        case Errc::kNotFound:
            return ErrorReply::kNoSuchSegment;
        case Errc::kMerged:
            return ErrorReply::kNoSuchSegment;  // what everybody sees a moment later
        case Errc::kExists:
            return ErrorReply::kSegmentAlreadyExists;
        case Errc::kSealed:
            return ErrorReply::kSegmentIsSealed;
        case Errc::kTruncated:
            return ErrorReply::kSegmentIsTruncated;
        case Errc::kBadOffset:
            return ErrorReply::kSegmentIsTruncated;
        case Errc::kBadAttribute:
            return ErrorReply::kAttributeNotUpdated;
        case Errc::kBadVersion:
            return ErrorReply::kTableKeyBadVersion;
        case Errc::kNoKey:
            return ErrorReply::kTableKeyDoesNotExist;
        case Errc::kUnsupported:
            return ErrorReply::kOperationUnsupported;
        case Errc::kInvalidArgument:
            return ErrorReply::kErrorMessage;
        case Errc::kLimit:
            return ErrorReply::kErrorMessage;
        // Somebody has to free space, so it is said: retrying alone does not help.
        case Errc::kNoSpace:
            return ErrorReply::kErrorMessageUnspecified;
        // Damage on the disk or in long-term storage: the same request fails again, and others share the connection. So
        // it is told, with its place.
        case Errc::kCorrupt:
            return ErrorReply::kErrorMessageUnspecified;
        // The server's own trouble. Clients reconnect, and retry after a pause.
        case Errc::kIo:
        case Errc::kNewerFormat:
        case Errc::kLocked:
        case Errc::kClosed:
        case Errc::kUnavailable:
        case Errc::kConflict:
            return ErrorReply::kNone;
    }
    return ErrorReply::kNone;
}

struct Exception {
    CommandType command;
    Errc code;
    ErrorReply reply;
};

// As release 0.13 answers, and clients expect.
constexpr Exception kExceptions[] = {
    {CommandType::kCreateSegment, Errc::kInvalidArgument, ErrorReply::kNone},  // the empty name
    {CommandType::kReadSegment, Errc::kInvalidArgument,
     ErrorReply::kNone},  // a negative offset, or beyond a sealed end
    {CommandType::kTruncateSegment, Errc::kInvalidArgument, ErrorReply::kNone},  // a negative offset
    {CommandType::kMergeSegments, Errc::kTruncated, ErrorReply::kNone},          // a truncated source cannot be merged
    {CommandType::kMergeSegmentsBatch, Errc::kTruncated, ErrorReply::kNone},
    // Table requests about other segments, and versions that cannot be. Over a limit is another matter.
    {CommandType::kGetTableSegmentInfo, Errc::kInvalidArgument, ErrorReply::kNone},
    {CommandType::kDeleteTableSegment, Errc::kInvalidArgument, ErrorReply::kNone},
    {CommandType::kUpdateTableEntries, Errc::kInvalidArgument, ErrorReply::kNone},
    {CommandType::kRemoveTableKeys, Errc::kInvalidArgument, ErrorReply::kNone},
    {CommandType::kReadTable, Errc::kInvalidArgument, ErrorReply::kNone},
    {CommandType::kReadTableKeys, Errc::kInvalidArgument, ErrorReply::kNone},
    {CommandType::kReadTableEntries, Errc::kInvalidArgument, ErrorReply::kNone},
    {CommandType::kReadTableEntriesDelta, Errc::kInvalidArgument, ErrorReply::kNone},
    {CommandType::kDeleteTableSegment, Errc::kConflict, ErrorReply::kTableSegmentNotEmpty},
    // A range or a token where the other is meant.
    {CommandType::kReadTableKeys, Errc::kUnsupported, ErrorReply::kErrorMessage},
    {CommandType::kReadTableEntries, Errc::kUnsupported, ErrorReply::kErrorMessage},
};

template <wire::Command C>
void write(C command, bytes::Writer& out) {
    wire::encode(command, out);
}

}  // namespace

ErrorReply error_reply(CommandType command, Errc code) {
    for (const Exception& exception : kExceptions) {
        if (exception.command == command && exception.code == code) return exception.reply;
    }
    return usual_reply(code);
}

bool encode_error(const RequestContext& context, const Error& error, bytes::Writer& out) {
    std::int64_t id = context.request_id;
    std::string segment(context.segment);
    switch (error_reply(context.command, error.code())) {
        case ErrorReply::kNone:
            return false;
        case ErrorReply::kNoSuchSegment:
            write(wire::NoSuchSegment{id, segment, "", context.offset}, out);
            break;
        case ErrorReply::kSegmentAlreadyExists:
            write(wire::SegmentAlreadyExists{id, segment, ""}, out);
            break;
        case ErrorReply::kSegmentIsSealed:
            write(wire::SegmentIsSealed{id, segment, "", context.offset}, out);
            break;
        case ErrorReply::kSegmentIsTruncated:
            write(wire::SegmentIsTruncated{id, segment, error.value(), "", context.offset}, out);
            break;
        case ErrorReply::kAttributeNotUpdated:
            write(wire::SegmentAttributeUpdated{id, false}, out);
            break;
        case ErrorReply::kTableKeyBadVersion:
            write(wire::TableKeyBadVersion{id, segment, ""}, out);
            break;
        case ErrorReply::kTableKeyDoesNotExist:
            write(wire::TableKeyDoesNotExist{id, segment, ""}, out);
            break;
        case ErrorReply::kTableSegmentNotEmpty:
            write(wire::TableSegmentNotEmpty{id, segment, ""}, out);
            break;
        case ErrorReply::kOperationUnsupported:
            write(wire::OperationUnsupported{id, std::string(operation_name(context.command)), ""}, out);
            break;
        case ErrorReply::kErrorMessage:
            write(wire::ErrorMessage{id, segment, error.to_string(), wire::kErrorIllegalArgument}, out);
            break;
        case ErrorReply::kErrorMessageUnspecified:
            write(wire::ErrorMessage{id, segment, error.to_string(), wire::kErrorUnspecified}, out);
            break;
    }
    return true;
}

std::string_view operation_name(CommandType command) {
    switch (command) {
        case CommandType::kReadSegment:
            return "readSegment";
        case CommandType::kGetStreamSegmentInfo:
            return "getStreamSegmentInfo";
        case CommandType::kCreateSegment:
            return "createSegment";
        case CommandType::kSealSegment:
            return "sealSegment";
        case CommandType::kDeleteSegment:
            return "deleteSegment";
        case CommandType::kUpdateSegmentPolicy:
            return "updateSegmentPolicy";
        case CommandType::kGetSegmentAttribute:
            return "getSegmentAttribute";
        case CommandType::kUpdateSegmentAttribute:
            return "updateSegmentAttribute";
        case CommandType::kTruncateSegment:
            return "truncateSegment";
        case CommandType::kCreateTransientSegment:
            return "createTransientSegment";
        case CommandType::kMergeSegments:
            return "mergeSegments";
        case CommandType::kMergeSegmentsBatch:
            return "mergeSegmentsBatch";
        case CommandType::kGetTableSegmentInfo:
            return "getTableSegmentInfo";
        case CommandType::kCreateTableSegment:
            return "createTableSegment";
        case CommandType::kDeleteTableSegment:
            return "deleteTableSegment";
        case CommandType::kUpdateTableEntries:
            return "updateTableEntries";
        case CommandType::kRemoveTableKeys:
            return "removeTableKeys";
        case CommandType::kReadTable:
            return "readTable";
        case CommandType::kReadTableKeys:
            return "readTableKeys";
        case CommandType::kReadTableEntries:
            return "readTableEntries";
        case CommandType::kReadTableEntriesDelta:
            return "readTableEntriesDelta";
        default:
            return "unknown";
    }
}

}  // namespace millrace::store
