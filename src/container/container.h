// SegmentContainer: a durable log and a state machine. Every change is one operation in the container's log; the state
// is what one gets by applying the log. Validation uses pending state (everything that is in the log's pipeline),
// publication uses durable state, and publishing and acknowledging are one step: no reader and no writer ever sees what
// is not on stable storage.
//
// Life cycle: make on a state (state/state_store.h), load() it, replay() for every frame that recovery delivers,
// finish_recovery(), start() with the log, serve, stop(). Thread rule: everything on the container's executor (replay
// before the executor runs). Callbacks run there too, and never from inside the call that takes them, except where a
// function says "at once". Failure: an error of the log or of the state stops the container (fail-stop): all that waits
// fails with kClosed, on_failure is called.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "container/memory_budget.h"
#include "container/state/state_store.h"
#include "container/state_options.h"
#include "container/tiering_options.h"
#include "container/traffic.h"
#include "container/types.h"
#include "lts/chunk_store.h"
#include "runtime/executor.h"
#include "wal/durable_log.h"

namespace millrace::container {

struct ContainerOptions {
    std::uint64_t cache_bytes = 64ULL << 20;  // of frames kept in memory, for readers at the tail and for storage
    std::shared_ptr<MemoryBudget> memory;     // of several containers together; none: cache_bytes for this one
    std::uint32_t max_frames_in_flight = 4;
    std::uint64_t frame_bytes = 1ULL << 20;             // a frame is closed when it is that full
    std::uint64_t checkpoint_log_bytes = 256ULL << 20;  // the state is flushed so often: what replay has to do
    std::uint64_t index_bytes = 128ULL << 20;  // of memory for the places of bytes in the log; appends wait beyond it
    std::uint64_t carry_bytes_per_file = 256ULL << 10;  // living bytes that are logged again to free a file of the log
    std::size_t max_read_bytes = 2ULL << 20;            // of one read reply
    TieringOptions tiering;
    StateOptions state;
};

struct ContainerStats {
    std::uint64_t segments = 0;
    std::uint64_t resident_segments = 0;  // of them, in memory
    std::uint64_t appends = 0;
    std::uint64_t events = 0;
    std::uint64_t append_bytes = 0;
    std::uint64_t frames = 0;
    std::uint64_t cache_bytes = 0;
    std::uint64_t holds = 0;  // times that appends waited for long-term storage to keep pace
    std::uint64_t waiting_reads = 0;
    std::uint64_t index_entries = 0;
    std::uint64_t table_entries = 0;  // of table segments
    std::uint64_t table_bytes = 0;    // of memory for what the state does not have yet
    std::uint64_t table_updates = 0;
    std::uint64_t table_items = 0;  // updated and removed
    std::uint64_t operations = 0;   // taken, besides appends: of segments, tables, attributes
    std::uint64_t reads_from_memory = 0;
    std::uint64_t reads_from_log = 0;
    std::uint64_t reads_from_storage = 0;
    std::uint64_t log_bytes_held = 0;              // of frames since the truncation point
    std::uint64_t log_bytes_since_checkpoint = 0;  // what a recovery replays beyond the checkpoint
    std::uint64_t checkpoints = 0;                 // written since the start
    std::int64_t checkpoint_ms = 0;                // wall clock when the newest of them was durable; 0: none
    std::uint64_t state_waiting_bytes = 0;         // changes that the state was not given yet
    std::uint64_t state_queued_bytes = 0;          // that it was given and has not taken
    std::uint64_t state_memory_bytes = 0;          // of what is not on disk yet, and of open files
    std::uint64_t state_disk_bytes = 0;
    TieringStats tiering;
    wal::LogSpace log;
    bool failed = false;
};

class TableSegments;

class SegmentContainer {
  public:
    template <typename T = void>
    using Done = runtime::Callback<Result<T>>;

    SegmentContainer(ContainerId id, runtime::Executor& executor, ContainerOptions options,
                     std::unique_ptr<state::StateStore> store);
    ~SegmentContainer();
    SegmentContainer(const SegmentContainer&) = delete;
    SegmentContainer& operator=(const SegmentContainer&) = delete;

