// The storage writer: moves a container's bytes from the log to long-term storage, and knows what lies there.
//
// Rounds. Bytes that are only in the log make their segment dirty. A round begins when there are enough bytes, when the
// oldest have waited long enough, or when the log wants space, and takes the oldest bytes of all dirty segments, as
// many as memory may hold; beside the log's disk the next one begins as soon as there are enough bytes again: a run of
// a busy segment becomes a chunk, the rest of all segments share packs, so the number of objects follows the bytes and
// not the segments. Small pieces of a segment that have come together over many rounds are written again as one, when
// there is nothing else to do.
//
// Safety. An object counts from the moment its record is durable in the log; before that it is garbage, and so is one
// that no manifest refers to any more. Garbage is removed; what a crash left is found by listing at the next start.
// Of several servers on copies of one data directory the one that started last is the owner: it writes its life into
// the container's register, and looks again before it moves or removes anything. One that finds another life there
// moves and removes nothing any more; what was under way at that moment is the only thing that both may do. Until the
// record is published the bytes stay in the log. A failing store delays all this, with longer and longer pauses, and
// nothing else.
//
// Thread rule: on the container's executor.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include "container/memory_budget.h"
#include "container/object_writer.h"
#include "container/segment.h"
#include "container/state/state_batch.h"
#include "container/tier_reader.h"
#include "container/tiering_options.h"

namespace millrace::container {

inline constexpr std::uint64_t kAllFiles = ~std::uint64_t{0};
inline constexpr std::size_t kRoundsMax = 4;  // under way at once

// What the storage writer needs of its container.
class TieringHost : public SegmentSource {
  public:
    virtual Segment* find_segment(SegmentId segment) = 0;            // durable; null when it has gone
    virtual bool wants_space() const = 0;                            // the log is full, or asked for its oldest files
    virtual state::StateBatch& state_changes(Segment& segment) = 0;  // of what is being published
    // The log's file up to which a round goes that is to take `bytes`, or a little more: kAllFiles for everything.
    virtual std::uint64_t move_through(std::uint64_t bytes) const = 0;
    // What a round has planned, all of it before the first read. False: it cannot be read, and stays where it is.
    virtual bool will_move(std::size_t round, const Extent& extent) = 0;
    virtual void round_over(std::size_t round) = 0;
    // These bytes are in long-term storage now, as the record that is being applied says.
    virtual void settle(Segment& segment, std::uint64_t from, std::uint64_t to) = 0;
    virtual void no_longer_planned(Segment& segment) = 0;  // what is gone and was kept for that can go
    virtual void storage_failed() = 0;                     // objects are no longer taken, for a while
    // Logs that an object was written, and calls `done` when Tiering::apply() has been called for it.
    virtual void log_object(WrittenObject written, runtime::Callback<Result<>> done) = 0;
};

class Tiering {
  public:
    Tiering(ContainerId container, runtime::Executor& executor, TieringHost& host, TieringOptions options,
            std::shared_ptr<MemoryBudget> memory);
    ~Tiering();
    Tiering(const Tiering&) = delete;
    Tiering& operator=(const Tiering&) = delete;

    // ---- the state that follows from the log: in replay, before start(), as well ----
    // `segments`: those of the parts, if they are known. False: a manifest entry overlaps another one partly, and
    // counts for nothing.
    bool apply(const ObjectWrittenRecord& record, std::span<Segment* const> segments = {});
    // What the state has. False: it cannot be.
    void load(const TieredObject& object, std::uint64_t living_bytes);
    bool load(Segment& segment, const ManifestEntry& entry);
    void load_next_object(std::uint64_t id) { next_object_ = std::max(next_object_, id); }
    void encode_changed(state::StateBatch& out);  // objects
    std::uint64_t next_object() const { return next_object_; }
    void splice(Segment& target, Segment& source, std::uint64_t base);  // manifests, in a merge
    void became_dirty(Segment& segment);                                // it has bytes only in the log
    void became_scattered(Segment& segment);                            // it has small pieces, perhaps
    void remove(Segment& segment, const ManifestEntry& entry);          // it was taken out of the manifest

    // ---- serving ----
    // `store` may be null: then nothing is moved. `prefix` of all keys, without a slash at its end.
    // `newest_ms`: wall clock of the newest entry of the log: what is much younger was not written by its past.
    void start(std::unique_ptr<lts::ChunkStore> store, std::string prefix, std::int64_t newest_ms);
    void stop();
    bool active() const { return store_ != nullptr && !stopped_; }
    bool in_trouble() const { return trouble_.has_value(); }
    bool holds_anything() const { return !objects_.empty(); }
    void poke();  // the log wants space: do not wait for a round's time

