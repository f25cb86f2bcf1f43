// The contract of durable_log.h, kept by every implementation.
#include <cstdlib>
#include <filesystem>
#include <future>
#include <thread>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/log.h"
#include "io/memory_file_system.h"
#include "runtime/core_loop.h"
#include "runtime/manual_executor.h"
#include "wal/local/local_journal.h"
#include "wal/wal_test_support.h"

namespace millrace::wal {
namespace {

// A provider with executors around it, which can be closed and opened again on the same storage.
class Host {
  public:
    virtual ~Host() = default;
    virtual bool available() const { return true; }
    virtual runtime::Executor& executor() = 0;        // the provider's
    virtual runtime::Executor& other_executor() = 0;  // of a container that lives elsewhere
    virtual void run(runtime::Executor& on, runtime::Task task) = 0;
    virtual void wait_until(runtime::Executor& on, const std::function<bool()>& reached) = 0;
    virtual std::unique_ptr<DurableLogProvider> make() = 0;
};

local::JournalOptions small_options(const std::string& directory) {
    local::JournalOptions options;
    options.directory = directory;
    options.file_bytes = 4 * kMiB;
    options.first_file_bytes = 1 * kMiB;
    options.limit_bytes = 64 * kMiB;
    options.min_free_bytes = 0;
    options.max_write_bytes = 256 * kKiB;
    options.max_payload_bytes = 3 * kMiB;
    return options;
}

class MemoryHost final : public Host {
  public:
    MemoryHost() : files_(executor_) {}
    runtime::Executor& executor() override { return executor_; }
    runtime::Executor& other_executor() override { return other_; }
    void run(runtime::Executor&, runtime::Task task) override { task(); }
    void wait_until(runtime::Executor&, const std::function<bool()>& reached) override {
        while (!reached()) {
            bool ran = executor_.run_one();
            ran = other_.run_one() || ran;
            ASSERT_TRUE(ran) << "nothing left to run";
        }
    }
    std::unique_ptr<DurableLogProvider> make() override {
        return std::make_unique<local::LocalJournal>(files_, executor_, small_options("/journal"));
    }

  private:
    runtime::ManualExecutor executor_;
    runtime::ManualExecutor other_;
    io::MemoryFileSystem files_;
};

class LoopHost final : public Host {
  public:
    explicit LoopHost(io::Backend backend) {
        std::string pattern = testing::TempDir() + "millrace-wal-XXXXXX";
        root_ = ::mkdtemp(pattern.data());
        loop_.start();
        other_.start();
        auto files = io::make_file_system(loop_, backend);
        if (files) files_ = std::move(*files);
    }
    ~LoopHost() override {
        run(loop_, [this] { files_.reset(); });
        other_.stop();
        loop_.stop();
        std::filesystem::remove_all(root_);
    }
    bool available() const override { return files_ != nullptr; }
    runtime::Executor& executor() override { return loop_; }
    runtime::Executor& other_executor() override { return other_; }
    void run(runtime::Executor& on, runtime::Task task) override {
        std::promise<void> ran;
        on.post([&] {
            task();
            task = nullptr;
            ran.set_value();
        });
        ran.get_future().wait();
    }
    void wait_until(runtime::Executor& on, const std::function<bool()>& reached) override {
        auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        for (bool there = false; !there;) {
            ASSERT_LT(std::chrono::steady_clock::now(), give_up) << "a completion is missing";
            run(on, [&] { there = reached(); });
            if (!there) std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
    }
    std::unique_ptr<DurableLogProvider> make() override {
        return std::make_unique<local::LocalJournal>(*files_, loop_, small_options(root_ + "/journal"));
    }

  private:
    runtime::CoreLoop loop_{"wal-test", 1};
    runtime::CoreLoop other_{"wal-test-2", 2};
    std::unique_ptr<io::FileSystem> files_;
    std::string root_;
};

class DurableLogContract : public testing::TestWithParam<std::string> {
  protected:
    static constexpr ContainerId kOne{1};
    static constexpr ContainerId kTwo{2};

    void SetUp() override {
        log::set_level(log::Level::kError);
        if (GetParam() == "local_memory") {
            host = std::make_unique<MemoryHost>();
        } else {
            bool uring = GetParam() == "local_uring";
            host = std::make_unique<LoopHost>(uring ? io::Backend::kUring : io::Backend::kThreads);
            if (!host->available()) GTEST_SKIP() << "io_uring is not available here";
        }
        start();
    }
    void TearDown() override {
        if (provider != nullptr) stop();
    }

    // On the provider's executor, as node/ does it.
    void start() {
        recovered = {};
        host->run(host->executor(), [this] {
            provider = host->make();
            auto report = provider->recover(recovered);
            ASSERT_TRUE(report.has_value()) << report.error().to_string();
        });
    }
    void stop() {
        bool closed = false;
        provider->close([&](Result<> result) {
            EXPECT_TRUE(result.has_value()) << result.error().to_string();
            closed = true;
        });
        host->wait_until(host->executor(), [&] { return closed; });
        host->run(host->executor(), [this] { provider.reset(); });
    }
    void restart() {
        stop();
        start();
    }

