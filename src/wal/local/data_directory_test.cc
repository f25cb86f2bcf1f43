#include "wal/local/data_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "io/memory_file_system.h"
#include "runtime/manual_executor.h"

namespace millrace::wal::local {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class DataDirectoryTest : public testing::Test {
  protected:
    Result<DataDirectory> open(std::uint32_t containers = 4) {
        return DataDirectory::open(files, "/var/data", {containers, Uuid{}, 1'700'000'000'000});
    }
    void write(const std::string& path, std::string_view text) {
        auto file = files.open(path, {.create = true});
        ASSERT_TRUE(file.has_value());
        ASSERT_TRUE((*file)->resize(0).has_value());
        ASSERT_TRUE((*file)->write_blocking(0, bytes::as_bytes(text)).has_value());
    }
    std::string read(const std::string& path) {
        auto data = files.content(path);
        return data ? std::string(data->begin(), data->end()) : data.error().to_string();
    }
    std::string refusal(Errc code) {
        auto directory = open();
        EXPECT_FALSE(directory.has_value());
        if (directory) return "";
        EXPECT_EQ(directory.error().code(), code);
        return directory.error().message();
    }

    runtime::ManualExecutor executor;
    io::MemoryFileSystem files{executor};
};

TEST_F(DataDirectoryTest, KeepsWhatItWasMadeWith) {
    {
        auto made = open(4);
        ASSERT_TRUE(made.has_value()) << made.error().to_string();
        EXPECT_TRUE(made->made());
        EXPECT_EQ(made->info().containers, 4u);
    }
    EXPECT_EQ(read("/var/data/VERSION"),
              "millrace-data 1\ncontainers=4\njournal=00000000-0000-0000-0000-000000000000\ncreated=1700000000000\n");
    auto again = open(16);
    ASSERT_TRUE(again.has_value());
    EXPECT_FALSE(again->made());
    EXPECT_EQ(again->info().containers, 4u) << "not what the configuration says now";
}

TEST_F(DataDirectoryTest, OneProcessAtATime) {
    auto first = open();
    ASSERT_TRUE(first.has_value());
    EXPECT_EQ(refusal(Errc::kLocked),
              "data directory /var/data is in use by another process (pid " + std::to_string(::getpid()) + ")");
    {
        DataDirectory gone = std::move(*first);
    }
    EXPECT_TRUE(open().has_value());
}

TEST_F(DataDirectoryTest, RemembersItsJournal) {
    Uuid journal{1, 2};
    {
        auto made = open();
        ASSERT_TRUE(made->bind_journal(journal).has_value());
    }
    auto again = open();
    EXPECT_EQ(again->info().journal, journal);
    EXPECT_TRUE(again->bind_journal(journal).has_value());
    auto bound = again->bind_journal(Uuid{3, 4});
    ASSERT_FALSE(bound.has_value());
    EXPECT_EQ(bound.error().code(), Errc::kCorrupt);
    EXPECT_THAT(bound.error().message(), AllOf(HasSubstr("/var/data"), HasSubstr("removed or replaced")));
}

TEST_F(DataDirectoryTest, RefusesNewerAndDamagedVersions) {
    ASSERT_TRUE(open().has_value());
    write("/var/data/VERSION", "millrace-data 2\nwhatever\n");
    EXPECT_THAT(refusal(Errc::kNewerFormat), AllOf(HasSubstr("newer version"), HasSubstr("/var/data")));
    for (const char* text : {"", "millrace-data", "millrace-data 1", "millrace-data x\n", "other 1\ncontainers=1\n",
                             "millrace-data 0\n", "millrace-data 1\ncontainers=4\n", "millrace-data 1\ncontainers",
                             "millrace-data 1\ncontainers=-4\njournal=0-0-0-0-0\ncreated=1\n",
                             "millrace-data 1\ncontainers=4\njournal=zz\ncreated=1\n",
                             "millrace-data 1\ncontainers=4\njournal=0-0-0-0-0\ncreated=1"}) {
        write("/var/data/VERSION", text);
        EXPECT_THAT(refusal(Errc::kCorrupt), HasSubstr("/var/data/VERSION")) << text;
    }
    write("/var/data/VERSION", "millrace-data 1\ncontainers=4\njournal=0-0-0-0-0\ncreated=1\nlater=added\n");
    EXPECT_TRUE(open().has_value()) << "keys that are not known do no harm";
}

TEST_F(DataDirectoryTest, ErrorsNameTheDirectory) {
    files.fail_next(io::OpKind::kWrite, Errc::kIo);
    EXPECT_THAT(refusal(Errc::kIo), HasSubstr("data directory /var/data cannot be used"));
    files.fail_next(io::OpKind::kMakeDirectories, Errc::kIo);
    EXPECT_THAT(refusal(Errc::kIo), HasSubstr("data directory /var/data cannot be used"));
    EXPECT_TRUE(open().has_value());
}

TEST_F(DataDirectoryTest, IsWholeAfterACrashAtAnyOperation) {
    for (std::uint64_t operation = 1;; ++operation) {
        runtime::ManualExecutor before;
        io::MemoryFileSystem disk(before);
        disk.crash_at(operation);
        bool made = DataDirectory::open(disk, "/data", {7, Uuid{}, 1}).has_value();
        if (!disk.crashed()) {
            EXPECT_TRUE(made);
            EXPECT_GT(operation, 8u);
            break;
        }
        SeededRandom random(operation);
        for (const io::CrashChoice& choice : disk.crash_choices(64, random)) {
            runtime::ManualExecutor after;
            auto left = disk.restart(after, choice);
            auto again = DataDirectory::open(*left, "/data", {7, Uuid{}, 1});
            ASSERT_TRUE(again.has_value()) << again.error().to_string() << " " << choice.description;
            EXPECT_TRUE(!made || !again->made());
            EXPECT_EQ(again->info().containers, 7u);
        }
    }
}

}  // namespace
}  // namespace millrace::wal::local
