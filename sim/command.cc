#include "sim/command.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <unistd.h>

#include "base/log.h"
#include "sim/controller_simulation.h"
#include "sim/simulation.h"
#include "sim/stream_simulation.h"

namespace millrace::sim {
namespace {

constexpr std::string_view kUsage =
    "millrace sim [containers|controller|streams] --seed N [--steps M] [--seeds COUNT] [--plant BUG] [--trace] "
    "[--log]\n"
    "  containers    what is simulated: the clients of containers, which is the default,\n"
    "  controller    those that make and change streams, groups and tables,\n"
    "  streams       those that write to streams, with transactions, and read them\n"
    "  --seed N      the first seed (1)\n"
    "  --steps M     steps of a run (300), rounds of the others (25)\n"
    "  --seeds COUNT runs, one seed after the other (1)\n"
    "  --plant BUG   ack-before-sync, no-directory-sync, reused-generation, early-sweep, forgotten-writer, "
    "lost-flush;\n"
    "                forgotten-intents; of streams too: merged-twice, forgotten-merge, forgotten-removal,\n"
    "                early-truncation, forgotten-ping, forgotten-report, never-expires\n"
    "  --trace       prints every event\n"
    "  --log         the node's own log\n";

void on_abort(int) {
    std::string text = "aborted at " + where_it_is() + "\n";
    if (write(2, text.data(), text.size()) < 0) _exit(3);
    _exit(2);
}

int refuse(std::string_view why) {
    std::fprintf(stderr, "millrace sim: %.*s\n%.*s", static_cast<int>(why.size()), why.data(),
                 static_cast<int>(kUsage.size()), kUsage.data());
    return 2;
}

enum class World { kContainers, kController, kStreams };

struct Wanted {
    World world = World::kContainers;
    std::uint64_t seed = 1;
    std::uint64_t seeds = 1;
    std::optional<std::uint64_t> steps;
    std::string_view plant;
    bool print_trace = false;
};

// The simulations above the containers: `simulate` runs one seed.
template <typename Options, typename Simulate>
int run_rounds(const Wanted& wanted, Simulate simulate) {
    Options options;
    options.print_trace = wanted.print_trace;
    options.rounds = wanted.steps.value_or(options.rounds);
    auto planted = parse_planted_control(wanted.plant);
    if (!wanted.plant.empty() && !planted) return refuse(fmt::format("{} is no planted bug", wanted.plant));
    options.planted = planted.value_or(PlantedControl::kNothing);
    std::uint64_t violations = 0;
    std::uint64_t deaths = 0;
    for (options.seed = wanted.seed; options.seed < wanted.seed + wanted.seeds; ++options.seed) {
        auto report = simulate(options);
        deaths += report.deaths + report.deaths_in_recovery;
        if (report.violation) {
            ++violations;
            fmt::print("seed {} round {}: {}\n", options.seed, report.round, *report.violation);
        } else if (wanted.seeds == 1) {
            fmt::print("seed {}: {} rounds, trace {:016x}\n", options.seed, options.rounds, report.trace_hash);
        }
        std::fflush(stdout);
    }
    fmt::print("{} seeds, {} violations; {} deaths\n", wanted.seeds, violations, deaths);
    return violations == 0 ? 0 : 1;
}

int run_containers(const Wanted& wanted) {
    SimulationOptions options;
    options.seed = wanted.seed;
    options.steps = wanted.steps.value_or(options.steps);
    options.print_trace = wanted.print_trace;
    auto planted = parse_planted(wanted.plant);
    if (!wanted.plant.empty() && !planted) return refuse(fmt::format("{} is no planted bug", wanted.plant));
    options.planted = planted.value_or(Planted::kNothing);
    std::uint64_t seeds = wanted.seeds;
    std::uint64_t violations = 0;
    std::uint64_t kills = 0;
    std::uint64_t in_recovery = 0;
    ClientCounts all;
    for (std::uint64_t n = 0; n < seeds; ++n, ++options.seed) {
        SimulationReport report = simulate(options);
        kills += report.kills + report.kills_in_recovery;
        in_recovery += report.kills_in_recovery;
        all.operations += report.clients.operations;
        all.answers += report.clients.answers;
        all.read_bytes += report.clients.read_bytes;
        all.resent += report.clients.resent;
        all.unknown_survived += report.clients.unknown_survived;
        all.unknown_lost += report.clients.unknown_lost;
        all.refused_full += report.clients.refused_full;
        if (report.violation) {
            ++violations;
            fmt::print("seed {} step {}: {}\n", options.seed, report.step, *report.violation);
        } else if (seeds == 1) {
            fmt::print("seed {}: {} steps, trace {:016x}\n", options.seed, options.steps, report.trace_hash);
        }
        std::fflush(stdout);
    }
    fmt::print(
        "{} seeds, {} violations; {} operations, {} answered, {} refused by a full log, {} sent again; {} deaths "
        "({} in recovery); of operations without an answer {} had happened, {} not; {} bytes read\n",
        seeds, violations, all.operations, all.answers, all.refused_full, all.resent, kills, in_recovery,
        all.unknown_survived, all.unknown_lost, all.read_bytes);
    return violations == 0 ? 0 : 1;
}

}  // namespace

int simulation_command(int argc, char** argv) {
    Wanted wanted;
    log::Level level = log::Level::kOff;
    for (int i = 1; i < argc; ++i) {
        std::string_view name = argv[i];
        if (name == "containers" || name == "controller" || name == "streams") {
            wanted.world = name == "containers"   ? World::kContainers
                           : name == "controller" ? World::kController
                                                  : World::kStreams;
        } else if (name == "--trace") {
            wanted.print_trace = true;
        } else if (name == "--log") {
            level = log::Level::kDebug;
        } else if (name == "--help") {
            std::fwrite(kUsage.data(), 1, kUsage.size(), stdout);
            return 0;
        } else if (i + 1 == argc) {
            return refuse(fmt::format("{} is no option, or lacks its value", name));
        } else if (name == "--plant") {
            wanted.plant = argv[++i];
        } else {
            char* rest = nullptr;
            std::uint64_t value = std::strtoull(argv[++i], &rest, 10);
            if (*argv[i] == '\0' || *rest != '\0') return refuse(fmt::format("{} is no number", argv[i]));
            if (name == "--seed")
                wanted.seed = value;
            else if (name == "--steps")
                wanted.steps = value;
            else if (name == "--seeds")
                wanted.seeds = value;
            else
                return refuse(fmt::format("{} is no option", name));
        }
    }
    log::set_level(level);
    std::signal(SIGABRT, on_abort);
    if (wanted.world == World::kController) return run_rounds<ControllerSimulationOptions>(wanted, simulate_controller);
    if (wanted.world == World::kStreams) return run_rounds<StreamSimulationOptions>(wanted, simulate_streams);
    return run_containers(wanted);
}

}  // namespace millrace::sim
