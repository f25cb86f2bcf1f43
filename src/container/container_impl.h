// The container's inside. One class in eight files: container.cc (life cycle, queue, appends), container_names.cc
// (which segments are in memory: loading, evicting), container_publish.cc
// (what happens when a frame is durable), container_segments.cc (segment operations and tables), container_read.cc,
// container_state.cc (durable state: what is saved, and what is loaded), container_recovery.cc (replay, checkpoints,
// carrying bytes forward), container_tiering.cc (bytes that move to long-term storage).
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include "container/container.h"
#include "container/frame_cache.h"
#include "container/frame_pipeline.h"
#include "container/log_index.h"
#include "container/log_usage.h"
#include "container/move_window.h"
#include "container/segment.h"
#include "container/state_keeper.h"
#include "container/table_segments.h"
#include "container/tables.h"
#include "container/tiering.h"

namespace millrace::container {

// The records of one segment in the state.
struct StoredSegment {
    std::vector<std::pair<std::string, std::string>> segment;  // one, or none
    std::vector<std::pair<std::string, std::string>> attributes;
    bool all_attributes = true;
    std::vector<std::pair<std::string, std::string>> manifest;
};
inline constexpr std::size_t kLoadedAttributes = 64;  // that come with a segment; the others when they are asked for

struct SegmentLoad;

class SegmentContainer::Impl final : public FramePublisher,
                                     private RecordVisitor,
                                     private TieringHost,
                                     private StateHost {
  public:
    Impl(ContainerId id, runtime::Executor& executor, ContainerOptions options,
         std::unique_ptr<state::StateStore> store);
    ~Impl() override;

    // What must be in memory when an operation is its turn.
    struct Needs {
        std::vector<NameRef> names;
        std::vector<Uuid> attributes;  // of the first one
    };

    // A control operation: runs in the order of arrival with appends, but for those that free space while the log is
    // full.
    struct Control {
        std::move_only_function<void(const Error*)> run;  // with an error: refuse
        SpaceNeed need = SpaceNeed::kOrdinary;
        Needs needs;
        AppendSession* session = nullptr;  // that it sets up
        std::optional<Error> error;        // of what it needs
    };
    using Work = std::variant<AppendBatch, Control>;

    // ---- container.cc
    void start(std::unique_ptr<wal::DurableLog> log, runtime::Callback<Error> on_failure,
               std::unique_ptr<lts::ChunkStore> tier, std::string tier_prefix);
    void end_waiting();
    void stop(runtime::Task stopped);
    void enqueue_append(AppendBatch batch);
    void control(SpaceNeed need, Needs needs, std::move_only_function<void(const Error*)> run,
                 AppendSession* session = nullptr);
    void setup_append(AppendSession& session, Done<std::int64_t> done);
    void close_append(AppendSession& session, runtime::Task forgotten);
    ContainerStats stats() const;

    // ---- container_segments.cc
    void create(std::string name, CreateOptions options, Done<> done);
    void seal(const std::string& name, Done<std::int64_t> done);
    void truncate(const std::string& name, std::int64_t offset, Done<> done);
    void remove(const std::string& name, Done<> done);
    void merge(const std::string& target, const std::string& source, std::vector<AttributeUpdate> updates,
               Done<std::int64_t> done);
    void merge_batch(const std::string& target, const std::vector<std::string>& sources,
                     Done<std::vector<std::int64_t>> done);
    void update_attributes(const std::string& name, std::vector<AttributeUpdate> updates, Done<> done);
    void update_table(std::string table, std::vector<TableUpdate> updates, SpaceNeed need,
                      Done<std::vector<std::int64_t>> done);
    void info(std::string_view name, Done<SegmentInfo> done);
    void attribute(std::string_view name, const Uuid& id, Done<std::int64_t> done);
    std::vector<std::string> transient_segments() const;
    const Tables& tables() const { return tables_; }
    TableSegments& table_segments() { return table_segments_; }
    std::vector<SegmentTraffic> traffic() const { return traffic_.all(); }
    std::vector<SegmentTraffic> scaling_traffic() const { return traffic_.scaling(); }
    const Tiering& tiering() const { return tiering_; }

    // ---- container_names.cc
    NameRef want(std::string_view name);  // starts to load it when nothing is known of it
    // Calls use(segment, error): null: there is no such segment, or it could not be loaded. At once when that is known.
    template <typename Use>
    void with_durable(std::string_view name, Use use) {
        NameRef entry = want(name);
        auto go = [this, entry, name = std::string(name), use = std::move(use)]() mutable {
            Error error(Errc::kClosed);
            if (failed_ || stopping_) return use(nullptr, error);
            if (entry->segment != nullptr && entry->segment->exists) {
                entry->segment->visited = true;
                return use(entry->segment, error);
            }
            error = entry->error.value_or(missing(name));
            use(nullptr, error);
        };
        if (!entry->loading) return go();
        entry->waiting.emplace_back(std::move(go));
    }

    // ---- container_read.cc
    ReadId read(std::string_view name, std::int64_t offset, std::size_t max_bytes, ReadCallback done);
    bool cancel_read(ReadId read);

    // ---- container_state.cc
    Result<> load();

    // ---- container_recovery.cc
    Result<> replay(const wal::Appended& where, bytes::ByteSpan payload);
    Result<> finish_recovery();

    const ContainerId id;
    runtime::Executor& executor;

  private:
    friend class TableSegments;

    // ---- container.cc
    void process();
    bool process_batch(AppendBatch& batch);  // false: the pipeline is full, or the log
    void take_append(AppendRequest& request);
    void put_append(AppendRequest& request, Segment& segment);
    bool extend_append(AppendRequest& request, Segment& segment);  // joined to the record before it, if that can be
    void refuse(AppendRequest& request, AppendStatus status);
    Segment* find_pending(std::string_view name);  // null when it does not exist once everything pending is done
    Error missing(std::string_view name) const;    // kMerged for a segment merged not long ago, else kNotFound
    void release_session(AppendSession& session);
    void drop_queued(AppendSession& session);
    void drop_append(const AppendRequest& request);
    void maybe_stopped();
    void give_up_waiting();
    void fail_everything();
    void tell_loading();
    bool appends_wait() const { return log_full_ || index_full(); }
    bool index_full() const { return index_entries_ * sizeof(Extent) > options_.index_bytes; }
    const char* why_appends_wait() const;
    bool space_will_come() const {
        return tiering_.active() && !tiering_.in_trouble() && !stopping_ && !ending_ && !patience_over_;
    }
    void watch_patience();
    bool held_back();  // appends wait for storage
    void watch_cache();
    void after_commit(CommitTask task) { pipeline_.task(std::move(task)); }

    // ---- container_publish.cc
    void on_durable(PendingFrame& frame, const wal::Appended* where) override;
    void on_place_free() override;
    void on_log_refused() override;
    void on_log_failed(const Error& error) override;
    void publish_append(FrameEvent& event, const PendingFrame& frame, const wal::Appended& where);
    void give(const AppendOutcome& outcome, std::uint64_t dropped_bytes);
    void give_collected();
    void wake_readers();
    void serve_waiting(Segment& segment);
    void fail_waiting(Segment& segment, const Error& error);

    // ---- container_segments.cc
    Result<AttributeValues> prepare_attributes(Segment& segment, const std::vector<AttributeUpdate>& updates);
    void publish_attribute(Segment& segment, const Uuid& key, std::int64_t value);
    void publish_attributes(Segment& segment, const AttributeValues& values);
    void remember_merged(const std::string& name);
    Result<std::int64_t> start_merge(const std::string& target, const std::string& source,
                                     const std::vector<AttributeUpdate>& updates);
    void start_seal(Segment& segment);
    void start_remove(Segment& segment, Done<> done);
    void publish_seal(Segment& segment);
    void publish_gone(Segment* segment, bool merged);
    void publish_truncate(Segment& segment, std::uint64_t start);
    void index_grew(Segment& segment, const Extent& extent);
    void drop_bytes(Segment& segment, const Extent& extent);
    void splice(Segment& target, Segment& source, std::uint64_t base);
    void drop_below(Segment& segment, std::uint64_t start);

    // ---- container_read.cc
    void serve(Segment& segment, std::uint64_t offset, std::size_t max_bytes, bool waited, ReadCallback done);
    ReadId read_known(ReadId read_id, const NameEntry& entry, std::string_view name, std::int64_t offset,
                      std::size_t max_bytes, ReadCallback done);
    void read_again(SegmentId segment_id, std::uint64_t offset, std::size_t max_bytes, wal::LogAddress before,
                    ReadCallback done);
    void read_before(SegmentId segment_id, std::uint64_t offset, std::size_t max_bytes, ReadCallback done);
    void read_from_log(const Segment& segment, const Extent* first, std::uint64_t offset, std::size_t max_bytes,
                       ReadCallback done);

    // ---- container_tiering.cc
    Segment* find_segment(SegmentId segment) override;
    bool wants_space() const override { return appends_wait() || wanted_.value() != 0; }
    std::uint64_t move_through(std::uint64_t bytes) const override;
    bool will_move(std::size_t round, const Extent& extent) override;
    void round_over(std::size_t round) override { windows_[round].clear(); }
    void no_longer_planned(Segment& segment) override;
    std::size_t take_part(std::size_t round, Segment& segment, std::uint64_t offset, std::size_t max_bytes,
                          bytes::Chain& out) override;
    void read_part_alone(SegmentId segment_id, std::uint64_t offset, std::size_t max_bytes,
                         runtime::Callback<Result<bytes::Chain>> done);
    MoveWindow* window_of(const Extent& extent);
    void leave_damaged(Segment& segment, const Extent* extent, std::uint64_t to);
    void leaves_log(Segment& segment, const Extent& extent);
    bytes::Chain take_from_window(Segment& segment, const Extent* extent, std::uint64_t offset, std::size_t max_bytes);
    void storage_failed() override { process(); }  // what counted on it is refused
    void log_object(WrittenObject written, runtime::Callback<Result<>> done) override;
    void read_part(SegmentId segment, std::uint64_t offset, std::size_t max_bytes,
                   runtime::Callback<Result<bytes::Chain>> done) override;
    void settle(Segment& segment, std::uint64_t from, std::uint64_t to) override;
    void drop_stale(Segment& segment);  // what is neither in the log nor in memory any more, from the front
    void drop_stale_extents();
    void free_oldest();
    Result<> on(const ObjectWrittenRecord& record) override;

    // ---- container_state.cc
    void mark(Segment& segment) {
        if (segment.marked) return;
        segment.marked = true;
        marked_.push_back(segment.id);
        keeper_.marked();
    }
    void mark_attribute(Segment& segment, AttributeEntry& entry, const Uuid& key) {
        if (entry.marked) return;
        entry.marked = true;
        segment.marked_attributes.push_back(key);
        keeper_.marked();
    }
    bool encode_marked(state::StateBatch& out, std::size_t most) override;
    void sealed(std::uint64_t batch) override { table_segments_.store().sealed(batch); }
    void saved(std::uint64_t batch) override;
    void state_failed(const Error& error) override;
    state::StateBatch& state_changes(Segment& segment) override {
        segment.batch = keeper_.next_batch();
        return keeper_.changes();
    }
    void forget_state(Segment& segment);  // it is gone
    void save_internal(const TableRecord& record);
    Result<std::unique_ptr<Segment>> decode_segment(const StoredSegment& stored);
    Result<> load_object(std::string_view key, std::string_view value);
    Result<> load_small(std::string_view key, std::string_view value);

    // ---- container_names.cc
    bool is_ready(Control& control);
    void load_name(const NameRef& entry, const std::string& name);
    void load_segment(const NameRef& entry, const std::string& name, SegmentId segment);
    void load_manifest(const std::shared_ptr<SegmentLoad>& load, state::KeyRange range);
    void load_part(const std::shared_ptr<SegmentLoad>& load, std::optional<Error> error);
    void name_is_known(const NameRef& entry, const std::string& name);
    void load_attribute(Segment& segment, const Uuid& key);
    Result<Segment*> load_now(SegmentId segment);  // in replay, on this thread
    Segment& adopt(std::unique_ptr<Segment> segment);
    void is_gone(Segment& segment);  // its name means nothing from now on
    bool is_idle(const Segment& segment) const;
    void trim(std::size_t steps);
    void drop_attributes(Segment& segment);
    void note_crowded(Segment& segment);
    void forget_absent(std::size_t steps);

    // ---- container_recovery.cc
    Result<> on(const CreateRecord& record) override;
    Result<> on(const AppendRecord& record) override;
    Result<> on(const AttributesRecord& record) override;
    Result<> on(const SealRecord& record) override;
    Result<> on(const TruncateRecord& record) override;
    Result<> on(const MergeRecord& record) override;
    Result<> on(const DeleteRecord& record) override;
    Result<> on(const TableRecord& record) override;
    Result<> on(const RelocateRecord& record) override;
    Result<> on(TableUpdateRecord&& record) override;
    Result<Segment*> replayed(SegmentId segment);
    wal::LogAddress replay_address(std::size_t position) const;
    Result<> adopt_log_index();
    Result<> drop_tiered(std::map<SegmentId, TailIndex>& segments);
    void maybe_checkpoint();
    void advance_truncation();
    void carry_forward(LogSequence wanted);
    void carry_next();
    void publish_relocated(const FrameEvent& event, const PendingFrame& frame, const wal::Appended& where);
    void put_relocated(SegmentId segment, const Extent& extent, const bytes::Slice& data);

    ContainerOptions options_;
    std::shared_ptr<MemoryBudget> memory_;
    FrameCache cache_;
    FramePipeline pipeline_;
    StateKeeper keeper_;
    std::vector<SegmentId> marked_;  // their records in the state are old
    Tables tables_;
    TableSegments table_segments_;
    TrafficMeter traffic_{executor};
    std::array<MoveWindow, kRoundsMax> windows_;
    // Extents that lie in damaged frames of the log, by address: no round takes them, and their bytes do not count as
    // those that will move.
    absl::flat_hash_set<std::pair<std::uint64_t, std::uint64_t>> damaged_;
    Tiering tiering_;
    absl::flat_hash_map<std::string, NameRef, NameHash, std::equal_to<>> names_;
    std::deque<std::string> absent_;                            // names of no segment, to be forgotten
    std::deque<std::pair<std::uint64_t, NameRef>> tombstones_;  // until a batch is saved the state has such segments
    std::deque<SegmentId> clock_;                               // all in memory, in the order in which they are visited
    absl::flat_hash_map<std::pair<SegmentId, Uuid>, std::optional<Error>> loading_attributes_;  // with an error: failed
    std::vector<SegmentId> crowded_;
    std::map<SegmentId, std::string> transients_;
    absl::flat_hash_set<SegmentId> gone_in_replay_;
    std::optional<Error> replay_error_;
    std::uint64_t segment_count_ = 0;
    std::uint64_t saved_batch_ = 0;
    std::uint64_t evicted_ = 0;
    std::uint64_t loads_ = 0;
    absl::flat_hash_map<SegmentId, std::unique_ptr<Segment>> segments_;
    // Gone, but append sessions or planned objects still point to them.
    absl::flat_hash_map<const Segment*, std::unique_ptr<Segment>> unused_;
    std::deque<std::string> merged_names_;          // the last ones, to answer repeated merges
    absl::flat_hash_map<std::string, int, NameHash, std::equal_to<>> merged_;
    std::uint64_t merges_ = 0;  // ever
    std::uint64_t next_segment_ = 1;

    std::deque<Work> queue_;
    std::size_t batch_progress_ = 0;  // requests of the front batch that are done
    bool processing_ = false;
    bool log_full_ = false;
    std::uint64_t index_entries_ = 0;  // of all segments
    bool index_warned_ = false;
    bool refusal_told_ = false;
    bool ending_ = false;         // nothing waits for space any more
    bool patience_over_ = false;  // since the log is full
    runtime::TimerId patience_;
    runtime::TimerId hold_;  // appends are held back until then at most
    runtime::TimerId cache_watch_;

    // The append put last, while nothing came behind it in its frame.
    struct LastAppend {
        std::uint64_t mark = 0;  // the pipeline's after it was put; 0: none
        std::uint8_t* head = nullptr;
        AppendSession* session = nullptr;
        AppendRecord record;
    };
    LastAppend last_append_;

    std::vector<AppendOutcome> collected_;
    std::uint64_t collected_dropped_ = 0;
    AppendSink* collected_sink_ = nullptr;
    std::vector<Segment*> touched_;

    absl::flat_hash_map<std::uint64_t, Segment*> waiting_reads_;
    absl::flat_hash_map<std::uint64_t, std::shared_ptr<ReadCallback>> loading_reads_;  // of segments that are not here
    std::uint64_t last_read_ = 0;

    LogUsage usage_;
    LogSequence checkpoint_;  // the first frame that the flushed state does not include; 0: nothing was flushed yet
    bool checkpoint_running_ = false;
    std::uint64_t log_bytes_since_checkpoint_ = 0;
    std::uint64_t log_bytes_ = 0;
    LogSequence wanted_;  // what the log asked to be free
    struct Carry {
        SegmentId segment;
        Extent extent;
    };
    std::deque<Carry> carry_;
    bool carrying_ = false;

    // Replay.
    wal::Appended replay_where_;
    std::int64_t replay_wall_ms_ = 0;
    std::uint64_t replay_frames_ = 0;
    LogSequence loaded_;                   // what the state includes
    std::unique_ptr<LogIndex> log_index_;  // of the frames up to it; until the first frame behind it

    runtime::Callback<Error> on_failure_;
    runtime::Task stopped_;
    bool started_ = false;
    bool stopping_ = false;
    bool failed_ = false;
    ContainerStats counters_;
};

}  // namespace millrace::container
