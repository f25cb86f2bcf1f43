#include "node/process_stats.h"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
#include <vector>

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace millrace::node {
namespace {

constexpr std::size_t kUserTicks = 11;  // fields of /proc/.../stat behind the name in brackets, from 0
constexpr std::size_t kSystemTicks = 12;

std::string text_of(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return std::move(text).str();
}

std::uint64_t number(std::string_view text) {
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

std::vector<std::string_view> words(std::string_view text) {
    std::vector<std::string_view> all;
    while (!text.empty()) {
        std::size_t end = std::min(text.find_first_of(" \n"), text.size());
        if (end > 0) all.push_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return all;
}

void read_memory(ProcessStats& stats) {
    std::string text = text_of("/proc/self/statm");
    std::vector<std::string_view> pages = words(text);
    if (pages.size() < 2) return;
    auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    stats.virtual_bytes = number(pages[0]) * page;
    stats.resident_bytes = number(pages[1]) * page;
}

void read_files(ProcessStats& stats) {
    constexpr const char* kFolder = "/proc/self/fd";
    // Since Linux 6.2 the folder's size is their number; before, it is 0 and they are counted.
    struct ::stat folder{};
    if (::stat(kFolder, &folder) == 0 && folder.st_size > 0) {
        stats.open_files = static_cast<std::uint64_t>(folder.st_size);
    } else {
        std::error_code error;
        for (std::filesystem::directory_iterator at(kFolder, error), end; !error && at != end; at.increment(error))
            ++stats.open_files;
    }
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) stats.max_files = limit.rlim_cur;
}

void read_threads(ProcessStats& stats) {
    auto tick = static_cast<double>(::sysconf(_SC_CLK_TCK));
    std::error_code error;
    for (std::filesystem::directory_iterator at("/proc/self/task", error), end; !error && at != end;
         at.increment(error)) {
        std::string text = text_of(at->path() / "stat");
        std::size_t open = text.find('(');
        std::size_t close = text.rfind(')');  // a name may hold brackets
        if (open == std::string::npos || close == std::string::npos || close < open) continue;
        std::vector<std::string_view> fields = words(std::string_view(text).substr(close + 1));
        if (fields.size() <= kSystemTicks) continue;
        ++stats.threads;
        auto ticks = static_cast<double>(number(fields[kUserTicks]) + number(fields[kSystemTicks]));
        stats.thread_cpu_seconds[text.substr(open + 1, close - open - 1)] += ticks / tick;
    }
}

}  // namespace

ProcessStats read_process_stats() {
    ProcessStats stats;
    rusage usage{};
    if (::getrusage(RUSAGE_SELF, &usage) == 0) {
        auto seconds = [](const timeval& time) {
            return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
        };
        stats.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    }
    read_memory(stats);
    read_files(stats);
    read_threads(stats);
    return stats;
}

DiskStats read_disk_stats(const std::string& path) {
    struct ::statvfs disk{};
    if (::statvfs(path.c_str(), &disk) != 0) return {};
    return {std::uint64_t{disk.f_bavail} * disk.f_frsize, std::uint64_t{disk.f_blocks} * disk.f_frsize};
}

}  // namespace millrace::node
