#include "lts/filesystem/open_objects.h"

#include <optional>

#include <gtest/gtest.h>

#include "io/memory_file_system.h"
#include "runtime/manual_executor.h"

namespace millrace::lts {
namespace {

class OpenObjectsTest : public testing::Test {
  protected:
    OpenObjectsTest() { EXPECT_TRUE(files.make_directories("/o").has_value()); }
    std::string object(int number, std::size_t size) {
        std::string path = "/o/" + std::to_string(number);
        auto file = files.open(path, {.create = true});
        EXPECT_TRUE(file && (*file)->write_blocking(0, std::vector<std::uint8_t>(size)));
        return path;
    }
    Result<OpenObject> open(const std::string& path) {
        std::optional<Result<OpenObject>> outcome;
        objects.open(path, [&](Result<OpenObject> result) { outcome = std::move(result); });
        executor.run_until_idle();
        EXPECT_TRUE(outcome.has_value());
        return outcome ? *outcome : Result<OpenObject>(fail(Errc::kIo));
    }

    runtime::ManualExecutor executor;
    io::MemoryFileSystem files{executor};
    OpenObjects objects{files, executor.clock(), 3};
};

TEST_F(OpenObjectsTest, AnObjectIsOpenedOnce) {
    std::string path = object(1, 100);
    std::vector<std::shared_ptr<io::File>> seen;
    for (int i = 0; i < 3; ++i) objects.open(path, [&](Result<OpenObject> result) { seen.push_back(result->file); });
    EXPECT_TRUE(seen.empty());
    executor.run_until_idle();
    ASSERT_EQ(seen.size(), 3u) << "all who asked at once are told";
    objects.open(path, [&](Result<OpenObject> result) { seen.push_back(result->file); });
    ASSERT_EQ(seen.size(), 4u) << "it is open";
    for (const auto& file : seen) EXPECT_EQ(file, seen[0]);
    EXPECT_EQ(open(path)->size, 100u);
}

TEST_F(OpenObjectsTest, TheOnesReadLastAreKept) {
    std::vector<std::weak_ptr<io::File>> all;
    for (int i = 0; i < 3; ++i) all.push_back(open(object(i, 10))->file);
    (void)open("/o/0");
    all.push_back(open(object(3, 10))->file);
    EXPECT_EQ(objects.size(), 3u);
    EXPECT_FALSE(all[0].expired());
    EXPECT_TRUE(all[1].expired());
    EXPECT_FALSE(all[2].expired());
    EXPECT_FALSE(all[3].expired());
}

TEST_F(OpenObjectsTest, WhatIsRemovedIsNotFound) {
    std::string path = object(1, 10);
    std::shared_ptr<io::File> held = open(path)->file;
    ASSERT_TRUE(files.remove(path).has_value());
    objects.forget(path);
    EXPECT_EQ(held.use_count(), 1) << "it goes on taking disk space otherwise";
    EXPECT_EQ(open(path).error(), Errc::kNotFound);
    object(1, 20);
    EXPECT_EQ(open(path)->size, 20u) << "an error is not kept";
}

TEST_F(OpenObjectsTest, WhatIsForgottenWhileItIsOpenedIsNotKept) {
    std::string path = object(1, 10);
    std::optional<Result<OpenObject>> outcome;
    objects.open(path, [&](Result<OpenObject> result) { outcome = std::move(result); });
    objects.forget(path);
    executor.run_until_idle();
    ASSERT_TRUE(outcome.has_value());
    EXPECT_TRUE(outcome->has_value());
    EXPECT_EQ(objects.size(), 0u);
}

TEST_F(OpenObjectsTest, AFolderIsNoObject) { EXPECT_EQ(open("/o").error(), Errc::kNotFound); }

TEST_F(OpenObjectsTest, AnObjectThatWasBroughtBackIsFound) {
    std::string path = object(1, 100);
    EXPECT_EQ(open(path)->size, 100u);
    object(2, 300);
    ASSERT_TRUE(files.rename("/o/2", path).has_value());
    EXPECT_EQ(open(path)->size, 100u) << "for a while";
    executor.advance(std::chrono::seconds(3));
    EXPECT_EQ(open(path)->size, 300u);
    EXPECT_EQ(objects.size(), 1u);
}

}  // namespace
}  // namespace millrace::lts
