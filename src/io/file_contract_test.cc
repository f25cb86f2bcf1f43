// The contract of file.h, kept by every implementation.
#include <cstdlib>
#include <filesystem>
#include <future>
#include <optional>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/units.h"
#include "bytes/buffer.h"
#include "io/file.h"
#include "io/memory_file_system.h"
#include "runtime/core_loop.h"
#include "runtime/manual_executor.h"

namespace millrace::io {
namespace {

using testing::ElementsAre;
using Bytes = std::vector<std::uint8_t>;

// An executor, a file system on it, and a directory to work in.
class Host {
  public:
    virtual ~Host() = default;
    virtual runtime::Executor& executor() = 0;
    virtual void run(runtime::Task task) = 0;  // on the executor's thread; returns when it has run
    virtual void wait_until(const std::function<bool()>& reached) = 0;
    FileSystem& files() { return *files_; }
    std::unique_ptr<FileSystem> take_files() { return std::move(files_); }
    const std::string& root() const { return root_; }

  protected:
    std::unique_ptr<FileSystem> files_;
    std::string root_;
};

class MemoryHost final : public Host {
  public:
    MemoryHost() {
        files_ = std::make_unique<MemoryFileSystem>(executor_);
        root_ = "/root";
        EXPECT_TRUE(files_->make_directories(root_).has_value());
    }
    runtime::Executor& executor() override { return executor_; }
    void run(runtime::Task task) override { task(); }
    void wait_until(const std::function<bool()>& reached) override {
        while (!reached()) ASSERT_TRUE(executor_.run_one()) << "nothing left to run";
    }

  private:
    runtime::ManualExecutor executor_;
};

class LoopHost final : public Host {
  public:
    explicit LoopHost(Backend backend) {
        std::string pattern = testing::TempDir() + "millrace-io-XXXXXX";
        root_ = ::mkdtemp(pattern.data());
        loop_.start();
        auto files = make_file_system(loop_, backend);
        if (files) files_ = std::move(*files);
    }
    ~LoopHost() override {
        run([this] { files_.reset(); });
        loop_.stop();
        std::filesystem::remove_all(root_);
    }
    bool available() const { return files_ != nullptr; }
    runtime::Executor& executor() override { return loop_; }
    void run(runtime::Task task) override {
        std::promise<void> ran;
        loop_.post([&] {
            task();
            task = nullptr;
            ran.set_value();
        });
        ran.get_future().wait();
    }
    void wait_until(const std::function<bool()>& reached) override {
        auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        for (bool there = false; !there;) {
            ASSERT_LT(std::chrono::steady_clock::now(), give_up) << "a completion is missing";
            run([&] { there = reached(); });
            if (!there) std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
    }

  private:
    runtime::CoreLoop loop_{"io-test", 1};
};

Bytes pattern(std::size_t size, unsigned seed) {
    Bytes data(size);
    for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<std::uint8_t>(i * 31 + i / 251 + seed);
    return data;
}

class FileContract : public testing::TestWithParam<const char*> {
  protected:
    void SetUp() override {
        std::string name = GetParam();
        if (name == "memory") {
            host = std::make_unique<MemoryHost>();
            return;
        }
        auto made = std::make_unique<LoopHost>(name == "uring" ? Backend::kUring : Backend::kThreads);
        if (!made->available()) GTEST_SKIP() << "io_uring is not available here";
        host = std::move(made);
    }

    std::string path(const std::string& name) const { return host->root() + "/" + name; }
    std::unique_ptr<File> open(const std::string& name, OpenOptions options = {.create = true}) {
        auto file = host->files().open(path(name), options);
        if (!file) ADD_FAILURE() << file.error().to_string();
        return file ? std::move(*file) : nullptr;
    }

