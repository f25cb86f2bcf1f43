#include "node/standalone.h"

#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <thread>

#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "node/node.h"

namespace millrace::node {
namespace {

constexpr std::chrono::milliseconds kStopWithin{1'800};
constexpr int kMallocArenas = 2;
constexpr int kSignalExit = 128;

// Ends the process now, with what was logged.
[[noreturn]] void exit_now(int status) {
    log::flush();
    std::fflush(stdout);
    ::_exit(status);
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
                log::info("SIG{} before the start was over: ending", sigabbrev_np(number));
                exit_now(kExitEnded);
            }
            if (signal_) {
                log::warn("SIG{} again: ending at once", sigabbrev_np(number));
                exit_now(kSignalExit + number);
            }
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
        log::error("fatal: {}; ending, the next start recovers what was acknowledged", error.to_string());
        exit_now(kExitFailed);
    };
    Node node(std::move(options), failed);
    auto addresses = node.start();
    if (!addresses) return could_not_start(addresses.error(), json);
    signals.begin();
    auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begun);
    fmt::print("millrace ready\ncontroller {}\nrest {}\nstore {}\ndata {}\n", addresses->controller, addresses->rest,
               addresses->store, addresses->data);
    std::fflush(stdout);
    log::info("ready after {} ms", took.count());

    int number = signals.wait();
    log::info("SIG{}: ending", sigabbrev_np(number));
    begun = std::chrono::steady_clock::now();
    if (!node.stop(kStopWithin)) {
        log::warn("not everything ended within {} ms: leaving it", kStopWithin.count());
        exit_now(kExitEnded);
    }
    took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begun);
    log::info("ended after {} ms", took.count());
    return kExitEnded;
}

}  // namespace millrace::node
