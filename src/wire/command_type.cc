#include "wire/command_type.h"

#include <array>
#include <cstddef>

namespace millrace::wire {
namespace {

enum class Role : std::uint8_t { kNone, kNested, kRequest, kReply, kBoth, kAdminRequest, kAdminReply };

struct Info {
    CommandType type;
    std::string_view name;
    Role role;
    std::int32_t since_version = kOldestWireVersion;
};

using enum CommandType;

constexpr Info kCommands[] = {
    {kHello, "HELLO", Role::kBoth},
    {kStorageChunksListed, "STORAGE_CHUNKS_LISTED", Role::kAdminReply},
    {kListStorageChunks, "LIST_STORAGE_CHUNKS", Role::kAdminRequest},
    {kFlushedToStorage, "FLUSHED_TO_STORAGE", Role::kAdminReply},
    {kFlushToStorage, "FLUSH_TO_STORAGE", Role::kAdminRequest},
    {kPartialEvent, "PARTIAL_EVENT", Role::kNested},
    {kPadding, "PADDING", Role::kRequest},
    {kEvent, "EVENT", Role::kNested},
    {kSetupAppend, "SETUP_APPEND", Role::kRequest},
    {kAppendSetup, "APPEND_SETUP", Role::kReply},
    {kAppendBlock, "APPEND_BLOCK", Role::kRequest},
    {kAppendBlockEnd, "APPEND_BLOCK_END", Role::kRequest},
    {kConditionalAppend, "CONDITIONAL_APPEND", Role::kRequest},
    {kDataAppended, "DATA_APPENDED", Role::kReply},
    {kConditionalCheckFailed, "CONDITIONAL_CHECK_FAILED", Role::kReply},
    {kReadSegment, "READ_SEGMENT", Role::kRequest},
    {kSegmentRead, "SEGMENT_READ", Role::kReply},
    {kGetStreamSegmentInfo, "GET_STREAM_SEGMENT_INFO", Role::kRequest},
    {kStreamSegmentInfo, "STREAM_SEGMENT_INFO", Role::kReply},
    {kCreateSegment, "CREATE_SEGMENT", Role::kRequest},
    {kSegmentCreated, "SEGMENT_CREATED", Role::kReply},
    {kSealSegment, "SEAL_SEGMENT", Role::kRequest},
    {kSegmentSealed, "SEGMENT_SEALED", Role::kReply},
    {kDeleteSegment, "DELETE_SEGMENT", Role::kRequest},
    {kSegmentDeleted, "SEGMENT_DELETED", Role::kReply},
    {kUpdateSegmentPolicy, "UPDATE_SEGMENT_POLICY", Role::kRequest},
    {kSegmentPolicyUpdated, "SEGMENT_POLICY_UPDATED", Role::kReply},
    {kGetSegmentAttribute, "GET_SEGMENT_ATTRIBUTE", Role::kRequest},
    {kSegmentAttribute, "SEGMENT_ATTRIBUTE", Role::kReply},
    {kUpdateSegmentAttribute, "UPDATE_SEGMENT_ATTRIBUTE", Role::kRequest},
    {kSegmentAttributeUpdated, "SEGMENT_ATTRIBUTE_UPDATED", Role::kReply},
    {kTruncateSegment, "TRUNCATE_SEGMENT", Role::kRequest},
    {kSegmentTruncated, "SEGMENT_TRUNCATED", Role::kReply},
    {kCreateTransientSegment, "CREATE_TRANSIENT_SEGMENT", Role::kRequest},
    {kLocateOffset, "LOCATE_OFFSET", Role::kRequest, 17},
    {kOffsetLocated, "OFFSET_LOCATED", Role::kReply, 17},
    {kWrongHost, "WRONG_HOST", Role::kReply},
    {kSegmentIsSealed, "SEGMENT_IS_SEALED", Role::kReply},
    {kSegmentAlreadyExists, "SEGMENT_ALREADY_EXISTS", Role::kReply},
    {kNoSuchSegment, "NO_SUCH_SEGMENT", Role::kReply},
    {kInvalidEventNumber, "INVALID_EVENT_NUMBER", Role::kReply},
    {kSegmentIsTruncated, "SEGMENT_IS_TRUNCATED", Role::kReply},
    {kOperationUnsupported, "OPERATION_UNSUPPORTED", Role::kReply},
    {kMergeSegments, "MERGE_SEGMENTS", Role::kRequest},
    {kSegmentsMerged, "SEGMENTS_MERGED", Role::kReply},
    {kAuthTokenCheckFailed, "AUTH_TOKEN_CHECK_FAILED", Role::kReply},
    {kErrorMessage, "ERROR_MESSAGE", Role::kReply},
    {kGetTableSegmentInfo, "GET_TABLE_SEGMENT_INFO", Role::kRequest},
    {kTableSegmentInfo, "TABLE_SEGMENT_INFO", Role::kReply},
    {kCreateTableSegment, "CREATE_TABLE_SEGMENT", Role::kRequest},
    {kDeleteTableSegment, "DELETE_TABLE_SEGMENT", Role::kRequest},
    {kUpdateTableEntries, "UPDATE_TABLE_ENTRIES", Role::kRequest},
    {kTableEntriesUpdated, "TABLE_ENTRIES_UPDATED", Role::kReply},
    {kRemoveTableKeys, "REMOVE_TABLE_KEYS", Role::kRequest},
    {kTableKeysRemoved, "TABLE_KEYS_REMOVED", Role::kReply},
    {kReadTable, "READ_TABLE", Role::kRequest},
    {kTableRead, "TABLE_READ", Role::kReply},
    {kTableSegmentNotEmpty, "TABLE_SEGMENT_NOT_EMPTY", Role::kReply},
    {kTableKeyDoesNotExist, "TABLE_KEY_DOES_NOT_EXIST", Role::kReply},
    {kTableKeyBadVersion, "TABLE_KEY_BAD_VERSION", Role::kReply},
    {kReadTableKeys, "READ_TABLE_KEYS", Role::kRequest},
    {kTableKeysRead, "TABLE_KEYS_READ", Role::kReply},
    {kReadTableEntries, "READ_TABLE_ENTRIES", Role::kRequest},
    {kTableEntriesRead, "TABLE_ENTRIES_READ", Role::kReply},
    {kTableEntriesDeltaRead, "TABLE_ENTRIES_DELTA_READ", Role::kReply},
    {kReadTableEntriesDelta, "READ_TABLE_ENTRIES_DELTA", Role::kRequest},
    {kConditionalBlockEnd, "CONDITIONAL_BLOCK_END", Role::kRequest},
    {kMergeSegmentsBatch, "MERGE_SEGMENTS_BATCH", Role::kRequest},
    {kSegmentsBatchMerged, "SEGMENTS_BATCH_MERGED", Role::kReply},
    {kKeepAlive, "KEEP_ALIVE", Role::kBoth},
};

constexpr Info kUnknown{CommandType{}, "unknown command", Role::kNone};

// By code, so that the look-up for each frame is one load.
constexpr auto kByCode = [] {
    std::array<Info, kHighestCode - kLowestCode + 1> table{};
    table.fill(kUnknown);
    for (const Info& info : kCommands)
        table[static_cast<std::size_t>(static_cast<std::int32_t>(info.type) - kLowestCode)] = info;
    return table;
}();

const Info& info_of(std::int32_t code) {
    if (code < kLowestCode || code > kHighestCode) return kUnknown;
    return kByCode[static_cast<std::size_t>(code - kLowestCode)];
}

const Info& info_of(CommandType type) { return info_of(static_cast<std::int32_t>(type)); }

}  // namespace

bool is_known(std::int32_t code) { return info_of(code).role != Role::kNone; }

std::string_view to_string(CommandType type) { return info_of(type).name; }

bool is_request(CommandType type) {
    Role role = info_of(type).role;
    return role == Role::kRequest || role == Role::kBoth || role == Role::kAdminRequest;
}

bool is_reply(CommandType type) {
    Role role = info_of(type).role;
    return role == Role::kReply || role == Role::kBoth || role == Role::kAdminReply;
}

bool is_admin(CommandType type) {
    Role role = info_of(type).role;
    return role == Role::kAdminRequest || role == Role::kAdminReply;
}

bool served_on_data_port(CommandType type) {
    return is_request(type) && !is_admin(type) && info_of(type).since_version <= kWireVersion;
}

}  // namespace millrace::wire