    // Starts on the executor; the completion must come there, once, and not from inside the call.
    template <typename T, typename Start>
    std::shared_ptr<std::optional<Result<T>>> start(const Start& call) {
        auto outcome = std::make_shared<std::optional<Result<T>>>();
        host->run([&] {
            inside_call = true;
            call([outcome, this](Result<T> result) {
                EXPECT_FALSE(inside_call) << "completed inside the call";
                EXPECT_TRUE(host->executor().on_this_thread());
                EXPECT_FALSE(outcome->has_value()) << "completed twice";
                *outcome = std::move(result);
                ++completions;
            });
            inside_call = false;
        });
        return outcome;
    }
    auto start_write(File& file, std::uint64_t offset, std::vector<bytes::ByteSpan> pieces, bool sync) {
        return start<void>([&](auto done) { file.write(offset, std::move(pieces), sync, std::move(done)); });
    }
    auto start_read(File& file, std::uint64_t offset, bytes::MutableByteSpan target) {
        return start<std::size_t>([&](auto done) { file.read(offset, target, std::move(done)); });
    }
    template <typename T>
    Result<T> finish(const std::shared_ptr<std::optional<Result<T>>>& outcome) {
        host->wait_until([&] { return outcome->has_value(); });
        return outcome->has_value() ? std::move(**outcome) : Result<T>(fail(Errc::kUnavailable));
    }
    Result<> write(File& file, std::uint64_t offset, const Bytes& data, bool sync = true) {
        return finish<void>(start_write(file, offset, {data}, sync));
    }
    Bytes read(File& file, std::uint64_t offset, std::size_t size) {
        Bytes data(size);
        auto count = finish<std::size_t>(start_read(file, offset, data));
        EXPECT_TRUE(count.has_value());
        data.resize(count.value_or(0));
        return data;
    }
    template <typename Condition>
    void wait_until(const Condition& condition) {
        host->wait_until(condition);
    }

