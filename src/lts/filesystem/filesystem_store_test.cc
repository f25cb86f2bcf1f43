// A store on a file system in memory: losses of power at every step, full and failing disks, and what is left over.
#include "lts/filesystem/filesystem_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/memory_file_system.h"
#include "lts/errors.h"
#include "lts/testing/store_host.h"
#include "runtime/manual_executor.h"

namespace millrace::lts {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

class Host final : public StoreHost {
  public:
    Host() = default;
    Host(const io::MemoryFileSystem& before, const io::CrashChoice& choice)
        : files_(before.restart(executor_, choice)) {}
    runtime::Executor& executor() override { return executor_; }
    void run(const std::function<void()>& task) override { task(); }
    // Ends as well when the power is lost: then the completion never comes.
    void wait_until(const std::function<bool()>& reached) override {
        for (int steps = 0; !reached() && !files_->crashed(); ++steps) {
            ASSERT_LT(steps, 100'000) << "a completion is missing";
            if (!executor_.run_one()) executor_.advance(std::chrono::milliseconds(1));
        }
    }
    Result<std::unique_ptr<ChunkStore>> open() override {
        return open_filesystem_store(executor_, *files_,
                                     {.directory = "/tier",
                                      .min_free_bytes = min_free_bytes,
                                      .register_lock_timeout = lock_timeout,
                                      .may_be_away = may_be_away});
    }
    io::MemoryFileSystem& files() { return *files_; }
    void advance(std::chrono::milliseconds by) { executor_.advance(by); }
    std::vector<std::string> temporaries() { return *files_->list("/tier/tmp"); }

    std::chrono::milliseconds lock_timeout{500};
    std::uint64_t min_free_bytes = 0;
    bool may_be_away = false;

  private:
    runtime::ManualExecutor executor_{5};
    std::unique_ptr<io::MemoryFileSystem> files_ = std::make_unique<io::MemoryFileSystem>(executor_);
};

class FilesystemStoreTest : public testing::Test {
  protected:
    StoreCalls calls() {
        if (store == nullptr) store = std::move(*host.open());
        return {host, *store};
    }
    std::size_t half_written() {
        std::size_t count = 0;
        for (const std::string& name : host.temporaries()) count += name.ends_with(".lock") ? 0 : 1;
        return count;
    }

