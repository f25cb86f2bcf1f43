#include "io/memory_file_system.h"

#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/manual_executor.h"

namespace millrace::io {
namespace {

using testing::ElementsAre;

std::vector<std::uint8_t> filled(std::size_t size, char byte) {
    return std::vector<std::uint8_t>(size, static_cast<std::uint8_t>(byte));
}

class MemoryFileSystemTest : public testing::Test {
  protected:
    // A durable file of `size` zeros.
    std::unique_ptr<File> make_file(const std::string& path, std::size_t size) {
        auto file = disk.open(path, {.create = true});
        EXPECT_TRUE(file.has_value());
        EXPECT_TRUE((*file)->resize(size).has_value());
        EXPECT_TRUE((*file)->sync_blocking().has_value());
        EXPECT_TRUE(disk.sync_directory("/").has_value());
        return std::move(*file);
    }
    // The buffer lives as long as the fixture: nobody but the test frees what is in flight.
    std::shared_ptr<std::optional<Result<>>> start_write(File& file, std::uint64_t offset, std::size_t size, char byte,
                                                         bool sync) {
        buffers.push_back(std::make_unique<std::vector<std::uint8_t>>(filled(size, byte)));
        auto outcome = std::make_shared<std::optional<Result<>>>();
        file.write(offset, {*buffers.back()}, sync, [outcome](Result<> result) { *outcome = std::move(result); });
        return outcome;
    }
    // First bytes of the sectors of a file after this crash; '?' where a sector is torn, '.' for zero.
    std::string sectors_after(const CrashChoice& choice, const std::string& path) {
        auto after = disk.restart(executor, choice);
        auto content = after->content(path);
        if (!content) return "missing";
        std::string text;
        for (std::size_t at = 0; at < content->size(); at += kSectorSize) {
            std::size_t end = std::min(at + kSectorSize, content->size());
            bool uniform = std::all_of(content->begin() + static_cast<std::ptrdiff_t>(at),
                                       content->begin() + static_cast<std::ptrdiff_t>(end),
                                       [&](std::uint8_t byte) { return byte == (*content)[at]; });
            text += !uniform ? '?' : (*content)[at] == 0 ? '.' : static_cast<char>((*content)[at]);
        }
        return text;
    }

