// One segment's state. `pending` is what it will be when everything in the log's pipeline is durable: new operations
// are validated against it. `durable` is what readers and writers may see. Only the container touches it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/node_hash_map.h>

#include "container/manifest.h"
#include "container/operation.h"
#include "container/table_state.h"
#include "container/tail_index.h"
#include "container/traffic.h"
#include "container/types.h"

namespace millrace::container {

// Names are looked up by views; equal text has equal hash whatever holds it.
struct NameHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view name) const { return std::hash<std::string_view>{}(name); }
};

struct AttributeEntry {
    std::int64_t durable = kNullAttribute;
    std::int64_t pending = kNullAttribute;
    bool marked = false;      // the state has another value
    std::uint32_t pins = 0;   // append sessions of this writer
    std::uint64_t used = 0;   // the pipeline's turn of the last operation that asked for it
    std::uint64_t batch = 0;  // of the state, that has its last change
};

struct SegmentState {
    std::uint64_t length = 0;
    std::uint64_t start = 0;
    bool sealed = false;
    bool gone = false;  // deleted or merged
};

struct WaitingRead {
    ReadId id;
    std::int64_t offset = 0;
    std::size_t max_bytes = 0;
    ReadCallback done;
};

class Segment;

// What is known of a name. Whoever counts on it holds the entry: then neither the segment is evicted, nor is it
// forgotten that there is none.
struct NameEntry {
    Segment* segment = nullptr;  // null: there is none, once it is loaded
    bool loading = false;
    std::optional<Error> error;          // it could not be loaded
    std::vector<runtime::Task> waiting;  // for the load
};
using NameRef = std::shared_ptr<NameEntry>;

class Segment {
  public:
    Segment(SegmentId segment_id, std::string segment_name) : id(segment_id), name(std::move(segment_name)) {}

    // Node map: sessions keep pointers to entries.
    AttributeEntry& attribute(const Uuid& key) { return attributes[key]; }
    std::int64_t durable_attribute(const Uuid& key) const {
        auto found = attributes.find(key);
        return found == attributes.end() ? kNullAttribute : found->second.durable;
    }
    // What appends and the storage writer touch: whoever goes through many segments asks for it some of them earlier.
    void prefetch() const {
        const char* at = reinterpret_cast<const char*>(this);
        for (std::size_t line = 0; line < kHotBytes; line += kCacheLine) __builtin_prefetch(at + line, 1);
    }

    static constexpr std::size_t kCacheLine = 64;
    static constexpr std::size_t kHotBytes = 4 * kCacheLine;

    // ---- touched by each append, or each part of an object: the first kHotBytes
    const SegmentId id;
    SegmentState pending;
    SegmentState durable;
    AttributeEntry* event_count = nullptr;  // attributes[kEventCount], once there is one

    TailIndex index;
    Manifest manifest;
    std::uint64_t log_only_bytes = 0;  // of the index: not in long-term storage

    std::uint64_t damaged_bytes = 0;  // of these: the log has them no more as they were, they cannot move
    std::uint64_t planned_to = 0;     // while there are planned parts: offset up to which the log's bytes are planned
    std::uint32_t planned = 0;        // parts of objects that are being written
    std::uint32_t new_pieces = 0;     // small ones in the manifest, since they were last looked at
    std::uint32_t sessions = 0;       // append sessions that point here
    bool dirty = false;               // the storage writer knows of bytes that are only in the log
    bool scattered = false;           // and of small pieces in the manifest
    bool marked = false;              // the state's record is old
    bool touched = false;             // grew in the frame being published: waiting reads are to be looked at
    bool exists = false;              // its creation is durable
    bool transient = false;
    bool merged = false;
    bool stored = false;             // the state has a record of it, or will have when what is known now is saved
    bool stored_attributes = false;  // and of attributes
    bool all_attributes = true;      // those that are not here are not in the state either
    bool crowded = false;            // it has more attributes here than it should
    bool visited = false;            // since it was last thought of for eviction
    std::uint64_t batch = 0;         // of the state, that has its last change
    std::uint64_t used = 0;          // the pipeline's turn of the last operation on it

    std::int64_t last_modified_ms = 0;
    std::unique_ptr<MeteredSegment> metered;  // null: without traffic for some time
    std::vector<Uuid> marked_attributes;      // that the state has other values of
    std::vector<WaitingRead> waiting;

    // ---- the rest
    absl::node_hash_map<Uuid, AttributeEntry> attributes;
    std::string name;
    std::unique_ptr<TableState> table;     // null: not a table
    std::vector<runtime::Task> when_gone;  // requests for the same name that wait for the deletion
};
static_assert(sizeof(Segment) < 512);

}  // namespace millrace::container
