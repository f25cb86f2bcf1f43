// The simulation of streams over many seeds, its repeatability, a death at every write, and the bugs that it must find.
#include <gtest/gtest.h>

#include "sim/seeds.h"
#include "sim/stream_simulation.h"

namespace millrace::sim {
namespace {

// Unoptimised and under a sanitizer a run takes seventy times as long.
#ifdef MILLRACE_SANITIZED
constexpr bool kSlow = true;
#else
constexpr bool kSlow = false;
#endif

class StreamSim : public QuietTest {};

TEST_F(StreamSim, NoSeedFindsAViolation) {
    Seeds seeds = asked_seeds(MILLRACE_SIM_STREAM_SEEDS);
    std::uint64_t count = seeds.count;
    StreamSimulationReport all;
    for (std::uint64_t seed = seeds.first; seed < seeds.end(); ++seed) {
        StreamSimulationReport report = simulate_streams({.seed = seed});
        ASSERT_FALSE(report.violation) << "seed " << seed << ", round " << report.round << ": " << *report.violation;
        all.deaths += report.deaths;
        all.deaths_in_recovery += report.deaths_in_recovery;
        all.committed += report.committed;
        all.rolled += report.rolled;
        all.aborted += report.aborted;
        all.expired += report.expired;
        all.scaled += report.scaled;
        all.truncated += report.truncated;
        all.retained += report.retained;
        all.reported += report.reported;
        all.events_read += report.events_read;
    }
    // It does what it is for.
    EXPECT_GT(all.deaths, 3 * count);
    EXPECT_GT(all.committed, 5 * count);
    EXPECT_GT(all.scaled, count);
    EXPECT_GT(all.truncated, count);
    EXPECT_GT(all.events_read, 100 * count);
    if (count < 20) return;
    EXPECT_GT(all.deaths_in_recovery, count / 10);
    EXPECT_GT(all.rolled, count);
    EXPECT_GT(all.aborted, count);
    EXPECT_GT(all.expired, count);
    EXPECT_GT(all.retained, count / 10);
    EXPECT_GT(all.reported, count);
}

TEST_F(StreamSim, ASeedIsAlwaysTheSameRun) {
    expect_same_runs(kSlow ? 1 : 3, [](std::uint64_t seed) { return simulate_streams({.seed = seed}); });
}

// The last round of a few, once for each of its writes.
TEST_F(StreamSim, ADeathAtEveryWrite) {
    Seeds seeds = asked_seeds(MILLRACE_SIM_STREAM_SEEDS);
    seeds.count = seeds.count / 15 + 1;
    std::uint64_t deaths = 0;
    for (std::uint64_t seed = seeds.first; seed < seeds.end(); ++seed) {
        StreamSimulationOptions options;
        options.seed = seed;
        options.rounds = 3 + seed % 4;
        for (std::uint64_t write = 0;; write += kSlow ? 11 : 1) {
            options.only_death = write;
            StreamSimulationReport report = simulate_streams(options);
            ASSERT_FALSE(report.violation)
                << "seed " << seed << ", write " << write << ", round " << report.round << ": " << *report.violation;
            deaths += report.deaths;
            if (report.deaths == 0) break;
        }
    }
    EXPECT_GT(deaths, (kSlow ? 0 : 10) * seeds.count);
}

class PlantedBug : public StreamSim, public testing::WithParamInterface<PlantedControl> {};

TEST_P(PlantedBug, IsFound) {
    if (kSlow) GTEST_SKIP() << "says nothing of the product";
    constexpr std::uint64_t kSeeds = 20;
    StreamSimulationOptions options;
    options.planted = GetParam();
    std::optional<std::string> found;
    for (options.seed = 1; options.seed <= kSeeds && !found; ++options.seed)
        found = simulate_streams(options).violation;
    ASSERT_TRUE(found) << "not found in " << kSeeds << " seeds";
    RecordProperty("violation", *found);
}

INSTANTIATE_TEST_SUITE_P(Streams, PlantedBug,
                         testing::Values(PlantedControl::kForgottenIntents, PlantedControl::kMergedTwice,
                                         PlantedControl::kForgottenMerge, PlantedControl::kForgottenRemoval,
                                         PlantedControl::kEarlyTruncation, PlantedControl::kForgottenPing,
                                         PlantedControl::kForgottenReport, PlantedControl::kNeverExpires),
                         [](const auto& info) {
                             std::string name(to_string(info.param));
                             for (char& c : name) c = c == '-' ? '_' : c;
                             return name;
                         });

}  // namespace
}  // namespace millrace::sim
