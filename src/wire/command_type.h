// The commands' codes, what is known of each, and the protocol version that this server speaks.
#pragma once

#include <cstdint>
#include <string_view>

namespace millrace::wire {

// What HELLO says: the version of release 0.13, which knows neither LOCATE_OFFSET nor its reply.
inline constexpr std::int32_t kWireVersion = 16;
inline constexpr std::int32_t kOldestWireVersion = 5;

enum class CommandType : std::int32_t {
    kHello = -127,  // both directions

    kStorageChunksListed = -6,  // administration; legal on the admin port only
    kListStorageChunks = -5,
    kFlushedToStorage = -4,
    kFlushToStorage = -3,

    kPartialEvent = -2,  // only nested in an APPEND_BLOCK
    kPadding = -1,       // nested in an APPEND_BLOCK, or alone and then ignored
    kEvent = 0,          // only inside data

    kSetupAppend = 1,
    kAppendSetup = 2,
    kAppendBlock = 3,
    kAppendBlockEnd = 4,
    kConditionalAppend = 5,
    kDataAppended = 7,
    kConditionalCheckFailed = 8,

    kReadSegment = 9,
    kSegmentRead = 10,
    kGetStreamSegmentInfo = 11,
    kStreamSegmentInfo = 12,

    kCreateSegment = 20,
    kSegmentCreated = 21,
    kSealSegment = 28,
    kSegmentSealed = 29,
    kDeleteSegment = 30,
    kSegmentDeleted = 31,
    kUpdateSegmentPolicy = 32,
    kSegmentPolicyUpdated = 33,
    kGetSegmentAttribute = 34,
    kSegmentAttribute = 35,
    kUpdateSegmentAttribute = 36,
    kSegmentAttributeUpdated = 37,
    kTruncateSegment = 38,
    kSegmentTruncated = 39,
    kCreateTransientSegment = 40,
    kLocateOffset = 41,   // version 17
    kOffsetLocated = 42,  // version 17

    kWrongHost = 50,
    kSegmentIsSealed = 51,
    kSegmentAlreadyExists = 52,
    kNoSuchSegment = 53,
    kInvalidEventNumber = 55,
    kSegmentIsTruncated = 56,
    kOperationUnsupported = 57,

    kMergeSegments = 58,
    kSegmentsMerged = 59,

    kAuthTokenCheckFailed = 60,
    kErrorMessage = 61,

    kGetTableSegmentInfo = 68,
    kTableSegmentInfo = 69,
    kCreateTableSegment = 70,
    kDeleteTableSegment = 71,
    kUpdateTableEntries = 74,
    kTableEntriesUpdated = 75,
    kRemoveTableKeys = 76,
    kTableKeysRemoved = 77,
    kReadTable = 78,
    kTableRead = 79,
    kTableSegmentNotEmpty = 80,
    kTableKeyDoesNotExist = 81,
    kTableKeyBadVersion = 82,
    kReadTableKeys = 83,
    kTableKeysRead = 84,
    kReadTableEntries = 85,
    kTableEntriesRead = 86,
    kTableEntriesDeltaRead = 87,
    kReadTableEntriesDelta = 88,
    kConditionalBlockEnd = 89,

    kMergeSegmentsBatch = 90,
    kSegmentsBatchMerged = 91,

    kKeepAlive = 100,  // both directions
};

inline constexpr std::int32_t kLowestCode = -127;
inline constexpr std::int32_t kHighestCode = 100;

bool is_known(std::int32_t code);
std::string_view to_string(CommandType type);  // "SETUP_APPEND"; "unknown command" for codes that are none

bool is_request(CommandType type);  // client to server, administration and PADDING included
bool is_reply(CommandType type);    // server to client, errors included
bool is_admin(CommandType type);

// Whether a frame of this type may arrive on the data port: requests of kWireVersion that are no administration.
// Everything else closes the connection.
bool served_on_data_port(CommandType type);

}  // namespace millrace::wire
