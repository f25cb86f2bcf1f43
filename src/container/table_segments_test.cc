#include "container/table_harness.h"

namespace millrace::container {
namespace {

TEST(Tables, VersionsAreOffsetsAndRemovalsTakeRoomInHashTables) {
    TableHarness h;
    ASSERT_TRUE(h.create_table("t"));
    EXPECT_EQ(h.update("t", {item("key1", "value1"), item("key2", "value2")}), (Versions{0, 27}));
    EXPECT_EQ(h.update("t", {item("key1", "longer value")}), (Versions{54}));
    EXPECT_TRUE(h.update("t", {removal("key2"), removal("never")}));
    EXPECT_EQ(h.info("t")->length, 54 + 33 + 21 + 22);
    EXPECT_EQ(h.all("t"), "key1=longer value@54");
    auto info = h.table_info("t");
    EXPECT_EQ(info->entries, 1);
    EXPECT_EQ(info->key_length, 0);
    EXPECT_EQ(info->length, 130);
    EXPECT_EQ(h.update("t", {}), Versions{}) << "an empty update is one";
}

TEST(Tables, RemovalsTakeNoRoomInTablesWithFixedKeys) {
    TableHarness h;
    ASSERT_TRUE(h.create_table("f", 4));
    EXPECT_EQ(h.update("f", {item("key1", "value1"), item("key2", "value2")}), (Versions{0, 27}));
    EXPECT_TRUE(h.update("f", {removal("key2")}));
    EXPECT_EQ(h.update("f", {item("key3", "y")}), Versions{54});
    EXPECT_EQ(h.all("f"), "key1=value1@0 key3=y@54");
    EXPECT_EQ(h.table_info("f")->key_length, 4);
    EXPECT_EQ(h.attribute("f", kAttributeIdLength), 4);
    EXPECT_EQ(h.attribute("f", kSegmentType), 5);
    EXPECT_EQ(h.attribute("f", kRolloverSize), 16 << 20);
}

TEST(Tables, ConditionsHoldForAllItemsOrNoneIsApplied) {
    TableHarness h;
    ASSERT_TRUE(h.create_table("t"));
    EXPECT_EQ(h.update("t", {item("a", "1", kNotExists)}), Versions{0});
    EXPECT_EQ(h.update("t", {item("b", "2"), item("a", "x", kNotExists)}).error(), Errc::kBadVersion);
    EXPECT_EQ(h.update("t", {item("a", "x", 5)}).error(), Errc::kBadVersion);
    EXPECT_EQ(h.update("t", {item("a", "x", 5), item("none", "x", 0)}).error(), Errc::kNoKey)
        << "a missing key decides before a wrong version";
    EXPECT_EQ(h.update("t", {item("a", "x", -7)}).error(), Errc::kInvalidArgument);
    EXPECT_EQ(h.all("t"), "a=1@0");
    EXPECT_EQ(h.update("t", {item("a", "2", 0), item("b", "1")}), (Versions{19, 38}));
    EXPECT_EQ(h.update("t", {removal("a", 0)}).error(), Errc::kBadVersion);
    EXPECT_EQ(h.update("t", {removal("none", 3)}).error(), Errc::kNoKey);
    EXPECT_EQ(h.update("t", {removal("a", kNotExists)}).error(), Errc::kBadVersion);
    EXPECT_TRUE(h.update("t", {removal("a", 19), removal("none", kNotExists)}));
    auto inserted = h.update("t", {item("a", "3", kNotExists)});
    EXPECT_EQ(inserted, Versions{h.table_info("t")->length - 19});
}

TEST(Tables, WithFixedKeysAMissingKeyIsABadVersion) {
    TableHarness h;
    ASSERT_TRUE(h.create_table("f", 1));
    EXPECT_EQ(h.update("f", {item("a", "x", 0)}).error(), Errc::kBadVersion);
    EXPECT_EQ(h.update("f", {removal("a", 0)}).error(), Errc::kBadVersion);
    EXPECT_TRUE(h.update("f", {removal("a", kNotExists)}));
}

TEST(Tables, TheLengthCanBeACondition) {
    TableHarness h;
    ASSERT_TRUE(h.create_table("t"));
    EXPECT_EQ(h.update("t", {item("a", "1")}, 0), Versions{0});
    auto wrong = h.update("t", {item("a", "2")}, 0);
    ASSERT_EQ(wrong.error(), Errc::kBadOffset);
    EXPECT_EQ(wrong.error().value(), 19);
    EXPECT_EQ(h.update("t", {}, 7).error(), Errc::kBadOffset) << "even of an update without items";
    EXPECT_EQ(h.update("t", {item("a", "2")}, 19), Versions{19});
}

TEST(Tables, OfOneKeyTwiceInABatchTheLaterStays) {
    TableHarness h;
    ASSERT_TRUE(h.create_table("t"));
    EXPECT_EQ(h.update("t", {item("a", "1"), item("a", "2")}), (Versions{0, 19}));
    EXPECT_EQ(h.all("t"), "a=2@19");
    EXPECT_TRUE(h.update("t", {item("a", "3"), removal("a"), item("b", "4")}));
    EXPECT_EQ(h.all("t"), "b=4@75");
    EXPECT_EQ(h.container->stats().table_entries, 1u);
}

TEST(Tables, UpdatesAreCheckedAgainstWhatIsUnderWayAndSeenWhenDurable) {
    TableHarness h;
    ASSERT_TRUE(h.create_table("t"));
    h.log->hold = true;
    std::vector<Result<Versions>> results;
    auto ask = [&](std::vector<TableUpdate> updates) {
        h.container->tables().update("t", {std::move(updates), kAnyTableLength},
                                     [&](Result<Versions> r) { results.push_back(std::move(r)); });
    };
    ask({item("a", "1", kNotExists)});
    ask({item("a", "2", kNotExists)});
    ask({item("a", "3", 0)});
    ask({removal("a", 19)});
    ask({item("a", "4", 19)});
    h.executor.run_until_idle();
    EXPECT_EQ(h.log->under_way(), 1u) << "all in one frame";
    EXPECT_EQ(h.all("t"), "");
    EXPECT_EQ(h.table_info("t")->length, 0);
    EXPECT_TRUE(results.empty());
    h.log->acknowledge(1);
    h.executor.run_until_idle();
    ASSERT_EQ(results.size(), 5u);
    EXPECT_EQ(results[0], Versions{0});
    EXPECT_EQ(results[1].error(), Errc::kBadVersion);
    EXPECT_EQ(results[2], Versions{19});
    EXPECT_TRUE(results[3]);
    EXPECT_EQ(results[4].error(), Errc::kNoKey);
    EXPECT_EQ(h.table_info("t")->entries, 0);
}

TEST(Tables, TheFirstUpdateMayFollowTheCreationAtOnce) {
    TableHarness h;
    h.log->hold = true;
    CreateOptions options;
    options.table = true;
    std::optional<Result<Versions>> result;
    h.container->create("t", options, [](Result<>) {});
    h.container->tables().update("t", {{item("a", "1", kNotExists)}, 0}, [&](Result<Versions> r) { result = r; });
    h.executor.run_until_idle();
    h.log->acknowledge(1);
    h.executor.run_until_idle();
    EXPECT_EQ(result, Versions{0});
}

TEST(Tables, Limits) {
    TableHarness h;
    ASSERT_TRUE(h.create_table("t"));
    ASSERT_TRUE(h.create_table("f", 3));
    EXPECT_EQ(h.update("t", {item("", "1")}).error(), Errc::kLimit) << "an empty key";
    EXPECT_EQ(h.update("t", {item("a", "1"), removal("")}).error(), Errc::kLimit);
    EXPECT_EQ(h.get("t", {""}).error(), Errc::kLimit);
    auto absent = h.get("t", {std::string(8193, 'k')});
    ASSERT_TRUE(absent && absent->size() == 1);
    EXPECT_EQ(absent->front().version, kNotExists);
    EXPECT_TRUE(h.update("t", {item(std::string(8192, 'k'), "1")}));
    EXPECT_EQ(h.update("t", {item(std::string(8193, 'k'), "1")}).error(), Errc::kLimit);
    EXPECT_TRUE(h.update("t", {item("k", std::string((1 << 20) - 18, 'v'))}));
    EXPECT_EQ(h.update("t", {item("k", std::string((1 << 20) - 17, 'v'))}).error(), Errc::kLimit);
    EXPECT_EQ(h.update("f", {item("four", "1")}).error(), Errc::kLimit);
    EXPECT_EQ(h.update("f", {removal("2c")}).error(), Errc::kLimit);
    EXPECT_EQ(h.get("f", {"four"}).error(), Errc::kLimit);
    std::vector<TableUpdate> many;
    for (int i = 0; i < 33; ++i) many.push_back(item("k" + std::to_string(i), std::string(1'000'000, 'v')));
    many.pop_back();
    EXPECT_TRUE(h.update("t", many));
    many.push_back(item("more", std::string(1'000'000, 'v')));
    many.push_back(item("most", std::string(1'000'000, 'v')));
    EXPECT_EQ(h.update("t", many).error(), Errc::kLimit) << "more than 32 MiB";
    EXPECT_TRUE(h.get("t", std::vector<std::string>(16, "k1")));
    EXPECT_EQ(h.get("t", std::vector<std::string>(17, "k1")).error(), Errc::kLimit) << "more than one reply";
    auto page = h.iterate("t", {"", "", "", 1000, true});
    EXPECT_EQ(page->entries.size(), 2u) << "a page has about two MiB";
    EXPECT_EQ(h.delta("t", 9000, 1000)->entries.size(), 2u);
}

TEST(Tables, OtherSegmentsAreNoTablesAndTablesTakeNoBytes) {
    TableHarness h;
    ASSERT_TRUE(h.create("plain"));
    ASSERT_TRUE(h.create_table("t"));
    EXPECT_EQ(h.create_table("plain").error(), Errc::kExists);
    EXPECT_EQ(h.update("plain", {item("a", "1")}).error(), Errc::kInvalidArgument);
    EXPECT_EQ(h.get("plain", {"a"}).error(), Errc::kInvalidArgument);
    EXPECT_EQ(h.iterate("plain", {}).error(), Errc::kInvalidArgument);
    EXPECT_EQ(h.delta("plain", 0, 1).error(), Errc::kInvalidArgument);
    EXPECT_EQ(h.remove_table("plain", false).error(), Errc::kInvalidArgument);
    EXPECT_EQ(h.update("none", {}).error(), Errc::kNotFound);
    EXPECT_EQ(h.table_info("none").error(), Errc::kNotFound);
    EXPECT_EQ(h.remove_table("none", true).error(), Errc::kNotFound);

    EXPECT_EQ(h.setup(h.session("t", 1)).error(), Errc::kInvalidArgument);
    EXPECT_EQ(h.merge("t", "plain").error(), Errc::kInvalidArgument);
    EXPECT_EQ(h.merge("plain", "t").error(), Errc::kInvalidArgument);
    EXPECT_FALSE(h.info("t")->sealed) << "what is refused has no effect";
    EXPECT_FALSE(h.info("plain")->sealed);
}

TEST(Tables, ASealedTableIsReadOnly) {
    TableHarness h;
    ASSERT_TRUE(h.create_table("t"));
    ASSERT_TRUE(h.update("t", {item("a", "1")}));
    ASSERT_TRUE(h.seal("t"));
    EXPECT_EQ(h.update("t", {item("a", "2")}).error(), Errc::kSealed);
    EXPECT_EQ(h.all("t"), "a=1@0");
    h.crash();
    EXPECT_EQ(h.all("t"), "a=1@0");
    EXPECT_TRUE(h.remove_table("t", false));
}

TEST(Tables, DeletionOnlyIfEmpty) {
    TableHarness h;
    ASSERT_TRUE(h.create_table("t"));
    ASSERT_TRUE(h.create_table("f", 1));
    ASSERT_TRUE(h.update("t", {item("a", "1")}));
    EXPECT_EQ(h.remove_table("t", true).error(), Errc::kConflict);
    EXPECT_EQ(h.remove_table("f", true).error(), Errc::kUnsupported);
    // What is under way counts.
    h.log->hold = true;
    std::vector<std::string> order;
    h.container->tables().update("t", {{removal("a")}, -1},
                                 [&](const auto& r) { order.push_back(r ? "removed" : "?"); });
    h.container->tables().remove("t", true, [&](const auto& r) { order.push_back(r ? "gone" : "?"); });
    h.container->tables().update("t", {{item("b", "1")}, -1}, [&](const auto& r) {
        order.push_back(r.error() == Errc::kNotFound ? "missing" : "?");
    });
    h.executor.run_until_idle();
    h.log->hold = false;
    h.log->acknowledge(10);
    h.executor.run_until_idle();
    EXPECT_EQ(order, (std::vector<std::string>{"removed", "gone", "missing"}));
    EXPECT_EQ(h.table_info("t").error(), Errc::kNotFound);
    EXPECT_EQ(h.container->stats().table_entries, 0u);
    EXPECT_TRUE(h.create_table("t")) << "the name is free";
    EXPECT_EQ(h.all("t"), "");
}

TEST(Tables, AnIterationSeesWhatWasNotTouchedExactlyOnce) {
    TableHarness h;
    ASSERT_TRUE(h.create_table("t"));
    for (int i = 0; i < 50; ++i)
        ASSERT_TRUE(h.update("t", {item("stay" + std::to_string(i), "s"), item("x" + std::to_string(i), "x")}));
    std::map<std::string, int> seen;
    std::string token;
    for (int round = 0;; ++round) {
        auto page = h.iterate("t", {token, "", "", 7, round % 2 == 0});
        ASSERT_TRUE(page);
        ASSERT_LE(page->entries.size(), 7u);
        if (page->entries.empty()) {
            EXPECT_EQ(page->token, "");
            break;
        }
        for (const TableEntry& entry : page->entries) ++seen[entry.key];
        token = page->token;
        ASSERT_TRUE(h.update("t", {removal("x" + std::to_string(round)), item("x" + std::to_string(49 - round), "y"),
                                   item("a" + std::to_string(round), "new")}));
    }
    for (int i = 0; i < 50; ++i) EXPECT_EQ(seen["stay" + std::to_string(i)], 1);
}

TEST(Tables, TokensAreChecked) {
    TableHarness h;
    ASSERT_TRUE(h.create_table("t"));
    ASSERT_TRUE(h.create_table("f", 1));
    ASSERT_TRUE(h.update("t", {item("a", "1"), item("b", "1")}));
    std::string token = h.iterate("t", {"", "", "", 1, true})->token;
    EXPECT_EQ(h.iterate("t", {token, "", "", 9, true})->entries.size(), 1u);
    for (std::size_t at = 0; at < token.size(); ++at) {
        std::string changed = token;
        changed[at] = static_cast<char>(changed[at] ^ 0x40);
        EXPECT_EQ(h.iterate("t", {changed, "", "", 9, true}).error(), Errc::kInvalidArgument) << at;
        EXPECT_TRUE(at == 0 ||
                    h.iterate("t", {token.substr(0, at), "", "", 9, true}).error() == Errc::kInvalidArgument);
    }
    EXPECT_EQ(h.iterate("t", {token + std::string(9000, 'x'), "", "", 9, true}).error(), Errc::kInvalidArgument);
    EXPECT_EQ(h.iterate("t", {"", "a", "b", 9, true}).error(), Errc::kUnsupported);
    EXPECT_EQ(h.iterate("f", {token, "", "", 9, true}).error(), Errc::kUnsupported);
    EXPECT_TRUE(h.iterate("t", {"", "", "", 0, true})->entries.empty());
    EXPECT_TRUE(h.iterate("t", {"", "", "", -1, true})->entries.empty());
}

TEST(Tables, RangesOfFixedKeysAreInclusiveAndUnsigned) {
    TableHarness h;
    ASSERT_TRUE(h.create_table("f", 1));
    ASSERT_TRUE(
        h.update("f", {item("\x80", "1"), item("\x7f", "2"), item(std::string(1, '\0'), "3"), item("\xff", "4")}));
    auto keys = [&](const std::string& from, const std::string& to) {
        std::string text;
        auto page = h.iterate("f", {"", from, to, 10, false});
        for (const TableEntry& entry : page->entries) text += entry.key;
        return text;
    };
    EXPECT_EQ(keys("", ""), std::string("\0\x7f\x80\xff", 4));
    EXPECT_EQ(keys("\x7f", "\x80"), "\x7f\x80");
    EXPECT_EQ(keys("\x81", ""), "\xff");
    EXPECT_EQ(keys("\x81", "\xfe"), "");
    EXPECT_EQ(h.iterate("f", {"", "b", "a", 10, true}).error(), Errc::kLimit);
    EXPECT_EQ(h.iterate("f", {"", "bb", "", 10, true}).error(), Errc::kLimit);
    EXPECT_EQ(h.iterate("f", {"", "", "bb", 10, true}).error(), Errc::kLimit);
    EXPECT_EQ(h.delta("f", 0, 10).error(), Errc::kUnsupported);
}

TEST(Tables, DeltasHaveWhatIsCurrentFromAPositionOn) {
    TableHarness h;
    ASSERT_TRUE(h.create_table("t"));
    auto empty = h.delta("t", 0, 10);
    EXPECT_TRUE(empty->reached_end);
    EXPECT_EQ(empty->next_position, 0);
    ASSERT_TRUE(h.update("t", {item("a", "1"), item("b", "2"), item("c", "3")}));
    auto first = h.delta("t", 0, 1);
    EXPECT_EQ(TableHarness::print(first->entries), "a=1@0");
    EXPECT_FALSE(first->reached_end);
    EXPECT_EQ(first->next_position, 19);
    auto rest = h.delta("t", 19, 2);
    EXPECT_EQ(TableHarness::print(rest->entries), "b=2@19 c=3@38");
    EXPECT_TRUE(rest->reached_end);
    EXPECT_EQ(rest->next_position, 57);
    ASSERT_TRUE(h.update("t", {item("a", "4"), removal("b")}));
    auto all = h.delta("t", 0, 10);
    EXPECT_EQ(TableHarness::print(all->entries), "c=3@38 a=4@57");
    EXPECT_EQ(all->next_position, 94);
    auto removed = h.delta("t", 76, 10);
    EXPECT_TRUE(removed->entries.empty());
    EXPECT_EQ(removed->next_position, 94);
    EXPECT_EQ(h.delta("t", 95, 1).error(), Errc::kLimit);
    EXPECT_EQ(h.delta("t", -1, 1).error(), Errc::kLimit);
    EXPECT_FALSE(h.delta("t", 0, 0)->reached_end);
    ASSERT_TRUE(h.truncate("t", 30));
    EXPECT_TRUE(h.delta("t", 0, 10)->must_forget);
    EXPECT_FALSE(h.delta("t", 30, 10)->must_forget);
}

TEST(Tables, TheSegmentCanBeReadAsBytes) {
    TableHarness h;
    ASSERT_TRUE(h.create_table("t"));
    auto waiting = h.read("t", 0);
    EXPECT_FALSE(waiting) << "at the tail it waits";
    std::optional<Result<ReadResult>> woken;
    h.container->read("t", 0, 100, [&](Result<ReadResult> r) { woken = std::move(r); });
    ASSERT_TRUE(h.update("t", {item("key", "value"), item("k2", "v2")}));
    ASSERT_TRUE(woken && *woken);
    EXPECT_TRUE((*woken)->at_tail);
    const std::string one("\0\0\0\0\3\0\0\0\5\x80\0\0\0\0\0\0\0keyvalue", 25);
    const std::string two("\0\0\0\0\2\0\0\0\2\x80\0\0\0\0\0\0\0k2v2", 21);
    EXPECT_EQ(h.text("t"), one + two);
    EXPECT_EQ(h.text("t", 20), (one + two).substr(20));
    auto part = h.read("t", 3, 9);
    ASSERT_TRUE(part && *part);
    EXPECT_EQ((*part)->data.size(), 9u);
    EXPECT_FALSE((*part)->at_tail);
    // The bytes of what was replaced are gone.
    ASSERT_TRUE(h.update("t", {item("key", "new")}));
    auto gap = h.read("t", 3);
    ASSERT_TRUE(gap);
    EXPECT_EQ(gap->error(), Errc::kTruncated);
    EXPECT_EQ(gap->error().value(), 25);
    ASSERT_TRUE(h.update("t", {removal("k2"), removal("key")}));
    EXPECT_EQ(h.read("t", 30)->error().value(), h.table_info("t")->length);
}

// ---- a store that answers later ----

struct SlowTables : SlowTable {
    std::vector<std::string> results;
    void ask(std::vector<TableUpdate> updates) {
        h.container->tables().update("t", {std::move(updates), kAnyTableLength}, [this](Result<Versions> r) {
            results.push_back(r ? std::to_string(r->empty() ? -1 : r->front())
                                : std::string(to_string(r.error().code())));
        });
    }
};

TEST_F(SlowTables, UpdatesOfATableKeepTheirOrder) {
    ask({item("a", "1", kNotExists)});
    ask({item("a", "2")});
    ask({item("a", "3", 0)});
    ask({item("a", "4", 19)});
    ask({item("b", "5")});
    h.executor.run_until_idle();
    EXPECT_EQ(results, (std::vector<std::string>{"0", "19", "bad version", "38", "57"}));
    EXPECT_EQ(h.all("t"), "a=4@38 b=5@57");
}

TEST_F(SlowTables, AnAnswerThatIsOldByNowIsCorrectedByWhatBecameDurableMeanwhile) {
    h.log->hold = true;
    ask({item("a", "1")});
    h.executor.run_until_idle();
    store->hold = true;
    ask({item("a", "2", 0), item("b", "")});  // the store is asked before the first update is durable
    h.executor.run_until_idle();
    h.log->hold = false;
    h.log->acknowledge(1);
    h.executor.run_until_idle();
    EXPECT_EQ(results, std::vector<std::string>{"0"});
    store->release();
    h.executor.run_until_idle();
    EXPECT_EQ(results, (std::vector<std::string>{"0", "19"}));
    ask({item("a", "3", 19)});
    h.executor.run_until_idle();
    EXPECT_EQ(results.back(), "56");
}

TEST_F(SlowTables, SealAndDeletionMayOvertakeAndAreObeyed) {
    store->hold = true;
    ask({item("a", "1", kNotExists)});
    ask({item("a", "1")});
    ASSERT_TRUE(h.seal("t"));
    store->release();
    h.executor.run_until_idle();
    EXPECT_EQ(results, (std::vector<std::string>{"sealed", "sealed"}));

    results.clear();
    ASSERT_TRUE(h.remove("t"));
    ASSERT_TRUE(h.create_table("t"));
    store->hold = true;
    ask({item("a", "1", kNotExists)});
    ask({item("a", "1")});
    ASSERT_TRUE(h.remove("t"));
    EXPECT_EQ(results, (std::vector<std::string>{"not found", "not found"}));
    store->release();
    h.executor.run_until_idle();
    EXPECT_EQ(results.size(), 2u) << "each is answered once";
}

TEST_F(SlowTables, AFailedOrStoppingContainerAnswersAll) {
    store->hold = true;
    ask({item("a", "1", kNotExists)});
    ask({item("a", "1")});
    bool stopped = false;
    h.container->stop([&] { stopped = true; });
    h.executor.run_until_idle();
    store->release();
    h.executor.run_until_idle();
    EXPECT_TRUE(stopped);
    EXPECT_EQ(results, (std::vector<std::string>{"closed", "closed"}));

    results.clear();
    h.crash();
    ASSERT_TRUE(h.table_info("t"));
    store->hold = true;
    ask({item("a", "1", kNotExists)});
    h.log->fail_next = true;
    (void)h.seal("t");
    store->release();
    h.executor.run_until_idle();
    EXPECT_EQ(results, std::vector<std::string>{"closed"});
}

}  // namespace
}  // namespace millrace::container