    Host host;
    std::unique_ptr<ChunkStore> store;
};

void expect_ok(const auto& result) { EXPECT_TRUE(result.has_value()) << result.error().to_string(); }

// What one run does until the power is lost, and what was acknowledged of it.
struct Progress {
    bool first = false, second = false, uploaded = false, removed = false;
    std::string register_value;  // acknowledged
    std::string register_tried;  // perhaps
};

constexpr std::size_t kFirst = 3000, kSecond = 700, kUpload = 5000;

Progress run_until_crash(Host& host) {
    Progress run;
    auto store = host.open();
    if (!store) return run;
    StoreCalls c(host, **store);
    run.first = c.put("d/first", pattern(kFirst, 1)).has_value();
    run.register_tried = "one";
    auto tag = c.write_register("owner", "one", {});
    if (tag) run.register_value = "one";
    run.second = c.put("d/e/second", pattern(kSecond, 2)).has_value();
    auto upload = (*store)->upload("d/upload", 0);
    if (c.append(*upload, pattern(kUpload, 3).sub(0, 2000)) &&
        c.append(*upload, pattern(kUpload, 3).sub(2000, kUpload - 2000)))
        run.uploaded = c.finish_upload(*upload).has_value();
    if (tag) {
        run.register_tried = "two";
        if (c.write_register("owner", "two", *tag)) run.register_value = "two";
    }
    run.removed = c.remove("d/first").has_value();
    return run;
}

void check_object(StoreCalls& c, const std::string& key, bool must_be, bool may_be, const bytes::Chain& data) {
    auto read = c.read(key, 0, data.size());
    if (read) {
        EXPECT_TRUE(may_be) << key;
        EXPECT_EQ(c.stat(key)->size_bytes, data.size()) << key;
        EXPECT_EQ(content(*read), data.to_vector()) << key << " is half-written";
    } else {
        EXPECT_EQ(read.error(), Errc::kNotFound) << read.error().to_string();
        EXPECT_FALSE(must_be) << key << " was acknowledged and is lost";
    }
}

void check_after(Host& host, const Progress& run) {
    auto store = host.open();
    ASSERT_TRUE(store.has_value()) << store.error().to_string();
    StoreCalls c(host, **store);
    check_object(c, "d/first", run.first && run.register_tried != "two", !run.removed, pattern(kFirst, 1));
    check_object(c, "d/e/second", run.second, true, pattern(kSecond, 2));
    check_object(c, "d/upload", run.uploaded, true, pattern(kUpload, 3));
    auto found = c.read_register("owner");
    ASSERT_TRUE(found.has_value()) << found.error().to_string();
    std::string value(found->value.begin(), found->value.end());
    EXPECT_TRUE(value == run.register_value || value == run.register_tried) << value;
    for (const std::string& name : host.temporaries()) EXPECT_TRUE(name.ends_with(".lock")) << name << " was not swept";
    EXPECT_THAT(host.temporaries(), SizeIs(1));
    expect_ok(c.put("afterwards", pattern(10, 1)));
    expect_ok(c.write_register("owner", "three", found->tag));
}

TEST(FilesystemStoreCrash, AcknowledgedSurvivesALossOfPowerAtEveryStep) {
    std::uint64_t last = 0;
    {
        Host host;
        Progress run = run_until_crash(host);
        ASSERT_TRUE(run.first && run.second && run.uploaded && run.removed && run.register_value == "two");
        last = host.files().operations();
    }
    SeededRandom random(1);
    for (std::uint64_t at = 1; at <= last + 1; ++at) {
        Host host;
        host.files().crash_at(at);
        Progress run = run_until_crash(host);
        if (at > last) host.files().crash();
        for (const io::CrashChoice& choice : host.files().crash_choices(24, random)) {
            SCOPED_TRACE("operation " + std::to_string(at) + ": " + choice.description);
            Host after(host.files(), choice);
            check_after(after, run);
            if (testing::Test::HasFailure()) return;
        }
    }
}

TEST_F(FilesystemStoreTest, TheFoldersAreSyncedBeforeTheAcknowledgement) {
    auto c = calls();
    expect_ok(c.put("d/object", pattern(100, 1)));
    auto tag = c.write_register("d/register", "v", {});
    Host after(host.files(), io::CrashChoice::lose_all());
    auto again = after.open();
    ASSERT_TRUE(again.has_value());
    StoreCalls later(after, **again);
    expect_ok(later.read("d/object", 0, 100));
    EXPECT_EQ(later.read_register("d/register")->tag, *tag);
}

TEST_F(FilesystemStoreTest, AFailedSyncOfTheFolderIsNotAcknowledged) {
    auto c = calls();
    expect_ok(c.put("d/before", pattern(10, 1)));
    host.files().fail_next(io::OpKind::kSyncDirectory, Errc::kIo);
    Result<> put = c.put("d/object", pattern(100, 1));
    ASSERT_FALSE(put.has_value());
    EXPECT_EQ(put.error(), Errc::kIo);
    EXPECT_TRUE(is_retryable(put.error()));
    EXPECT_EQ(c.stat("d/object").error(), Errc::kNotFound);
    expect_ok(c.put("d/object", pattern(100, 1)));
}

TEST_F(FilesystemStoreTest, AFailedSyncOfTheFileIsNotAcknowledged) {
    auto c = calls();
    host.files().fail_next(io::OpKind::kSync, Errc::kIo);
    EXPECT_EQ(c.put("a", pattern(100, 1)).error(), Errc::kIo);
    EXPECT_EQ(c.stat("a").error(), Errc::kNotFound);
    host.files().fail_next(io::OpKind::kWrite, Errc::kIo);
    Result<> put = c.put("a", pattern(100, 1));
    EXPECT_EQ(put.error(), Errc::kIo);
    EXPECT_THAT(put.error().to_string(), HasSubstr("object a"));
    EXPECT_EQ(half_written(), 0u);
    expect_ok(c.put("a", pattern(100, 1)));
}

TEST_F(FilesystemStoreTest, ASyncOfARegistersFolderIsTriedAgain) {
    auto c = calls();
    auto tag = c.write_register("r", "one", {});
    host.files().fail_next(io::OpKind::kSyncDirectory, Errc::kIo, 2);
    auto next = c.write_register("r", "two", *tag);
    ASSERT_TRUE(next.has_value()) << next.error().to_string();
    host.files().fail_next(io::OpKind::kSyncDirectory, Errc::kIo, 100);
    EXPECT_EQ(c.write_register("r", "three", *next).error(), Errc::kIo);
}

TEST_F(FilesystemStoreTest, AFullDiskIsSaidAndHeals) {
    auto c = calls();
    expect_ok(c.put("a", pattern(10'000, 1)));
    host.files().set_capacity(15'000);
    Result<> put = c.put("b", pattern(10'000, 1));
    ASSERT_FALSE(put.has_value());
    EXPECT_EQ(put.error(), Errc::kNoSpace);
    EXPECT_TRUE(is_retryable(put.error()));
    EXPECT_THAT(put.error().to_string(), HasSubstr("object b"));
    EXPECT_EQ(half_written(), 0u) << "what was written takes no room";
    auto upload = store->upload("u", 12'000);
    expect_ok(c.append(*upload, pattern(2'000, 1)));
    (void)c.append(*upload, pattern(10'000, 1));  // what is on its way may be told by a later call
    (void)c.append(*upload, pattern(10'000, 1));
    EXPECT_EQ(c.append(*upload, pattern(10'000, 1)).error(), Errc::kNoSpace);
    EXPECT_EQ(c.finish_upload(*upload).error(), Errc::kNoSpace) << "the first error stays";
    EXPECT_EQ(half_written(), 0u);
    expect_ok(c.remove("a"));
    expect_ok(c.put("b", pattern(10'000, 1)));
    host.files().set_capacity(5'000'000);  // full in the middle of what a thread writes
    EXPECT_EQ(c.put("c", pattern(9 << 20, 1)).error(), Errc::kNoSpace);
    EXPECT_EQ(half_written(), 0u);
    host.files().set_capacity(10'000'000);
    expect_ok(c.put("c", pattern(9 << 20, 1)));
    EXPECT_EQ(c.stat("c")->size_bytes, 9u << 20);
}

// Whatever was expected of an object, it is what was given.
TEST_F(FilesystemStoreTest, AnExpectedSizeIsOnlyAHelp) {
    auto c = calls();
    constexpr std::size_t kMib = 1 << 20;
    int number = 0;
    for (std::size_t expected : {std::size_t{0}, std::size_t{1}, 3 * kMib + 4096, 3 * kMib + 5000, 9 * kMib}) {
        for (std::size_t size :
             {std::size_t{0}, std::size_t{5000}, 3 * kMib + 4096, 3 * kMib + 5000, 9 * kMib, 10 * kMib + 5000}) {
            std::string key = "e/" + std::to_string(++number);
            auto data = pattern(size, static_cast<unsigned>(number));
            auto upload = store->upload(key, expected);
            const std::size_t given = number % 2 == 0 ? 700'000 : 3'000'001;
            for (std::size_t at = 0; at < size; at += given) {
                std::size_t part = std::min(given, size - at);
                expect_ok(c.append(*upload, data.sub(at, part)));
            }
            expect_ok(c.finish_upload(*upload));
            EXPECT_EQ(c.stat(key)->size_bytes, size) << expected;
            auto read = c.read(key, 0, size);
            ASSERT_TRUE(read.has_value()) << read.error().to_string();
            EXPECT_TRUE(std::ranges::equal(read->span(), data.to_vector())) << expected << " " << size;
        }
    }
    EXPECT_EQ(half_written(), 0u);
}

TEST_F(FilesystemStoreTest, TheDisksReserveIsLeftAlone) {
    host.min_free_bytes = 10'000;
    auto c = calls();
    host.files().set_capacity(30'000);
    expect_ok(c.put("a", pattern(15'000, 1)));
    host.files().set_capacity(20'000);
    Result<> put = c.put("b", pattern(10, 1));
    ASSERT_FALSE(put.has_value());
    EXPECT_EQ(put.error(), Errc::kNoSpace);
    EXPECT_TRUE(is_retryable(put.error()));
    auto upload = store->upload("u", 0);
    EXPECT_EQ(c.append(*upload, pattern(10, 1)).error(), Errc::kNoSpace);
    expect_ok(c.remove("a"));
    expect_ok(c.put("b", pattern(10, 1)));
}

TEST_F(FilesystemStoreTest, HalfWrittenFilesOfTheDeadAreSwept) {
    auto c = calls();
    auto upload = store->upload("u", 0);
    expect_ok(c.append(*upload, pattern(2'000, 1)));
    EXPECT_EQ(half_written(), 1u);
    auto second = host.open();
    ASSERT_TRUE(second.has_value());
    EXPECT_EQ(half_written(), 1u) << "its store lives";
    Host after(host.files(), io::CrashChoice::keep_all());
    EXPECT_THAT(after.temporaries(), SizeIs(3));
    ASSERT_TRUE(after.open().has_value());
    EXPECT_THAT(after.temporaries(), SizeIs(1));
    expect_ok(c.finish_upload(*upload));
    expect_ok(c.read("u", 0, 2'000));
}

TEST_F(FilesystemStoreTest, AnotherProcessMayHoldTheRegistersLock) {
    auto c = calls();
    auto lock = host.files().lock("/tier/registers.lock");
    ASSERT_TRUE(lock.has_value());
    auto refused = c.write_register("r", "v", {});
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error(), Errc::kUnavailable);
    EXPECT_TRUE(is_retryable(refused.error()));
    auto waiting = c.start_write("r", "v", {});
    host.advance(std::chrono::milliseconds(100));
    EXPECT_FALSE(waiting->has_value());
    lock->reset();
    expect_ok(c.finish<RegisterTag>(waiting));
}

TEST_F(FilesystemStoreTest, ADamagedRegisterIsFound) {
    auto c = calls();
    expect_ok(c.write_register("r", "value", {}));
    host.files().flip_bit("/tier/registers/r", 38, 3);
    auto read = c.read_register("r");
    ASSERT_FALSE(read.has_value());
    EXPECT_EQ(read.error(), Errc::kCorrupt);
    EXPECT_THAT(read.error().to_string(), HasSubstr("register r"));
    EXPECT_EQ(c.write_register("r", "new", {}).error(), Errc::kCorrupt) << "it is not overwritten unseen";
}

TEST_F(FilesystemStoreTest, TheDirectorysVersionIsChecked) {
    auto write = [&](std::string_view text) {
        ASSERT_TRUE(host.files().make_directories("/tier").has_value());
        auto file = host.files().open("/tier/VERSION", {.create = true});
        ASSERT_TRUE((*file)->resize(0).has_value());
        ASSERT_TRUE((*file)->write_blocking(0, bytes::as_bytes(text)).has_value());
    };
    for (std::string_view text :
         {"", "millrace-objects", "millrace-objects x\n", "millrace-objects 0\n", "other 1\n"}) {
        write(text);
        auto opened = host.open();
        ASSERT_FALSE(opened.has_value()) << text;
        EXPECT_EQ(opened.error(), Errc::kCorrupt) << text;
        EXPECT_THAT(opened.error().to_string(), HasSubstr("/tier/VERSION"));
    }
    write("millrace-objects 2\n");
    EXPECT_EQ(host.open().error(), Errc::kNewerFormat);
    write("millrace-objects 1\n");
    EXPECT_TRUE(host.open().has_value());
}

TEST_F(FilesystemStoreTest, ADirectoryThatIsAwayAtTheStartIsTriedAgain) {
    // Something else is in its place.
    expect_ok(host.files().open("/tier", {.create = true}));
    EXPECT_FALSE(host.open().has_value());
    host.may_be_away = true;
    StoreCalls c = calls();
    auto put = c.put("a", pattern(10, 1));
    ASSERT_FALSE(put.has_value());
    EXPECT_THAT(put.error().message(), HasSubstr("/tier"));
    auto upload = store->upload("b", 0);
    EXPECT_FALSE(c.append(*upload, pattern(10, 2)).has_value());
    EXPECT_FALSE(c.finish_upload(*upload).has_value());
    EXPECT_FALSE(c.write_register("r", "v", {}).has_value());

    expect_ok(host.files().remove("/tier"));
    host.advance(std::chrono::milliseconds(1000));
    expect_ok(c.put("a", pattern(10, 1)));
    expect_ok(c.write_register("r", "v", {}));
    upload = store->upload("b", 0);
    expect_ok(c.append(*upload, pattern(10, 2)));
    expect_ok(c.finish_upload(*upload));
    expect_ok(c.read("a", 0, 10));
    EXPECT_THAT(host.temporaries(), SizeIs(1)) << "its own mark alone";
}

TEST_F(FilesystemStoreTest, ADirectoryOfANewerVersionIsNotAway) {
    expect_ok(calls().put("a", pattern(10, 1)));
    store.reset();
    {
        auto version = host.files().open("/tier/VERSION", {});
        expect_ok(version);
        expect_ok((*version)->write_blocking(0, bytes::as_bytes("millrace-objects 9\n")));
    }
    host.may_be_away = true;
    auto opened = host.open();
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error(), Errc::kNewerFormat);
}

TEST_F(FilesystemStoreTest, ForeignFilesAreNoObjects) {
    auto c = calls();
    expect_ok(c.put("a", pattern(1, 1)));
    ASSERT_TRUE(host.files().open("/tier/objects/.nfs0001", {.create = true}).has_value());
    ASSERT_TRUE(host.files().make_directories("/tier/objects/lost+found").has_value());
    ASSERT_TRUE(host.files().make_directories("/tier/objects/empty").has_value());
    auto page = c.list("");
    ASSERT_TRUE(page.has_value());
    ASSERT_THAT(page->objects, SizeIs(1));
    EXPECT_EQ(page->objects[0].key, "a");
    EXPECT_EQ(c.put("a/b", pattern(1, 1)).error(), Errc::kInvalidArgument) << "an object is no folder";
}

TEST_F(FilesystemStoreTest, ABrokenFileIsAnErrorOfItsObjectAlone) {
    auto c = calls();
    expect_ok(c.put("a", pattern(100, 1)));
    expect_ok(c.put("b", pattern(100, 1)));
    host.files().set_broken("/tier/objects/a", true);
    auto read = c.read("a", 0, 100);
    ASSERT_FALSE(read.has_value());
    EXPECT_EQ(read.error(), Errc::kIo);
    EXPECT_THAT(read.error().to_string(), HasSubstr("object a"));
    expect_ok(c.read("b", 0, 100));
}

}  // namespace
}  // namespace millrace::lts
