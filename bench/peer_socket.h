// Blocking-connect, then non-blocking TCP sockets for the bench's own loops.
#pragma once

#include <cstdint>
#include <string>

namespace millrace::bench {

int connect_to(const std::string& host, int port);  // exits with a message on failure
int listen_on(const std::string& host, int port);
void set_nonblocking(int fd);
void set_blocking(int fd);
std::uint64_t now_us();

}  // namespace millrace::bench
