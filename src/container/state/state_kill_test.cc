// A process that writes to a state, killed without warning at random moments, again and again on the same directory.
// The next one must find what all batches up to some sequence make, at least up to the last flush that was
// acknowledged.
#include <chrono>
#include <sstream>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "base/log.h"
#include "container/state/store_harness.h"

namespace millrace::container::state {
namespace {

constexpr std::uint64_t kSeed = 21;
constexpr int kKills = 60;

class StateKill : public testing::Test {
  protected:
    void SetUp() override { log::set_level(log::Level::kOff); }

    void run_and_kill(std::chrono::microseconds delay) {
        int ends[2];
        ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
        std::string program = MILLRACE_STATE_KILL_WRITER;
        std::string state = path();
        std::string seed = std::to_string(kSeed);
        char* arguments[] = {program.data(), state.data(), seed.data(), nullptr};
        pid_t child = 0;
        ASSERT_EQ(::posix_spawn(&child, program.c_str(), &actions, nullptr, arguments, environ), 0);
        posix_spawn_file_actions_destroy(&actions);
        ::close(ends[1]);
        read_until_killed(ends[0], child, delay);
        ::close(ends[0]);
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        EXPECT_TRUE(WIFSIGNALED(status)) << "it ended by itself";
    }

    void read_until_killed(int from, pid_t child, std::chrono::microseconds delay) {
        std::string text;
        std::optional<std::chrono::steady_clock::time_point> kill_at;
        auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        bool killed = false;
        while (std::chrono::steady_clock::now() < give_up) {
            if (kill_at && std::chrono::steady_clock::now() >= *kill_at && !killed) {
                ::kill(child, SIGKILL);
                killed = true;
            }
            pollfd waiting{from, POLLIN, 0};
            if (::poll(&waiting, 1, killed ? 1000 : 1) == 0) continue;
            char buffer[65536];
            ssize_t count = ::read(from, buffer, sizeof buffer);
            if (count <= 0) break;
            text.append(buffer, static_cast<std::size_t>(count));
            std::size_t end = text.rfind('\n');
            if (end == std::string::npos) continue;
            std::istringstream lines(text.substr(0, end));
            text.erase(0, end + 1);
            for (std::string line; std::getline(lines, line);) {
                EXPECT_NE(line[0], 'E') << line;
                std::uint64_t sequence = 0;
                std::istringstream(line.substr(1)) >> sequence;
                if (line[0] == 'F') {
                    flushed_ = std::max(flushed_, LogSequence(sequence));
                    ++flushes_;
                }
                if (line[0] == 'S') {
                    EXPECT_EQ(LogSequence(sequence), modelled_);
                    kill_at = std::chrono::steady_clock::now() + delay;
                }
            }
        }
        if (!killed) ::kill(child, SIGKILL);
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
