// The process that state_kill_test kills: opens a state, applies the batches that the seed makes from where it stands,
// flushes now and then, and tells in lines on its standard output:
//   S <sequence>    opened at
//   F <sequence>    a flush was acknowledged
//   E <text>        an error; the test fails
//
//   state_kill_writer <directory> <seed>
#include <cstdio>
#include <cstdlib>

#include "base/log.h"
#include "container/state/store_harness.h"

namespace millrace::container::state {
namespace {

void say(const std::string& line) {
    std::string text = line + "\n";
    if (::write(STDOUT_FILENO, text.data(), text.size()) != static_cast<ssize_t>(text.size())) std::_Exit(2);
}

[[noreturn]] void give_up(const std::string& text) {
    say("E " + text);
    std::_Exit(1);
}

class Writer {
  public:
    Writer(std::string directory, std::uint64_t seed) : seed_(seed), pool_({"state", 2, 64}), loop_("writer", seed) {
        options_ = {std::move(directory), ContainerId(1), 128 * kKiB, 50};
    }
    void run() {
        loop_.post([this] { start(); });
        loop_.run();
    }

  private:
    void start() {
        auto opened = open_rocksdb_state(options_, std::make_shared<StateResources>(), pool_, loop_);
        if (!opened) give_up(opened.error().to_string());
        store_ = std::move(*opened);
        next_ = store_->applied().next();
        say(fmt::format("S {}", store_->applied().value()));
        for (int i = 0; i < 8; ++i) apply();
    }
    void apply() {
        LogSequence sequence = next_;
        next_ = next_.next();
        store_->apply(random_batch(seed_, sequence), sequence, [this](Result<> result) {
            if (!result) give_up(result.error().to_string());
            apply();
        });
        if (loop_.random().below(100) == 0) {
            store_->flush([](Result<LogSequence> result) {
                if (!result) give_up(result.error().to_string());
                say(fmt::format("F {}", result->value()));
            });
        }
    }

    const std::uint64_t seed_;
    DatabaseOptions options_;
    runtime::BlockingPool pool_;
    runtime::CoreLoop loop_;
    std::unique_ptr<StateStore> store_;
    LogSequence next_;
};

}  // namespace
}  // namespace millrace::container::state

int main(int argc, char** argv) {
    using namespace millrace;
    if (argc != 3) return 2;
    log::set_level(log::Level::kOff);
    container::state::Writer(argv[1], std::strtoull(argv[2], nullptr, 10)).run();
}
