#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "cli/flink/flink_scale_options.h"
#include "cli/option_table.h"
#include "cli/retention_command.h"
#include "cli/settings.h"
#include "cli/suggest.h"
#include "cli/transactions_command.h"
#include "cli/version.h"
#include "node/standalone.h"
#include "sim/command.h"

namespace millrace::cli {
namespace {

constexpr int kExitUsage = 2;

constexpr const char* kAbout =
    "Millrace stores streams of events. Clients of Pravega 0.13 work with it as they are: point them to the "
    "controller.";

constexpr const char* kStandaloneAbout =
    "Runs a complete server in this process: controller, REST API and segment store, on one data directory.";

constexpr const char* kStandaloneFooter = R"(
Every option can also be set in the environment (--store-port is MILLRACE_STORE_PORT) or in the file of --config
(store-port = 6000). The command line wins over the environment, and the environment over the file.

Examples:
  millrace standalone
      serves clients on this machine: controller tcp://127.0.0.1:9090
  millrace standalone --data-dir /var/lib/millrace --listen 0.0.0.0 --advertise db1.example.org
      serves the network; clients use tcp://db1.example.org:9090 and must reach ports 9090 and 6000
  millrace standalone --config millrace.toml --log-format json
      options from a file, logs for a collector

When everything is up, it prints `millrace ready` and its addresses on stdout. SIGTERM or SIGINT ends it in order; after a
crash or kill -9 the next start recovers all that was acknowledged.

Exit status: 0 ended as asked; 1 could not start; 2 wrong options; 3 stopped itself after a failure, as of the disk.)";

constexpr const char* kRetentionAbout =
    "Says what a running server's retention would do with a stream now, and why. Nothing is changed.";
constexpr const char* kTransactionsAbout =
    "The transactions of a stream that are under way on a running server, and an end for those that nobody ends.";

constexpr const char* kTransactionsFooter = R"(
Examples:
  millrace transactions list demo/orders
      each with its state: OPEN, PREPARED (written to, and kept without a lease), COMMITTING or ABORTING
  millrace transactions commit demo/orders 00000000-0000-0000-0000-000000000007
      what its writer could not do any more; abort likewise, and both take several ids

Exit status: 0 done; 1 the server could not, for one of them at least; 2 wrong arguments.)";

constexpr const char* kFlinkScaleAbout =
    "Lets the parallelism of a Flink job follow the stream that it reads, through Flink's adaptive scheduler.";

constexpr const char* kSimAbout =
    "Runs the server's parts in a simulated world, with faults that follow from a seed, and checks what clients see.";

constexpr const char* kFlinkScaleFooter = R"(
Examples:
  millrace flink-scale --flink http://flink:8081 --job orders --stream demo/orders --max 16
      as many subtasks as the stream has segments
  millrace flink-scale --job orders --stream demo/orders --by events --per-task 20000 --dry-run
      says how many subtasks of 20,000 events per second each it would ask for

Exit status: 0 ended by SIGTERM or SIGINT, or with the job; 1 --once could not do it; 2 wrong options. What it cannot reach
it tries again, and changes nothing meanwhile.)";

int refuse(std::string_view message) {
    fmt::print(stderr, "millrace: {}\n", message);
    return kExitUsage;
}

std::vector<std::pair<std::string, std::string>> environment() {
    std::vector<std::pair<std::string, std::string>> variables;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        std::string_view text = *entry;
        std::size_t equals = text.find('=');
        if (equals != std::string_view::npos) variables.emplace_back(text.substr(0, equals), text.substr(equals + 1));
    }
    return variables;
}

// The first argument that no option took.
std::string unexpected(const std::vector<std::string>& arguments, std::string_view command,
                       std::vector<std::string_view> known) {
    std::string_view first = arguments.front();
    std::string_view word = first.substr(0, first.find('='));
    if (!word.starts_with("--")) return fmt::format("unexpected argument \"{}\"", first);
    word.remove_prefix(2);
    known.emplace_back("help");
    std::string_view near = suggest(word, known);
    if (near.empty()) return fmt::format("unknown option --{}; `millrace {} --help` names all options", word, command);
    return fmt::format("unknown option --{}; did you mean --{}?", word, near);
}

struct CommandLine {
    std::vector<std::pair<const OptionSpec*, std::string>> given;  // as CLI11 fills them; empty ones were not given
    std::string config;
};

void declare_options(CLI::App& command, CommandLine& line) {
    for (const OptionSpec& option : standalone_options()) line.given.emplace_back(&option, "");
    for (auto& [option, text] : line.given) {
        std::string help = fmt::format("{} [{}]", option->help, option->fallback);
        command.add_option(fmt::format("--{}", option->name), text, help)
            ->type_name(std::string(option->value))
            ->take_last();
    }
    command.add_option("--config", line.config, "TOML file with these options")->type_name("FILE")->take_last();
    command.allow_extras();
    command.footer(kStandaloneFooter);
}

int standalone(const CLI::App& app, const CLI::App& command, const CommandLine& line) {
    for (const CLI::App* level : {&app, &command}) {
        std::vector<std::string> extras = level->remaining();
        if (extras.empty()) continue;
        std::vector<std::string_view> known = option_names();
        known.emplace_back("config");
        return refuse(unexpected(extras, "standalone", std::move(known)));
    }
    std::vector<NamedValue> values;
    for (const auto& [option, text] : line.given) {
        std::string flag = fmt::format("--{}", option->name);
        if (command.count(flag) > 0) values.push_back({std::string(option->name), text, flag});
    }
    auto options = assemble(values, line.config, environment());
    if (!options) return refuse(options.error().message());
    options->build = build_info();
    return node::run_standalone(std::move(*options));
}