    runtime::ManualExecutor executor;
    std::vector<std::unique_ptr<std::vector<std::uint8_t>>> buffers;
    MemoryFileSystem disk{executor};
};

TEST_F(MemoryFileSystemTest, SyncedWriteIsDurableAndLeavesOthersAtRisk) {
    auto file = make_file("/f", 2048);
    auto plain = start_write(*file, 0, 1024, 'a', false);
    auto synced = start_write(*file, 1024, 512, 'b', true);
    auto flying = start_write(*file, 1536, 512, 'c', true);
    disk.set_hold(true);
    executor.run_until_idle();
    ASSERT_TRUE(plain->has_value() && synced->has_value() && flying->has_value());
    EXPECT_EQ(sectors_after(CrashChoice::lose_all(), "/f"), "..bc");
    EXPECT_EQ(sectors_after(CrashChoice::keep_all(), "/f"), "aabc");

    auto held = start_write(*file, 1024, 1024, 'd', true);
    executor.run_until_idle();
    EXPECT_FALSE(held->has_value());
    EXPECT_EQ(sectors_after(CrashChoice::lose_all(), "/f"), "..bc");
    EXPECT_EQ(sectors_after(CrashChoice::keep_all(), "/f"), "aadd");
    auto torn = [](const PendingSector& sector) { return sector.sector == 3; };
    EXPECT_EQ(sectors_after({torn, 0, ""}, "/f"), "..bd");
    disk.set_hold(false);
}

TEST_F(MemoryFileSystemTest, PendingNamesEverySectorOnce) {
    auto file = make_file("/f", 2048);
    EXPECT_TRUE(disk.pending().empty());
    start_write(*file, 256, 1024, 'a', false);
    auto pending = disk.pending();
    ASSERT_EQ(pending.size(), 3u);
    EXPECT_EQ(pending[0].sector, 0u);
    EXPECT_EQ(pending[2].sector, 2u);
    EXPECT_EQ(pending[2].file, "/f");
    EXPECT_TRUE(pending[2].in_flight);
    executor.run_until_idle();
    pending = disk.pending();
    ASSERT_EQ(pending.size(), 3u);
    EXPECT_FALSE(pending[0].in_flight);
    ASSERT_TRUE(file->sync_blocking().has_value());
    EXPECT_TRUE(disk.pending().empty());
}

TEST_F(MemoryFileSystemTest, SyncCoversWhatHadCompletedWhenItBegan) {
    auto file = make_file("/f", 1536);
    start_write(*file, 0, 512, 'a', false);
    executor.run_until_idle();
    disk.set_hold(true);
    start_write(*file, 512, 512, 'b', false);
    bool synced = false;
    file->sync([&](Result<> result) { synced = result.has_value(); });
    disk.release(2);
    executor.run_until_idle();
    EXPECT_TRUE(synced);
    EXPECT_EQ(sectors_after(CrashChoice::lose_all(), "/f"), "a..") << "b was in flight when the sync began";
    disk.set_hold(false);
}

TEST_F(MemoryFileSystemTest, AnOldWriteDoesNotComeBackOverANewerDurableOne) {
    auto file = make_file("/f", 1024);
    start_write(*file, 0, 1024, 'a', false);
    executor.run_until_idle();
    start_write(*file, 0, 512, 'b', true);
    executor.run_until_idle();
    EXPECT_EQ(sectors_after(CrashChoice::keep_all(), "/f"), "ba");
    start_write(*file, 600, 100, 'c', true);
    executor.run_until_idle();
    EXPECT_EQ(sectors_after(CrashChoice::lose_all(), "/f"), "b?");
    EXPECT_EQ(disk.pending().size(), 1u) << "the rest of a's second sector";
}

TEST_F(MemoryFileSystemTest, SizeIsPendingUntilSync) {
    auto file = make_file("/f", 512);
    ASSERT_TRUE(file->resize(2048).has_value());
    EXPECT_EQ(sectors_after(CrashChoice::lose_all(), "/f"), ".");
    EXPECT_EQ(sectors_after(CrashChoice::keep_all(), "/f"), "....");
    start_write(*file, 0, 512, 'a', true);
    executor.run_until_idle();
    EXPECT_EQ(sectors_after(CrashChoice::lose_all(), "/f"), "a...")
        << "a synced write takes earlier size changes along";
    start_write(*file, 1024, 1024, 'b', false);
    executor.run_until_idle();
    ASSERT_TRUE(file->resize(1536).has_value());
    EXPECT_EQ(sectors_after(CrashChoice::keep_all(), "/f"), "a.b");
    EXPECT_EQ(sectors_after(CrashChoice::lose_all(), "/f"), "a...");
    start_write(*file, 1536, 512, 'c', true);
    executor.run_until_idle();
    EXPECT_EQ(sectors_after(CrashChoice::keep_all(), "/f"), "a.bc") << "what was cut off stays cut off";
    EXPECT_EQ(sectors_after(CrashChoice::lose_all(), "/f"), "a..c");
}

TEST_F(MemoryFileSystemTest, NamesArePendingUntilTheirDirectoryIsSynced) {
    ASSERT_TRUE(disk.make_directories("/d/e").has_value());
    ASSERT_TRUE(disk.open("/d/one", {.create = true}).has_value());
    ASSERT_TRUE(disk.sync_directory("/d").has_value());
    ASSERT_TRUE(disk.open("/d/two", {.create = true}).has_value());
    ASSERT_TRUE(disk.rename("/d/one", "/d/three").has_value());
    ASSERT_TRUE(disk.remove("/d/two").has_value());
    ASSERT_EQ(disk.pending_directory_operations(), 3u);
    auto names = [&](std::size_t kept) {
        auto after = disk.restart(executor, CrashChoice::only({}, kept));
        return *after->list("/d");
    };
    EXPECT_THAT(names(0), ElementsAre("e", "one"));
    EXPECT_THAT(names(1), ElementsAre("e", "one", "two"));
    EXPECT_THAT(names(2), ElementsAre("e", "three", "two"));
    EXPECT_THAT(names(3), ElementsAre("e", "three"));
    ASSERT_TRUE(disk.sync_directory("/").has_value());
    EXPECT_EQ(disk.pending_directory_operations(), 3u) << "another directory";
    ASSERT_TRUE(disk.sync_directory("/d/").has_value());
    EXPECT_EQ(disk.pending_directory_operations(), 0u);
    EXPECT_THAT(names(0), ElementsAre("e", "three"));
}

TEST_F(MemoryFileSystemTest, ReplacedFileIsOldOrNewNeverMixed) {
    auto old_file = make_file("/f", 512);
    start_write(*old_file, 0, 512, 'o', true);
    auto new_file = make_file("/f.new", 512);
    start_write(*new_file, 0, 512, 'n', true);
    executor.run_until_idle();
    ASSERT_TRUE(disk.rename("/f.new", "/f").has_value());
    EXPECT_EQ(sectors_after(CrashChoice::lose_all(), "/f"), "o");
    EXPECT_EQ(sectors_after(CrashChoice::lose_all(), "/f.new"), "n");
    EXPECT_EQ(sectors_after(CrashChoice::keep_all(), "/f"), "n");
    EXPECT_EQ(sectors_after(CrashChoice::keep_all(), "/f.new"), "missing");
}

TEST_F(MemoryFileSystemTest, CrashAtAnOperationFreezesEverything) {
    auto file = make_file("/f", 1024);
    std::uint64_t before = disk.operations();
    disk.crash_at(before + 2);
    auto first = start_write(*file, 0, 512, 'a', true);
    EXPECT_FALSE(disk.crashed());
    executor.run_until_idle();
    EXPECT_TRUE(first->has_value());
    auto second = start_write(*file, 512, 512, 'b', true);
    EXPECT_TRUE(disk.crashed());
    auto third = start_write(*file, 0, 512, 'c', true);
    executor.run_until_idle();
    EXPECT_FALSE(second->has_value());
    EXPECT_FALSE(third->has_value());
    EXPECT_EQ(file->sync_blocking().error(), Errc::kIo);
    EXPECT_EQ(disk.open("/g", {.create = true}).error(), Errc::kIo);
    EXPECT_EQ(sectors_after(CrashChoice::lose_all(), "/f"), "a.");
    EXPECT_EQ(sectors_after(CrashChoice::keep_all(), "/f"), "ab") << "the third never began";
    EXPECT_EQ(sectors_after(CrashChoice::keep_all(), "/g"), "missing");
}

TEST_F(MemoryFileSystemTest, CompletionOnItsWayIsLostInTheCrash) {
    auto file = make_file("/f", 512);
    auto write = start_write(*file, 0, 512, 'a', true);
    disk.crash();
    executor.run_until_idle();
    EXPECT_FALSE(write->has_value());
    EXPECT_EQ(sectors_after(CrashChoice::lose_all(), "/f"), ".");
    EXPECT_EQ(sectors_after(CrashChoice::keep_all(), "/f"), "a");
}

TEST_F(MemoryFileSystemTest, CrashChoicesAreAllOutcomesWhenFew) {
    auto file = make_file("/f", 1536);
    ASSERT_TRUE(disk.open("/g", {.create = true}).has_value());
    start_write(*file, 0, 1536, 'a', true);
    disk.crash();
    std::set<std::string> outcomes;
    for (const CrashChoice& choice : disk.crash_choices(16, executor.random())) {
        outcomes.insert(sectors_after(choice, "/f") + (sectors_after(choice, "/g").empty() ? "+g" : ""));
    }
    EXPECT_EQ(outcomes.size(), 16u);
    EXPECT_TRUE(outcomes.contains(".a.+g"));
    EXPECT_EQ(disk.crash_choices(15, executor.random()).size(), 15u) << "sampled";
}

TEST_F(MemoryFileSystemTest, SampledCrashChoicesVary) {
    auto file = make_file("/f", 64 * 512);
    for (int i = 0; i < 8; ++i) start_write(*file, static_cast<std::uint64_t>(i) * 4096, 4096, 'a', true);
    disk.crash();
    std::set<std::string> outcomes;
    for (const CrashChoice& choice : disk.crash_choices(200, executor.random())) {
        outcomes.insert(sectors_after(choice, "/f"));
    }
    EXPECT_GT(outcomes.size(), 150u);
    EXPECT_TRUE(outcomes.contains(std::string(64, '.')));
    EXPECT_TRUE(outcomes.contains(std::string(64, 'a')));
}

TEST_F(MemoryFileSystemTest, RestartedSystemIsWhole) {
    auto file = make_file("/f", 512);
    auto lock = disk.lock("/lock");
    ASSERT_TRUE(lock.has_value());
    disk.fail_next(OpKind::kWrite, Errc::kIo);
    disk.crash();
    auto after = disk.restart(executor, CrashChoice::keep_all());
    EXPECT_FALSE(after->crashed());
    EXPECT_EQ(after->operations(), 0u);
    EXPECT_TRUE(after->pending().empty());
    EXPECT_TRUE(after->lock("/lock").has_value());
    auto again = after->open("/f", {});
    ASSERT_TRUE(again.has_value());
    EXPECT_TRUE((*again)->write_blocking(0, filled(512, 'z')).has_value());
    EXPECT_EQ(sectors_after(CrashChoice::keep_all(), "/f"), ".") << "the image shares nothing with its origin";
}

TEST_F(MemoryFileSystemTest, InjectedErrorsAreCountedDown) {
    auto file = make_file("/f", 1024);
    disk.fail_next(OpKind::kWrite, Errc::kIo, 2);
    auto first = start_write(*file, 0, 512, 'a', true);
    auto second = start_write(*file, 0, 512, 'b', true);
    auto third = start_write(*file, 512, 512, 'c', true);
    EXPECT_FALSE(first->has_value()) << "an error is a completion too: never inside the call";
    executor.run_until_idle();
    EXPECT_EQ((*first)->error(), Errc::kIo);
    EXPECT_EQ((*second)->error(), Errc::kIo);
    EXPECT_TRUE((*third)->has_value());
    EXPECT_EQ(sectors_after(CrashChoice::lose_all(), "/f"), ".c");
    EXPECT_EQ(sectors_after(CrashChoice::keep_all(), "/f"), "bc") << "a failed write may have reached the disk";
    disk.fail_next(OpKind::kRename, Errc::kNoSpace);
    EXPECT_EQ(disk.rename("/f", "/g").error(), Errc::kNoSpace);
    EXPECT_TRUE(disk.rename("/f", "/g").has_value());
}

TEST_F(MemoryFileSystemTest, FailedSyncIsNotHealedByTheNext) {
    auto file = make_file("/f", 1024);
    start_write(*file, 0, 512, 'a', false);
    executor.run_until_idle();
    disk.fail_next(OpKind::kSync, Errc::kIo);
    EXPECT_EQ(file->sync_blocking().error(), Errc::kIo);
    EXPECT_TRUE(file->sync_blocking().has_value());
    EXPECT_EQ(sectors_after(CrashChoice::lose_all(), "/f"), "..");
    start_write(*file, 0, 512, 'b', false);
    executor.run_until_idle();
    EXPECT_TRUE(file->sync_blocking().has_value());
    EXPECT_EQ(sectors_after(CrashChoice::lose_all(), "/f"), "b.");
    EXPECT_TRUE(disk.pending().empty());
}

TEST_F(MemoryFileSystemTest, BrokenFileStaysBroken) {
    auto file = make_file("/f", 512);
    disk.set_broken("/f", true);
    std::vector<std::uint8_t> buffer(512);
    for (int i = 0; i < 2; ++i) {
        EXPECT_EQ(file->read_blocking(0, buffer).error(), Errc::kIo);
        EXPECT_EQ(file->write_blocking(0, buffer).error(), Errc::kIo);
        EXPECT_EQ(file->sync_blocking().error(), Errc::kIo);
    }
    disk.set_broken("/f", false);
    EXPECT_TRUE(file->read_blocking(0, buffer).has_value());
}

TEST_F(MemoryFileSystemTest, FullDiskRefusesGrowthOnly) {
    auto file = make_file("/f", 1024);
    disk.set_capacity(2048);
    EXPECT_EQ(*disk.free_bytes("/"), 1024u);
    auto fits = start_write(*file, 1024, 512, 'a', false);
    auto too_much = start_write(*file, 1536, 1024, 'b', false);
    EXPECT_EQ(*disk.free_bytes("/"), 512u) << "writes in flight claim their space";
    executor.run_until_idle();
    EXPECT_TRUE((*fits)->has_value());
    EXPECT_EQ((*too_much)->error(), Errc::kNoSpace);
    EXPECT_EQ(file->resize(4096).error(), Errc::kNoSpace);
    EXPECT_EQ(file->write_blocking(2000, filled(100, 'c')).error(), Errc::kNoSpace);
    auto overwrite = start_write(*file, 0, 1024, 'd', true);
    executor.run_until_idle();
    EXPECT_TRUE((*overwrite)->has_value());
    ASSERT_TRUE(disk.remove("/f").has_value());
    EXPECT_EQ(*disk.free_bytes("/"), 2048u);
}

TEST_F(MemoryFileSystemTest, HeldCompletionsComeInTheTestsOrder) {
    auto file = make_file("/f", 2048);
    disk.set_hold(true);
    std::string order;
    auto data = filled(512, 'x');
    for (char name : {'a', 'b', 'c', 'd'}) {
        file->write(0, {data}, true, [&order, name](Result<>) { order += name; });
    }
    executor.run_until_idle();
    EXPECT_EQ(order, "");
    EXPECT_EQ(disk.held(), 4u);
    disk.release_in_order(std::vector<std::size_t>{2, 0});
    executor.run_until_idle();
    EXPECT_EQ(order, "ca");
    disk.release(1);
    executor.run_until_idle();
    EXPECT_EQ(order, "cab");
    disk.set_hold(false);
    executor.run_until_idle();
    EXPECT_EQ(order, "cabd");
}

TEST_F(MemoryFileSystemTest, LatencyDelaysCompletions) {
    auto file = make_file("/f", 512);
    disk.set_latency(std::chrono::milliseconds(10));
    auto write = start_write(*file, 0, 512, 'a', true);
    executor.advance(std::chrono::milliseconds(9));
    EXPECT_FALSE(write->has_value());
    executor.advance(std::chrono::milliseconds(1));
    EXPECT_TRUE(write->has_value());
}

TEST_F(MemoryFileSystemTest, FlippedBitIsSeenNowAndAfterTheCrash) {
    auto file = make_file("/f", 512);
    disk.flip_bit("/f", 100, 3);
    EXPECT_EQ((*disk.content("/f"))[100], 8);
    auto after = disk.restart(executor, CrashChoice::lose_all());
    EXPECT_EQ((*after->content("/f"))[100], 8);
}

TEST_F(MemoryFileSystemTest, ChangingABufferInFlightIsABug) {
    auto file = make_file("/f", 512);
    start_write(*file, 0, 512, 'a', true);
    (*buffers.back())[7] = 'b';
    EXPECT_DEATH(executor.run_until_idle(), "joined");
    (*buffers.back())[7] = 'a';
    executor.run_until_idle();
}

TEST_F(MemoryFileSystemTest, DroppedCompletionMayOwnItsFile) {
    std::shared_ptr<File> file = make_file("/f", 512);
    auto data = filled(512, 'a');
    file->write(0, {data}, true, [file](Result<>) {});
    disk.crash();
    file->sync([file](Result<>) {});
    executor.run_until_idle();
    file.reset();  // the leak checker watches that the ring is broken
}

TEST(SparseBytes, CopiesShareUntilWritten) {
    SparseBytes a;
    a.resize(10'000);
    a.write(5000, filled(10, 'x'));
    SparseBytes b = a;
    b.write(5005, filled(10, 'y'));
    std::vector<std::uint8_t> out(20);
    EXPECT_EQ(a.read(4999, out), 20u);
    EXPECT_EQ(std::string(out.begin(), out.begin() + 12), std::string("\0xxxxxxxxxx\0", 12));
    EXPECT_EQ(b.read(5000, out), 20u);
    EXPECT_EQ(std::string(out.begin(), out.begin() + 16), std::string("xxxxxyyyyyyyyyy\0", 16));
    EXPECT_EQ(a.read(9995, out), 5u);
    EXPECT_EQ(a.read(10'000, out), 0u);
    a.resize(5002);
    a.resize(10'000);
    EXPECT_EQ(a.read(5000, out), 20u);
    EXPECT_EQ(std::string(out.begin(), out.begin() + 4), std::string("xx\0\0", 4)) << "what was cut reads as zeros";
}

}  // namespace
}  // namespace millrace::io