    std::unique_ptr<Host> host;
    bool inside_call = false;
    std::size_t completions = 0;
};

TEST_P(FileContract, WritesAreReadBack) {
    auto file = open("f");
    Bytes data = pattern(10'000, 1);
    ASSERT_TRUE(write(*file, 0, data).has_value());
    ASSERT_TRUE(write(*file, 20'000, data, false).has_value());
    EXPECT_EQ(*file->size(), 30'000u);
    EXPECT_EQ(read(*file, 0, 10'000), data);
    EXPECT_EQ(read(*file, 20'000, 10'000), data);
    EXPECT_EQ(read(*file, 10'000, 10'000), Bytes(10'000)) << "a gap reads as zeros";
    auto synced = start<void>([&](auto done) { file->sync(std::move(done)); });
    EXPECT_TRUE(finish<void>(synced).has_value());
    auto again = open("f", {});
    EXPECT_EQ(read(*again, 0, 10'000), data) << "and through another descriptor";
}

TEST_P(FileContract, PiecesAreWrittenInSequence) {
    auto file = open("f");
    Bytes a = pattern(1, 1), b = pattern(5000, 2), empty, c = pattern(513, 3);
    ASSERT_TRUE(finish<void>(start_write(*file, 7, {a, empty, b, c}, true)).has_value());
    Bytes all = a;
    all.insert(all.end(), b.begin(), b.end());
    all.insert(all.end(), c.begin(), c.end());
    EXPECT_EQ(read(*file, 7, all.size()), all);
}

TEST_P(FileContract, MorePiecesThanOneSystemCallTakes) {
    auto file = open("f");
    Bytes data = pattern(2500, 9);
    std::vector<bytes::ByteSpan> pieces;
    for (const std::uint8_t& byte : data) pieces.emplace_back(&byte, 1);
    ASSERT_TRUE(finish<void>(start_write(*file, 3, pieces, true)).has_value());
    EXPECT_EQ(read(*file, 3, data.size()), data);
}

TEST_P(FileContract, NothingIsAValidWriteAndRead) {
    auto file = open("f");
    EXPECT_TRUE(finish<void>(start_write(*file, 5, {}, true)).has_value());
    EXPECT_TRUE(finish<void>(start_write(*file, 5, {bytes::ByteSpan()}, true)).has_value());
    EXPECT_EQ(*file->size(), 0u);
    EXPECT_EQ(*finish<std::size_t>(start_read(*file, 0, {})), 0u);
}

TEST_P(FileContract, ReadsStopAtTheEnd) {
    auto file = open("f");
    Bytes data = pattern(5000, 4);
    ASSERT_TRUE(write(*file, 0, data).has_value());
    EXPECT_EQ(read(*file, 0, 8192), data);
    EXPECT_EQ(read(*file, 4999, 10).size(), 1u);
    EXPECT_EQ(read(*file, 5000, 10).size(), 0u);
    EXPECT_EQ(read(*file, 1'000'000, 10).size(), 0u);
    Bytes target(8192);
    EXPECT_EQ(*file->read_blocking(4000, target), 1000u);
    EXPECT_EQ(*file->read_blocking(5000, target), 0u);
}

TEST_P(FileContract, ManyOperationsInFlight) {
    // More than the queues of any implementation hold.
    static constexpr std::size_t kCount = 400, kSize = 1024;
    auto file = open("f");
    std::vector<Bytes> written(kCount), found(kCount, Bytes(kSize));
    for (std::size_t i = 0; i < kCount; ++i) written[i] = pattern(kSize, static_cast<unsigned>(i));
    // Started in one turn of the loop.
    host->run([&] {
        for (std::size_t i = 0; i < kCount; ++i) {
            file->write(i * kSize, {written[i]}, i % 16 == 0, [this](Result<> result) {
                EXPECT_TRUE(result.has_value());
                ++completions;
            });
        }
    });
    wait_until([&] { return completions == kCount; });
    completions = 0;
    host->run([&] {
        for (std::size_t i = 0; i < kCount; ++i) {
            file->read(i * kSize, found[i], [this](Result<std::size_t> count) {
                EXPECT_EQ(count.value_or(0), kSize);
                ++completions;
            });
        }
    });
    wait_until([&] { return completions == kCount; });
    EXPECT_EQ(found, written);
}

TEST_P(FileContract, CompletionsMayStartOperations) {
    auto file = open("f");
    Bytes data = pattern(4096, 5);
    int rounds = 0;
    std::function<void()> next = [&] {
        file->write(static_cast<std::uint64_t>(rounds) * 4096, {data}, true, [&](Result<> result) {
            EXPECT_TRUE(result.has_value());
            if (++rounds < 20) next();
        });
    };
    host->run([&] { next(); });
    wait_until([&] { return rounds == 20; });
    EXPECT_EQ(*file->size(), 20u * 4096);
}

TEST_P(FileContract, DestroyedFileFinishesItsOperations) {
    Bytes data = pattern(100'000, 6), target(100'000);
    auto file = open("f");
    std::vector<std::shared_ptr<std::optional<Result<>>>> writes;
    for (std::size_t i = 0; i < 8; ++i) writes.push_back(start_write(*file, i * data.size(), {data}, true));
    host->run([&] { file.reset(); });
    for (auto& outcome : writes) EXPECT_TRUE(finish<void>(outcome).has_value());
    auto again = open("f", {});
    EXPECT_EQ(*again->size(), 8 * data.size());
    auto reading = start_read(*again, 7 * data.size(), target);
    host->run([&] { again.reset(); });
    EXPECT_EQ(*finish<std::size_t>(reading), data.size());
    EXPECT_EQ(target, data);
}

TEST_P(FileContract, CompletionMayDestroyItsFile) {
    Bytes data = pattern(4096, 7);
    auto file = open("f");
    bool done = false;
    host->run([&] {
        file->write(0, {data}, true, [&](Result<> result) {
            EXPECT_TRUE(result.has_value());
            file.reset();
            done = true;
        });
    });
    wait_until([&] { return done; });
}

TEST_P(FileContract, DestroyedFileSystemFinishesOperations) {
    // More than are under way at once, and destroyed in the turn that started them.
    static constexpr std::size_t kCount = 300;
    Bytes data = pattern(5'000, 8);
    auto file = open("f");
    host->run([&] {
        for (std::size_t i = 0; i < kCount; ++i) {
            file->write(i * data.size(), {data}, i % 16 == 0, [this](Result<> result) {
                EXPECT_TRUE(result.has_value());
                ++completions;
            });
        }
        host->take_files().reset();
        EXPECT_EQ(completions, 0u);
    });
    wait_until([&] { return completions == kCount; });
    EXPECT_EQ(*file->size(), kCount * data.size());
    if (std::string(GetParam()) == "memory") return;  // its files live on
    auto late = start_write(*file, 0, {data}, true);
    EXPECT_EQ(finish<void>(late).error(), Errc::kClosed);
    host->run([&] { file.reset(); });
}

TEST_P(FileContract, BlockingCallsAgreeWithTheOthers) {
    auto file = open("f");
    Bytes data = pattern(3000, 10), target(3000);
    ASSERT_TRUE(file->write_blocking(100, data).has_value());
    ASSERT_TRUE(file->sync_blocking().has_value());
    EXPECT_EQ(read(*file, 100, 3000), data);
    ASSERT_TRUE(write(*file, 200, data).has_value());
    EXPECT_EQ(*file->read_blocking(200, target), 3000u);
    EXPECT_EQ(target, data);
}

TEST_P(FileContract, ResizeGrowsWithZerosAndCuts) {
    auto file = open("f");
    Bytes data = pattern(6000, 11);
    ASSERT_TRUE(write(*file, 0, data).has_value());
    ASSERT_TRUE(file->resize(1000).has_value());
    EXPECT_EQ(*file->size(), 1000u);
    ASSERT_TRUE(file->resize(9000).has_value());
    EXPECT_EQ(*file->size(), 9000u);
    Bytes expected(data.begin(), data.begin() + 1000);
    expected.resize(9000);
    EXPECT_EQ(read(*file, 0, 10'000), expected);
}

TEST_P(FileContract, ReservedRoomChangesNoBytes) {
    auto file = open("f");
    ASSERT_TRUE(file->reserve(64 * kKiB).has_value());
    Bytes data = pattern(8192, 12);
    ASSERT_TRUE(write(*file, 4096, data).has_value());
    ASSERT_TRUE(file->reserve(128 * kKiB).has_value());
    ASSERT_TRUE(file->reserve(4096).has_value()) << "what is there stays";
    ASSERT_TRUE(file->resize(4096 + 8192).has_value());
    EXPECT_EQ(*file->size(), 12'288u);
    Bytes expected(4096);
    expected.insert(expected.end(), data.begin(), data.end());
    EXPECT_EQ(read(*file, 0, 12'288), expected);
}

TEST_P(FileContract, DirectFiles) {
    auto file = open("f", {.create = true, .direct = true});
    bytes::SlabRef slab = bytes::Slab::allocate(8 * bytes::kPageSize);
    Bytes data = pattern(slab->capacity(), 12);
    std::memcpy(slab->data(), data.data(), data.size());
    auto piece = [&](std::size_t page, std::size_t pages) {
        return bytes::ByteSpan(slab->data() + page * bytes::kPageSize, pages * bytes::kPageSize);
    };
    ASSERT_TRUE(finish<void>(start_write(*file, 4096, {piece(0, 3), piece(3, 5)}, true)).has_value());
    bytes::SlabRef found = bytes::Slab::allocate(12 * bytes::kPageSize);
    auto count = finish<std::size_t>(start_read(*file, 4096, {found->data(), found->capacity()}));
    ASSERT_TRUE(count.has_value()) << count.error().to_string();
    EXPECT_EQ(*count, data.size());
    EXPECT_EQ(std::memcmp(found->data(), data.data(), data.size()), 0);
    ASSERT_TRUE(file->write_blocking(0, piece(7, 1)).has_value());
    EXPECT_EQ(*file->read_blocking(0, {found->data(), 4096}), 4096u);
    EXPECT_EQ(std::memcmp(found->data(), piece(7, 1).data(), 4096), 0);
}

TEST_P(FileContract, DirectReadStopsAtAnOddEnd) {
    Bytes data = pattern(10'000, 13);
    {
        auto file = open("f");
        ASSERT_TRUE(write(*file, 0, data).has_value());
    }
    auto file = open("f", {.direct = true});
    bytes::SlabRef found = bytes::Slab::allocate(5 * bytes::kPageSize);
    EXPECT_EQ(*finish<std::size_t>(start_read(*file, 0, {found->data(), found->capacity()})), data.size());
    EXPECT_EQ(std::memcmp(found->data(), data.data(), data.size()), 0);
    EXPECT_EQ(*finish<std::size_t>(start_read(*file, 8192, {found->data(), found->capacity()})), data.size() - 8192);
    EXPECT_EQ(*finish<std::size_t>(start_read(*file, 12'288, {found->data(), found->capacity()})), 0u);
    EXPECT_EQ(*file->read_blocking(0, {found->data(), found->capacity()}), data.size());
}

TEST_P(FileContract, DirectFilesRefuseOddUnits) {
    auto file = open("f", {.create = true, .direct = true});
    bytes::SlabRef slab = bytes::Slab::allocate(2 * bytes::kPageSize);
    std::memset(slab->data(), 0, slab->capacity());
    bytes::ByteSpan page(slab->data(), 4096), shifted(slab->data() + 512, 4096);
    EXPECT_EQ(finish<void>(start_write(*file, 512, {page}, true)).error(), Errc::kInvalidArgument);
    EXPECT_EQ(finish<void>(start_write(*file, 0, {page.first(512)}, true)).error(), Errc::kInvalidArgument);
    EXPECT_EQ(finish<void>(start_write(*file, 0, {shifted}, true)).error(), Errc::kInvalidArgument);
    EXPECT_EQ(finish<std::size_t>(start_read(*file, 1, {slab->data(), 4096})).error(), Errc::kInvalidArgument);
    EXPECT_EQ(file->write_blocking(0, shifted).error(), Errc::kInvalidArgument);
    EXPECT_EQ(file->read_blocking(0, {slab->data(), 100}).error(), Errc::kInvalidArgument);
    EXPECT_EQ(*file->size(), 0u);
}

TEST_P(FileContract, ReadOnlyFiles) {
    {
        ASSERT_TRUE(write(*open("f"), 0, pattern(100, 14)).has_value());
    }
    auto file = open("f", {.read_only = true});
    EXPECT_EQ(read(*file, 0, 100), pattern(100, 14));
    Bytes data(10);
    EXPECT_EQ(write(*file, 0, data).error(), Errc::kInvalidArgument);
    EXPECT_EQ(file->write_blocking(0, data).error(), Errc::kInvalidArgument);
    EXPECT_EQ(file->resize(0).error(), Errc::kInvalidArgument);
    EXPECT_EQ(read(*file, 0, 100), pattern(100, 14));
}

TEST_P(FileContract, OffsetsOutOfRangeAreRefused) {
    auto file = open("f");
    Bytes data(10);
    EXPECT_EQ(write(*file, UINT64_MAX - 4, data).error(), Errc::kInvalidArgument);
    EXPECT_EQ(finish<std::size_t>(start_read(*file, UINT64_MAX, data)).error(), Errc::kInvalidArgument);
    EXPECT_EQ(file->write_blocking(UINT64_MAX, data).error(), Errc::kInvalidArgument);
}

TEST_P(FileContract, OpenFailsForItsReason) {
    auto& files = host->files();
    EXPECT_EQ(files.open(path("none"), {}).error(), Errc::kNotFound);
    EXPECT_EQ(files.open(path("no/dir"), {.create = true}).error(), Errc::kNotFound);
    EXPECT_EQ(files.open(host->root(), {}).error(), Errc::kInvalidArgument) << "a directory";
    EXPECT_EQ(files.open(host->root(), {.read_only = true}).error(), Errc::kInvalidArgument);
    ASSERT_TRUE(files.open(path("f"), {.create = true, .exclusive = true}).has_value());
    EXPECT_EQ(files.open(path("f"), {.create = true, .exclusive = true}).error(), Errc::kExists);
    EXPECT_TRUE(files.open(path("f"), {.create = true}).has_value());
    EXPECT_EQ(files.open(path("f/below"), {.create = true}).error(), Errc::kInvalidArgument) << "not a directory";
    EXPECT_NE(files.open(path("none"), {}).error().message().find(path("none")), std::string::npos);
}

TEST_P(FileContract, OpenKeepsTheContent) {
    {
        ASSERT_TRUE(write(*open("f"), 0, pattern(100, 15)).has_value());
    }
    EXPECT_EQ(read(*open("f", {.create = true}), 0, 200), pattern(100, 15));
}

TEST_P(FileContract, Names) {
    auto& files = host->files();
    EXPECT_TRUE(files.list(host->root())->empty());
    for (const char* name : {"b", "a", "c"}) open(name);
    ASSERT_TRUE(files.make_directories(path("d/e")).has_value());
    EXPECT_TRUE(files.make_directories(path("d/e")).has_value()) << "it is there already";
    EXPECT_THAT(*files.list(host->root()), ElementsAre("a", "b", "c", "d"));
    EXPECT_THAT(*files.list(path("d")), ElementsAre("e"));
    EXPECT_EQ(files.list(path("x")).error(), Errc::kNotFound);
    EXPECT_EQ(files.list(path("a")).error(), Errc::kInvalidArgument);
    EXPECT_EQ(files.make_directories(path("a/b")).error(), Errc::kInvalidArgument);

    EXPECT_TRUE(*files.exists(path("a")));
    EXPECT_TRUE(*files.exists(path("d/e")));
    EXPECT_FALSE(*files.exists(path("x")));
    EXPECT_FALSE(*files.exists(path("a/x")));

    EXPECT_TRUE(files.remove(path("a")).has_value());
    EXPECT_EQ(files.remove(path("a")).error(), Errc::kNotFound);
    EXPECT_EQ(files.remove(path("d")).error(), Errc::kInvalidArgument) << "not empty";
    EXPECT_TRUE(files.remove(path("d/e")).has_value());
    EXPECT_THAT(*files.list(host->root()), ElementsAre("b", "c", "d"));
    EXPECT_TRUE(files.sync_directory(host->root()).has_value());
    EXPECT_TRUE(files.sync_directory(host->root() + "/").has_value());
    EXPECT_EQ(files.sync_directory(path("x")).error(), Errc::kNotFound);
}

TEST_P(FileContract, RenameReplaces) {
    auto& files = host->files();
    ASSERT_TRUE(write(*open("old"), 0, pattern(10, 1)).has_value());
    auto newer = open("new");
    ASSERT_TRUE(write(*newer, 0, pattern(20, 2)).has_value());
    ASSERT_TRUE(files.rename(path("new"), path("old")).has_value());
    EXPECT_THAT(*files.list(host->root()), ElementsAre("old"));
    EXPECT_EQ(read(*open("old", {}), 0, 100), pattern(20, 2));
    EXPECT_EQ(read(*newer, 0, 100), pattern(20, 2)) << "the open file goes with its name";
    EXPECT_EQ(files.rename(path("new"), path("x")).error(), Errc::kNotFound);
    EXPECT_EQ(files.rename(path("old"), path("no/dir")).error(), Errc::kNotFound);
}

TEST_P(FileContract, LinkGivesASecondNameAndNeverReplaces) {
    auto file = open("a");
    Bytes data = pattern(3000, 7);
    ASSERT_TRUE(write(*file, 0, data).has_value());
    ASSERT_TRUE(host->files().link(path("a"), path("b")).has_value());
    EXPECT_EQ(read(*open("b", {}), 0, 3000), data);
    open("c");
    EXPECT_EQ(host->files().link(path("a"), path("c")).error(), Errc::kExists);
    EXPECT_EQ(*open("c", {})->size(), 0u);
    EXPECT_EQ(host->files().link(path("none"), path("d")).error(), Errc::kNotFound);
    EXPECT_EQ(host->files().link(path("a"), path("none/d")).error(), Errc::kNotFound);
    ASSERT_TRUE(host->files().remove(path("a")).has_value());
    EXPECT_EQ(read(*open("b", {}), 0, 3000), data) << "the other name keeps the file";
}

TEST_P(FileContract, StatusTellsSizeAndKind) {
    auto file = open("a");
    ASSERT_TRUE(write(*file, 0, pattern(3000, 7)).has_value());
    auto status = host->files().status(path("a"));
    ASSERT_TRUE(status.has_value());
    EXPECT_FALSE(status->directory);
    EXPECT_TRUE(status->regular);
    EXPECT_EQ(status->size, 3000u);
    std::int64_t now = host->executor().clock().wall_millis();
    EXPECT_LT(std::abs(status->modified_ms - now), 600'000);
    EXPECT_TRUE(host->files().status(host->root())->directory);
    EXPECT_FALSE(host->files().status(host->root())->regular);
    EXPECT_EQ(host->files().status(path("none")).error(), Errc::kNotFound);
}

TEST_P(FileContract, RemovedFileStaysUsableWhileOpen) {
    auto file = open("f");
    ASSERT_TRUE(write(*file, 0, pattern(100, 3)).has_value());
    ASSERT_TRUE(host->files().remove(path("f")).has_value());
    EXPECT_EQ(read(*file, 0, 100), pattern(100, 3));
    EXPECT_TRUE(write(*file, 100, pattern(100, 4)).has_value());
}

TEST_P(FileContract, FreeBytes) {
    auto free = host->files().free_bytes(host->root());
    ASSERT_TRUE(free.has_value());
    EXPECT_GT(*free, 1u << 20);
    EXPECT_EQ(host->files().free_bytes(path("x")).error(), Errc::kNotFound);
}

TEST_P(FileContract, LocksExclude) {
    auto& files = host->files();
    auto first = files.lock(path("lock"));
    ASSERT_TRUE(first.has_value());
    EXPECT_EQ(files.lock(path("lock")).error(), Errc::kLocked);
    EXPECT_TRUE(files.lock(path("other")).has_value());
    first->reset();
    EXPECT_TRUE(files.lock(path("lock")).has_value());
    EXPECT_TRUE(*files.exists(path("lock")));
    EXPECT_EQ(files.lock(path("no/lock")).error(), Errc::kNotFound);
}

TEST_P(FileContract, BlockingWorkIsDoneElsewhere) {
    bool worked = false;
    bool done = false;
    host->run([&] {
        inside_call = true;
        host->files().run_blocking(
            [&] {
                EXPECT_TRUE(std::string(GetParam()) == "memory" || !host->executor().on_this_thread());
                worked = true;
            },
            [&] {
                EXPECT_TRUE(host->executor().on_this_thread());
                EXPECT_FALSE(inside_call);
                EXPECT_TRUE(worked);
                done = true;
            });
        inside_call = false;
    });
    wait_until([&] { return done; });
}

INSTANTIATE_TEST_SUITE_P(All, FileContract, testing::Values("memory", "threads", "uring"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace millrace::io
