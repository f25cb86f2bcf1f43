// The read client: segments that the append client wrote, from their head to where they ended when it began, a request
// at a time on each connection, as clients do. Each byte is compared, and each event must be the next one of its
// writer. Prints one line of key=value.
#pragma once

#include <string>

namespace millrace::bench {

struct ReadLoad {
    std::string host = "127.0.0.1";
    int port = 6000;
    int connections = 1;
    int segments = 1;
    int event_bytes = 1024;
    int read_bytes = 1 << 20;
    double seconds = 1e9;  // at most; then from the head again, unless this is the default
    std::string prefix;
};

int run_read(const ReadLoad& load);

}  // namespace millrace::bench
