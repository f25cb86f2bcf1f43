// The table client: updates, then gets, of a table's entries in batches, closed loop. One table for each connection, or
// one for all. Prints one line of key=value.
#pragma once

#include <string>

namespace millrace::bench {

struct TableLoad {
    std::string host = "127.0.0.1";
    int port = 6000;
    int connections = 10;
    int tables = 1;
    int batch = 10;  // entries of one request
    int window = 4;  // requests under way per connection
    int keys = 100'000;
    int value_bytes = 100;
    double seconds = 5;  // of updates, and of gets
    std::string prefix;
};

int run_table(const TableLoad& load);

}  // namespace millrace::bench
