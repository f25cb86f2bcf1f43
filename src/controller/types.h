// The controller's vocabulary: names, configurations, segments, cuts, and the answers of each operation. Plain values;
// what they mean is in docs/formats/controller-records.md (how they are kept) and in controller.h (what one can do with
// them).
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"

namespace millrace::controller {

struct StreamName {
    std::string scope;
    std::string stream;
    auto operator<=>(const StreamName&) const = default;
};

// Epoch in the upper half, number in the lower. The epoch is the one in which the segment was made, and never changes.
// Of two segments of one stream whose key ranges overlap, the one with the larger id holds the later events.
using StreamSegmentId = NamedInt<struct StreamSegmentIdTag, std::int64_t>;

constexpr StreamSegmentId segment_id(std::int32_t number, std::int32_t epoch) {
    return StreamSegmentId(static_cast<std::int64_t>(epoch) << 32 | static_cast<std::uint32_t>(number));
}
constexpr std::int32_t number_of(StreamSegmentId id) { return static_cast<std::int32_t>(id.value() & 0xffffffff); }
constexpr std::int32_t epoch_of(StreamSegmentId id) { return static_cast<std::int32_t>(id.value() >> 32); }

using TransactionId = Uuid;

// A segment with its share [min_key, max_key) of the key space [0, 1).
struct SegmentRange {
    StreamSegmentId id;
    double min_key = 0;
    double max_key = 0;
    bool operator==(const SegmentRange&) const = default;
    bool overlaps(const SegmentRange& other) const { return min_key < other.max_key && other.min_key < max_key; }
};

struct KeyRange {
    double from = 0;
    double to = 0;
    bool operator==(const KeyRange&) const = default;
};

// Offsets by segment that together cover the key space. kNotReached: the position is in an earlier segment of that key
// range.
using StreamCut = std::map<StreamSegmentId, std::int64_t>;
inline constexpr std::int64_t kNotReached = -1;

enum class ScalingType : std::uint8_t { kFixed = 0, kByKilobytes = 1, kByEvents = 2 };  // values as in CREATE_SEGMENT

struct ScalingPolicy {
    ScalingType type = ScalingType::kFixed;
    std::int32_t target_rate = 0;
    std::int32_t scale_factor = 0;
    std::int32_t min_segments = 0;
    bool operator==(const ScalingPolicy&) const = default;
};

enum class RetentionType : std::uint8_t { kTime = 1, kSize = 2 };

struct RetentionPolicy {
    RetentionType type = RetentionType::kTime;
    std::int64_t param = 0;  // milliseconds or bytes
    std::int64_t max = 0;
    bool operator==(const RetentionPolicy&) const = default;
};

struct StreamConfig {
    ScalingPolicy scaling;
    std::optional<RetentionPolicy> retention;
    std::vector<std::string> tags;  // sorted, each once, when it comes out of the controller
    std::int64_t timestamp_aggregation_ms = 0;
    std::int64_t rollover_bytes = 0;
    bool operator==(const StreamConfig&) const = default;
};

// A segment set of a stream, current from its creation until the next epoch's.
struct Epoch {
    std::int32_t epoch = 0;
    std::int32_t reference = 0;  // own number, or that of the epoch whose segments it duplicates
    std::int64_t creation_ms = 0;
    std::int64_t splits = 0;             // since the stream began: segments that were followed by two or more
    std::int64_t merges = 0;             // and segments that follow two or more
    std::vector<SegmentRange> segments;  // by key; they tile [0, 1)
    bool operator==(const Epoch&) const = default;
};

// A segment and those it follows.
struct Successor {
    SegmentRange segment;
    std::vector<StreamSegmentId> predecessors;
};

enum class ReaderGroupRetention : std::uint8_t { kNone = 0, kManual = 1, kAutomatic = 2 };

struct StreamPosition {
    StreamName stream;
    StreamCut cut;  // empty: unbounded
    bool operator==(const StreamPosition&) const = default;
};

struct ReaderGroupConfig {
    std::int64_t refresh_ms = 0;
    std::int64_t checkpoint_interval_ms = 0;
    std::int32_t max_outstanding_checkpoints = 0;
    ReaderGroupRetention retention = ReaderGroupRetention::kNone;
    std::int64_t generation = 0;
    Uuid id;
    std::vector<StreamPosition> start;
    std::vector<StreamPosition> end;
    bool operator==(const ReaderGroupConfig&) const = default;
};

struct KeyValueTableConfig {
    std::int32_t partitions = 0;          // each a segment
    std::int32_t primary_key_length = 0;  // bytes, of every key; both 0: keys of any length
    std::int32_t secondary_key_length = 0;
    std::int64_t rollover_bytes = 0;
    bool operator==(const KeyValueTableConfig&) const = default;
};

struct Endpoint {
    std::string host;
    std::uint16_t port = 0;
};

// One page of a listing. A page with items has a token for the next; the end is a page without items.
template <typename T>
struct Page {
    std::vector<T> items;
    std::string token;
};

// ---- answers; the names are the protocol's ----

enum class CreateScopeStatus : std::uint8_t { kSuccess, kFailure, kScopeExists, kInvalidScopeName };
enum class DeleteScopeStatus : std::uint8_t { kSuccess, kFailure, kScopeNotFound, kScopeNotEmpty };
enum class CreateStreamStatus : std::uint8_t { kSuccess, kFailure, kStreamExists, kScopeNotFound, kInvalidStreamName };
enum class UpdateStreamStatus : std::uint8_t { kSuccess, kFailure, kStreamNotFound, kScopeNotFound, kStreamSealed };
enum class ScaleStatus : std::uint8_t { kStarted, kFailure, kPreconditionFailed };
enum class ScaleProgress : std::uint8_t { kInProgress, kSuccess, kInvalidInput, kInternalError };
enum class DeleteStreamStatus : std::uint8_t { kSuccess, kFailure, kStreamNotFound, kStreamNotSealed };
enum class CreateReaderGroupStatus : std::uint8_t { kSuccess, kFailure, kScopeNotFound, kInvalidName };
enum class UpdateReaderGroupStatus : std::uint8_t { kSuccess, kFailure, kNotFound, kInvalidConfig };
enum class DeleteReaderGroupStatus : std::uint8_t { kSuccess, kFailure, kNotFound };
enum class CreateTableStatus : std::uint8_t { kSuccess, kFailure, kTableExists, kScopeNotFound, kInvalidTableName };
enum class DeleteTableStatus : std::uint8_t { kSuccess, kFailure, kTableNotFound };
enum class UpdateSubscriberStatus : std::uint8_t {
    kSuccess,
    kFailure,
    kStreamNotFound,
    kSubscriberNotFound,
    kStreamCutNotValid,
    kGenerationMismatch
};

enum class NoteTimeStatus : std::uint8_t { kSuccess, kInvalidTime, kInvalidPosition };
enum class RemoveWriterStatus : std::uint8_t { kSuccess, kUnknownWriter };
// Segments of the current epoch are sealed, and new ones of the same keys take their place.
struct ScaleRequest {
    std::vector<StreamSegmentId> sealed;
    std::vector<KeyRange> ranges;
    std::int64_t creation_ms = 0;
};

struct ScaleResult {
    ScaleStatus status = ScaleStatus::kStarted;
    std::int32_t epoch = 0;              // that was current before; with kStarted
    std::vector<SegmentRange> segments;  // the new ones, by key
};

// What the controller did by load since it started.
struct AutoScalingStats {
    std::uint64_t splits = 0;  // decisions
    std::uint64_t merges = 0;
    std::string last;  // decision, for people
};

struct CreateReaderGroupResult {
    CreateReaderGroupStatus status = CreateReaderGroupStatus::kSuccess;
    ReaderGroupConfig config;  // the stored one, with kSuccess
};

struct UpdateReaderGroupResult {
    UpdateReaderGroupStatus status = UpdateReaderGroupStatus::kSuccess;
    std::int64_t generation = 0;  // the new one; of the request when it was refused
};

struct SubscriberCut {
    std::string subscriber;  // "scope/group"
    std::int64_t generation = 0;
    Uuid group_id;
    StreamName stream;
    StreamCut cut;
};

}  // namespace millrace::controller