    // Bytes of `segment` at `offset`, which its manifest holds.
    void read(Segment& segment, std::uint64_t offset, std::size_t max_bytes, TierReader::Done done);
    // The same for pieces that are written again as one: many small ones, each in another object, next to those of the
    // segments that come next. Flushes nothing that readers use.
    void read_piece(Segment& segment, std::uint64_t offset, std::size_t max_bytes, TierReader::Done done);

    TieringStats stats() const;
    const TieringGauges& gauges() const { return gauges_; }
    // Appends wait a moment, until something has moved: storage shares the log's disk, it keeps moving, and what it has
    // not moved would leave memory. Read back from the log, each byte would cost the disk a third pass. Behind a
    // backlog that memory does not hold any more, appends get half of what moves, so that it shrinks and nobody stands
    // still.
    bool holds_appends() const;
    void count_log_only(std::int64_t change) {
        log_only_bytes_ += static_cast<std::uint64_t>(change);
        gauges_.log_only_bytes.store(log_only_bytes_, std::memory_order_relaxed);
        auto untold = static_cast<std::int64_t>(log_only_bytes_ - told_);
        if (untold >= told_step_ || untold <= -told_step_) tell_log_only();
        if (!hurried_ && nears_round()) hurry();
    }

  private:
    struct Object {
        TieredObject record;
        std::uint64_t living_bytes = 0;
    };
    // Who reads a segment one piece after the other, and how far ahead is loaded.
    struct Scan {
        std::uint64_t next = 0;
        std::uint64_t window = 0;
        std::uint64_t ahead = 0;  // offset up to which bytes were asked for
        bool passing = false;     // went on behind its first window: it will not come back
    };

    struct Round {
        bool open = false;
        bool joins = false;             // pieces that lie in storage already
        std::size_t objects = 0;        // planned, and not over
        std::uint64_t bytes = 0;        // of the log, that it moves
        std::vector<Segment*> planned;  // segments that its objects have parts of: they stay in memory
    };

