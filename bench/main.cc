// millrace-bench: the append client, the null sink and the sync probe. `bench/run` puts them together; see
// bench/README.md.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "append_client.h"
#include "null_sink.h"

namespace {

constexpr const char* kUsage =
    "millrace-bench append [--host 127.0.0.1] [--port 6000] [--writers 10] [--segments 1] [--event-bytes 1024]\n"
    "                      [--seconds 5] [--warmup 1] [--rate 0 (closed loop)] [--window 1000]\n"
    "millrace-bench null-sink --file F [--host 127.0.0.1] [--port 6100]\n"
    "millrace-bench sync --file F [--writes 2000]\n";

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    std::map<std::string, std::string> options;
    if (argc < 2 || argc % 2 != 0) {
        std::fputs(kUsage, stderr);
        return 2;
    }
    for (int i = 2; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
    auto text = [&](const char* name, std::string fallback) {
        auto found = options.find(name);
        return found == options.end() ? fallback : found->second;
    };
    auto number = [&](const char* name, double fallback) {
        return std::atof(text(name, std::to_string(fallback)).c_str());
    };
    std::string command = argv[1];
    if (command == "append") {
        millrace::bench::AppendLoad load;
        load.host = text("--host", load.host);
        load.port = static_cast<int>(number("--port", load.port));
        load.writers = static_cast<int>(number("--writers", load.writers));
        load.segments = static_cast<int>(number("--segments", load.segments));
        load.event_bytes = static_cast<int>(number("--event-bytes", load.event_bytes));
        load.seconds = number("--seconds", load.seconds);
        load.warmup_seconds = number("--warmup", load.warmup_seconds);
        load.rate = number("--rate", load.rate);
        load.window = static_cast<int>(number("--window", load.window));
        return millrace::bench::run_append(load);
    }
    if (command == "null-sink") {
        return millrace::bench::run_null_sink(text("--file", "null-sink.bin"), text("--host", "127.0.0.1"),
                                              static_cast<int>(number("--port", 6100)));
    }
    if (command == "sync")
        return millrace::bench::run_sync_probe(text("--file", "sync.bin"), static_cast<int>(number("--writes", 2000)));
    std::fputs(kUsage, stderr);
    return 2;
}
