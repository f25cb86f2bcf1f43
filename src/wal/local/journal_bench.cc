// Speed of the journal on real files: appends at several depths and sizes, and recovery of what was written.
//   journal_bench <directory> [threads|uring] [GiB to recover]
#include <cstdio>
#include <cstdlib>
#include <future>

#include <fmt/format.h>

#include "base/log.h"
#include "runtime/core_loop.h"
#include "wal/local/local_journal.h"
#include "wal/wal_test_support.h"

namespace millrace::wal::local {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

struct CountingVisitor final : RecoveryVisitor {
    Result<> frame(ContainerId, const Appended&, bytes::ByteSpan payload) override {
        bytes += payload.size();
        return {};
    }
    std::uint64_t bytes = 0;
};

class Bench {
  public:
    Bench(std::string directory, io::Backend backend) : loop_("bench", 1) {
        options_.directory = std::move(directory);
        options_.min_free_bytes = 0;
        options_.limit_bytes = 4 * kGiB;
        loop_.start();
        auto files = io::make_file_system(loop_, backend);
        if (!files) std::abort();
        files_ = std::move(*files);
    }
    ~Bench() {
        run([this] {
            journal_.reset();
            files_.reset();
        });
        loop_.stop();
    }

    void start() {
        run([this] {
            auto begin = Clock::now();
            journal_ = std::make_unique<LocalJournal>(*files_, loop_, options_);
            CountingVisitor visitor;
            auto report = journal_->recover(visitor);
            if (!report) {
                fmt::print("{}\n", report.error().to_string());
                std::abort();
            }
            double taken = seconds_since(begin);
            fmt::print("start: {:.0f} ms, {} recovered, {:.2f} GB/s\n", taken * 1000, format_bytes(visitor.bytes),
                       static_cast<double>(visitor.bytes) / taken / 1e9);
            log_ = journal_->open(ContainerId(1), loop_);
        });
    }

    // `depth` frames under way until `total` bytes are written.
    void append(std::size_t size, int depth, std::uint64_t total, bool truncate) {
        std::promise<void> finished;
        run([&] {
            left_ = total / size;
            outstanding_ = 0;
            begin_ = Clock::now();
            count_ = left_;
            done_ = [&finished] { finished.set_value(); };
            truncate_ = truncate;
            for (int i = 0; i < depth && left_ > 0; ++i) one(size);
        });
        finished.get_future().wait();
        double taken = seconds_since(begin_);
        fmt::print("{:>8} B, {:>3} under way: {:>8.0f} frames/s, {:>7.1f} MB/s\n", size, depth,
                   static_cast<double>(count_) / taken, static_cast<double>(count_ * size) / taken / 1e6);
    }

    void close() {
        std::promise<void> closed;
        run([&] { log_.reset(); });
        journal_->close([&](Result<>) { closed.set_value(); });
        closed.get_future().wait();
        run([this] { journal_.reset(); });
    }

  private:
    void run(runtime::Task task) {
        std::promise<void> ran;
        loop_.post([&] {
            task();
            ran.set_value();
        });
        ran.get_future().wait();
    }
    void one(std::size_t size) {
        --left_;
        ++outstanding_;
        Frame frame;
        frame.slab = bytes::Slab::allocate(kHeaderRoom + size);
        frame.payload_size = size;
        std::memset(frame.slab->data(), 7, frame.slab->capacity());
        log_->append(std::move(frame), false, [this, size](Result<Appended> result) {
            if (!result) {
                fmt::print("{}\n", result.error().to_string());
                std::abort();
            }
            --outstanding_;
            if (truncate_ && result->sequence.value() % 64 == 0) log_->truncate(result->sequence);
            if (left_ > 0)
                one(size);
            else if (outstanding_ == 0)
                done_();
        });
    }

    runtime::CoreLoop loop_;
    JournalOptions options_;
    std::unique_ptr<io::FileSystem> files_;
    std::unique_ptr<LocalJournal> journal_;
    std::unique_ptr<DurableLog> log_;
    std::uint64_t left_ = 0;
    std::uint64_t count_ = 0;
    int outstanding_ = 0;
    bool truncate_ = false;
    Clock::time_point begin_;
    std::function<void()> done_;
};

}  // namespace
}  // namespace millrace::wal::local

int main(int argc, char** argv) {
    using namespace millrace;
    if (argc < 2) return 2;
    log::set_level(log::Level::kWarn);
    bool threads = argc > 2 && std::string_view(argv[2]) == "threads";
    std::uint64_t recovered = (argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1) * kGiB;
    wal::local::Bench bench(argv[1], threads ? io::Backend::kThreads : io::Backend::kAuto);
    bench.start();
    for (std::size_t size : {4'000u, 64'000u, 1'000'000u}) {
        for (int depth : {1, 4, 16}) bench.append(size, depth, size == 4'000u ? 16 * kMiB : 256 * kMiB, true);
    }
    bench.append(1'000'000, 8, recovered, false);
    bench.close();
    bench.start();
    bench.close();
}
