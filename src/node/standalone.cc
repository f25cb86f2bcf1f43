#include "node/standalone.h"

#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "node/node.h"

namespace millrace::node {
namespace {

// Together below the 2 s within which a process ends after SIGTERM.
constexpr std::chrono::milliseconds kStopWithin{1'800};
constexpr std::chrono::milliseconds kTakeDownWithin{1'850};  // what was stopped, from the same moment on
constexpr std::chrono::milliseconds kLastWords{80};
constexpr int kMallocArenas = 2;
constexpr int kSignalExit = 128;

// Runs `end` on a thread of its own when the time is over, unless the process has ended by then.
void after(std::chrono::milliseconds delay, std::move_only_function<void()> end) {
    try {
        std::thread([delay, end = std::move(end)]() mutable {
            std::this_thread::sleep_for(delay);
            end();
        }).detach();
    } catch (const std::system_error&) {  // no thread to be had: it ends when it ends
    }
}

// Ends the process now, with what was logged. Whoever reads the log may have stopped to: then without.
[[noreturn]] void exit_now(int status, log::Level level, std::string_view why) {
    after(kLastWords, [status] { ::_exit(status); });
    log::write(level, why);
    log::flush();
    std::fflush(stdout);
    ::_exit(status);
}

// The process ends with `status` even if something in it does not: a disk that answers no more, or a log that nobody
// reads. What was acknowledged is in the journal.
void end_in_time(int status) {
    after(kTakeDownWithin, [status] {
        exit_now(status, log::Level::kWarn,
                 fmt::format("not everything could be taken down within {} ms: leaving it", kTakeDownWithin.count()));
    });
}

// Takes SIGTERM and SIGINT away from all threads and gives them to one of its own. The first one is a wish, which
// wait() returns; before begin() it ends the process at once, since nobody has been served; and so does the second.
class EndSignals {
  public:
    EndSignals() {
        sigset_t signals = set();
        ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
        std::thread([this] { watch(); }).detach();  // lives as long as the process
    }

    void begin() {
        std::lock_guard lock(mutex_);
        serving_ = true;
    }
    int wait() {
        std::unique_lock lock(mutex_);
        wished_.wait(lock, [this] { return signal_.has_value(); });
        return *signal_;
    }

  private:
    static sigset_t set() {
        sigset_t signals;
        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        return signals;
    }
    void watch() {
        for (sigset_t signals = set();;) {
            int number = 0;
            if (::sigwait(&signals, &number) != 0) continue;
            std::lock_guard lock(mutex_);
            if (!serving_) {
                exit_now(kExitEnded, log::Level::kInfo,
                         fmt::format("SIG{} before the start was over: ending", sigabbrev_np(number)));
            }
            if (signal_) {
                exit_now(kSignalExit + number, log::Level::kWarn,
                         fmt::format("SIG{} again: ending at once", sigabbrev_np(number)));
            }
            end_in_time(kExitEnded);
            signal_ = number;
            wished_.notify_all();
        }
    }

    std::mutex mutex_;
    std::condition_variable wished_;
    bool serving_ = false;
    std::optional<int> signal_;
};

void set_limits() {
    // Both come back as errors of the call.
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);
    // gRPC writes its own notes to stderr, in its own form; what matters of them comes back as an error.
    ::setenv("GRPC_VERBOSITY", "NONE", 0);
    // Most memory is in slabs; more arenas would only keep more of what is free.
    ::mallopt(M_ARENA_MAX, kMallocArenas);
    rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        if (::setrlimit(RLIMIT_NOFILE, &files) != 0) log::warn("the limit of open files stays at {}", files.rlim_cur);
    }
}

int could_not_start(const Error& error, bool json) {
    if (json)
        log::error("millrace could not start: {}", error.message());
    else
        fmt::print(stderr, "millrace: {}\n", error.message().empty() ? error.to_string() : error.message());
    return kExitNotStarted;
}

}  // namespace

int run_standalone(NodeOptions options) {
    auto begun = std::chrono::steady_clock::now();
    log::set_level(options.log_level);
    log::set_json(options.log_json);
    set_limits();
    auto& signals = *new EndSignals;  // its thread lives as long as the process
    bool json = options.log_json;
    // There is no way to go on from a failed log, and none is needed: leave before more is promised.
    auto failed = [](Error error) {
        exit_now(kExitFailed, log::Level::kError,
                 fmt::format("fatal: {}; ending, the next start recovers what was acknowledged", error.to_string()));
    };
    auto node = std::make_unique<Node>(std::move(options), failed);
    auto addresses = node->start();
    if (!addresses) {
        end_in_time(kExitNotStarted);
        return could_not_start(addresses.error(), json);
    }
    signals.begin();
    auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begun);
    fmt::print("millrace ready\ncontroller {}\nrest {}\nstore {}\ndata {}\n", addresses->controller, addresses->rest,
               addresses->store, addresses->data);
    std::fflush(stdout);
    log::info("ready after {} ms", took.count());

    int number = signals.wait();
    log::info("SIG{}: ending", sigabbrev_np(number));
    begun = std::chrono::steady_clock::now();
    if (!node->stop(kStopWithin)) {
        exit_now(kExitEnded, log::Level::kWarn,
                 fmt::format("not everything ended within {} ms: leaving it", kStopWithin.count()));
    }
    node.reset();
    took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begun);
    log::info("ended after {} ms", took.count());
    return kExitEnded;
}

}  // namespace millrace::node