    static constexpr std::chrono::milliseconds kTick{500};
    static constexpr std::chrono::milliseconds kTurn{4};  // between looks whether it is our turn
    static constexpr std::chrono::milliseconds kLongestPause{15'000};
    // Ownership that was looked up is believed for so long: by who writes, under keys of its own, and by who removes.
    static constexpr std::chrono::milliseconds kConfirmedToWrite{5'000};
    static constexpr std::chrono::milliseconds kConfirmedToRemove{500};

    void tell_log_only();
    bool put(Segment& segment, const ManifestEntry& entry, Object& object);
    std::vector<Segment*> in_memory(std::vector<SegmentId> ids);
    void release(const ManifestEntry& entry);
    void arm_timer(std::chrono::milliseconds delay);
    void look();
    void hurry();                                            // enough bytes: no waiting for the next tick
    bool owned_within(std::chrono::milliseconds age) const;  // looked up so long ago at most
    void confirm();                                          // looks it up, and goes on with look()
    void register_read(Result<lts::Register> found);
    void claim(const lts::RegisterTag& seen);
    void owner_is(lts::RegisterTag tag);
    void fenced(std::string_view owner);
    void not_confirmed(const Error& error);
    void publish_gauges();
    void watch();
    bool is_due() const;
    bool wants_joining() const { return (pressed_ || joins_left_) && !scattered_.empty(); }
    bool may_begin() const;
    bool in_round() const { return rounds_open_ > 0; }
    std::uint64_t unplanned_bytes() const { return log_only_bytes_ - std::min(log_only_bytes_, planned_bytes_); }
    bool may_overlap() const;
    // Enough bytes for a round, or for one that may have to wait for its turn.
    bool has_round() const;
    bool nears_round() const {
        return unplanned_bytes() >= (options_.shares_disk ? options_.flush_bytes / 2 : options_.flush_bytes);
    }
    void plan_round();
    std::uint64_t object_bytes_of_round() const;
    void plan_log_runs(Segment& segment, std::uint64_t last_file);
    void plan_joins();
    void plan_small_pieces(Segment& segment);
    void add_run(Segment& segment, std::uint64_t begin, std::uint64_t end);
    void add_plan(ObjectPlan plan);
    void close_pack();
    void give_work();
    void written(std::string key, std::size_t round, Result<WrittenObject> object);
    void recorded(Result<> result, std::size_t round, std::uint64_t bytes);
    void plan_over(std::size_t round);
    void drop_plans();
    void moved(std::uint64_t bytes);
    void failed(const Error& error);
    void end_round(std::size_t index);
    void rounds_ended();
    void remove_garbage();
    void sweep_orphans(const std::string& after);
    std::string next_key(ObjectId id);
    Scan& scan_of(SegmentId segment, std::uint64_t offset);
    void read_ahead(Segment& segment, Scan& scan);
    void read_now(Segment& segment, std::uint64_t offset, std::size_t max_bytes, TierReader::Done done);
    Segment* living(SegmentId id, std::uint64_t offset, TierReader::Done& done);
    void read_again(SegmentId id, ObjectId object, std::uint64_t offset, std::size_t max_bytes, const Error& error,
                    TierReader::Done done);

    const ContainerId container_;
    runtime::Executor& executor_;
    TieringHost& host_;
    const TieringOptions options_;

    absl::flat_hash_map<ObjectId, Object> objects_;
    absl::flat_hash_set<ObjectId> changed_;  // the state has other ones
    std::uint64_t next_object_ = 1;
    std::uint64_t log_only_bytes_ = 0;
    std::shared_ptr<MemoryBudget> memory_;
    std::uint64_t told_ = 0;  // of log_only_bytes_, to memory_
    const std::int64_t told_step_;
    std::optional<std::chrono::steady_clock::time_point> moved_at_;  // the newest object's record
    std::uint64_t ceiling_;                                          // of log_only_bytes_, above which appends wait
    std::vector<SegmentId> dirty_;
    std::chrono::steady_clock::time_point dirty_since_;  // the first of them

    std::unique_ptr<lts::ChunkStore> store_;
    std::unique_ptr<TierReader> reader_;
    std::unique_ptr<TierReader> piece_reader_;  // while pieces are joined
    SegmentId pieces_of_;                       // segment whose pieces were asked for
    std::uint64_t pieces_to_ = 0;               // up to this offset
    std::size_t piece_reads_ = 0;               // under way
    std::vector<std::unique_ptr<ObjectWriter>> writers_;
    std::string prefix_;
    std::string life_;
    std::int64_t newest_ms_ = 0;
    bool stopped_ = false;
    runtime::TimerId timer_;

    std::optional<lts::RegisterTag> ours_;  // of our life in the register; none: not there yet
    std::chrono::steady_clock::time_point confirmed_at_;
    bool confirming_ = false;
    bool fenced_ = false;  // for good

    // The rounds under way. The next one begins while objects of those before are written: otherwise the disk would
    // have nothing to do at the end of each.
    std::array<Round, kRoundsMax> rounds_;
    std::size_t rounds_open_ = 0;
    std::size_t planning_ = 0;         // the round that is being planned
    std::uint64_t planned_bytes_ = 0;  // of all rounds
    std::size_t overlapping_ = 0;      // rounds that began beside others, since there was none
    bool has_moved_ = false;           // something, since there was none
    bool fruitless_ = false;           // nothing had moved when they were over: the next one waits a moment
    bool poked_ = false;
    bool pressed_ = false;  // the last round was due for its bytes: joining had to wait
    std::chrono::steady_clock::time_point pressed_at_;
    bool hurried_ = false;  // a look comes at once
    std::deque<ObjectPlan> plans_;
    ObjectPlan pack_;
    std::uint64_t pack_bytes_ = 0;
    std::uint32_t under_way_ = 0;       // objects being written or recorded
    std::vector<SegmentId> scattered_;  // segments that got small pieces
    std::uint64_t join_budget_ = 0;     // of the round that is being planned
    bool joins_left_ = false;           // it was not enough
    std::uint64_t answers_ = 0;         // of the store, since the start
    runtime::TimerId watch_;

    std::optional<std::string> trouble_;
    std::chrono::milliseconds pause_{0};
    std::deque<std::string> garbage_;
    bool removing_ = false;
    std::chrono::steady_clock::time_point remove_again_at_;

    absl::flat_hash_map<SegmentId, std::vector<Scan>> scans_;
    TieringStats counters_;
    TieringGauges gauges_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace millrace::container
