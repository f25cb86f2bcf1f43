// The records of the container's log, as written and as read back. Format: docs/formats/container-log.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "bytes/binary.h"

namespace millrace::container {

inline constexpr std::uint8_t kPayloadVersion = 3;  // and the oldest one that is read
inline constexpr std::size_t kPayloadHeader = 16;
inline constexpr std::size_t kRecordHeader = 8;
inline constexpr std::size_t kMaxName = 65'535;  // as long as the wire's longest string
inline constexpr std::size_t kMaxTableString = 1 << 20;
inline constexpr std::size_t kMaxRecord = std::size_t{33} << 20;
inline constexpr std::size_t kMaxTableKey = 8192;      // of a table segment
inline constexpr std::uint64_t kTableItemHeader = 17;  // what an item of a table segment takes besides key and value

enum class RecordType : std::uint8_t {
    kCreate = 1,
    kAppend = 2,
    kAttributes = 3,
    kSeal = 4,
    kTruncate = 5,
    kMerge = 6,
    kDelete = 7,
    kTable = 8,
    kRelocate = 12,
    kTableUpdate = 13,
    kObjectWritten = 16,
};

inline constexpr std::uint8_t kFlagTransient = 1;
inline constexpr std::uint8_t kFlagWriter = 1;
inline constexpr std::uint8_t kFlagFreeRemovals = 1;

using AttributeValues = std::vector<std::pair<Uuid, std::int64_t>>;

struct CreateRecord {
    SegmentId id;
    std::int64_t created_ms = 0;
    std::string name;
    bool transient = false;
    AttributeValues attributes;
};

// Fixed part of an append; the data follows it in the log.
struct AppendRecord {
    SegmentId id;
    std::uint64_t offset = 0;
    std::uint32_t data_size = 0;
    std::int32_t event_count = 0;
    bool has_writer = false;
    Uuid writer;
    std::int64_t event_number = 0;
    std::size_t data_position = 0;  // decoded only: of the data within the payload
};
inline constexpr std::size_t kAppendFixed = 24;        // body before the data, without a writer
inline constexpr std::size_t kAppendFixedWriter = 48;  // with one

struct AttributesRecord {
    SegmentId id;
    AttributeValues values;
};

struct SealRecord {
    SegmentId id;
};

struct TruncateRecord {
    SegmentId id;
    std::uint64_t start = 0;
};

struct MergeRecord {
    SegmentId target;
    SegmentId source;
    std::uint64_t target_offset = 0;
    std::uint64_t source_size = 0;
    AttributeValues attributes;
};

struct DeleteRecord {
    SegmentId id;
};

struct TableRecord {
    struct Entry {
        std::string key;
        std::optional<std::string> value;  // none: removed
        std::int64_t version = 0;
    };
    std::string table;
    std::vector<Entry> entries;
};

struct RelocateRecord {
    SegmentId id;
    std::uint64_t offset = 0;
    std::uint32_t data_size = 0;
    std::size_t data_position = 0;  // decoded only
};
inline constexpr std::size_t kRelocateFixed = 20;

// An update of a table segment. Versions follow from the offset: see number().
struct TableUpdateRecord {
    struct Entry {
        std::string key;
        std::optional<std::string> value;  // none: removed
        std::int64_t version = 0;          // not in the log
        std::int64_t before = -1;          // nor this: version of the entry that it takes the place of, -1: of none
    };
    SegmentId id;
    std::uint64_t offset = 0;
    bool free_removals = false;  // they take no room in the segment
    std::vector<Entry> entries;

    // Sets the versions; returns the segment's length after the update.
    std::uint64_t number();
};

using ObjectId = NamedInt<struct ObjectIdTag, std::uint64_t>;  // unique within a container

enum class ObjectKind : std::uint8_t {
    kChunk = 1,  // bytes of one segment
    kPack = 2,   // extents of many
};

// Docs: docs/formats/objects.md.
struct ObjectPart {
    SegmentId segment;
    std::uint64_t offset = 0;  // in the segment
    std::uint64_t size = 0;
    std::uint64_t object_offset = 0;

    std::uint64_t end() const { return offset + size; }
};
inline constexpr std::size_t kMaxObjectParts = 65'536;
inline constexpr std::size_t kMaxObjectKey = 512;
inline constexpr std::uint64_t kMaxObjectBytes = 256ULL << 20;

struct TieredObject {
    ObjectId id;
    ObjectKind kind = ObjectKind::kChunk;
    std::uint64_t data_bytes = 0;
    std::string key;
};

struct ObjectWrittenRecord {
    TieredObject object;
    std::vector<ObjectPart> parts;
};

struct ManifestEntry {
    std::uint64_t offset = 0;  // in the segment
    std::uint64_t size = 0;
    ObjectId object;
    std::uint64_t object_offset = 0;

    std::uint64_t end() const { return offset + size; }
    friend bool operator==(const ManifestEntry&, const ManifestEntry&) = default;
};

// Bodies of all records but append and relocate, whose data is copied straight into the frame.
void encode(const CreateRecord& record, bytes::Writer& out);
void encode(const AttributesRecord& record, bytes::Writer& out);
void encode(const SealRecord& record, bytes::Writer& out);
void encode(const TruncateRecord& record, bytes::Writer& out);
void encode(const MergeRecord& record, bytes::Writer& out);
void encode(const DeleteRecord& record, bytes::Writer& out);
void encode(const TableRecord& record, bytes::Writer& out);
void encode(const TableUpdateRecord& record, bytes::Writer& out);
void encode(const ObjectWrittenRecord& record, bytes::Writer& out);

// Write header and fixed body into `at` (kRecordHeader + fixed size bytes); return that size. The data comes right
// behind.
std::size_t encode_append_head(const AppendRecord& record, std::uint8_t* at);
std::size_t encode_relocate_head(const RelocateRecord& record, std::uint8_t* at);

// Receives the records of one payload, in order.
class RecordVisitor {
  public:
    virtual ~RecordVisitor() = default;
    virtual Result<> on(const CreateRecord& record) = 0;
    virtual Result<> on(const AppendRecord& record) = 0;
    virtual Result<> on(const AttributesRecord& record) = 0;
    virtual Result<> on(const SealRecord& record) = 0;
    virtual Result<> on(const TruncateRecord& record) = 0;
    virtual Result<> on(const MergeRecord& record) = 0;
    virtual Result<> on(const DeleteRecord& record) = 0;
    virtual Result<> on(const TableRecord& record) = 0;
    virtual Result<> on(const RelocateRecord& record) = 0;
    virtual Result<> on(TableUpdateRecord&& record) = 0;
    virtual Result<> on(const ObjectWrittenRecord& record) = 0;
};

struct PayloadHeader {
    std::uint32_t records = 0;
    std::int64_t wall_ms = 0;
};

void encode_payload_header(const PayloadHeader& header, std::uint8_t* at);  // kPayloadHeader bytes

// Decodes a payload; kCorrupt names the position within it.
Result<PayloadHeader> decode_payload(bytes::ByteSpan payload, RecordVisitor& visitor);

}  // namespace millrace::container
