// Loss of power at every single operation of a recorded workload, with what the disk may have kept of it: all subsets
// of the sectors under way where they are few, otherwise nothing, everything, each sector alone, all but each sector,
// and samples. After each recovery: every acknowledged frame is there, in order and intact; nothing is there that was
// not sent. Then work goes on, and power is lost again.
#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "io/memory_file_system.h"
#include "runtime/manual_executor.h"
#include "wal/local/local_journal.h"
#include "wal/wal_test_support.h"

namespace millrace::wal {
namespace {

constexpr std::uint32_t kContainers = 3;

local::JournalOptions tiny_options() {
    local::JournalOptions options;
    options.directory = "/journal";
    options.file_bytes = 80 * kKiB;
    options.first_file_bytes = 48 * kKiB;
    options.limit_bytes = 4 * kMiB;
    options.min_free_bytes = 0;
    options.max_write_bytes = 12 * kKiB;
    options.max_payload_bytes = 12 * kKiB;
    return options;
}

// What the world outside the journal knows: kept by the test, survives every crash.
struct Known {
    LogSequence first_kept{1};
    LogSequence acknowledged;                 // the highest
    std::map<std::uint64_t, Bytes> payloads;  // of everything sent, but for what a recovery has shown to be lost
};

using World = std::map<ContainerId, Known>;

// Checks what a recovery delivers, and takes it for the truth from then on.
testing::AssertionResult check(World& world, const CollectingVisitor& found,
                               const std::function<LogSequence(ContainerId)>& next_of) {
    for (auto& [container, known] : world) {
        auto delivered = found.frames.find(container);
        std::uint64_t last = 0;
        std::uint64_t first = UINT64_MAX;
        if (delivered != found.frames.end()) {
            for (const RecoveredFrame& frame : delivered->second) {
                std::uint64_t sequence = frame.where.sequence.value();
                if (last != 0 && sequence != last + 1) {
                    return testing::AssertionFailure()
                           << fmt::format("container {}: gap between {} and {}", container.value(), last, sequence);
                }
                auto sent = known.payloads.find(sequence);
                if (sent == known.payloads.end() || sent->second != frame.payload) {
                    return testing::AssertionFailure()
                           << fmt::format("container {}: frame {} is not what was sent", container.value(), sequence);
                }
                first = std::min(first, sequence);
                last = sequence;
            }
        }
        bool needed = known.acknowledged >= known.first_kept;
        if (needed && (first > known.first_kept.value() || last < known.acknowledged.value())) {
            return testing::AssertionFailure()
                   << fmt::format("container {}: frames {} to {} are needed, {} to {} were found", container.value(),
                                  known.first_kept.value(), known.acknowledged.value(), first, last);
        }
        LogSequence next = next_of(container);
        if (next <= known.acknowledged || (last != 0 && next.value() != last + 1)) {
            return testing::AssertionFailure()
                   << fmt::format("container {}: next is {}, found {}, acknowledged {}", container.value(),
                                  next.value(), last, known.acknowledged.value());
        }
        known.acknowledged = LogSequence(next.value() - 1);
        known.payloads.erase(known.payloads.lower_bound(next.value()), known.payloads.end());
    }
    return testing::AssertionSuccess();
}

// A process that uses the journal until the power is lost.
class Session {
  public:
    Session(World& world, std::uint64_t seed) : world_(world), random_(seed), executor_(seed), seed_(seed) {}

    runtime::ManualExecutor& executor() { return executor_; }

    // An empty answer: the power was lost before recovery was done.
    std::optional<testing::AssertionResult> recover(io::MemoryFileSystem& files) {
        files_ = &files;
        logs_.clear();
        journal_ = std::make_unique<local::LocalJournal>(files, executor_, tiny_options());
        CollectingVisitor found;
        auto report = journal_->recover(found);
        if (!report && files.crashed()) return std::nullopt;
        if (!report) return testing::AssertionFailure() << report.error().to_string();
        for (std::uint32_t i = 1; i <= kContainers; ++i) {
            logs_[ContainerId(i)] = journal_->open(ContainerId(i), executor_);
        }
        return check(world_, found, [this](ContainerId container) { return logs_[container]->next_sequence(); });
    }

