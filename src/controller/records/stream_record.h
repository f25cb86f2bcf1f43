// stream/<scope>/<stream>
#pragma once

#include <variant>

#include "controller/records/codec.h"

namespace millrace::controller {

enum class StreamState : std::uint8_t {
    kCreating = 1,
    kActive = 2,
    kUpdating = 3,
    kTruncating = 4,
    kSealing = 5,
    kSealed = 6,
    kDeleting = 7,
    kScaling = 8,
    kRolling = 9,
};

// What an update will do. next_segments 0: the segments stay as they are.
struct UpdateIntent {
    StreamConfig config;
    std::int32_t next_segments = 0;
    std::int64_t next_creation_ms = 0;
    bool operator==(const UpdateIntent&) const = default;
};

struct TruncateIntent {
    StreamCut cut;
    bool operator==(const TruncateIntent&) const = default;
};

// Segments of the current epoch that new ones replace in the next, numbered on by key.
struct ScaleIntent {
    std::vector<StreamSegmentId> replaced;  // ascending
    std::vector<KeyRange> ranges;           // ascending; they cover the same keys
    std::int64_t creation_ms = 0;
    bool operator==(const ScaleIntent&) const = default;
};

// Transactions of an older epoch that are committed into copies of its segments. May also belong to a stream that is
// being sealed.
struct RollIntent {
    std::int32_t reference = 0;
    std::int64_t creation_ms = 0;
    std::vector<TransactionId> transactions;  // in the order of their commits
    bool operator==(const RollIntent&) const = default;
};

struct StreamRecord {
    StreamState state = StreamState::kCreating;
    std::int64_t creation_ms = 0;
    std::int32_t first_number = 0;  // of epoch 0
    std::int32_t last_number = 0;   // of all epochs
    std::int32_t current_epoch = 0;
    StreamConfig config;
    StreamCut head;
    std::variant<std::monostate, UpdateIntent, TruncateIntent, ScaleIntent, RollIntent> intent;
    bool operator==(const StreamRecord&) const = default;

    bool is_settled() const { return state == StreamState::kActive || state == StreamState::kSealed; }

    static std::string prefix(std::string_view scope);
    static std::string key(const StreamName& name);
    std::string encode() const;
    static Result<StreamRecord> decode(std::string_view value);
    static bool is_deleting(std::string_view value);  // without decoding the rest, for listings
};

}  // namespace millrace::controller
