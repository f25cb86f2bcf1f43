// What the system says of this process (Linux: /proc). Any thread; a few system calls.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace millrace::node {

struct ProcessStats {
    double cpu_seconds = 0;  // user and system
    std::uint64_t resident_bytes = 0;
    std::uint64_t virtual_bytes = 0;
    std::uint64_t open_files = 0;
    std::uint64_t max_files = 0;
    std::uint64_t threads = 0;
    std::map<std::string, double> thread_cpu_seconds;  // by the thread's name; those of one name together
};

ProcessStats read_process_stats();

struct DiskStats {
    std::uint64_t free_bytes = 0;  // for us
    std::uint64_t size_bytes = 0;  // 0: could not be asked
};

DiskStats read_disk_stats(const std::string& path);

}  // namespace millrace::node
