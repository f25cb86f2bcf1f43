// What goes in and out of a segment container: requests, outcomes, snapshots. Semantics: docs/design and Pravega 0.13's
// segment store.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "bytes/buffer.h"

namespace millrace::container {

// ---- attributes ----

inline constexpr std::int64_t kNullAttribute = std::numeric_limits<std::int64_t>::min();

inline constexpr std::uint64_t kCoreAttributeHigh = 0x8000000000000000ULL;
constexpr Uuid core_attribute(std::uint64_t index) { return Uuid{kCoreAttributeHigh, index}; }
inline constexpr Uuid kCreationTime = core_attribute(0);
inline constexpr Uuid kEventCount = core_attribute(1);
inline constexpr Uuid kScalePolicyType = core_attribute(2);
inline constexpr Uuid kScalePolicyRate = core_attribute(3);
inline constexpr Uuid kRolloverSize = core_attribute(4);
inline constexpr Uuid kSegmentType = core_attribute(9);
inline constexpr Uuid kAttributeIdLength = core_attribute(12);

enum class AttributeUpdateType : std::uint8_t {  // values as on the wire
    kNone = 0,                                   // fails if set
    kReplace = 1,
    kReplaceIfGreater = 2,  // passes if unset
    kAccumulate = 3,
    kReplaceIfEquals = 4,  // compares with `expected`; unset compares as kNullAttribute
};

struct AttributeUpdate {
    Uuid id;
    AttributeUpdateType type = AttributeUpdateType::kReplace;
    std::int64_t value = 0;
    std::int64_t expected = kNullAttribute;
};

// ---- segments ----

inline constexpr std::int32_t kFixedKeyLengthMax = 256;

struct CreateOptions {
    std::int8_t scale_type = 0;  // 0 none, 1 KB/s, 2 events/s; other values are kept as they are
    std::int32_t target_rate = 0;
    std::int64_t rollover_bytes = 0;
    bool transient = false;
    bool table = false;  // then scaling does not concern it, and rollover has a default
    std::int32_t key_length =
        0;  // of a table: <= 0: any (hash table), else of all its keys, at most kFixedKeyLengthMax
};

struct SegmentInfo {
    std::string name;
    std::int64_t length = 0;  // = write offset
    std::int64_t start_offset = 0;
    bool sealed = false;
    std::int64_t last_modified_ms = 0;
};

// ---- appends ----

class AppendSink;
class Segment;
struct AttributeEntry;

// One writer on one segment over one connection: from SETUP_APPEND until the connection ends or sets up again. Made by
// the store on the connection's core; the container's fields are touched only on the container's core. It must outlive
// every batch that names it: the store releases it with SegmentContainer::close_append, whose callback says that the
// container has forgotten it.
struct AppendSession {
    // Set by the store before setup, constant afterwards.
    Uuid writer_id;
    std::string segment_name;
    AppendSink* sink = nullptr;
    std::uint64_t tag = 0;  // the store's own

    // The container's.
    Segment* segment = nullptr;
    AttributeEntry* writer = nullptr;
    std::int64_t last_stored = kNullAttribute;  // event number that the next append is compared with
    std::int64_t last_acked = kNullAttribute;
    bool failed = false;  // an error was reported; appends are dropped until the next setup
};

inline constexpr std::int64_t kUnconditional = -1;

struct AppendRequest {
    AppendSession* session = nullptr;
    std::int64_t event_number = 0;
    std::int32_t event_count = 0;
    std::int64_t expected_offset = kUnconditional;  // >= 0: the segment's length must be exactly this
    std::int64_t request_id = 0;
    bool conditional = false;  // came by a conditional command: answered one by one, never coalesced
    std::array<bytes::ByteSpan, 3> pieces{};

    std::size_t size() const { return pieces[0].size() + pieces[1].size() + pieces[2].size(); }
};

// What one connection read in one go for one container. `memory` keeps alive what the pieces point to.
struct AppendBatch {
    std::vector<bytes::Slice> memory;
    std::vector<AppendRequest> requests;
};

enum class AppendStatus : std::uint8_t {
    kAppended,  // durable
    kSealed,
    kNoSuchSegment,   // missing, deleted or merged
    kBadEventNumber,  // the writer's stored event number is not what this session expects: reply, then close
    kBadOffset,       // conditional append at another offset; the session goes on
    kFatal,           // close the connection (event number went backwards, container failed)
};

struct AppendOutcome {
    AppendSession* session = nullptr;
    AppendStatus status = AppendStatus::kAppended;
    bool conditional = false;
    std::int64_t event_number = 0;
    std::int64_t previous_event_number = 0;  // of the acknowledgement before this one
    std::int64_t request_id = 0;
    std::int64_t end_offset = 0;  // segment offset after this append's data
    std::uint32_t bytes = 0;      // of the request, for the store's credits
    std::uint32_t requests = 1;   // that it answers: neighbours of one session become one record
};

// Receives outcomes in order, on the container's core, in batches: all of one sink that became durable with one frame.
// Appends that are dropped silently (behind a reported error) come as well, with kFatal never: see `dropped_bytes`.
class AppendSink {
  public:
    virtual ~AppendSink() = default;
    virtual void on_outcomes(std::span<const AppendOutcome> outcomes, std::uint64_t dropped_bytes) = 0;
};

// ---- reads ----

struct ReadResult {
    bytes::Chain data;
    bool at_tail = false;
    bool end_of_segment = false;
};

// Errors: kNotFound, kTruncated (value = start offset), kSealed (it was sealed while waiting), kInvalidArgument
// (negative offset, or beyond the end of a sealed segment), kMerged, kClosed (container stops).
using ReadCallback = std::move_only_function<void(Result<ReadResult>)>;
using ReadId = NamedInt<struct ReadIdTag, std::uint64_t>;  // names a waiting read, for cancel_read; 0: not waiting

// ---- a full log ----

// What an operation means for a log that is full.
enum class SpaceNeed : std::uint8_t {
    kOrdinary,  // refused with kNoSpace
    kFrees,     // taken at once, before the appends that wait: truncate, delete, seal, what ends a workflow
    kMoved,     // the storage writer's own record: also before appends that wait for storage to keep pace
    kNone,      // writes nothing: taken when it is its turn
};

// ---- internal tables (the controller's metadata) ----

inline constexpr std::int64_t kAnyVersion = std::numeric_limits<std::int64_t>::min();
inline constexpr std::int64_t kNotExists = -1;

struct TableEntry {
    std::string key;
    std::string value;
    std::int64_t version = 0;  // grows with every update in the container
};

struct TableUpdate {
    std::string key;
    std::optional<std::string> value;  // none: remove
    std::int64_t expected_version = kAnyVersion;
};

}  // namespace millrace::container
