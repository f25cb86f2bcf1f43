// A batch ends, however fast things are marked while it is encoded.
#include "container/state_keeper.h"

#include <gtest/gtest.h>

#include "container/state/memory_state_store.h"
#include "runtime/manual_executor.h"

namespace millrace::container {
namespace {

// Between two slices more is marked than the first of them holds.
class BusyHost final : public StateHost {
  public:
    bool encode_marked(state::StateBatch&, std::size_t most) override {
        ++slices;
        marked -= std::min(most, marked);
        if (marked == 0) return true;
        marked += kMarkedMeanwhile;
        return false;
    }
    void sealed(std::uint64_t number) override { sent = number; }
    void saved(std::uint64_t number) override { done = number; }
    void state_failed(const Error& error) override { ADD_FAILURE() << error.to_string(); }

    static constexpr std::size_t kMarkedMeanwhile = 5'000;
    std::size_t marked = 20'000;
    std::size_t slices = 0;
    std::uint64_t sent = 0;
    std::uint64_t done = 0;
};

TEST(StateKeeper, ABatchEndsThoughMoreIsMarkedThanASliceHolds) {
    runtime::ManualExecutor executor;
    BusyHost host;
    auto store = std::make_unique<state::MemoryStateStore>(std::make_shared<state::MemoryStateDisk>(), executor);
    StateKeeper keeper(std::move(store), executor, host, {});
    keeper.start();
    keeper.published(LogSequence(1));
    LogSequence flushed;
    keeper.checkpoint([&](LogSequence through) { flushed = through; });
    for (int turn = 0; turn < 1000 && executor.run_one();) ++turn;
    EXPECT_EQ(host.sent, 1U);
    EXPECT_EQ(host.done, 1U);
    EXPECT_EQ(flushed, LogSequence(1));
    EXPECT_LT(host.slices, 20U);
}

}  // namespace
}  // namespace millrace::container
