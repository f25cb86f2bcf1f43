// The process that journal_kill_test kills: recovers a journal, tells what it found, then writes without end and tells
// what is acknowledged, in lines on its standard output:
//   F <container> <sequence> <run>    found by recovery, intact, written by that run
//   N <container> <sequence>          next sequence
//   S                                 started
//   A <container> <sequence> <run>    acknowledged
//   T <container> <sequence>          about to truncate: frames below are not needed any more
//   E <text>                          an error; the test fails
//
//   journal_kill_writer <directory> threads|uring <run>
#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>
#include <unistd.h>

#include "base/log.h"
#include "bytes/binary.h"
#include "runtime/core_loop.h"
#include "wal/local/local_journal.h"
#include "wal/wal_test_support.h"

namespace millrace::wal::local {
namespace {

constexpr std::uint32_t kContainers = 3;
constexpr int kOutstanding = 6;

void say(const std::string& line) {
    std::string text = line + "\n";
    if (::write(STDOUT_FILENO, text.data(), text.size()) != static_cast<ssize_t>(text.size())) std::_Exit(2);
}

[[noreturn]] void give_up(const std::string& text) {
    say("E " + text);
    std::_Exit(1);
}

// 8 bytes run, 8 bytes size, then contents that follow from both.
Bytes payload_of(ContainerId container, LogSequence sequence, std::uint64_t run, std::size_t size) {
    Bytes payload = make_payload(container, sequence, run, 16 + size);
    bytes::store_le<std::uint64_t>(payload.data(), run);
    bytes::store_le<std::uint64_t>(payload.data() + 8, size);
    return payload;
}

class TellingVisitor final : public RecoveryVisitor {
  public:
    Result<> frame(ContainerId container, const Appended& where, bytes::ByteSpan payload) override {
        if (payload.size() < 16) return fail(Errc::kCorrupt, "short payload");
        auto run = bytes::load_le<std::uint64_t>(payload.data());
        auto size = bytes::load_le<std::uint64_t>(payload.data() + 8);
        Bytes expected = payload_of(container, where.sequence, run, size);
        bool same = std::equal(payload.begin(), payload.end(), expected.begin(), expected.end());
        if (!same) return fail(Errc::kCorrupt, "payload is not what was written");
        say(fmt::format("F {} {} {}", container.value(), where.sequence.value(), run));
        return {};
    }
};

class WriterProcess {
  public:
    WriterProcess(const std::string& directory, io::Backend backend, std::uint64_t run)
        : run_(run), random_(run), loop_("writer", run) {
        options_.directory = directory;
        options_.file_bytes = 1 * kMiB;
        options_.first_file_bytes = 256 * kKiB;
        options_.limit_bytes = 64 * kMiB;
        options_.min_free_bytes = 0;
        options_.max_write_bytes = 128 * kKiB;
        options_.max_payload_bytes = 128 * kKiB;
        auto files = io::make_file_system(loop_, backend);
        if (!files) give_up(files.error().to_string());
        files_ = std::move(*files);
    }

    void run() {
        loop_.post([this] { start(); });
        loop_.run();
    }

  private:
    void start() {
        journal_ = std::make_unique<LocalJournal>(*files_, loop_, options_);
        TellingVisitor visitor;
        auto report = journal_->recover(visitor);
        if (!report) give_up(report.error().to_string());
        for (std::uint32_t i = 0; i < kContainers; ++i) {
            logs_.push_back(journal_->open(ContainerId(i), loop_));
            say(fmt::format("N {} {}", i, logs_[i]->next_sequence().value()));
        }
        say("S");
        for (std::uint32_t i = 0; i < kContainers; ++i) {
            for (int j = 0; j < kOutstanding; ++j) append(i);
        }
    }

    void append(std::uint32_t container) {
        DurableLog& log = *logs_[container];
        std::size_t size = random_.below(8) == 0 ? random_.below(100'000) : random_.below(5'000);
        Bytes payload = payload_of(ContainerId(container), log.next_sequence(), run_, size);
        log.append(make_frame(payload), false, [this, container](Result<Appended> result) {
            if (!result) give_up(result.error().to_string());
            say(fmt::format("A {} {} {}", container, result->sequence.value(), run_));
            if (random_.below(20) == 0) truncate(container, result->sequence);
            append(container);
        });
    }

    void truncate(std::uint32_t container, LogSequence acknowledged) {
        if (acknowledged.value() < 40) return;
        LogSequence first_kept(acknowledged.value() - random_.below(40));
        say(fmt::format("T {} {}", container, first_kept.value()));
        logs_[container]->truncate(first_kept);
    }

    const std::uint64_t run_;
    SeededRandom random_;
    runtime::CoreLoop loop_;
    JournalOptions options_;
    std::unique_ptr<io::FileSystem> files_;
    std::unique_ptr<LocalJournal> journal_;
    std::vector<std::unique_ptr<DurableLog>> logs_;
};

}  // namespace
}  // namespace millrace::wal::local

int main(int argc, char** argv) {
    using namespace millrace;
    if (argc != 4) return 2;
    log::set_level(log::Level::kOff);
    bool uring = std::string_view(argv[2]) == "uring";
    wal::local::WriterProcess writer(argv[1], uring ? io::Backend::kUring : io::Backend::kThreads,
                                     std::strtoull(argv[3], nullptr, 10));
    writer.run();
}
