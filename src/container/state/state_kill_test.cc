// A process that writes to a state, killed without warning at random moments, again and again on the same directory.
// The next one must find what all batches up to some sequence make, at least up to the last flush that was
// acknowledged.
#include <chrono>
#include <sstream>

#include "base/log.h"
#include "container/state/store_harness.h"
#include "io/testing/killed_program.h"

namespace millrace::container::state {
namespace {

constexpr std::uint64_t kSeed = 21;
constexpr int kKills = 60;

class StateKill : public testing::Test {
  protected:
    void SetUp() override { log::set_level(log::Level::kOff); }

    void run_and_kill(std::chrono::microseconds delay) {
        std::vector<std::string> command{MILLRACE_STATE_KILL_WRITER, path(), std::to_string(kSeed)};
        io::run_and_kill(std::move(command), delay, [this](const std::string& line) { return take(line); });
    }

    // Whether it says that it has begun.
    bool take(const std::string& line) {
        EXPECT_NE(line[0], 'E') << line;
        std::uint64_t sequence = 0;
        std::istringstream(line.substr(1)) >> sequence;
        if (line[0] == 'F') {
            flushed_ = std::max(flushed_, LogSequence(sequence));
            ++flushes_;
        }
        if (line[0] != 'S') return false;
        EXPECT_EQ(LogSequence(sequence), modelled_);
        return true;
    }

    void check() {
        auto database = Database::open({path(), ContainerId(1)}, std::make_shared<StateResources>());
        ASSERT_TRUE(database) << database.error().to_string();
        LogSequence found = (*database)->written();
        ASSERT_GE(found, flushed_) << "a flush that was acknowledged is gone";
        ASSERT_GE(found, modelled_) << "it went back behind what was found before";
        while (modelled_ < found) {
            modelled_ = modelled_.next();
            model_.apply(random_batch(kSeed, modelled_));
        }
        StateModel::Entries entries;
        auto loaded = (*database)->load(kContainersKeys, [&](std::string_view key, std::string_view value) -> Result<> {
            entries.emplace_hint(entries.end(), key, value);
            return {};
        });
        ASSERT_TRUE(loaded) << loaded.error().to_string();
        ASSERT_TRUE(entries == model_.entries) << "it is not what the batches up to " << found.value() << " make";
    }

    std::string path() const { return directory_.path() + "/state"; }

    ScratchDirectory directory_;
    LogSequence flushed_;
    std::uint64_t flushes_ = 0;
    LogSequence modelled_;
    StateModel model_;
};

TEST_F(StateKill, HoldsAPrefixAtLeastUpToTheLastFlush) {
    SeededRandom random(17);
    int beyond = 0;
    constexpr std::uint64_t kFlushes = 20;  // on a busy machine a writer may be killed before its first one
    for (int run = 1; run <= kKills || (flushes_ <= kFlushes && run <= 10 * kKills); ++run) {
        auto delay = std::chrono::microseconds(random.below(run % 10 == 0 ? 300'000 : 40'000));
        ASSERT_NO_FATAL_FAILURE(run_and_kill(delay)) << "run " << run;
        ASSERT_NO_FATAL_FAILURE(check()) << "run " << run;
        if (modelled_ > flushed_) ++beyond;
    }
    EXPECT_GT(flushes_, kFlushes);
    std::printf("%llu batches in the end, %llu flushes acknowledged, %d times more than the last one was there\n",
                static_cast<unsigned long long>(modelled_.value()), static_cast<unsigned long long>(flushes_), beyond);
}

}  // namespace
}  // namespace millrace::container::state
