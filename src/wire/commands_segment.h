// Reading and managing segments, their attributes, merges, and the administration of their storage.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "bytes/buffer.h"
#include "wire/command_type.h"

namespace millrace::wire {

// Requests that name a segment and nothing else.
template <CommandType Type>
struct SegmentRequest {
    static constexpr CommandType kType = Type;
    std::int64_t request_id = 0;
    std::string segment;
    std::string delegation_token;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.token("delegationToken", c.delegation_token);
    }
};

using GetStreamSegmentInfo = SegmentRequest<CommandType::kGetStreamSegmentInfo>;
using SealSegment = SegmentRequest<CommandType::kSealSegment>;
using DeleteSegment = SegmentRequest<CommandType::kDeleteSegment>;
using GetTableSegmentInfo = SegmentRequest<CommandType::kGetTableSegmentInfo>;

// Replies that say: done.
template <CommandType Type>
struct SegmentReply {
    static constexpr CommandType kType = Type;
    std::int64_t request_id = 0;
    std::string segment;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
    }
};

using SegmentCreated = SegmentReply<CommandType::kSegmentCreated>;
using SegmentSealed = SegmentReply<CommandType::kSegmentSealed>;
using SegmentDeleted = SegmentReply<CommandType::kSegmentDeleted>;
using SegmentPolicyUpdated = SegmentReply<CommandType::kSegmentPolicyUpdated>;
using SegmentTruncated = SegmentReply<CommandType::kSegmentTruncated>;
using TableKeysRemoved = SegmentReply<CommandType::kTableKeysRemoved>;

struct ReadSegment {
    static constexpr CommandType kType = CommandType::kReadSegment;
    std::string segment;
    std::int64_t offset = 0;
    std::int32_t suggested_length = 0;
    std::string delegation_token;
    std::int64_t request_id = -1;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.segment("segment", c.segment);
        v.value("offset", c.offset);
        v.value("suggestedLength", c.suggested_length);
        v.token("delegationToken", c.delegation_token);
        v.optional("requestId", c.request_id);
    }
};

// The data is not copied: it lies in the decoded bytes. To write one without copying, see encode_segment_read_header in
// codec.h.
struct SegmentRead {
    static constexpr CommandType kType = CommandType::kSegmentRead;
    std::string segment;
    std::int64_t offset = 0;
    bool at_tail = false;
    bool end_of_segment = false;
    bytes::ByteSpan data;
    std::int64_t request_id = -1;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.segment("segment", c.segment);
        v.value("offset", c.offset);
        v.value("atTail", c.at_tail);
        v.value("endOfSegment", c.end_of_segment);
        v.blob("data", c.data);
        v.optional("requestId", c.request_id);
    }
};

struct StreamSegmentInfo {
    static constexpr CommandType kType = CommandType::kStreamSegmentInfo;
    std::int64_t request_id = 0;
    std::string segment;
    bool exists = false;
    bool is_sealed = false;
    bool is_deleted = false;
    std::int64_t last_modified = 0;  // ms since 1970
    std::int64_t write_offset = 0;   // the length
    std::int64_t start_offset = 0;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.value("exists", c.exists);
        v.value("isSealed", c.is_sealed);
        v.value("isDeleted", c.is_deleted);
        v.value("lastModified", c.last_modified);
        v.value("writeOffset", c.write_offset);
        v.optional("startOffset", c.start_offset);
    }
};

struct CreateSegment {
    static constexpr CommandType kType = CommandType::kCreateSegment;
    std::int64_t request_id = 0;
    std::string segment;
    std::int32_t target_rate = 0;
    std::int8_t scale_type = 0;  // 0 none, 1 KB/s, 2 events/s; any other value is legal
    std::string delegation_token;
    std::int64_t rollover_size_bytes = 0;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.value("targetRate", c.target_rate);
        v.value("scaleType", c.scale_type);
        v.token("delegationToken", c.delegation_token);
        v.optional("rolloverSizeBytes", c.rollover_size_bytes);
    }
};

struct CreateTransientSegment {
    static constexpr CommandType kType = CommandType::kCreateTransientSegment;
    std::int64_t request_id = 0;
    Uuid writer_id;
    std::string parent_segment;
    std::string delegation_token;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.value("writerId", c.writer_id);
        v.segment("parentSegment", c.parent_segment);
        v.token("delegationToken", c.delegation_token);
    }
};

struct UpdateSegmentPolicy {
    static constexpr CommandType kType = CommandType::kUpdateSegmentPolicy;
    std::int64_t request_id = 0;
    std::string segment;
    std::int32_t target_rate = 0;
    std::int8_t scale_type = 0;
    std::string delegation_token;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.value("targetRate", c.target_rate);
        v.value("scaleType", c.scale_type);
        v.token("delegationToken", c.delegation_token);
    }
};

struct TruncateSegment {
    static constexpr CommandType kType = CommandType::kTruncateSegment;
    std::int64_t request_id = 0;
    std::string segment;
    std::int64_t truncation_offset = 0;
    std::string delegation_token;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.value("truncationOffset", c.truncation_offset);
        v.token("delegationToken", c.delegation_token);
    }
};

struct LocateOffset {
    static constexpr CommandType kType = CommandType::kLocateOffset;
    std::int64_t request_id = 0;
    std::string segment;
    std::int64_t target_offset = 0;
    std::string delegation_token;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.value("targetOffset", c.target_offset);
        v.token("delegationToken", c.delegation_token);
    }
};