    // A log with the frames that it acknowledged. Used and destroyed on its executor.
    struct Log {
        runtime::Executor* executor = nullptr;
        ContainerId container;
        std::unique_ptr<DurableLog> log;
        std::vector<Appended> acknowledged;
        std::vector<Bytes> payloads;
        std::vector<Error> errors;
    };
    std::unique_ptr<Log> open(ContainerId container, runtime::Executor& on) {
        auto made = std::make_unique<Log>();
        made->executor = &on;
        made->container = container;
        host->run(on, [&] { made->log = provider->open(container, on); });
        return made;
    }
    std::unique_ptr<Log> open(ContainerId container) { return open(container, host->executor()); }
    void close(std::unique_ptr<Log>& log) {
        host->run(*log->executor, [&] { log->log.reset(); });
        log.reset();
    }
    // In one turn: `count` frames with payloads of `size` bytes.
    void append(Log& log, std::size_t count, std::size_t size, std::uint64_t tag = 0) {
        host->run(*log.executor, [&] {
            for (std::size_t i = 0; i < count; ++i) {
                Bytes payload = make_payload(log.container, log.log->next_sequence(), tag, size);
                Frame frame = make_frame(payload);
                log.payloads.push_back(std::move(payload));
                log.log->append(std::move(frame), false, [&log](Result<Appended> result) {
                    if (result)
                        log.acknowledged.push_back(*result);
                    else
                        log.errors.push_back(result.error());
                });
            }
        });
    }
    void wait_for(Log& log, std::size_t answers) {
        host->wait_until(*log.executor, [&] { return log.acknowledged.size() + log.errors.size() >= answers; });
    }
    Result<Bytes> read(Log& log, LogAddress address, std::size_t size) {
        std::optional<Result<bytes::Slice>> answer;
        host->run(*log.executor,
                  [&] { log.log->read(address, size, [&](Result<bytes::Slice> data) { answer = std::move(data); }); });
        host->wait_until(*log.executor, [&] { return answer.has_value(); });
        if (!*answer) return fail(answer->error());
        return Bytes((*answer)->data(), (*answer)->data() + (*answer)->size());
    }
    void expect_recovered(ContainerId container, LogSequence from, const std::vector<Bytes>& payloads) {
        const auto& frames = recovered.frames[container];
        ASSERT_EQ(frames.size(), payloads.size());
        for (std::size_t i = 0; i < frames.size(); ++i) {
            EXPECT_EQ(frames[i].where.sequence.value(), from.value() + i);
            EXPECT_EQ(frames[i].payload, payloads[i]);
        }
    }

