// The append client: many connections, many segments, at wire level. Closed loop (each writer keeps a window of events
// under way, an equal share of it on each segment) or a fixed rate (a schedule that never waits; latency counts from
// the scheduled time). In the closed loop events for one segment that are sent together go into one append, as every
// client does. Prints one line of key=value.
#pragma once

#include <string>

namespace millrace::bench {

struct AppendLoad {
    std::string host = "127.0.0.1";
    int port = 6000;
    int writers = 10;
    int segments = 1;
    int segments_per_writer = 0;  // so many, neighbours, evenly spread over all; 0: each writer uses all segments
    int event_bytes = 1024;
    double seconds = 5;
    double warmup_seconds = 1;
    double rate = 0;                  // events per second of all writers; 0: closed loop
    int window = 1000;                // events under way per writer, closed loop
    std::int64_t events = 0;          // > 0, closed loop: this many and no clock
    std::int64_t truncate_bytes = 0;  // > 0: each time that so much is acknowledged, all of it is truncated
    bool delete_segments = false;     // at the end, so that their bytes in the log come free
    std::string prefix;               // of the segments' names; made unique by default
};

int run_append(const AppendLoad& load);  // exit status; 1 also when events stayed unanswered for 30 s

// How many events of an earlier run (same prefix, segments, writers) the server knows: by setting up each writer again.
int run_verify(const AppendLoad& load);

}  // namespace millrace::bench
