#include "sim/command.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <unistd.h>

#include "base/log.h"
#include "sim/simulation.h"

namespace millrace::sim {
namespace {

constexpr std::string_view kUsage =
    "millrace sim --seed N [--steps M] [--seeds COUNT] [--plant BUG] [--trace] [--log]\n"
    "  --seed N      the first seed (1)\n"
    "  --steps M     steps of a run (300)\n"
    "  --seeds COUNT runs, one seed after the other (1)\n"
    "  --plant BUG   ack-before-sync, no-directory-sync, reused-generation, early-sweep, forgotten-writer\n"
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

}  // namespace

int simulation_command(int argc, char** argv) {
    SimulationOptions options;
    std::uint64_t seeds = 1;
    log::Level level = log::Level::kOff;
    for (int i = 1; i < argc; ++i) {
        std::string_view name = argv[i];
        if (name == "--trace") {
            options.print_trace = true;
        } else if (name == "--log") {
            level = log::Level::kDebug;
        } else if (name == "--help") {
            std::fwrite(kUsage.data(), 1, kUsage.size(), stdout);
            return 0;
        } else if (i + 1 == argc) {
            return refuse(fmt::format("{} is no option, or lacks its value", name));
        } else if (name == "--plant") {
            auto planted = parse_planted(argv[++i]);
            if (!planted) return refuse(fmt::format("{} is no planted bug", argv[i]));
            options.planted = *planted;
        } else {
            char* rest = nullptr;
            std::uint64_t value = std::strtoull(argv[++i], &rest, 10);
            if (*argv[i] == '\0' || *rest != '\0') return refuse(fmt::format("{} is no number", argv[i]));
            if (name == "--seed")
                options.seed = value;
            else if (name == "--steps")
                options.steps = value;
            else if (name == "--seeds")
                seeds = value;
            else
                return refuse(fmt::format("{} is no option", name));
        }
    }
    log::set_level(level);
    std::signal(SIGABRT, on_abort);
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

}  // namespace millrace::sim