using FlinkScaleLine = std::vector<std::pair<const FlinkScaleOption*, std::vector<std::string>>>;

void declare_options(CLI::App& command, FlinkScaleLine& line) {
    for (const FlinkScaleOption& option : flink_scale_options()) line.emplace_back(&option, std::vector<std::string>());
    for (auto& [option, texts] : line) {
        std::string flag = fmt::format("--{}", option->name);
        if (option->value.empty()) {
            command.add_flag(flag)->description(std::string(option->help));
            continue;
        }
        command.add_option(flag, texts, fmt::format("{} [{}]", option->help, option->fallback))
            ->type_name(std::string(option->value))
            ->type_size(1)
            ->expected(1, 1000)
            ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
            ->allow_extra_args(false);
    }
    command.allow_extras();
    command.footer(kFlinkScaleFooter);
}

int flink_scale(const CLI::App& app, const CLI::App& command, const FlinkScaleLine& line) {
    for (const CLI::App* level : {&app, &command}) {
        std::vector<std::string> extras = level->remaining();
        if (extras.empty()) continue;
        std::vector<std::string_view> known;
        for (const FlinkScaleOption& option : flink_scale_options()) known.push_back(option.name);
        return refuse(unexpected(extras, "flink-scale", std::move(known)));
    }
    FlinkScaleOptions options;
    for (const auto& [option, texts] : line) {
        bool given = command.count(fmt::format("--{}", option->name)) > 0;
        std::vector<std::string> values = option->value.empty() && given ? std::vector<std::string>{""} : texts;
        for (const std::string& text : values) {
            if (auto done = option->apply(options, text); !done)
                return refuse(fmt::format("bad value \"{}\" for --{}: {}", text, option->name, done.error().message()));
        }
    }
    if (auto fine = check(options); !fine) return refuse(fine.error().message());
    return run_flink_scale(options);
}

CLI::App* declare_transactions(CLI::App& app, TransactionsRequest& request) {
    CLI::App* command = app.add_subcommand("transactions", kTransactionsAbout);
    command->require_subcommand(1);
    command->footer(kTransactionsFooter);
    request.rest = "http://127.0.0.1:9091";
    struct Action {
        const char* name;
        const char* about;
        TransactionsAction action;
    };
    for (const Action& one : {Action{"list", "Prints those that are under way.", TransactionsAction::kList},
                              Action{"commit", "Commits some of them.", TransactionsAction::kCommit},
                              Action{"abort", "Aborts some of them.", TransactionsAction::kAbort}}) {
        CLI::App* line = command->add_subcommand(one.name, one.about);
        line->add_option("stream", request.stream, "the stream")->type_name("SCOPE/STREAM")->required();
        if (one.action != TransactionsAction::kList)
            line->add_option("ids", request.ids, "ids as `list` prints them")->type_name("ID")->required();
        line->add_option("--rest", request.rest, "the server's REST API [" + request.rest + "]")->type_name("URL");
        line->callback([&request, action = one.action] { request.action = action; });
    }
    return command;
}

int run(int argc, char** argv) {
    CLI::App app(kAbout, "millrace");
    CommandLine line;
    FlinkScaleLine scale_line;
    CLI::App* serve = app.add_subcommand("standalone", kStandaloneAbout);
    CLI::App* version = app.add_subcommand("version", "Prints what this program is.");
    CLI::App* retention = app.add_subcommand("retention", kRetentionAbout);
    std::string stream;
    std::string rest = "http://127.0.0.1:9091";
    retention->add_option("stream", stream, "the stream")->type_name("SCOPE/STREAM")->required();
    retention->add_option("--rest", rest, "the server's REST API [" + rest + "]")->type_name("URL");
    TransactionsRequest transactions;
    CLI::App* transactions_line = declare_transactions(app, transactions);
    CLI::App* scale = app.add_subcommand("flink-scale", kFlinkScaleAbout);
    app.add_subcommand("sim", kSimAbout);
    declare_options(*serve, line);
    declare_options(*scale, scale_line);
    app.set_version_flag("--version", version_text());
    app.footer("`millrace COMMAND --help` explains a command.");
    app.allow_extras();
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& outcome) {
        if (outcome.get_exit_code() == 0) return app.exit(outcome);  // help or version
        return refuse(outcome.what());
    }
    if (*version) {
        fmt::print("{}\n", version_text());
        return 0;
    }
    if (*transactions_line) return transactions_command(transactions);
    if (*retention) return retention_command(stream, rest);
    if (*serve) return standalone(app, *serve, line);
    if (*scale) return flink_scale(app, *scale, scale_line);
    std::vector<std::string> extras = app.remaining();
    if (extras.empty()) {
        fmt::print(stderr, "{}", app.help());
        return kExitUsage;
    }
    constexpr std::string_view kCommands[] = {"standalone", "flink-scale",  "retention",
                                              "sim",        "transactions", "version"};
    std::string_view near = suggest(extras.front(), kCommands);
    if (!near.empty()) return refuse(fmt::format("unknown command \"{}\"; did you mean \"{}\"?", extras.front(), near));
    return refuse(fmt::format("unknown command \"{}\"; `millrace --help` names all commands", extras.front()));
}

}  // namespace
}  // namespace millrace::cli

int main(int argc, char** argv) {
    if (argc > 1 && std::string_view(argv[1]) == "sim") return millrace::sim::simulation_command(argc - 1, argv + 1);
    return millrace::cli::run(argc, argv);
}
