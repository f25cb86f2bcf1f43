// Table segments over the wire: each command, and what is refused. What the tables do is tested beside the container.
#include <gtest/gtest.h>

#include "store/store_harness.h"

namespace millrace::store {
namespace {

constexpr std::int64_t kAny = wire::kNoVersion;
const std::string kTable = "scope/table_kvtable/0.#epoch.0";
const std::string kFixed = "scope/fixed_kvtable/0.#epoch.0";

struct TablesTest : testing::TestWithParam<bool> {
    Harness h{GetParam()};
    TestClient& client = h.connect();
    std::int64_t id = kRequest;

    static wire::CreateTableSegment create_table(const std::string& name, std::int32_t key_length = 0) {
        wire::CreateTableSegment command;
        command.request_id = kRequest;
        command.segment = name;
        command.key_length = key_length;
        return command;
    }
    void make(const std::string& name, std::int32_t key_length = 0) {
        EXPECT_EQ(client.call<wire::SegmentCreated>(create_table(name, key_length)).segment, name);
    }
    static wire::UpdateTableEntries update(const std::string& table, std::vector<wire::TableEntry> entries,
                                           std::int64_t offset = wire::kNoTableOffset) {
        return {kRequest, table, "", std::move(entries), offset};
    }
    static wire::RemoveTableKeys removal(const std::string& table, std::vector<wire::TableKey> keys,
                                         std::int64_t offset = wire::kNoTableOffset) {
        return {kRequest, table, "", std::move(keys), offset};
    }
    static wire::ReadTable get(const std::string& table, std::vector<std::string> keys) {
        wire::ReadTable command{kRequest, table, "", {}};
        for (std::string& key : keys) command.keys.push_back({std::move(key), kAny});
        return command;
    }
    static wire::ReadTableKeys keys(const std::string& table, std::int32_t count, wire::TableIteratorArgs args = {}) {
        return {kRequest, table, "", count, std::move(args)};
    }
    static wire::ReadTableEntries entries(const std::string& table, std::int32_t count,
                                          wire::TableIteratorArgs args = {}) {
        return {kRequest, table, "", count, std::move(args)};
    }
    static wire::ReadTableEntriesDelta delta(const std::string& table, std::int64_t position, std::int32_t count) {
        return {kRequest, table, "", position, count};
    }
    static wire::DeleteTableSegment remove_table(const std::string& table, bool must_be_empty) {
        return {kRequest, table, must_be_empty, ""};
    }
    static wire::GetTableSegmentInfo table_info(const std::string& table) { return {kRequest, table, ""}; }