    std::unique_ptr<Host> host;
    std::unique_ptr<DurableLogProvider> provider;
    CollectingVisitor recovered;
};

TEST_P(DurableLogContract, AcknowledgesInOrderAndRecovers) {
    auto one = open(kOne);
    auto two = open(kTwo);
    EXPECT_EQ(one->log->next_sequence(), LogSequence(1));
    for (std::size_t size : {0u, 1u, 4032u, 4033u, 100'000u}) {
        append(*one, 7, size);
        append(*two, 3, size + 1);
    }
    wait_for(*one, 35);
    wait_for(*two, 15);
    ASSERT_TRUE(one->errors.empty() && two->errors.empty());
    for (std::size_t i = 0; i < one->acknowledged.size(); ++i) {
        EXPECT_EQ(one->acknowledged[i].sequence.value(), i + 1);
    }
    auto payloads_one = one->payloads;
    auto payloads_two = two->payloads;
    close(one);
    close(two);
    restart();
    expect_recovered(kOne, LogSequence(1), payloads_one);
    expect_recovered(kTwo, LogSequence(1), payloads_two);
    one = open(kOne);
    EXPECT_EQ(one->log->next_sequence(), LogSequence(36));
    append(*one, 1, 10);
    wait_for(*one, 1);
    EXPECT_EQ(one->acknowledged[0].sequence, LogSequence(36));
    close(one);
}

TEST_P(DurableLogContract, ReadsBackWhatIsAcknowledged) {
    auto log = open(kOne);
    append(*log, 5, 20'000);
    wait_for(*log, 5);
    for (std::size_t i = 0; i < 5; ++i) {
        auto whole = read(*log, log->acknowledged[i].payload, 20'000);
        ASSERT_TRUE(whole.has_value()) << whole.error().to_string();
        EXPECT_EQ(*whole, log->payloads[i]);
        auto part = read(*log, log->acknowledged[i].payload.plus(7'777), 333);
        ASSERT_TRUE(part.has_value());
        EXPECT_EQ(*part, Bytes(log->payloads[i].begin() + 7'777, log->payloads[i].begin() + 8'110));
    }
    LogAddress address = log->acknowledged[2].payload;
    Bytes payload = log->payloads[2];
    EXPECT_FALSE(read(*log, LogAddress{999, 4096}, 10).has_value());
    EXPECT_FALSE(read(*log, address.plus(1 << 30), 10).has_value());
    EXPECT_FALSE(read(*log, LogAddress{address.file, UINT64_MAX - 5}, 10).has_value());
    EXPECT_FALSE(read(*log, address, SIZE_MAX - 5).has_value());
    close(log);
    restart();
    EXPECT_EQ(recovered.frames[kOne][2].where.payload, address);
    log = open(kOne);
    auto again = read(*log, address, payload.size());
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ(*again, payload);
    close(log);
}

TEST_P(DurableLogContract, KeepsWhatIsNotTruncated) {
    auto log = open(kOne);
    append(*log, 60, 100'000);
    wait_for(*log, 60);
    host->run(*log->executor, [&] { log->log->truncate(LogSequence(41)); });
    append(*log, 20, 100'000);
    wait_for(*log, 80);
    ASSERT_TRUE(log->errors.empty());
    auto payloads = log->payloads;
    close(log);
    restart();
    const auto& frames = recovered.frames[kOne];
    ASSERT_GE(frames.size(), 40u);
    for (std::size_t i = 0; i < frames.size(); ++i) {
        std::size_t sequence = 80 - frames.size() + 1 + i;
        EXPECT_EQ(frames[i].where.sequence.value(), sequence);
        EXPECT_EQ(frames[i].payload, payloads[sequence - 1]);
    }
}

// The sequence goes on even when no frame of the container is left.
TEST_P(DurableLogContract, SequencesGoOnAfterEverythingWasTruncated) {
    auto quiet = open(kTwo);
    append(*quiet, 5, 100);
    wait_for(*quiet, 5);
    host->run(*quiet->executor, [&] { quiet->log->truncate(LogSequence(6)); });
    auto busy = open(kOne);
    for (int round = 0; round < 30; ++round) {
        append(*busy, 4, 200'000);
        wait_for(*busy, busy->payloads.size());
        host->run(*busy->executor, [&] { busy->log->truncate(busy->log->next_sequence()); });
    }
    ASSERT_TRUE(busy->errors.empty());
    close(busy);
    close(quiet);
    restart();
    EXPECT_TRUE(recovered.frames[kTwo].empty());
    quiet = open(kTwo);
    EXPECT_EQ(quiet->log->next_sequence(), LogSequence(6));
    close(quiet);
    busy = open(kOne);
    EXPECT_EQ(busy->log->next_sequence(), LogSequence(121));
    close(busy);
}

TEST_P(DurableLogContract, ServesAContainerOnAnotherExecutor) {
    auto here = open(kOne);
    auto there = open(kTwo, host->other_executor());
    for (int round = 0; round < 20; ++round) {
        append(*here, 3, 5'000);
        append(*there, 5, 3'000);
    }
    wait_for(*here, 60);
    wait_for(*there, 100);
    ASSERT_TRUE(here->errors.empty() && there->errors.empty());
    for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(there->acknowledged[i].sequence.value(), i + 1);
    auto data = read(*there, there->acknowledged[50].payload, 3'000);
    ASSERT_TRUE(data.has_value());
    EXPECT_EQ(*data, there->payloads[50]);
    host->run(*there->executor, [&] { there->log->truncate(LogSequence(11)); });
    EXPECT_FALSE(there->log->space().full);
    append(*there, 1, 10);
    wait_for(*there, 101);
    auto payloads = there->payloads;
    close(here);
    close(there);
    restart();
    const auto& frames = recovered.frames[kTwo];
    ASSERT_GE(frames.size(), 91u);
    EXPECT_EQ(frames.back().payload, payloads.back());
    EXPECT_EQ(frames.back().where.sequence, LogSequence(101));
}

TEST_P(DurableLogContract, TakesFramesOfTheLargestSize) {
    auto log = open(kOne);
    for (std::size_t size : {3u << 20, 5u, 3u << 20, 3u << 20}) append(*log, 1, size);
    wait_for(*log, 4);
    ASSERT_TRUE(log->errors.empty()) << log->errors[0].to_string();
    auto payloads = log->payloads;
    close(log);
    restart();
    expect_recovered(kOne, LogSequence(1), payloads);
}

TEST_P(DurableLogContract, WritesWhatIsQueuedBeforeItCloses) {
    auto log = open(kOne);
    append(*log, 50, 30'000);
    stop();
    wait_for(*log, 50);
    EXPECT_TRUE(log->errors.empty());
    append(*log, 1, 10);
    // The provider is gone or closed: the frame is refused or never answered, but never acknowledged.
    host->run(*log->executor, [] {});
    EXPECT_EQ(log->acknowledged.size(), 50u);
    auto payloads = log->payloads;
    payloads.pop_back();
    close(log);
    start();
    expect_recovered(kOne, LogSequence(1), payloads);
}

TEST_P(DurableLogContract, DropsCompletionsOfADestroyedLog) {
    auto log = open(kOne);
    auto other = open(kTwo);
    append(*log, 10, 1'000);
    append(*other, 10, 1'000);
    close(log);
    wait_for(*other, 10);
    close(other);
    restart();
    EXPECT_EQ(recovered.frames[kTwo].size(), 10u);
}

INSTANTIATE_TEST_SUITE_P(All, DurableLogContract, testing::Values("local_memory", "local_threads", "local_uring"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace millrace::wal
