// What the tests of the simulations share: which seeds they run, a log that is quiet meanwhile, and that a seed is
// always the same run. MILLRACE_SIM_SEEDS asks for so many seeds, MILLRACE_SIM_FIRST_SEED for others.
#pragma once

#include <cstdint>
#include <cstdlib>

#include <gtest/gtest.h>

#include "base/log.h"

namespace millrace::sim {

// From `first` to before `end`.
struct Seeds {
    std::uint64_t first = 1;
    std::uint64_t count = 0;
    std::uint64_t end() const { return first + count; }
};

inline Seeds asked_seeds(std::uint64_t count_otherwise) {
    auto setting = [](const char* name, std::uint64_t otherwise) {
        const char* text = std::getenv(name);
        return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
    };
    return {setting("MILLRACE_SIM_FIRST_SEED", 1), setting("MILLRACE_SIM_SEEDS", count_otherwise)};
}

class QuietTest : public testing::Test {
  protected:
    QuietTest() { log::set_level(log::Level::kOff); }
    ~QuietTest() override { log::set_level(log::Level::kError); }
};

// `simulate(seed)` returns a report with a hash of all that happened.
template <typename Simulate>
void expect_same_runs(std::uint64_t seeds, Simulate simulate) {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        std::uint64_t once = simulate(seed).trace_hash;
        EXPECT_EQ(once, simulate(seed).trace_hash) << "seed " << seed;
        EXPECT_NE(once, simulate(seed + 1000).trace_hash);
    }
}

}  // namespace millrace::sim
