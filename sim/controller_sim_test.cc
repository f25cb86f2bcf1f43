// The controller's simulation over many seeds, its repeatability, and a bug that it must find.
#include <gtest/gtest.h>

#include "sim/controller_simulation.h"
#include "sim/seeds.h"

namespace millrace::sim {
namespace {

class ControllerSim : public QuietTest {};

TEST_F(ControllerSim, NoSeedFindsAViolation) {
    Seeds seeds = asked_seeds(MILLRACE_SIM_CONTROLLER_SEEDS);
    std::uint64_t count = seeds.count;
    ControllerSimulationReport all;
    for (std::uint64_t seed = seeds.first; seed < seeds.end(); ++seed) {
        ControllerSimulationReport report = simulate_controller({seed});
        ASSERT_FALSE(report.violation) << "seed " << seed << ", round " << report.round << ": " << *report.violation;
        all.deaths += report.deaths;
        all.deaths_in_recovery += report.deaths_in_recovery;
        all.acknowledged += report.acknowledged;
        all.refused += report.refused;
        all.unknown_happened += report.unknown_happened;
        all.unknown_lost += report.unknown_lost;
    }
    // It does what it is for. Of few seeds only what each of them has.
    EXPECT_GE(all.deaths, count);
    EXPECT_GT(all.acknowledged, 20 * count);
    if (count < 20) return;
    EXPECT_GT(all.deaths, 3 * count);
    EXPECT_GT(all.deaths_in_recovery, count / 10);
    EXPECT_GT(all.refused, count);
    EXPECT_GT(all.unknown_happened, count);
    EXPECT_GT(all.unknown_lost, count);
}

TEST_F(ControllerSim, ASeedIsAlwaysTheSameRun) {
    expect_same_runs(3, [](std::uint64_t seed) { return simulate_controller({seed}); });
}

TEST_F(ControllerSim, ForgottenIntentsAreFound) {
    constexpr std::uint64_t kSeeds = 20;
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        ControllerSimulationOptions options;
        options.seed = seed;
        options.planted = PlantedControl::kForgottenIntents;
        if (simulate_controller(options).violation) return;
    }
    FAIL() << "not found in " << kSeeds << " seeds";
}

}  // namespace
}  // namespace millrace::sim
