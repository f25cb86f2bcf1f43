#include "sim/node.h"

#include "sim/slow_state.h"

namespace millrace::sim {
namespace {

constexpr std::size_t kCrashChoices = 12;

class Replay final : public wal::RecoveryVisitor {
  public:
    explicit Replay(std::vector<std::unique_ptr<container::SegmentContainer>>& containers) : containers_(containers) {}
    Result<> frame(ContainerId id, const wal::Appended& where, bytes::ByteSpan payload) override {
        if (id.value() >= containers_.size()) return fail(Errc::kCorrupt, "a frame of no container");
        return containers_[id.value()]->replay(where, payload);
    }

  private:
    std::vector<std::unique_ptr<container::SegmentContainer>>& containers_;
};

}  // namespace

Node::Node(runtime::ManualExecutor& executor, ObjectWorld& world, NodeOptions options)
    : executor_(executor),
      world_(world),
      options_(std::move(options)),
      disk_(std::make_unique<io::MemoryFileSystem>(executor)) {
    for (std::uint32_t i = 0; i < options_.containers; ++i)
        state_disks_.push_back(std::make_shared<container::state::MemoryStateDisk>());
}

Result<> Node::boot() {
    auto done = recover();
    if (!done) drop();
    return done;
}

Result<> Node::recover() {
    failure_.reset();
    seen_disk_ = plant(*disk_, options_.planted);
    for (std::uint32_t i = 0; i < options_.containers; ++i) {
        auto state = std::make_unique<container::state::MemoryStateStore>(state_disks_[i], executor_);
        if (options_.planted == Planted::kLostFlush) state->forget_flushes();
        states_.push_back(state.get());
        std::unique_ptr<container::state::StateStore> store = std::move(state);
        if (options_.state_delay_max.count() > 0)
            store = std::make_unique<SlowState>(std::move(store), executor_, options_.state_delay_max);
        containers_.push_back(std::make_unique<container::SegmentContainer>(ContainerId(i), executor_,
                                                                            options_.container, std::move(store)));
        if (auto loaded = containers_.back()->load(); !loaded) return loaded;
    }
    journal_ = std::make_unique<wal::local::LocalJournal>(*seen_disk_, executor_, options_.journal);
    Replay replay(containers_);
    ForgetfulVisitor forgetful(replay);
    bool forgets = options_.planted == Planted::kForgottenWriter;
    auto report = journal_->recover(forgets ? static_cast<wal::RecoveryVisitor&>(forgetful) : replay);
    if (!report) return fail(report.error());
    for (auto& each : containers_) {
        if (auto finished = each->finish_recovery(); !finished) return finished;
    }
    for (auto& each : containers_) {
        auto on_failure = [this](Error error) { failure_ = std::move(error); };
        each->start(journal_->open(each->id(), executor_), on_failure, world_.open(executor_), "sim");
    }
    return {};
}

void Node::drop() {
    containers_.clear();
    states_.clear();
    journal_.reset();
    executor_.drop_all();
}

void Node::kill(Random& random) {
    // The states keep what was flushed, and what was written early.
    for (auto* state : states_) state->write_out_early(random.below(state->unflushed_batches() + 1));
    disk_->crash();
    drop();
    auto choices = disk_->crash_choices(kCrashChoices, random);
    const io::CrashChoice& choice = choices[random.below(choices.size())];
    last_crash_ = choice.description;
    auto after = disk_->restart(executor_, choice);
    seen_disk_.reset();
    disk_ = std::move(after);
    executor_.drop_all();
}

Result<> Node::stop() {
    std::size_t stopped = 0;
    for (auto& each : containers_) each->stop([&stopped] { ++stopped; });
    executor_.run_until_idle();
    for (int i = 0; i < 100 && stopped < containers_.size(); ++i) executor_.advance(std::chrono::milliseconds(10));
    if (stopped < containers_.size()) return fail(Errc::kUnavailable, "a container does not stop");
    containers_.clear();
    states_.clear();
    std::optional<Result<>> closed;
    journal_->close([&closed](Result<> result) { closed = std::move(result); });
    executor_.run_until_idle();
    for (int i = 0; i < 100 && !closed; ++i) executor_.advance(std::chrono::milliseconds(10));
    if (!closed) return fail(Errc::kUnavailable, "the journal does not close");
    return *closed;
}

}  // namespace millrace::sim
