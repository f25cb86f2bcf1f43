// The append client: many connections, many segments, at wire level. Closed loop (each writer keeps a window of events
// under way) or a fixed rate (a schedule that never waits; latency counts from the scheduled time). Events for one
// segment that are sent together go into one append, as every client does.
#pragma once

#include <string>

namespace millrace::bench {

struct AppendLoad {
    std::string host = "127.0.0.1";
    int port = 6000;
    int writers = 10;
    int segments = 1;
    int event_bytes = 1024;
    double seconds = 5;
    double warmup_seconds = 1;
    double rate = 0;     // events per second of all writers; 0: closed loop
    int window = 1000;   // events under way per writer, closed loop
    std::string prefix;  // of the segments' names; made unique by default
};

int run_append(const AppendLoad& load);

}  // namespace millrace::bench
