// Key-value tables: their life, their segments, what is refused. What happens when the process dies on the way is in
// controller_crash_test.cc.
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/controller_harness.h"
#include "controller/records/last_number_record.h"

namespace millrace::controller {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class KeyValueTablesTest : public testing::Test {
  protected:
    KeyValueTablesTest() { EXPECT_EQ(t.create_scope("s"), CreateScopeStatus::kSuccess); }
    ~KeyValueTablesTest() override { EXPECT_THAT(t.garbage(), IsEmpty()); }
    Harness t{2};  // entries on a page
};

TEST_F(KeyValueTablesTest, Life) {
    const KeyValueTableConfig config{2, 4, 6, 1 << 20};
    EXPECT_THAT(t.tables("s"), IsEmpty());
    EXPECT_EQ(t.create_table("s", "t", config), CreateTableStatus::kSuccess);
    EXPECT_EQ(t.create_table("s", "t", config), CreateTableStatus::kTableExists);
    EXPECT_EQ(t.create_table("s", "t", {3, 8, 0, 0}), CreateTableStatus::kTableExists);
    auto found = t.table("s", "t");
    ASSERT_TRUE(found && *found);
    EXPECT_EQ(**found, config);
    auto segments = t.table_segments("s", "t");
    ASSERT_TRUE(segments);
    EXPECT_THAT(*segments, ElementsAre(SegmentRange{segment_id(0, 0), 0, 0.5}, SegmentRange{segment_id(1, 0), 0.5, 1}));
    EXPECT_EQ(t.delete_scope("s"), DeleteScopeStatus::kScopeNotEmpty);

    EXPECT_EQ(t.delete_table("s", "t"), DeleteTableStatus::kSuccess);
    EXPECT_EQ(t.delete_table("s", "t"), DeleteTableStatus::kTableNotFound);
    EXPECT_EQ(t.table_segments("s", "t").error(), Errc::kNotFound);
    EXPECT_FALSE(*t.table("s", "t"));
    EXPECT_THAT(t.tables("s"), IsEmpty());
    EXPECT_THAT(t.api.segments, IsEmpty());
    EXPECT_EQ(t.delete_scope("s"), DeleteScopeStatus::kSuccess);
}

TEST_F(KeyValueTablesTest, SegmentsAreTablesWithKeysOfBothLengths) {
    ASSERT_EQ(t.create_table("s", "t", {1, 4, 6, 77}), CreateTableStatus::kSuccess);
    ASSERT_EQ(t.create_table("s", "any", {1, 0, 0, 0}), CreateTableStatus::kSuccess);
    const auto& options = t.api.segments.at("s/t_kvtable/0.#epoch.0").options;
    EXPECT_TRUE(options.table);
    EXPECT_EQ(options.key_length, 10);
    EXPECT_EQ(options.rollover_bytes, 77);
    EXPECT_TRUE(t.api.segments.at("s/any_kvtable/0.#epoch.0").options.table);
    EXPECT_EQ(t.api.segments.at("s/any_kvtable/0.#epoch.0").options.key_length, 0);
}

TEST_F(KeyValueTablesTest, AnotherTableOfTheNameHasOtherSegments) {
    ASSERT_EQ(t.create_table("s", "t", {2, 4, 0, 0}), CreateTableStatus::kSuccess);
    ASSERT_EQ(t.delete_table("s", "t"), DeleteTableStatus::kSuccess);
    ASSERT_EQ(t.create_table("s", "t", {1, 4, 0, 0}), CreateTableStatus::kSuccess);
    EXPECT_THAT(*t.table_segments("s", "t"), ElementsAre(SegmentRange{segment_id(2, 0), 0, 1}));
    // Also when the scope went in between.
    ASSERT_EQ(t.delete_scope_recursive("s"), DeleteScopeStatus::kSuccess);
    ASSERT_EQ(t.create_scope("s"), CreateScopeStatus::kSuccess);
    ASSERT_EQ(t.create_table("s", "t", {1, 4, 0, 0}), CreateTableStatus::kSuccess);
    EXPECT_THAT(*t.table_segments("s", "t"), ElementsAre(SegmentRange{segment_id(3, 0), 0, 1}));
}

TEST_F(KeyValueTablesTest, LivesBesideAStreamOfTheName) {
    ASSERT_EQ(t.create({"s", "t"}, fixed(1)), CreateStreamStatus::kSuccess);
    ASSERT_EQ(t.create_table("s", "t", {1, 4, 0, 0}), CreateTableStatus::kSuccess);
    EXPECT_THAT(t.tables("s"), ElementsAre("t"));
    EXPECT_THAT(t.streams("s"), ElementsAre("_MARKt", "t"));
    ASSERT_EQ(t.delete_table("s", "t"), DeleteTableStatus::kSuccess);
    EXPECT_EQ(t.exists({"s", "t"}), true);
}

TEST_F(KeyValueTablesTest, AreListedByPages) {
    for (const char* name : {"e", "a", "c", "b", "d"})
        ASSERT_EQ(t.create_table("s", name, {1, 4, 0, 0}), CreateTableStatus::kSuccess);
    EXPECT_THAT(t.tables("s"), ElementsAre("a", "b", "c", "d", "e"));
    EXPECT_THAT(t.tables("none"), ElementsAre("(no scope)"));
    auto alien = t.call<std::optional<Page<std::string>>>(
        [&](auto done) { t.controller->list_tables("s", "alien token", std::move(done)); });
    EXPECT_EQ(alien.error(), Errc::kInvalidArgument);
}

TEST_F(KeyValueTablesTest, NamesAndScopes) {
    const KeyValueTableConfig config{1, 4, 0, 0};
    for (std::string bad :
         {std::string(), std::string("with space"), std::string("_t"), std::string("a/b"), std::string("t_kvtable"),
          std::string(251, 'a'), std::string("\xff\xfe"), std::string("a\0b", 3)}) {
        EXPECT_EQ(t.create_table("s", bad, config), CreateTableStatus::kInvalidTableName) << bad;
        EXPECT_EQ(t.delete_table("s", bad), DeleteTableStatus::kTableNotFound) << bad;
        EXPECT_EQ(t.table_segments("s", bad).error(), Errc::kNotFound) << bad;
        EXPECT_FALSE(*t.table("s", bad)) << bad;
    }
    EXPECT_EQ(t.create_table("s", std::string(250, 'a'), config), CreateTableStatus::kSuccess);
    EXPECT_EQ(t.create_table("none", "t", config), CreateTableStatus::kScopeNotFound);
    EXPECT_EQ(t.create_table("no such", "t", config), CreateTableStatus::kScopeNotFound);
    EXPECT_EQ(t.create_table("", "t", config).error(), Errc::kInvalidArgument);
    EXPECT_EQ(t.delete_table("", "t").error(), Errc::kInvalidArgument);
    EXPECT_EQ(t.delete_table("none", "t"), DeleteTableStatus::kTableNotFound);
    EXPECT_EQ(t.table_segments("", "t").error(), Errc::kInvalidArgument);
    EXPECT_EQ(t.table_segments("none", "t").error(), Errc::kNotFound);
    EXPECT_FALSE(*t.table("none", "t"));
}

TEST_F(KeyValueTablesTest, ImpossibleConfigurationsAreRefusedWithTheReason) {
    struct Case {
        KeyValueTableConfig config;
        const char* reason;
    };
    constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();
    for (const Case& c :
         {Case{{0, 4, 0, 0}, "partition"}, Case{{-1, 4, 0, 0}, "partition"}, Case{{10'001, 4, 0, 0}, "partitions"},
          Case{{kMost, 4, 0, 0}, "partitions"}, Case{{1, -4, 0, 0}, "keys"}, Case{{1, 4, -1, 0}, "keys"},
          Case{{1, 0, 4, 0}, "primary"}, Case{{1, 200, 57, 0}, "256"}, Case{{1, kMost, kMost, 0}, "256"},
          Case{{1, 4, 0, -1}, "rollover"}}) {
        auto refused = t.create_table("s", "t", c.config);
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error(), Errc::kInvalidArgument);
        EXPECT_THAT(refused.error().message(), HasSubstr(c.reason));
    }
    EXPECT_THAT(t.keys("table/"), IsEmpty());
    EXPECT_EQ(t.create_table("s", "t", {1, 200, 56, 0}), CreateTableStatus::kSuccess);
}

TEST_F(KeyValueTablesTest, TheNumbersOfANameEnd) {
    constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();
    for (auto& [where, table] : t.api.tables) {
        if (table.contains("scope/s")) table["number/s/t_kvtable"] = {LastNumberRecord{kMost - 2}.encode(), 1};
    }
    EXPECT_EQ(t.create_table("s", "t", {2, 4, 0, 0}).error(), Errc::kLimit);
    EXPECT_EQ(t.create_table("s", "t", {1, 4, 0, 0}), CreateTableStatus::kSuccess);
    EXPECT_EQ(number_of(t.table_segments("s", "t")->front().id), kMost - 1);
}

// What a client does whose connection broke: it asks again for what is under way.
TEST_F(KeyValueTablesTest, AskedForAgainWhileItIsMade) {
    t.api.arm(FakeSegmentApi::Fault::kFailBefore, 1);
    EXPECT_FALSE(t.create_table("s", "t", {2, 4, 0, 0}));
    EXPECT_EQ(t.create_table("s", "t", {2, 4, 0, 0}), CreateTableStatus::kSuccess);
    t.api.arm(FakeSegmentApi::Fault::kFailBefore, 1);
    EXPECT_FALSE(t.create_table("s", "u", {2, 4, 0, 0}));
    EXPECT_EQ(t.create_table("s", "u", {3, 4, 0, 0}), CreateTableStatus::kTableExists);
}

}  // namespace
}  // namespace millrace::controller
