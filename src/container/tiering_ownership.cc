// Whose the objects are: the register that says who may move and remove, and the removal of what nothing refers to.
#include <fmt/format.h>

#include "base/log.h"
#include "container/tiering.h"

namespace millrace::container {
namespace {

// An object whose record a crash prevented is hardly younger than the log; those of another copy's life soon are.
constexpr std::chrono::milliseconds kForeignAge{10 * 60'000};
constexpr std::chrono::seconds kSweepAgain{60};

}  // namespace

// ---- ownership ----

bool Tiering::owned_within(std::chrono::milliseconds age) const {
    return ours_ && !fenced_ && executor_.clock().now() - confirmed_at_ < age;
}

void Tiering::confirm() {
    if (std::exchange(confirming_, true)) return;
    watch();
    store_->read_register(prefix_ + "/owner", [this, alive = alive_](Result<lts::Register> found) {
        if (*alive && !stopped_) register_read(std::move(found));
    });
}

void Tiering::register_read(Result<lts::Register> found) {
    ++answers_;
    if (!found) return not_confirmed(found.error());
    auto owner = bytes::as_text(found->value);
    if (owner == life_) return owner_is(std::move(found->tag));  // also when the reply to our claim was lost
    // Nobody has taken over: what we claimed, in this life or before the first of our objects, has gone, and so may the
    // rest, as when a disk is not mounted. It may come back; to write there now could be to write elsewhere.
    if (owner.empty() && (ours_ || !objects_.empty())) {
        return not_confirmed(
            Error(Errc::kUnavailable, "register " + prefix_ +
                                          "/owner has gone from long-term storage, as if other storage lay "
                                          "in the place of ours: nothing is written there"));
    }
    if (!ours_) return claim(found->tag);
    fenced(owner);
}

void Tiering::claim(const lts::RegisterTag& seen) {
    auto life = bytes::as_bytes(life_);
    store_->write_register(prefix_ + "/owner", {life.begin(), life.end()}, seen,
                           [this, alive = alive_](Result<lts::RegisterTag> written) {
                               if (!*alive || stopped_) return;
                               ++answers_;
                               // Whoever starts at the same moment: one of us is the last.
                               if (!written) return not_confirmed(written.error());
                               owner_is(std::move(*written));
                           });
}

void Tiering::owner_is(lts::RegisterTag tag) {
    confirming_ = false;
    confirmed_at_ = executor_.clock().now();
    bool is_new = !std::exchange(ours_, std::move(tag)).has_value();
    if (!in_round()) executor_.cancel(watch_);
    if (is_new) sweep_orphans("");
    look();
    if (timer_.value() == 0 && !in_round() && !confirming_) arm_timer(kTick);
}

void Tiering::fenced(std::string_view owner) {
    confirming_ = false;
    fenced_ = true;
    executor_.cancel(watch_);
    executor_.cancel(timer_);
    drop_plans();
    trouble_ = fmt::format(
        "another server, started later on a copy of this data directory, has taken over {} (life {})", prefix_, owner);
    log::error("container {}: {}. Nothing is moved or removed there by this one any more; end one of the two",
               container_.value(), *trouble_);
    publish_gauges();
    host_.storage_failed();
}

void Tiering::not_confirmed(const Error& error) {
    confirming_ = false;
    if (error != Errc::kBadVersion) failed(error);
    if (!in_round()) executor_.cancel(watch_);
    publish_gauges();
    arm_timer(std::max(pause_, kTick));
}

// ---- garbage ----

void Tiering::remove_garbage() {
    if (!active() || removing_ || garbage_.empty() || fenced_ || executor_.clock().now() < remove_again_at_) return;
    if (!owned_within(kConfirmedToRemove)) {  // with the next look
        if (timer_.value() == 0 && !in_round() && !confirming_) arm_timer(kTick);
        return;
    }
    removing_ = true;
    store_->remove(garbage_.front(), [this, alive = alive_](Result<> removed) {
        if (!*alive) return;
        removing_ = false;
        if (!removed) {  // with a look that comes not too soon
            remove_again_at_ = executor_.clock().now() + kTick;
            if (timer_.value() == 0 && !in_round()) arm_timer(kLongestPause);
            return;
        }
        garbage_.pop_front();
        ++counters_.removed_objects;
        remove_garbage();
    });
}

// Once, at the start: what a crash left behind. Keys of this life are not looked at.
void Tiering::sweep_orphans(const std::string& after) {
    store_->list(prefix_ + "/", after, lts::kListMax, [this, alive = alive_, after](Result<lts::ListPage> page) {
        if (!*alive || stopped_) return;
        if (!page) {
            log::warn("container {}: objects that a crash may have left are looked for later: {}", container_.value(),
                      page.error().to_string());
            executor_.call_after(kSweepAgain, [this, alive, after] {
                if (*alive && !stopped_ && !fenced_) sweep_orphans(after);
            });
            return;
        }
        const std::string ours = fmt::format("{}/{}-", prefix_, life_);
        absl::flat_hash_map<std::string_view, bool> named;
        for (const auto& [id, object] : objects_) named[object.record.key] = true;
        std::size_t orphans = 0;
        std::size_t foreign = 0;
        for (const lts::ListedObject& object : page->objects) {
            if (object.key.starts_with(ours) || named.contains(object.key)) continue;
            if (object.status.modified_ms > newest_ms_ + kForeignAge.count()) {
                ++foreign;
                continue;
            }
            garbage_.push_back(object.key);
            ++orphans;
        }
        if (foreign > 0) {
            log::warn(
                "container {}: {} objects in long-term storage are younger than this journal, as if another copy of "
                "the data directory had written them; they stay",
                container_.value(), foreign);
        }
        if (orphans > 0) {
            log::info("container {}: {} objects in long-term storage that nothing refers to are removed",
                      container_.value(), orphans);
            remove_garbage();
        }
        if (!page->next.empty()) sweep_orphans(page->next);
    });
}

}  // namespace millrace::container