    void work(int turns) {
        for (int turn = 0; turn < turns && !files_->crashed(); ++turn) {
            files_->set_hold(random_.below(3) != 0);
            for (std::uint64_t frames = random_.below(5); frames > 0; --frames) append();
            if (random_.below(4) == 0) truncate();
            for (std::uint64_t steps = random_.below(30); steps > 0; --steps) executor_.run_one();
            release_some();
            if (random_.below(10) == 0) executor_.advance(Millis(250));
            if (random_.below(30) == 0) be_killed();
        }
        if (files_->crashed()) return;
        files_->set_hold(false);
        executor_.run_until_idle();
    }

    // Everything is acknowledged and the journal closed in order.
    void close() {
        bool closed = false;
        journal_->close([&](Result<> result) { closed = result.has_value(); });
        executor_.run_until_idle();
        EXPECT_TRUE(closed || files_->crashed());
    }

  private:
    void append() {
        ContainerId container(static_cast<std::uint32_t>(random_.below(kContainers) + 1));
        DurableLog& log = *logs_[container];
        LogSequence sequence = log.next_sequence();
        std::uint64_t size = random_.below(4) == 0 ? random_.below(12 * kKiB) : random_.below(3000);
        Bytes payload = make_payload(container, sequence, seed_, size);
        Known& known = world_[container];
        known.payloads[sequence.value()] = payload;
        log.append(make_frame(payload), false, [&known, sequence](Result<Appended> result) {
            if (!result) return;
            EXPECT_EQ(result->sequence, sequence);
            EXPECT_EQ(sequence, known.acknowledged.next());
            known.acknowledged = sequence;
        });
    }

    // The process ends without the power being lost: the device finishes what was under way, nobody hears of it.
    void be_killed() {
        logs_.clear();
        journal_.reset();
        files_->set_hold(false);
        executor_.run_until_idle();
        auto checked = recover(*files_);
        if (checked) {
            EXPECT_TRUE(*checked);
        }
    }

    void truncate() {
        ContainerId container(static_cast<std::uint32_t>(random_.below(kContainers) + 1));
        Known& known = world_[container];
        LogSequence kept(known.acknowledged.value() + 1 -
                         std::min<std::uint64_t>(random_.below(6), known.acknowledged.value()));
        if (kept <= known.first_kept) return;
        known.first_kept = kept;
        logs_[container]->truncate(kept);
    }

    void release_some() {
        std::vector<std::size_t> order;
        for (std::size_t i = 0; i < files_->held(); ++i) {
            if (random_.below(3) != 0) order.push_back(i);
        }
        for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random_.below(i)]);
        files_->release_in_order(order);
    }

    World& world_;
    SeededRandom random_;
    runtime::ManualExecutor executor_;
    std::uint64_t seed_;
    io::MemoryFileSystem* files_ = nullptr;
    std::unique_ptr<local::LocalJournal> journal_;
    std::map<ContainerId, std::unique_ptr<DurableLog>> logs_;
};

std::vector<io::CrashChoice> choices_of(const io::MemoryFileSystem& files, Random& random) {
    std::vector<io::PendingSector> sectors = files.pending();
    std::size_t names = files.pending_directory_operations();
    if (sectors.size() <= 6) return files.crash_choices(64 * (names + 1), random);
    std::vector<io::CrashChoice> choices = files.crash_choices(16, random);
    std::size_t step = std::max<std::size_t>(1, sectors.size() / 8);
    for (std::size_t i = random.below(step); i < sectors.size(); i += step) {
        choices.push_back(io::CrashChoice::only({sectors[i]}, random.below(names + 1)));
        std::vector<io::PendingSector> others = sectors;
        others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
        choices.push_back(io::CrashChoice::only(others, random.below(names + 1)));
    }
    return choices;
}

