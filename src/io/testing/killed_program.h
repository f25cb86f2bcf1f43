// For tests: a program that is killed without warning while it works, and what it said until then.
#pragma once

#include <chrono>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace millrace::io {

// What it writes to its standard output is read from `output`.
struct KilledProgram {
    pid_t pid = 0;
    int output = -1;
};

inline void start(std::vector<std::string> command, KilledProgram& program) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    std::vector<char*> arguments;
    arguments.reserve(command.size() + 1);
    for (std::string& argument : command) arguments.push_back(argument.data());
    arguments.push_back(nullptr);
    int failed = ::posix_spawn(&program.pid, arguments[0], &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    program.output = ends[0];
    ASSERT_EQ(failed, 0) << command[0];
}

// Gives every whole line to `take(line)`, to the end of the output. The program is killed `delay` after the first line
// that take() returns true for, or at once when take() has failed the test.
template <typename Take>
void read_until_killed(const KilledProgram& program, std::chrono::microseconds delay, Take take) {
    using Clock = std::chrono::steady_clock;
    std::string text;
    std::optional<Clock::time_point> kill_at;
    auto give_up = Clock::now() + std::chrono::seconds(60);
    bool killed = false;
    while (!testing::Test::HasFatalFailure()) {
        auto now = Clock::now();
        ASSERT_LT(now, give_up) << "the program does not begin, or does not end";
        if (kill_at && now >= *kill_at && !killed) {
            ::kill(program.pid, SIGKILL);
            killed = true;
        }
        pollfd waiting{program.output, POLLIN, 0};
        if (::poll(&waiting, 1, killed ? 1000 : 1) == 0) continue;
        char buffer[65536];
        ssize_t count = ::read(program.output, buffer, sizeof buffer);
        if (count <= 0) return;
        text.append(buffer, static_cast<std::size_t>(count));
        std::size_t end = text.rfind('\n');
        if (end == std::string::npos) continue;
        std::istringstream lines(text.substr(0, end));
        text.erase(0, end + 1);
        for (std::string line; std::getline(lines, line) && !testing::Test::HasFatalFailure();) {
            if (take(line) && !kill_at) kill_at = Clock::now() + delay;
        }
    }
}

// All of it. A program that ended by itself fails the test.
template <typename Take>
void run_and_kill(std::vector<std::string> command, std::chrono::microseconds delay, Take take) {
    KilledProgram program;
    ASSERT_NO_FATAL_FAILURE(start(std::move(command), program));
    read_until_killed(program, delay, std::move(take));
    ::kill(program.pid, SIGKILL);
    ::close(program.output);
    int status = 0;
    ASSERT_EQ(::waitpid(program.pid, &status, 0), program.pid);
    EXPECT_TRUE(WIFSIGNALED(status)) << "it ended by itself";
}

}  // namespace millrace::io
