// One run of the controller over a node that dies: scopes, streams with scalings and truncations, reader groups,
// key-value tables, many at a time; power loss at any write, also while the next process carries on what was begun.
// Everything in one thread with simulated time, all from a seed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sim/watched_segments.h"

namespace millrace::sim {

struct ControllerSimulationOptions {
    std::uint64_t seed = 1;
    std::uint64_t rounds = 25;
    bool print_trace = false;
    PlantedControl planted = PlantedControl::kNothing;  // a bug that must be found
};

struct ControllerSimulationReport {
    std::optional<std::string> violation;
    std::uint64_t round = 0;  // that found it, or all
    std::uint64_t trace_hash = 0;
    std::uint64_t deaths = 0;
    std::uint64_t deaths_in_recovery = 0;
    std::uint64_t acknowledged = 0;
    std::uint64_t refused = 0;
    std::uint64_t unknown_happened = 0;  // no answer, and it is done
    std::uint64_t unknown_lost = 0;      // no answer, and it is not
};

ControllerSimulationReport simulate_controller(const ControllerSimulationOptions& options);

}  // namespace millrace::sim
