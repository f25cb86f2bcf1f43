// A process that writes to a journal on real files, killed without warning at random moments, again and again on the
// same journal. What it said to be acknowledged must be found by the next one.
#include <filesystem>
#include <map>
#include <sstream>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "io/file.h"
#include "io/testing/killed_program.h"
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
        std::vector<std::string> command{MILLRACE_KILL_WRITER, directory_ + "/journal", GetParam(),
                                         std::to_string(run)};
        io::run_and_kill(std::move(command), delay, [this](const std::string& line) {
            take(line);
            return line == "S";
        });
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