    template <typename C>
    void expect_close(const C& command) {
        TestClient& other = h.connect();
        other.send(command);
        EXPECT_TRUE(other.replies().empty());
        EXPECT_TRUE(other.closed());
    }
    template <typename C>
    void expect_error_message(const C& command) {
        auto error = client.call<wire::ErrorMessage>(command);
        EXPECT_EQ(error.error_code, wire::kErrorIllegalArgument);
        EXPECT_FALSE(error.message.empty());
        EXPECT_FALSE(client.closed());
    }
    using Versions = std::vector<std::int64_t>;
    Versions put(const std::string& table, std::vector<wire::TableEntry> put) {
        return client.call<wire::TableEntriesUpdated>(update(table, std::move(put))).updated_versions;
    }
};

INSTANTIATE_TEST_SUITE_P(Containers, TablesTest, testing::Bool(),
                         [](const auto& param) { return param.param ? "OnAnotherCore" : "OnTheSameCore"; });

TEST_P(TablesTest, CreateUpdateReadRemove) {
    make(kTable);
    EXPECT_EQ(client.call<wire::SegmentAlreadyExists>(create_table(kTable)).segment, kTable);
    EXPECT_EQ(put(kTable, {{"key1", kAny, "value1"}, {"key2", kAny, ""}}), (Versions{0, 27}));
    auto read = client.call<wire::TableRead>(get(kTable, {"key2", "none", "key1"}));
    ASSERT_EQ(read.entries.size(), 3u);
    EXPECT_EQ(read.entries[0].key, "key2");
    EXPECT_EQ(read.entries[0].version, 27);
    EXPECT_EQ(read.entries[1].key, "none");
    EXPECT_EQ(read.entries[1].version, wire::kNotExists);
    EXPECT_EQ(read.entries[1].value, "");
    EXPECT_EQ(read.entries[2].value, "value1");
    EXPECT_EQ(client.call<wire::TableKeysRemoved>(removal(kTable, {{"key2", 27}})).segment, kTable);
    auto info = client.call<wire::TableSegmentInfo>(table_info(kTable));
    EXPECT_EQ(info.entry_count, 1);
    EXPECT_EQ(info.length, 27 + 21 + 21);
    EXPECT_EQ(info.start_offset, 0);
    EXPECT_EQ(info.key_length, 0);
    auto segment = client.call<wire::StreamSegmentInfo>(wire::GetStreamSegmentInfo{kRequest, kTable, ""});
    EXPECT_EQ(segment.write_offset, 69);
    EXPECT_TRUE(client.call<wire::TableEntriesUpdated>(update(kTable, {})).updated_versions.empty());
    EXPECT_TRUE(client.call<wire::TableRead>(get(kTable, {})).entries.empty());
    client.call<wire::TableKeysRemoved>(removal(kTable, {}));
}

TEST_P(TablesTest, ConditionsThatFailHaveTheirReplies) {
    make(kTable);
    put(kTable, {{"a", kAny, "1"}});
    EXPECT_EQ(client.call<wire::TableKeyBadVersion>(update(kTable, {{"a", wire::kNotExists, "2"}})).segment, kTable);
    client.call<wire::TableKeyBadVersion>(removal(kTable, {{"a", 7}}));
    client.call<wire::TableKeyDoesNotExist>(update(kTable, {{"none", 0, "2"}}));
    auto wrong = client.call<wire::SegmentIsTruncated>(update(kTable, {{"a", kAny, "2"}}, 5));
    EXPECT_EQ(wrong.start_offset, 19);
    EXPECT_EQ(wrong.offset, 5);
    EXPECT_EQ(client.call<wire::NoSuchSegment>(update("none", {{"a", kAny, "2"}}, 5)).offset, 5);
    client.call<wire::SegmentSealed>(seal(kTable));
    client.call<wire::SegmentIsSealed>(update(kTable, {{"a", kAny, "2"}}));
    EXPECT_EQ(client.call<wire::TableRead>(get(kTable, {"a"})).entries[0].value, "1") << "sealing is harmless";
}

TEST_P(TablesTest, IterationsAndDeltas) {
    make(kTable);
    make(kFixed, 1);
    put(kTable, {{"a", kAny, "1"}, {"b", kAny, "2"}, {"c", kAny, "3"}});
    put(kFixed, {{"a", kAny, "1"}, {"b", kAny, "2"}, {"c", kAny, "3"}});
    std::vector<std::string> seen;
    wire::TableIteratorArgs args;
    for (int pages = 0;; ++pages) {
        auto page = client.call<wire::TableKeysRead>(keys(kTable, 2, args));
        EXPECT_EQ(page.continuation_token.empty(), page.keys.empty());
        if (page.keys.empty()) {
            EXPECT_EQ(pages, 2);
            break;
        }
        for (const wire::TableKey& key : page.keys) seen.push_back(key.key + std::to_string(key.version));
        args.continuation_token = page.continuation_token;
    }
    EXPECT_EQ(seen, (std::vector<std::string>{"a0", "b19", "c38"}));
    auto range = client.call<wire::TableEntriesRead>(entries(kFixed, 9, {"", "b", "c"}));
    ASSERT_EQ(range.entries.size(), 2u);
    EXPECT_EQ(range.entries[0].value, "2");
    auto part = client.call<wire::TableEntriesDeltaRead>(delta(kTable, 19, 1));
    ASSERT_EQ(part.entries.size(), 1u);
    EXPECT_EQ(part.last_position, 38);
    EXPECT_FALSE(part.reached_end);
    EXPECT_FALSE(part.should_clear);
    EXPECT_EQ(client.call<wire::OperationUnsupported>(delta(kFixed, 0, 1)).operation_name, "readTableEntriesDelta");

    expect_error_message(keys(kTable, 9, {"", "a", "b"}));
    expect_error_message(entries(kFixed, 9, {"token", "", ""}));
    expect_error_message(entries(kFixed, 9, {"", "c", "a"}));
    expect_error_message(entries(kFixed, 9, {"", "cc", ""}));
    expect_error_message(delta(kTable, 58, 1));
    expect_error_message(delta(kTable, -1, 1));
    expect_close(keys(kTable, 9, {"token", "", ""}));
}

TEST_P(TablesTest, Deletion) {
    make(kTable);
    make(kFixed, 1);
    put(kTable, {{"a", kAny, "1"}});
    EXPECT_EQ(client.call<wire::TableSegmentNotEmpty>(remove_table(kTable, true)).segment, kTable);
    EXPECT_EQ(client.call<wire::OperationUnsupported>(remove_table(kFixed, true)).operation_name, "deleteTableSegment");
    client.call<wire::SegmentDeleted>(remove_table(kFixed, false));
    client.call<wire::TableKeysRemoved>(removal(kTable, {{"a", kAny}}));
    client.call<wire::SegmentDeleted>(remove_table(kTable, true));
    EXPECT_EQ(client.call<wire::NoSuchSegment>(remove_table(kTable, false)).offset, -1);
    EXPECT_EQ(client.call<wire::NoSuchSegment>(get(kTable, {"a"})).offset, -1);
    make(kTable);
    client.call<wire::SegmentDeleted>(remove(kTable));
}

TEST_P(TablesTest, WhatWouldRuinATableIsRefused) {
    make(kTable);
    make(kFixed, 4);
    client.call<wire::SegmentCreated>(create(kSegment));
    expect_error_message(update(kTable, {{"a", kAny, "1"}, {"", kAny, "2"}}));
    expect_error_message(removal(kTable, {{"", kAny}}));
    expect_error_message(get(kTable, {""}));
    expect_error_message(update(kFixed, {{"five5", kAny, "1"}}));
    expect_error_message(setup(kTable));
    expect_error_message(wire::MergeSegments{kRequest, kTable, kSegment, "", {}});
    expect_error_message(wire::MergeSegments{kRequest, kSegment, kTable, "", {}});
    EXPECT_FALSE(client.call<wire::StreamSegmentInfo>(info(kSegment)).is_sealed);
    EXPECT_EQ(client.call<wire::TableSegmentInfo>(table_info(kTable)).length, 0);
    // And it goes on.
    EXPECT_EQ(put(kTable, {{"a", kAny, "1"}}), Versions{0});

    // An append that did not wait for the answer is dropped, a later one ends its own connection.
    TestClient& writer = h.connect();
    writer.send(setup(kTable), append(1, "data"));
    EXPECT_EQ(writer.replies().size(), 1u);
    EXPECT_FALSE(writer.closed());
    writer.send(append(2, "data"));
    EXPECT_TRUE(writer.replies().empty());
    EXPECT_TRUE(writer.closed());
    EXPECT_EQ(client.call<wire::TableSegmentInfo>(table_info(kTable)).length, 19);
}

TEST_P(TablesTest, WhatCannotBeRightEndsItsConnection) {
    make(kTable);
    client.call<wire::SegmentCreated>(create(kSegment));
    expect_close(create_table("x", 257));
    expect_close(create_table(""));
    expect_close(update(kTable, {{"a", -5, "1"}}));
    expect_close(removal(kTable, {{"a", -5}}));
    expect_close(update(kSegment, {{"a", kAny, "1"}}));
    expect_close(removal(kSegment, {{"a", kAny}}));
    expect_close(get(kSegment, {"a"}));
    expect_close(table_info(kSegment));
    expect_close(keys(kSegment, 1));
    expect_close(entries(kSegment, 1));
    expect_close(delta(kSegment, 0, 1));
    expect_close(remove_table(kSegment, true));
    EXPECT_EQ(put(kTable, {{"a", kAny, "1"}}), Versions{0}) << "others go on";
}

TEST_P(TablesTest, AReplyFitsIntoAFrame) {
    make(kTable);
    std::string big((1 << 20) - 20, 'v');
    for (const char* key : {"a", "b", "c"}) put(kTable, {{key, kAny, big}});
    EXPECT_EQ(client.call<wire::TableRead>(get(kTable, std::vector<std::string>(15, "a"))).entries.size(), 15u);
    expect_error_message(get(kTable, std::vector<std::string>(17, "a")));
    EXPECT_EQ(client.call<wire::TableEntriesRead>(entries(kTable, 100)).entries.size(), 1u);
    EXPECT_EQ(client.call<wire::TableEntriesDeltaRead>(delta(kTable, 0, 100)).entries.size(), 1u);
    EXPECT_EQ(client.call<wire::TableKeysRead>(keys(kTable, 100)).keys.size(), 3u);
}

TEST_P(TablesTest, UpdatesArePipelinedAndAnsweredWhenDurable) {
    make(kTable);
    h.hold_logs(true);
    client.send(update(kTable, {{"a", wire::kNotExists, "1"}}), update(kTable, {{"a", 0, "2"}}),
                update(kTable, {{"a", 0, "3"}}));
    EXPECT_TRUE(client.replies().empty());
    EXPECT_EQ(h.log_of(kTable).under_way(), 1u);
    h.hold_logs(false);
    auto replies = client.replies();
    ASSERT_EQ(replies.size(), 3u);
    EXPECT_EQ(replies[0].as<wire::TableEntriesUpdated>()->updated_versions, Versions{0});
    EXPECT_EQ(replies[1].as<wire::TableEntriesUpdated>()->updated_versions, Versions{19});
    EXPECT_NE(replies[2].as<wire::TableKeyBadVersion>(), nullptr);
}

}  // namespace
}  // namespace millrace::store
