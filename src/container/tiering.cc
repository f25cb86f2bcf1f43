#include "container/tiering.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "base/units.h"
#include "container/state/manifest_record.h"
#include "container/state/object_record.h"

namespace millrace::container {
namespace {

constexpr std::chrono::milliseconds kFirstPause{500};
constexpr std::chrono::milliseconds kFruitless{100};  // after rounds that moved nothing
constexpr std::chrono::milliseconds kCalm{2000};      // since the last round that was due for its bytes
constexpr std::chrono::milliseconds kMoves{2000};     // appends wait for a storage writer that made an object so lately
constexpr std::int64_t kToldStepMax = 256 << 10;
constexpr std::size_t kOverlappingMax = 64;
constexpr std::size_t kAhead = 4;              // segments that are on their way from memory
constexpr std::chrono::seconds kPatience{60};  // without any answer from the store

// No bytes are not enough for a round, nor for a part of one that lets it come near: it would be looked for without
// end.
TieringOptions checked(TieringOptions options) {
    options.flush_bytes = std::max<std::uint64_t>(options.flush_bytes, 4);
    return options;
}

state::ManifestRecord stored(SegmentId segment, const ManifestEntry& entry, ObjectKind kind) {
    return {segment,
            entry.offset,
            entry.size,
            state::ObjectId(entry.object.value()),
            entry.object_offset,
            static_cast<state::ObjectKind>(kind)};
}

}  // namespace

Tiering::Tiering(ContainerId container, runtime::Executor& executor, TieringHost& host, TieringOptions options,
                 std::shared_ptr<MemoryBudget> memory)
    : container_(container),
      executor_(executor),
      host_(host),
      options_(checked(std::move(options))),
      memory_(std::move(memory)),
      told_step_(std::clamp<std::int64_t>(static_cast<std::int64_t>(memory_->share() / 16), 1, kToldStepMax)),
      ceiling_(memory_->lag_share()) {}

Tiering::~Tiering() {
    *alive_ = false;
    memory_->only_in_log(-static_cast<std::int64_t>(told_));
    for (; rounds_open_ > 0; --rounds_open_) memory_->round_ends();
}

// ---- what follows from the log ----

bool Tiering::apply(const ObjectWrittenRecord& record, std::span<Segment* const> segments) {
    auto [made, is_new] = objects_.try_emplace(record.object.id, Object{record.object, 0});
    next_object_ = std::max(next_object_, record.object.id.value() + 1);
    changed_.insert(record.object.id);
    // The object stays where it is: only others are removed meanwhile, as this byte more keeps it alive.
    Object& object = made->second;
    ++object.living_bytes;
    bool fits = true;
    for (std::size_t i = 0; i < record.parts.size(); ++i) {
        const ObjectPart& part = record.parts[i];
        if (i + kAhead < segments.size()) segments[i + kAhead]->prefetch();
        Segment* segment = segments.empty() ? host_.find_segment(part.segment) : segments[i];
        if (segment == nullptr || segment->durable.gone || part.end() <= segment->durable.start) continue;
        if (is_new) {
            bool is_there = put(*segment, {part.offset, part.size, record.object.id, part.object_offset}, object);
            fits = is_there && fits;
            if (!is_there) continue;
            if (part.size < options_.piece_bytes_min) {
                ++segment->new_pieces;
                became_scattered(*segment);
            }
        } else {  // replayed, and the state has it
            const ManifestEntry* entry = segment->manifest.find(part.offset);
            if (entry == nullptr || entry->object != record.object.id) continue;
        }
        host_.settle(*segment, part.offset, part.end());
    }
    release({0, 1, record.object.id, 0});
    return fits;
}

bool Tiering::put(Segment& segment, const ManifestEntry& entry, Object& object) {
    std::uint64_t data_bytes = object.record.data_bytes;
    if (entry.object_offset > data_bytes || entry.size > data_bytes - entry.object_offset) return false;
    std::vector<ManifestEntry> replaced;
    if (!segment.manifest.put(entry, [&](const ManifestEntry& old) { replaced.push_back(old); })) return false;
    object.living_bytes += entry.size;
    for (const ManifestEntry& old : replaced) remove(segment, old);
    host_.state_changes(segment).put(stored(segment.id, entry, object.record.kind));
    return true;
}

void Tiering::remove(Segment& segment, const ManifestEntry& entry) {
    host_.state_changes(segment).remove(state::ManifestRecord::key(segment.id, entry.offset));
    release(entry);
}

void Tiering::splice(Segment& target, Segment& source, std::uint64_t base) {
    state::StateBatch& changes = host_.state_changes(target);
    for (ManifestEntry entry : source.manifest.entries()) {
        changes.remove(state::ManifestRecord::key(source.id, entry.offset));
        auto object = objects_.find(entry.object);
        if (object == objects_.end()) continue;
        entry.offset += base;
        changes.put(stored(target.id, entry, object->second.record.kind));
    }
    target.new_pieces += static_cast<std::uint32_t>(source.manifest.size());
    target.manifest.splice(source.manifest, base);
}

// ---- the state ----

void Tiering::load(const TieredObject& object, std::uint64_t living_bytes) {
    objects_.try_emplace(object.id, Object{object, living_bytes});
    next_object_ = std::max(next_object_, object.id.value() + 1);
}

bool Tiering::load(Segment& segment, const ManifestEntry& entry) {
    auto object = objects_.find(entry.object);
    if (object == objects_.end()) return false;
    std::uint64_t data_bytes = object->second.record.data_bytes;
    if (entry.object_offset > data_bytes || entry.size > data_bytes - entry.object_offset) return false;
    bool fits = true;
    return segment.manifest.put(entry, [&](const ManifestEntry&) { fits = false; }) && fits;
}

void Tiering::encode_changed(state::StateBatch& out) {
    for (ObjectId id : changed_) {
        state::ObjectId stored_id(id.value());
        auto found = objects_.find(id);
        if (found == objects_.end()) {
            out.remove(state::ObjectRecord::key(stored_id));
            continue;
        }
        const TieredObject& object = found->second.record;
        auto kind = static_cast<state::ObjectKind>(object.kind);
        out.put(state::ObjectRecord{stored_id, kind, state::ObjectState::kLive, object.data_bytes,
                                    found->second.living_bytes, object.key});
    }
    changed_.clear();
}

void Tiering::became_dirty(Segment& segment) {
    if (segment.dirty) return;
    segment.dirty = true;
    if (dirty_.empty()) {
        dirty_since_ = executor_.clock().now();
        publish_gauges();
    }
    dirty_.push_back(segment.id);
    if (active() && timer_.value() == 0) arm_timer(kTick);
}

void Tiering::became_scattered(Segment& segment) {
    if (segment.scattered) return;
    segment.scattered = true;
    scattered_.push_back(segment.id);
}

void Tiering::release(const ManifestEntry& entry) {
    auto found = objects_.find(entry.object);
    if (found == objects_.end()) return;
    std::uint64_t& living = found->second.living_bytes;
    living -= std::min(living, entry.size);
    changed_.insert(entry.object);
    if (living > 0) return;
    garbage_.push_back(found->second.record.key);
    if (reader_) reader_->forget(entry.object);
    if (piece_reader_) piece_reader_->forget(entry.object);
    objects_.erase(found);
    publish_gauges();
    remove_garbage();
}

// ---- life cycle ----

void Tiering::start(std::unique_ptr<lts::ChunkStore> store, std::string prefix, std::int64_t newest_ms) {
    if (!store) return;
    newest_ms_ = newest_ms;
    store_ = std::move(store);
    prefix_ = fmt::format("{}/c{:x}", prefix, container_.value());
    life_ = fmt::format("{:016x}", executor_.random().next());
    reader_ = std::make_unique<TierReader>(*store_, options_.reader);
    for (std::uint32_t i = 0; i < options_.writers; ++i) {
        writers_.push_back(std::make_unique<ObjectWriter>(*store_, host_));
    }
    garbage_.clear();  // the sweep finds it
    confirm();
    arm_timer(kTick);
}

void Tiering::stop() {
    stopped_ = true;
    executor_.cancel(timer_);
    executor_.cancel(watch_);
    drop_plans();
}

void Tiering::arm_timer(std::chrono::milliseconds delay) {
    executor_.cancel(timer_);
    hurried_ = delay <= kTurn;
    timer_ = executor_.call_after(delay, [this, alive = alive_] {
        if (!*alive) return;
        timer_ = {};
        look();
    });
}

void Tiering::poke() {
    if (!active() || poked_) return;
    poked_ = true;
    if (!in_round() && !trouble_ && !confirming_) arm_timer(std::chrono::milliseconds(0));
}

// A round can begin. What is left over (bytes that have a new place in the log, parts that could not be read) waits
// until no round is under way, so that must come from time to time.
bool Tiering::may_begin() const { return !in_round() || (may_overlap() && has_round()); }

bool Tiering::may_overlap() const {
    if (!options_.shares_disk || rounds_open_ == kRoundsMax || overlapping_ == kOverlappingMax) return false;
    return plans_.empty() && !trouble_ && !poked_ && !host_.wants_space() && !memory_->has_overflowed();
}

// Beside the log's disk containers take turns: the fewer rounds are under way, the sooner one begins. All together they
// would want memory and the disk at the same time, and neither in between.
bool Tiering::has_round() const {
    std::uint64_t enough = options_.flush_bytes;
    if (options_.shares_disk) enough = enough / 4 * std::min(2 + memory_->rounds(), 4U);
    return unplanned_bytes() >= enough;
}

void Tiering::hurry() {
    if (fruitless_ || !active() || trouble_ || confirming_ || fenced_ || (in_round() && !may_overlap())) return;
    arm_timer(has_round() ? std::chrono::milliseconds(0) : kTurn);
}

bool Tiering::is_due() const {
    if (wants_joining() && executor_.clock().now() - pressed_at_ >= kCalm) return true;
    if (dirty_.empty()) return false;
    if (trouble_ || poked_ || host_.wants_space()) return true;
    return has_round() || executor_.clock().now() - dirty_since_ >= options_.flush_after;
}

void Tiering::publish_gauges() {
    gauges_.objects.store(objects_.size(), std::memory_order_relaxed);
    gauges_.in_trouble.store(trouble_ ? 1 : 0, std::memory_order_relaxed);
    gauges_.fenced.store(fenced_ ? 1 : 0, std::memory_order_relaxed);
}

void Tiering::look() {
    hurried_ = fruitless_ = false;
    publish_gauges();
    if (!active() || confirming_ || fenced_) return;
    if (!may_begin()) {
        if (nears_round()) hurry();
        return;
    }
    bool removes = !garbage_.empty() && !removing_;
    if (!ours_ || (is_due() && !owned_within(kConfirmedToWrite)) || (removes && !owned_within(kConfirmedToRemove)))
        return confirm();
    remove_garbage();
    if (is_due()) {
        plan_round();
        return give_work();
    }
    if (dirty_.empty() && trouble_) {  // what could not be moved has gone
        trouble_.reset();
        publish_gauges();
    }
    if (nears_round()) return hurry();
    if (!dirty_.empty() || !garbage_.empty() || wants_joining()) arm_timer(kTick);
}

// A store that answers nothing at all, like a network file system that hangs, is in trouble too.
void Tiering::watch() {
    executor_.cancel(watch_);
    watch_ = executor_.call_after(kPatience, [this, alive = alive_, before = answers_] {
        if (!*alive || stopped_ || !(in_round() || confirming_)) return;
        if (answers_ == before && !trouble_) {
            log::warn("container {}: long-term storage has not answered for {} s", container_.value(),
                      kPatience.count());
            trouble_ = "no answer";
            publish_gauges();
            host_.storage_failed();
        }
        watch();
    });
}

// ---- how far it is behind ----

void Tiering::tell_log_only() {
    memory_->only_in_log(static_cast<std::int64_t>(log_only_bytes_ - told_));
    told_ = log_only_bytes_;
}

bool Tiering::holds_appends() const {
    if (!options_.shares_disk || log_only_bytes_ <= ceiling_ || !memory_->lags()) return false;
    if (!active() || trouble_ || fenced_ || !moved_at_) return false;
    return executor_.clock().now() - *moved_at_ < kMoves;
}

void Tiering::moved(std::uint64_t bytes) {
    auto now = executor_.clock().now();
    bool stood_still = !moved_at_ || now - *moved_at_ >= kMoves;
    // What came while it stood still was for the log to take.
    ceiling_ = stood_still ? log_only_bytes_ : ceiling_ - std::min(ceiling_, bytes / 2);
    ceiling_ = std::max(ceiling_, memory_->lag_share());
    moved_at_ = now;
    has_moved_ = true;
}

// ---- writing ----

std::string Tiering::next_key(ObjectId id) { return fmt::format("{}/{}-{:x}", prefix_, life_, id.value()); }

void Tiering::give_work() {
    for (auto& writer : writers_) {
        if (plans_.empty() || !active()) break;
        if (writer->busy()) continue;
        ObjectPlan plan = std::move(plans_.front());
        plans_.pop_front();
        const std::size_t round = plan.round;
        plan.object.id = ObjectId(next_object_++);
        plan.object.key = next_key(plan.object.id);
        ++under_way_;
        std::string key = plan.object.key;
        writer->write(std::move(plan), [this, key, round](Result<WrittenObject> object) mutable {
            written(std::move(key), round, std::move(object));
        });
    }
    if (in_round() && !hurried_ && nears_round()) hurry();
}

void Tiering::written(std::string key, std::size_t round, Result<WrittenObject> object) {
    ++answers_;
    if (!object) {
        // It may be there nevertheless, and nobody will name it.
        garbage_.push_back(std::move(key));
        failed(object.error());
        return plan_over(round);
    }
    if (object->record.parts.empty()) return plan_over(round);
    const std::uint64_t bytes = object->record.object.data_bytes;
    ++counters_.written_objects;
    counters_.written_bytes += bytes;
    if (!fenced_ && std::exchange(trouble_, std::nullopt)) {
        log::info("container {}: long-term storage takes objects again", container_.value());
    }
    pause_ = {};
    host_.log_object(std::move(*object), [this, alive = alive_, key, round, bytes](Result<> logged) mutable {
        if (!*alive) return;
        if (!logged) garbage_.push_back(std::move(key));
        recorded(std::move(logged), round, bytes);
    });
    give_work();
}

void Tiering::recorded(Result<> result, std::size_t round, std::uint64_t bytes) {
    if (result) moved(bytes);
    if (!result && result.error() != Errc::kClosed) failed(result.error());
    plan_over(round);
}

// An object that was begun is recorded, or has failed.
void Tiering::plan_over(std::size_t round) {
    --under_way_;
    if (--rounds_[round].objects == 0) end_round(round);
    give_work();
}

// What they were to move is dirty still.
void Tiering::drop_plans() {
    for (const ObjectPlan& plan : std::exchange(plans_, {})) {
        if (--rounds_[plan.round].objects == 0) end_round(plan.round);
    }
}

void Tiering::failed(const Error& error) {
    if (stopped_ || fenced_) return;
    ++counters_.failures;
    if (!trouble_) {
        log::warn("container {}: long-term storage does not take objects, their bytes stay in the log: {}",
                  container_.value(), error.to_string());
    }
    bool is_new = !trouble_;
    trouble_ = error.to_string();
    if (is_new) host_.storage_failed();
    pause_ = std::clamp(pause_ * 2, kFirstPause, kLongestPause);
    drop_plans();
}

void Tiering::end_round(std::size_t index) {
    publish_gauges();
    Round round = std::exchange(rounds_[index], {});
    // Not here: this may be a call of its own. Who still reads with it would wait for ever.
    if (round.joins && piece_reads_ == 0)
        executor_.post([over = std::shared_ptr<TierReader>(std::move(piece_reader_))] {});
    memory_->round_ends();
    planned_bytes_ -= round.bytes;
    host_.round_over(index);
    for (std::size_t i = 0; i < round.planned.size(); ++i) {
        if (i + kAhead < round.planned.size()) round.planned[i + kAhead]->prefetch();
        Segment& segment = *round.planned[i];
        if (--segment.planned > 0) continue;
        segment.planned_to = 0;
        if (segment.durable.gone) host_.no_longer_planned(segment);
    }
    if (--rounds_open_ == 0) rounds_ended();
}

void Tiering::rounds_ended() {
    executor_.cancel(watch_);
    if (!active() || fenced_) return;
    if (trouble_) {
        auto spread =
            static_cast<std::int64_t>(executor_.random().below(static_cast<std::uint64_t>(pause_.count()) / 2 + 1));
        return arm_timer(pause_ + std::chrono::milliseconds(spread));
    }
    if (dirty_.empty() && garbage_.empty() && scattered_.empty()) return;
    // What cannot be moved is not tried without end.
    fruitless_ = !std::exchange(has_moved_, false);
    if (!fruitless_ && is_due()) return arm_timer(std::chrono::milliseconds(0));
    if (!fruitless_ && nears_round()) return hurry();
    arm_timer(fruitless_ && nears_round() ? kFruitless : kTick);
}

TieringStats Tiering::stats() const {
    TieringStats stats = counters_;
    stats.log_only_bytes = log_only_bytes_;
    stats.objects = objects_.size();
    for (const auto& [id, object] : objects_) stats.object_bytes += object.record.data_bytes;
    stats.trouble = trouble_;
    stats.objects_in_flight = under_way_;
    stats.garbage_objects = garbage_.size();
    if (store_) {
        lts::StoreStats store = store_->stats();
        stats.store_requests = store.requests;
        stats.store_retries = store.retries;
        stats.store_throttled = store.throttled;
    }
    if (reader_) stats.reader = reader_->stats();
    return stats;
}

}  // namespace millrace::container
