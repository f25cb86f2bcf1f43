// A process that writes to a journal on real files, killed without warning at random moments, again and again on the
// same journal. What it said to be acknowledged must be found by the next one.
#include <filesystem>
#include <map>
#include <optional>
#include <sstream>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/file.h"
#include "runtime/core_loop.h"

namespace millrace::wal {
namespace {

constexpr int kKills = 200;

class JournalKill : public testing::TestWithParam<const char*> {
  protected:
    struct Known {
        std::uint64_t first_kept = 1;
        std::map<std::uint64_t, std::uint64_t> runs;  // of acknowledged frames: who wrote them
        std::uint64_t acknowledged() const { return runs.empty() ? 0 : runs.rbegin()->first; }
    };
    struct Found {
        std::map<std::uint64_t, std::uint64_t> runs;
        std::uint64_t next = 0;
    };

    void SetUp() override {
        if (std::string_view(GetParam()) == "uring") {
            runtime::CoreLoop loop("probe", 1);
            if (!io::make_file_system(loop, io::Backend::kUring)) GTEST_SKIP() << "io_uring is not available here";
        }
        std::string pattern = testing::TempDir() + "millrace-kill-XXXXXX";
        directory_ = ::mkdtemp(pattern.data());
    }
    void TearDown() override {
        if (!directory_.empty()) std::filesystem::remove_all(directory_);
    }

    // Runs the writer until `delay` after it has started, kills it, and takes in all that it said.
    void run_and_kill(std::uint64_t run, std::chrono::microseconds delay) {
        int ends[2];
        ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
        std::string program = MILLRACE_KILL_WRITER;
        std::string journal = directory_ + "/journal";
        std::string backend = GetParam();
        std::string number = std::to_string(run);
        char* arguments[] = {program.data(), journal.data(), backend.data(), number.data(), nullptr};
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
        auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        bool killed = false;
        for (;;) {
            auto now = std::chrono::steady_clock::now();
            ASSERT_LT(now, give_up) << "the writer does not start";
            if (kill_at && now >= *kill_at && !killed) {
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
                ASSERT_NO_FATAL_FAILURE(take(line));
                if (line == "S" && !kill_at) kill_at = std::chrono::steady_clock::now() + delay;
            }
        }
        if (!killed) ::kill(child, SIGKILL);
    }

    void take(const std::string& line) {
        std::istringstream in(line);
        char kind = 0;
        std::uint64_t container = 0;
        std::uint64_t sequence = 0;
        std::uint64_t run = 0;
        in >> kind;
        ASSERT_NE(kind, 'E') << line;
        if (kind == 'S') return check_found();
        in >> container >> sequence;
        if (kind == 'F' || kind == 'A') in >> run;
        ASSERT_FALSE(in.fail()) << line;
        if (kind == 'F') {
            Found& found = found_[container];
            ASSERT_TRUE(found.runs.empty() || found.runs.rbegin()->first + 1 == sequence) << line;
            found.runs[sequence] = run;
        } else if (kind == 'N') {
            found_[container].next = sequence;
        } else if (kind == 'A') {
            Known& known = known_[container];
            ASSERT_EQ(sequence, known.acknowledged() + 1) << line;
            known.runs[sequence] = run;
            ++acknowledged_;
        } else if (kind == 'T') {
            std::uint64_t& kept = known_[container].first_kept;
            kept = std::max(kept, sequence);  // never moves back
        }
    }

    void check_found() {
        for (auto& [container, found] : found_) {
            Known& known = known_[container];
            for (auto [sequence, run] : known.runs) {
                if (sequence < known.first_kept) continue;
                auto there = found.runs.find(sequence);
                ASSERT_NE(there, found.runs.end()) << "lost: container " << container << ", frame " << sequence;
                ASSERT_EQ(there->second, run) << "replaced: container " << container << ", frame " << sequence;
            }
            ASSERT_GT(found.next, known.acknowledged());
            if (!found.runs.empty()) ASSERT_EQ(found.next, found.runs.rbegin()->first + 1);
            // What was found is the truth now, and the next process must find it too.
            for (auto [sequence, run] : found.runs) known.runs[sequence] = run;
            for (std::uint64_t lost = known.acknowledged() + 1; lost < found.next; ++lost) known.runs[lost] = 0;
        }
        found_.clear();
    }

    std::string directory_;
    std::map<std::uint64_t, Known> known_;
    std::map<std::uint64_t, Found> found_;
    std::uint64_t acknowledged_ = 0;
};

TEST_P(JournalKill, NothingAcknowledgedIsLost) {
    SeededRandom random(17);
    int kills = std::string_view(GetParam()) == "threads" ? kKills : kKills / 2;
    for (int run = 1; run <= kills; ++run) {
        auto delay = std::chrono::microseconds(random.below(run % 10 == 0 ? 150'000 : 30'000));
        ASSERT_NO_FATAL_FAILURE(run_and_kill(static_cast<std::uint64_t>(run), delay)) << "run " << run;
    }
    EXPECT_GT(acknowledged_, 1000u);
    auto first = std::filesystem::directory_iterator(directory_ + "/journal");
    std::string oldest = "z";
    for (const auto& entry : first) oldest = std::min(oldest, entry.path().filename().string());
    EXPECT_NE(oldest, "0000000000000001.journal") << "files must have been recycled";
    RecordProperty("acknowledged", std::to_string(acknowledged_));
    std::printf("%llu frames acknowledged, oldest file %s\n", static_cast<unsigned long long>(acknowledged_),
                oldest.c_str());
}

INSTANTIATE_TEST_SUITE_P(Backends, JournalKill, testing::Values("threads", "uring"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace millrace::wal
