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
#include "read_client.h"
#include "table_client.h"

namespace {

constexpr const char* kUsage =
    "millrace-bench append [--host 127.0.0.1] [--port 6000] [--writers 10] [--segments 1] [--event-bytes 1024]\n"
    "                      [--segments-per-writer 0 (all)] [--seconds 5] [--warmup 1] [--rate 0 (closed loop)] "
    "[--window 1000]\n"
    "                      [--events N (instead of --seconds)] [--prefix P] [--truncate-bytes N] [--delete-segments "
    "0|1]\n"
    "millrace-bench verify --prefix P [--host] [--port] [--writers] [--segments]    events of that run that are known\n"
    "millrace-bench read --prefix P [--host] [--port] [--segments 1] [--connections 1] [--event-bytes 1024]\n"
    "                    [--read-bytes 1048576] [--seconds (once from head to end)]\n"
    "millrace-bench table [--host] [--port] [--connections 10] [--tables 1] [--batch 10] [--window 4] [--keys 100000]\n"
    "                     [--value-bytes 100] [--seconds 5 (of updates, then of gets)] [--prefix P]\n"
    "millrace-bench null-sink --file F [--host 127.0.0.1] [--port 6100]\n"
    "millrace-bench sync --file F [--seconds 1]\n";

// The command line: --name value pairs, each of which must be asked for.
class Options {
  public:
    Options(int argc, char** argv) {
        for (int i = 2; i + 1 < argc; i += 2) given_[argv[i]] = argv[i + 1];
    }
    std::string text(const char* name, std::string fallback) {
        auto found = given_.find(name);
        if (found == given_.end()) return fallback;
        std::string value = std::move(found->second);
        given_.erase(found);
        return value;
    }
    double number(const char* name, double fallback) {
        std::string given = text(name, "");
        if (given.empty()) return fallback;
        char* end = nullptr;
        double value = std::strtod(given.c_str(), &end);
        if (*end == '\0' && value >= 0) return value;
        std::fprintf(stderr, "millrace-bench: %s takes a number, not '%s'\n", name, given.c_str());
        std::exit(2);
    }
    int count(const char* name, int fallback) { return static_cast<int>(number(name, fallback)); }
    void refuse_unknown() const {
        if (given_.empty()) return;
        std::fprintf(stderr, "millrace-bench: unknown option %s\n%s", given_.begin()->first.c_str(), kUsage);
        std::exit(2);
    }

  private:
    std::map<std::string, std::string> given_;
};

millrace::bench::AppendLoad append_load(Options& options) {
    millrace::bench::AppendLoad load;
    load.host = options.text("--host", load.host);
    load.port = options.count("--port", load.port);
    load.writers = options.count("--writers", load.writers);
    load.segments = options.count("--segments", load.segments);
    load.segments_per_writer = options.count("--segments-per-writer", 0);
    load.event_bytes = options.count("--event-bytes", load.event_bytes);
    load.seconds = options.number("--seconds", load.seconds);
    load.warmup_seconds = options.number("--warmup", load.warmup_seconds);
    load.rate = options.number("--rate", load.rate);
    load.window = options.count("--window", load.window);
    load.events = static_cast<std::int64_t>(options.number("--events", 0));
    load.truncate_bytes = static_cast<std::int64_t>(options.number("--truncate-bytes", 0));
    load.delete_segments = options.count("--delete-segments", 0) != 0;
    load.prefix = options.text("--prefix", "");
    if (load.writers < 1 || load.segments < 1 || load.window < 1 || load.event_bytes < 8) {
        std::fputs("millrace-bench: writers, segments and window are at least 1, an event has at least 8 bytes\n",
                   stderr);
        std::exit(2);
    }
    if (load.events > 0 && load.rate > 0) {
        std::fputs("millrace-bench: --events is for the closed loop, without --rate\n", stderr);
        std::exit(2);
    }
    return load;
}

millrace::bench::ReadLoad read_load(Options& options) {
    millrace::bench::ReadLoad load;
    load.host = options.text("--host", load.host);
    load.port = options.count("--port", load.port);
    load.connections = options.count("--connections", load.connections);
    load.segments = options.count("--segments", load.segments);
    load.event_bytes = options.count("--event-bytes", load.event_bytes);
    load.read_bytes = options.count("--read-bytes", load.read_bytes);
    load.seconds = options.number("--seconds", load.seconds);
    load.prefix = options.text("--prefix", "");
    bool can_be = !load.prefix.empty() && load.connections >= 1 && load.segments >= 1 && load.event_bytes >= 24 &&
                  load.read_bytes >= 1 && load.read_bytes <= 2 << 20;
    if (can_be) return load;
    std::fputs("millrace-bench: read needs a prefix; a read has at most 2 MiB\n", stderr);
    std::exit(2);
}

millrace::bench::TableLoad table_load(Options& options) {
    millrace::bench::TableLoad load;
    load.host = options.text("--host", load.host);
    load.port = options.count("--port", load.port);
    load.connections = options.count("--connections", load.connections);
    load.tables = options.count("--tables", load.tables);
    load.batch = options.count("--batch", load.batch);
    load.window = options.count("--window", load.window);
    load.keys = options.count("--keys", load.keys);
    load.value_bytes = options.count("--value-bytes", load.value_bytes);
    load.seconds = options.number("--seconds", load.seconds);
    load.prefix = options.text("--prefix", "");
    if (load.connections >= 1 && load.tables >= 1 && load.batch >= 1 && load.window >= 1 && load.keys >= 1) return load;
    std::fputs("millrace-bench: connections, tables, batch, window and keys are at least 1\n", stderr);
    std::exit(2);
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    if (argc < 2 || argc % 2 != 0) {
        std::fputs(kUsage, stderr);
        return 2;
    }
    Options options(argc, argv);
    std::string command = argv[1];
    if (command == "append" || command == "verify") {
        auto load = append_load(options);
        options.refuse_unknown();
        return command == "append" ? millrace::bench::run_append(load) : millrace::bench::run_verify(load);
    }
    if (command == "read") {
        auto load = read_load(options);
        options.refuse_unknown();
        return millrace::bench::run_read(load);
    }
    if (command == "table") {
        auto load = table_load(options);
        options.refuse_unknown();
        return millrace::bench::run_table(load);
    }
    if (command == "null-sink") {
        std::string file = options.text("--file", "null-sink.bin");
        std::string host = options.text("--host", "127.0.0.1");
        int port = options.count("--port", 6100);
        options.refuse_unknown();
        return millrace::bench::run_null_sink(file, host, port);
    }
    if (command == "sync") {
        std::string file = options.text("--file", "sync.bin");
        double seconds = options.number("--seconds", 1);
        options.refuse_unknown();
        return millrace::bench::run_sync_probe(file, seconds);
    }
    std::fputs(kUsage, stderr);
    return 2;
}
