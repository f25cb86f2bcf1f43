// The controller's simulation over many seeds, its repeatability, and a bug that it must find. MILLRACE_SIM_SEEDS asks
// for more seeds, MILLRACE_SIM_FIRST_SEED for others.
#include <cstdlib>

#include <gtest/gtest.h>

#include "base/log.h"
#include "sim/controller_simulation.h"

namespace millrace::sim {
namespace {

std::uint64_t setting(const char* name, std::uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

class ControllerSim : public testing::Test {
  protected:
    void SetUp() override { log::set_level(log::Level::kOff); }
    void TearDown() override { log::set_level(log::Level::kError); }
};

TEST_F(ControllerSim, NoSeedFindsAViolation) {
    std::uint64_t first = setting("MILLRACE_SIM_FIRST_SEED", 1);
    std::uint64_t count = setting("MILLRACE_SIM_SEEDS", MILLRACE_SIM_CONTROLLER_SEEDS);
    ControllerSimulationReport all;
    for (std::uint64_t seed = first; seed < first + count; ++seed) {
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
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        ControllerSimulationReport once = simulate_controller({seed});
        EXPECT_EQ(once.trace_hash, simulate_controller({seed}).trace_hash) << "seed " << seed;
        EXPECT_NE(once.trace_hash, simulate_controller({seed + 1000}).trace_hash);
    }
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
