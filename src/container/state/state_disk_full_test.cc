// A disk without space, a small tmpfs in a mount namespace of this process: a program of its own, since threads that
// exist before it would not see it.
#include <atomic>
#include <fstream>
#include <memory>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

#include "base/log.h"
#include "container/state/store_harness.h"

namespace millrace::container::state {
namespace {

class SmallDisk {
  public:
    SmallDisk() {
        // Once: RocksDB's threads stay in the namespace that they began in.
        static const bool kOurs = ::unshare(CLONE_NEWNS) == 0 || ::unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0;
        if (!kOurs || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return;
        mounted_ = ::mount("millrace-test", directory_.path().c_str(), "tmpfs", 0, "size=12m") == 0;
    }
    ~SmallDisk() {
        if (mounted_) ::umount2(path().c_str(), MNT_DETACH);
    }
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;
    bool mounted() const { return mounted_; }
    std::string path() const { return directory_.path(); }

  private:
    ScratchDirectory directory_;
    bool mounted_ = false;
};

TEST(StateDiskFull, FailsTheStoreAndNothingThatWasFlushedIsLost) {
    SmallDisk directory;
    if (!directory.mounted()) GTEST_SKIP() << "a tmpfs cannot be mounted here";
    log::set_level(log::Level::kOff);
    {
        StoreThread thread;
        auto resources = std::make_shared<StateResources>();
        DatabaseOptions options{directory.path() + "/state", ContainerId(1), 512 * kKiB, 50};
        std::unique_ptr<StateStore> store;
        auto open = [&] {
            thread.run([&] {
                auto opened = open_rocksdb_state(options, resources, thread.pool(), thread.loop());
                ASSERT_TRUE(opened) << opened.error().to_string();
                store = std::move(*opened);
            });
        };
        open();
        // A file of somebody else takes most of the disk.
        std::string ballast = directory.path() + "/ballast";
        {
            std::ofstream file(ballast, std::ios::binary);
            file << std::string(8 * kMiB, 'b');
        }
        // Bytes that do not compress.
        SeededRandom random(1);
        StateModel model;
        std::vector<StateBatch> batches;
        auto make = [&](std::uint64_t sequence) {
            StateBatch batch;
            for (int i = 0; i < 16; ++i) {
                std::string value;
                for (int j = 0; j < 512; ++j) {
                    std::uint64_t word = random.next();
                    value.append(reinterpret_cast<const char*>(&word), sizeof word);
                }
                batch.put(fmt::format("K{}/{}", sequence, i), value);
            }
            model.apply(batch);
            batches.push_back(batch);
            return batch;
        };
        LogSequence last;
        LogSequence flushed;
        std::optional<Error> refused;
        for (std::uint64_t i = 1; i <= 200 && !refused; ++i) {  // 13 MB
            last = LogSequence(i);
            StateBatch batch = make(i);
            thread.run([&] { store->apply(std::move(batch), last, [](Result<>) {}); });
            auto result = thread.flush(*store);
            if (result) {
                flushed = *result;
            } else {
                refused = result.error();
            }
        }
        ASSERT_TRUE(refused) << "the disk was never full";
        EXPECT_EQ(refused->code(), Errc::kNoSpace) << refused->to_string();
        EXPECT_LT(flushed, last);
        // The store has failed: nothing more is taken, readings go on.
        auto first = thread.get(*store, "K1/0");
        ASSERT_TRUE(first) << "readings go on: " << first.error().to_string();
        EXPECT_TRUE(first->value);
        EXPECT_TRUE(thread.stats(*store).trouble);
        auto again = thread.flush(*store);
        ASSERT_FALSE(again);
        EXPECT_EQ(again.error(), Errc::kNoSpace);
        thread.close(store);

        // With space it opens with some batch's state, at least that of the last flush, and takes the others again.
        std::filesystem::remove(ballast);
        open();
        LogSequence there = store->applied();
        EXPECT_GE(there, flushed);
        EXPECT_LE(there, last);
        StateModel expected;
        for (std::uint64_t i = 1; i <= there.value(); ++i) expected.apply(batches[i - 1]);
        auto found = contents(*store);
        ASSERT_TRUE(found) << found.error().to_string();
        EXPECT_TRUE(*found == expected.entries);
        for (std::uint64_t i = there.value() + 1; i <= last.value(); ++i) {
            thread.run(
                [&] { store->apply(batches[i - 1], LogSequence(i), [](Result<> result) { EXPECT_TRUE(result); }); });
        }
        auto done = thread.flush(*store);
        ASSERT_TRUE(done) << done.error().to_string();
        EXPECT_EQ(*done, last);
        thread.close(store);
        open();
        EXPECT_EQ(store->applied(), last);
        found = contents(*store);
        ASSERT_TRUE(found) << found.error().to_string();
        EXPECT_TRUE(*found == model.entries);
        thread.close(store);
    }
    ::umount2(directory.path().c_str(), MNT_DETACH);
}

TEST(StateDiskFull, BatchesWaitWhileTheReserveIsTouchedAndTheEndDoesNotWait) {
    SmallDisk directory;
    if (!directory.mounted()) GTEST_SKIP() << "a tmpfs cannot be mounted here";
    log::set_level(log::Level::kOff);
    StoreThread thread;
    auto resources = std::make_shared<StateResources>();
    DatabaseOptions options{directory.path() + "/state", ContainerId(1), 512 * kKiB, 50, 6 * kMiB};
    std::unique_ptr<StateStore> store;
    thread.run([&] {
        auto opened = open_rocksdb_state(options, resources, thread.pool(), thread.loop());
        ASSERT_TRUE(opened) << opened.error().to_string();
        store = std::move(*opened);
    });
    std::string ballast = directory.path() + "/ballast";
    auto fill = [&] {
        std::ofstream file(ballast, std::ios::binary);
        file << std::string(8 * kMiB, 'b');
    };
    auto apply = [&](std::uint64_t sequence, std::shared_ptr<std::atomic<int>> answers) {
        StateBatch batch;
        batch.put(fmt::format("K{}", sequence), "value");
        thread.run([&] {
            store->apply(std::move(batch), LogSequence(sequence), [answers](Result<> result) {
                EXPECT_TRUE(result);
                ++*answers;
            });
        });
    };
    fill();
    auto answers = std::make_shared<std::atomic<int>>(0);
    apply(1, answers);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    EXPECT_EQ(*answers, 0);
    EXPECT_FALSE(thread.stats(*store).trouble) << "it waits, it has not failed";
    ASSERT_TRUE(thread.get(*store, "K0")) << "readings go on";
    std::filesystem::remove(ballast);
    auto flushed = thread.flush(*store);
    ASSERT_TRUE(flushed) << flushed.error().to_string();
    EXPECT_EQ(*flushed, LogSequence(1));
    EXPECT_EQ(*answers, 1);

    fill();
    apply(2, answers);
    thread.run([&] { store->end_waiting(); });
    flushed = thread.flush(*store);
    ASSERT_TRUE(flushed) << flushed.error().to_string();
    EXPECT_EQ(*flushed, LogSequence(2));
    thread.close(store);
}

}  // namespace
}  // namespace millrace::container::state