    ContainerId id() const;
    runtime::Executor& executor() const;

    // ---- recovery ----
    Result<> load();  // the state, before the first frame. Blocking
    Result<> replay(const wal::Appended& where, bytes::ByteSpan payload);
    Result<> finish_recovery();
    bool has_tiered_bytes() const;  // it cannot serve them without its long-term storage
    // `tier` may be null: everything stays in the log. `tier_prefix`: of the keys of all containers of this log.
    void start(std::unique_ptr<wal::DurableLog> log, runtime::Callback<Error> on_failure,
               std::unique_ptr<lts::ChunkStore> tier = {}, std::string tier_prefix = {});
    void end_waiting();                // what waits for space in the log is refused, from now on
    void stop(runtime::Task stopped);  // refuses new work, lets the pipeline drain, then fails what waits

    // ---- appends ----
    // The result is the writer's last durable event number in this segment, kNullAttribute when it is new. A setup is
    // ordered behind the appends that arrived before it. A sealed segment can be set up. Errors: kNotFound, kMerged,
    // kClosed.
    void setup_append(AppendSession& session, Done<std::int64_t> done);
    void append(AppendBatch batch);
    void close_append(AppendSession& session, runtime::Task forgotten);

    // ---- reads ----
    // Replies at once when the data is in memory (`done` may run inside the call); waits at the tail of an open
    // segment. `max_bytes` is already within limits.
    ReadId read(std::string_view segment, std::int64_t offset, std::size_t max_bytes, ReadCallback done);
    // `done` is destroyed without being called. False: the read does not wait any more; its `done` has come, or comes.
    bool cancel_read(ReadId read);

    // ---- segments ----
    void create(std::string name, CreateOptions options, Done<> done);  // kExists, kInvalidArgument
    void seal(std::string name, Done<std::int64_t> done);               // length; kNotFound, kSealed, kMerged
    void truncate(std::string name, std::int64_t offset, Done<> done);  // kNotFound, kTruncated (value = start)
    void remove(std::string name, Done<> done);                         // kNotFound
    // Result: end offset of the merged data in the target. The source is sealed first and stays so if the merge is
    // refused. kNotFound; kSealed (target); kBadAttribute; kTruncated (source); an already merged source: target's
    // length.
    void merge(std::string target, std::string source, std::vector<AttributeUpdate> updates, Done<std::int64_t> done);
    // Missing and already merged sources count as done. kNotFound, kSealed: of the target.
    void merge_batch(std::string target, std::vector<std::string> sources, Done<std::vector<std::int64_t>> done);
    void update_attributes(std::string name, std::vector<AttributeUpdate> updates,
                           Done<> done);  // kBadAttribute, kSealed, kNotFound
    // Durable state; `done` may run inside the call. kNotFound, kMerged (of an attribute), kClosed.
    void info(std::string_view name, Done<SegmentInfo> done);
    void attribute(std::string_view name, const Uuid& id, Done<std::int64_t> done);  // kNullAttribute when unset
    std::vector<SegmentTraffic> traffic() const;                                     // of those that had any; at once
    std::vector<SegmentTraffic> scaling_traffic() const;  // of those whose scale type is not 0
    std::vector<std::string> transient_segments() const;  // for clean-up after recovery

    // ---- table segments: made by create(), then table_segments.h ----
    TableSegments& tables();

    // ---- internal tables: made by the first update, sorted by key ----
    // All updates or none. kBadVersion, kNoKey. The result has the new version of each updated entry (0 for removals).
    // kNoSpace: it is ordinary and the log is full.
    void update_table(std::string table, std::vector<TableUpdate> updates, SpaceNeed need,
                      Done<std::vector<std::int64_t>> done);
    std::optional<TableEntry> table_get(std::string_view table, std::string_view key) const;  // durable state, at once
    // Entries with key > `after` that begin with `prefix`, in order, at most `limit`.
    std::vector<TableEntry> table_scan(std::string_view table, std::string_view prefix, std::string_view after,
                                       std::size_t limit) const;

    ContainerStats stats() const;
    TieringGauges::Values tiering_gauges() const;  // any thread

  private:
    friend class TableSegments;
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::container
