// The null sink: the least that a durable event server can do, as the measure of the machine. One thread: read what the
// sockets have, copy every payload once into an aligned buffer, one synced O_DIRECT write per round, then acknowledge.
// It answers just enough of the wire protocol for the append client; it stores nothing that could be read again.
#pragma once

#include <string>

namespace millrace::bench {

int run_null_sink(const std::string& file, const std::string& host, int port);

// Single synced 4 KiB writes to a pre-written file, one after the other, for so long: their median and p99.
int run_sync_probe(const std::string& file, double seconds);

}  // namespace millrace::bench
