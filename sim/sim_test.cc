// The simulation over many seeds, its repeatability, and the bugs that it must find.
#include <gtest/gtest.h>

#include "sim/seeds.h"
#include "sim/simulation.h"

namespace millrace::sim {
namespace {

class Sim : public QuietTest {};

TEST_F(Sim, NoSeedFindsAViolation) {
    Seeds seeds = asked_seeds(MILLRACE_SIM_DEFAULT_SEEDS);
    std::uint64_t count = seeds.count;
    std::uint64_t kills = 0;
    std::uint64_t in_recovery = 0;
    ClientCounts all;
    for (std::uint64_t seed = seeds.first; seed < seeds.end(); ++seed) {
        SimulationReport report = simulate({seed, 800});
        ASSERT_FALSE(report.violation) << "seed " << seed << ", step " << report.step << ": " << *report.violation;
        kills += report.kills;
        in_recovery += report.kills_in_recovery;
        all.answers += report.clients.answers;
        all.resent += report.clients.resent;
        all.refused_full += report.clients.refused_full;
        all.unknown_survived += report.clients.unknown_survived;
        all.unknown_lost += report.clients.unknown_lost;
    }
    if (count < 100) return;
    // It does what it is for.
    EXPECT_GT(kills, 3 * count);
    EXPECT_GT(in_recovery, count / 20);
    EXPECT_GT(all.answers, 100 * count);
    EXPECT_GT(all.resent, count);
    EXPECT_GT(all.refused_full, 0u);
    EXPECT_GT(all.unknown_survived, count);
    EXPECT_GT(all.unknown_lost, count);
}

TEST_F(Sim, ASeedIsAlwaysTheSameRun) {
    expect_same_runs(20, [](std::uint64_t seed) { return simulate({seed, 600}); });
}

class PlantedBug : public Sim, public testing::WithParamInterface<Planted> {};

TEST_P(PlantedBug, IsFound) {
    constexpr std::uint64_t kSeeds = 60;
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        if (simulate({seed, 600, GetParam()}).violation) return;
    }
    FAIL() << "not found in " << kSeeds << " seeds";
}

INSTANTIATE_TEST_SUITE_P(All, PlantedBug,
                         testing::Values(Planted::kAckBeforeSync, Planted::kNoDirectorySync, Planted::kReusedGeneration,
                                         Planted::kEarlySweep, Planted::kForgottenWriter, Planted::kLostFlush),
                         [](const testing::TestParamInfo<Planted>& info) {
                             std::string name(to_string(info.param));
                             std::erase(name, '-');
                             return name;
                         });

}  // namespace
}  // namespace millrace::sim