struct OffsetLocated {
    static constexpr CommandType kType = CommandType::kOffsetLocated;
    std::int64_t request_id = 0;
    std::string segment;
    std::int64_t offset = 0;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.value("offset", c.offset);
    }
};

struct GetSegmentAttribute {
    static constexpr CommandType kType = CommandType::kGetSegmentAttribute;
    std::int64_t request_id = 0;
    std::string segment;
    Uuid attribute_id;
    std::string delegation_token;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.value("attributeId", c.attribute_id);
        v.token("delegationToken", c.delegation_token);
    }
};

struct SegmentAttribute {
    static constexpr CommandType kType = CommandType::kSegmentAttribute;
    std::int64_t request_id = 0;
    std::int64_t value = 0;  // kNullAttributeValue: not set

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.value("value", c.value);
    }
};

struct UpdateSegmentAttribute {
    static constexpr CommandType kType = CommandType::kUpdateSegmentAttribute;
    std::int64_t request_id = 0;
    std::string segment;
    Uuid attribute_id;
    std::int64_t new_value = 0;
    std::int64_t expected_value = 0;
    std::string delegation_token;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.value("attributeId", c.attribute_id);
        v.value("newValue", c.new_value);
        v.value("expectedValue", c.expected_value);
        v.token("delegationToken", c.delegation_token);
    }
};

struct SegmentAttributeUpdated {
    static constexpr CommandType kType = CommandType::kSegmentAttributeUpdated;
    std::int64_t request_id = 0;
    bool success = false;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.value("success", c.success);
    }
};

struct CondAttrUpdate {
    static constexpr std::size_t kMinWireBytes = 33;
    Uuid attribute_id;
    std::int8_t update_type = 0;  // 0 none, 1 replace, 2 replace if greater, 3 accumulate, 4 replace if equals
    std::int64_t new_value = 0;
    std::int64_t old_value = 0;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("attributeId", c.attribute_id);
        v.value("updateType", c.update_type);
        v.value("newValue", c.new_value);
        v.value("oldValue", c.old_value);
    }
};

struct MergeSegments {
    static constexpr CommandType kType = CommandType::kMergeSegments;
    std::int64_t request_id = 0;
    std::string target;
    std::string source;
    std::string delegation_token;
    std::vector<CondAttrUpdate> attribute_updates;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("target", c.target);
        v.segment("source", c.source);
        v.token("delegationToken", c.delegation_token);
        v.lenient_list_if_any("attributeUpdates", c.attribute_updates);
    }
};

struct SegmentsMerged {
    static constexpr CommandType kType = CommandType::kSegmentsMerged;
    std::int64_t request_id = 0;
    std::string target;
    std::string source;
    std::int64_t new_target_write_offset = -1;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("target", c.target);
        v.segment("source", c.source);
        v.if_any("newTargetWriteOffset", c.new_target_write_offset);
    }
};

struct MergeSegmentsBatch {
    static constexpr CommandType kType = CommandType::kMergeSegmentsBatch;
    std::int64_t request_id = 0;
    std::string target;
    std::vector<std::string> sources;
    std::string delegation_token;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("target", c.target);
        v.list("sources", c.sources);
        v.token("delegationToken", c.delegation_token);
    }
};

struct MergedSource {
    static constexpr std::size_t kMinWireBytes = 10;
    std::string source;
    std::int64_t new_target_write_offset = -1;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.segment("source", c.source);
        v.value("newTargetWriteOffset", c.new_target_write_offset);
    }
};

struct SegmentsBatchMerged {
    static constexpr CommandType kType = CommandType::kSegmentsBatchMerged;
    std::int64_t request_id = 0;
    std::string target;
    std::vector<MergedSource> sources;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("target", c.target);
        v.list("sources", c.sources);
    }
};

struct FlushToStorage {
    static constexpr CommandType kType = CommandType::kFlushToStorage;
    std::int32_t container_id = 0;
    std::string delegation_token;
    std::int64_t request_id = 0;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("containerId", c.container_id);
        v.token("delegationToken", c.delegation_token);
        v.value("requestId", c.request_id);
    }
};

struct FlushedToStorage {
    static constexpr CommandType kType = CommandType::kFlushedToStorage;
    std::int64_t request_id = 0;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
    }
};

struct ListStorageChunks {
    static constexpr CommandType kType = CommandType::kListStorageChunks;
    std::string segment;
    std::string delegation_token;
    std::int64_t request_id = 0;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.segment("segment", c.segment);
        v.token("delegationToken", c.delegation_token);
        v.value("requestId", c.request_id);
    }
};

struct ChunkInfo {
    static constexpr std::size_t kMinWireBytes = 27;
    std::int64_t length_in_metadata = 0;
    std::int64_t length_in_storage = 0;
    std::int64_t start_offset = 0;
    std::string chunk_name;
    bool exists_in_storage = false;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("lengthInMetadata", c.length_in_metadata);
        v.value("lengthInStorage", c.length_in_storage);
        v.value("startOffset", c.start_offset);
        v.text("chunkName", c.chunk_name);
        v.value("existsInStorage", c.exists_in_storage);
    }
};

struct StorageChunksListed {
    static constexpr CommandType kType = CommandType::kStorageChunksListed;
    std::int64_t request_id = 0;
    std::vector<ChunkInfo> chunks;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.list("chunks", c.chunks);
    }
};

}  // namespace millrace::wire
