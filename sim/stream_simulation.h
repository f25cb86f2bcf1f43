// One run of clients of two streams over a node that dies: they write events, themselves and within transactions, while
// the streams are scaled, truncated at any cut, sealed, deleted and made again, readers read and a reader group reports
// how far it is. Everything in one thread with simulated time, all from a seed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sim/watched_segments.h"

namespace millrace::sim {

struct StreamSimulationOptions {
    std::uint64_t seed = 1;
    std::uint64_t rounds = 25;
    bool print_trace = false;
    PlantedControl planted = PlantedControl::kNothing;  // a bug that must be found
    // The node dies once, in the last round, at this write of it, and at no other; report.deaths says whether there
    // were so many.
    std::optional<std::uint64_t> only_death;
};

struct StreamSimulationReport {
    std::optional<std::string> violation;
    std::uint64_t round = 0;  // that found it, or all
    std::uint64_t trace_hash = 0;
    std::uint64_t deaths = 0;
    std::uint64_t deaths_in_recovery = 0;
    std::uint64_t committed = 0;  // transactions
    std::uint64_t rolled = 0;     // of them, those of an older epoch
    std::uint64_t aborted = 0;
    std::uint64_t expired = 0;
    std::uint64_t scaled = 0;
    std::uint64_t truncated = 0;
    std::uint64_t retained = 0;  // truncations by retention
    std::uint64_t reported = 0;  // cuts of the subscriber
    std::uint64_t events_read = 0;
};

StreamSimulationReport simulate_streams(const StreamSimulationOptions& options);

}  // namespace millrace::sim