class JournalCrash : public testing::Test {
  protected:
    void SetUp() override { log::set_level(log::Level::kOff); }
    void TearDown() override { log::set_level(log::Level::kError); }

    World fresh_world() {
        World world;
        for (std::uint32_t i = 1; i <= kContainers; ++i) world[ContainerId(i)];
        return world;
    }

    // The power is lost for the depth-th time: on what is left, recovery, more work, and the next loss.
    void crash_again(const World& world, const io::MemoryFileSystem& before, const io::CrashChoice& choice, int depth) {
        ++crashes_;
        World after = world;
        std::uint64_t seed = random_.next();
        Session session(after, seed);
        auto files = before.restart(session.executor(), choice);
        bool goes_on = depth > 0 && random_.below(depth == kDepth ? 12 : 3) == 0;
        if (goes_on) files->crash_at(1 + random_.below(40));
        auto checked = session.recover(*files);
        if (checked) {
            ASSERT_TRUE(*checked) << choice.description << fmt::format(" (depth {}, seed {})", depth, seed);
            if (!goes_on) return;
            session.work(25);
        }
        if (!files->crashed()) files->crash();
        std::vector<io::CrashChoice> choices = choices_of(*files, random_);
        for (std::size_t i = 0; i < 6; ++i) {
            ASSERT_NO_FATAL_FAILURE(crash_again(after, *files, choices[random_.below(choices.size())], depth - 1));
        }
    }

    static constexpr int kDepth = 3;
    SeededRandom random_{42};
    std::uint64_t crashes_ = 0;
};

TEST_F(JournalCrash, NothingAcknowledgedIsLostAtAnyOperation) {
    constexpr std::uint64_t kSeed = 7;
    constexpr int kTurns = 110;
    std::uint64_t operations = 0;
    {
        World world = fresh_world();
        Session session(world, kSeed);
        io::MemoryFileSystem files(session.executor());
        ASSERT_TRUE(session.recover(files).value());
        session.work(kTurns);
        session.close();
        operations = files.operations();
        std::uint64_t sent = 0;
        for (auto& [container, known] : world) sent += known.acknowledged.value();
        ASSERT_GT(sent, 50u) << "the workload must do something";
        fmt::print("{} operations, {} frames\n", operations, sent);
    }
    for (std::uint64_t operation = 1; operation <= operations; ++operation) {
        World world = fresh_world();
        Session session(world, kSeed);
        io::MemoryFileSystem files(session.executor());
        files.crash_at(operation);
        if (auto checked = session.recover(files)) {
            ASSERT_TRUE(*checked);
            session.work(kTurns);
            if (!files.crashed()) session.close();
        }
        ASSERT_TRUE(files.crashed());
        for (const io::CrashChoice& choice : choices_of(files, random_)) {
            ASSERT_NO_FATAL_FAILURE(crash_again(world, files, choice, kDepth)) << "operation " << operation;
        }
    }
    fmt::print("{} crashes\n", crashes_);
    EXPECT_GE(crashes_, 10'000u);
}

// Many workloads, one crash each.
TEST_F(JournalCrash, NothingAcknowledgedIsLostInAnyWorkload) {
    for (std::uint64_t seed = 1000; seed < 1200; ++seed) {
        World world = fresh_world();
        Session session(world, seed);
        io::MemoryFileSystem files(session.executor());
        files.crash_at(1 + random_.below(200));
        if (auto checked = session.recover(files)) {
            ASSERT_TRUE(*checked);
            session.work(60);
        }
        if (!files.crashed()) files.crash();
        std::vector<io::CrashChoice> choices = choices_of(files, random_);
        for (int i = 0; i < 6; ++i) {
            const io::CrashChoice& choice = choices[random_.below(choices.size())];
            ASSERT_NO_FATAL_FAILURE(crash_again(world, files, choice, kDepth)) << "seed " << seed;
        }
    }
    fmt::print("{} crashes\n", crashes_);
}

}  // namespace
}  // namespace millrace::wal
