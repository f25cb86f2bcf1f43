// One run: a node, its clients, its disk and its long-term storage in one thread with simulated time, all from a seed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/client.h"
#include "sim/node.h"

namespace millrace::sim {

struct SimulationOptions {
    std::uint64_t seed = 1;
    std::uint64_t steps = 300;
    Planted planted = Planted::kNothing;
    bool print_trace = false;
};

struct SimulationReport {
    std::optional<std::string> violation;
    std::uint64_t step = 0;  // that found it, or all
    std::uint64_t trace_hash = 0;
    std::uint64_t kills = 0;
    std::uint64_t kills_in_recovery = 0;
    std::uint64_t log_failures = 0;
    std::uint64_t objects_written = 0;
    ClientCounts clients;
};

SimulationReport simulate(const SimulationOptions& options);

// The step that the run in this thread is at, for whoever is asked after an abort: "seed 7, step 120".
std::string where_it_is();

}  // namespace millrace::sim
