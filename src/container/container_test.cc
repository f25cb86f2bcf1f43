#include "container/container_harness.h"

namespace millrace::container {
namespace {

TEST(Container, AppendsAreDurableBeforeTheyAreAcknowledgedOrSeen) {
    Harness h;
    ASSERT_TRUE(h.create("s/x/0"));
    AppendSession& w = h.session("s/x/0", 1);
    EXPECT_EQ(h.setup(w), kNullAttribute);
    h.log->hold = true;
    h.append(w, 1, "hello");
    h.append(w, 2, " world");
    h.executor.run_until_idle();
    EXPECT_TRUE(h.sink.all.empty());
    EXPECT_FALSE(h.read("s/x/0", 0)) << "nothing to read yet: the read waits";
    EXPECT_EQ(h.info("s/x/0")->length, 0);
    EXPECT_EQ(h.log->under_way(), 1u) << "both in one frame";
    h.log->acknowledge(1);
    ASSERT_EQ(h.sink.all.size(), 1u) << "both in one outcome";
    EXPECT_EQ(h.sink.calls, 1);
    EXPECT_EQ(h.sink.all[0].requests, 2u);
    EXPECT_EQ(h.sink.all[0].event_number, 2);
    EXPECT_EQ(h.sink.all[0].previous_event_number, kNullAttribute);
    EXPECT_EQ(h.sink.all[0].end_offset, 11);
    EXPECT_EQ(h.text("s/x/0"), "hello world");
    EXPECT_EQ(h.attribute("s/x/0", kEventCount), 2);
    EXPECT_EQ(h.attribute("s/x/0", w.writer_id), 2);
}

TEST(Container, WhatIsOnlyInTheLogIsShownAsItIsAlsoWithoutLongTermStorage) {
    Harness h;
    ASSERT_TRUE(h.create("a"));
    AppendSession& w = h.session("a", 1);
    ASSERT_TRUE(h.setup(w));
    for (int number = 1; number <= 3; ++number) {
        h.append(w, number, "hello");
        h.executor.run_until_idle();
        EXPECT_EQ(h.container->tiering_gauges().log_only_bytes, 5u * number);
    }
    ASSERT_TRUE(h.truncate("a", 10));
    EXPECT_EQ(h.container->tiering_gauges().log_only_bytes, 5u);
    ASSERT_TRUE(h.remove("a"));
    EXPECT_EQ(h.container->tiering_gauges().log_only_bytes, 0u);
}

TEST(Container, AWriterIsComparedWithWhatIsStored) {
    Harness h;
    ASSERT_TRUE(h.create("a"));
    AppendSession& first = h.session("a", 7);
    AppendSession& second = h.session("a", 7);  // the same writer over another connection
    ASSERT_TRUE(h.setup(first));
    ASSERT_TRUE(h.setup(second));
    h.append(first, 5, "x");
    h.executor.run_until_idle();
    h.append(second, 6, "y");  // expects nothing stored
    h.append(second, 7, "z");
    h.executor.run_until_idle();
    ASSERT_EQ(h.sink.all.size(), 2u);
    EXPECT_EQ(h.sink.all[1].status, AppendStatus::kBadEventNumber);
    EXPECT_EQ(h.sink.dropped_bytes, 1u) << "what follows an error is dropped";
    EXPECT_EQ(h.setup(second), 5);
    h.append(second, 6, "y");
    h.append(first, 8, "q");
    h.executor.run_until_idle();
    EXPECT_EQ(h.sink.all[2].status, AppendStatus::kAppended);
    EXPECT_EQ(h.sink.all[2].previous_event_number, 5);
    EXPECT_EQ(h.sink.all[3].status, AppendStatus::kBadEventNumber);
    EXPECT_EQ(h.text("a"), "xy");
    EXPECT_EQ(h.setup(first), 6);
    h.append(first, 6, "again");
    h.append(first, 4, "back");
    h.executor.run_until_idle();
    EXPECT_EQ(h.sink.all[4].status, AppendStatus::kBadEventNumber) << "a repeated number would store the data twice";
    EXPECT_EQ(h.text("a"), "xy");
}

TEST(Container, ConditionalAppends) {
    Harness h;
    ASSERT_TRUE(h.create("a"));
    AppendSession& w = h.session("a", 1);
    ASSERT_TRUE(h.setup(w));
    h.append(w, 1, "abc", 0, true);
    h.append(w, 2, "no", 2, true);
    h.append(w, 3, "def", 3, true);
    h.append(w, 4, "g", -5, true);
    h.executor.run_until_idle();
    ASSERT_EQ(h.sink.all.size(), 4u);
    EXPECT_EQ(h.sink.all[1].status, AppendStatus::kBadOffset);
    EXPECT_EQ(h.sink.all[2].status, AppendStatus::kAppended);
    EXPECT_EQ(h.sink.all[2].previous_event_number, 1);
    EXPECT_EQ(h.sink.all[3].status, AppendStatus::kAppended);
    EXPECT_EQ(h.text("a"), "abcdefg");
}

TEST(Container, SealedDeletedAndMissing) {
    Harness h;
    ASSERT_TRUE(h.create("a"));
    EXPECT_EQ(h.create("a").error(), Errc::kExists);
    AppendSession& w = h.session("a", 1);
    ASSERT_TRUE(h.setup(w));
    std::optional<Result<ReadResult>> waiting;
    h.container->read("a", 3, 100, [&](Result<ReadResult> r) { waiting = std::move(r); });
    h.append(w, 1, "abc");
    EXPECT_EQ(h.seal("a"), 3);
    ASSERT_TRUE(waiting);
    EXPECT_EQ(waiting->error(), Errc::kSealed);
    EXPECT_EQ(h.seal("a").error(), Errc::kSealed);
    h.append(w, 2, "x");
    h.executor.run_until_idle();
    EXPECT_EQ(h.sink.all.back().status, AppendStatus::kSealed);
    EXPECT_EQ(h.sink.all.back().event_number, 2);
    EXPECT_EQ(h.setup(w), 1) << "a sealed segment can be set up";
    auto end = h.read("a", 3);
    ASSERT_TRUE(end && *end);
    EXPECT_TRUE((*end)->end_of_segment);
    EXPECT_TRUE((*end)->data.empty());
    EXPECT_EQ(h.read("a", 4)->error(), Errc::kInvalidArgument);
    EXPECT_TRUE(h.remove("a"));
    EXPECT_EQ(h.remove("a").error(), Errc::kNotFound);
    EXPECT_EQ(h.setup(w).error(), Errc::kNotFound);
    EXPECT_EQ(h.read("a", 0)->error(), Errc::kNotFound);
    EXPECT_TRUE(h.create("a")) << "the name is free at once";
    EXPECT_EQ(h.info("a")->length, 0);
}

TEST(Container, ANameThatIsBeingDeletedCanBeAskedFor) {
    Harness h;
    ASSERT_TRUE(h.create("a"));
    h.log->hold = true;
    std::optional<Result<>> removed;
    std::optional<Result<>> created;
    h.container->remove("a", [&](Result<> r) { removed = std::move(r); });
    h.container->create("a", {}, [&](Result<> r) { created = std::move(r); });
    h.executor.run_until_idle();
    EXPECT_FALSE(created);
    h.log->acknowledge(1);
    h.executor.run_until_idle();
    EXPECT_TRUE(removed && *removed);
    h.log->acknowledge(1);
    h.executor.run_until_idle();
    ASSERT_TRUE(created && *created);
    EXPECT_TRUE(h.info("a"));
}

TEST(Container, TruncationMovesTheStart) {
    Harness h;
    ASSERT_TRUE(h.create("a"));
    AppendSession& w = h.session("a", 1);
    ASSERT_TRUE(h.setup(w));
    for (int i = 1; i <= 5; ++i) h.append(w, i, "0123456789");
    h.executor.run_until_idle();
    EXPECT_TRUE(h.truncate("a", 25));
    EXPECT_TRUE(h.truncate("a", 25)) << "the same place again";
    auto low = h.truncate("a", 24);
    EXPECT_EQ(low.error(), Errc::kTruncated);
    EXPECT_EQ(low.error().value(), 25);
    EXPECT_EQ(h.truncate("a", 51).error(), Errc::kTruncated);
    EXPECT_EQ(h.read("a", 24)->error(), Errc::kTruncated);
    EXPECT_EQ(h.text("a", 25), "5678901234567890123456789");
    EXPECT_TRUE(h.truncate("a", 50));
    EXPECT_EQ(h.info("a")->start_offset, 50);
}

TEST(Container, MergeSplicesAndForgetsTheSource) {
    Harness h;
    ASSERT_TRUE(h.create("t"));
    ASSERT_TRUE(h.create("s1"));
    ASSERT_TRUE(h.create("s2"));
    for (const char* name : {"t", "s1", "s2"}) {
        AppendSession& w = h.session(name, 1);
        ASSERT_TRUE(h.setup(w));
        h.append(w, 1, std::string("<") + name + ">");
    }
    h.executor.run_until_idle();
    std::vector<AttributeUpdate> wrong{{Uuid{5, 5}, AttributeUpdateType::kReplaceIfEquals, 1, 7}};
    EXPECT_EQ(h.merge("t", "s1", wrong).error(), Errc::kBadAttribute);
    EXPECT_TRUE(h.info("s1")->sealed) << "a refused merge leaves its source sealed";
    EXPECT_EQ(h.merge("t", "s1"), 7);
    EXPECT_EQ(h.merge("t", "s1"), 7) << "again: the target's length";
    EXPECT_EQ(h.info("s1").error(), Errc::kNotFound);
    EXPECT_EQ(h.merge("t", "nope").error(), Errc::kNotFound);
    std::optional<Result<std::vector<std::int64_t>>> batch;
    h.container->merge_batch("t", {"s1", "gone", "s2"}, [&](auto r) { batch = std::move(r); });
    auto ends = h.wait(batch);
    ASSERT_TRUE(ends);
    EXPECT_EQ(*ends, (std::vector<std::int64_t>{7, 7, 11}));
    EXPECT_EQ(h.text("t"), "<t><s1><s2>");
    h.crash();
    EXPECT_EQ(h.text("t"), "<t><s1><s2>");
    EXPECT_EQ(h.info("s2").error(), Errc::kNotFound);
}

TEST(Container, AttributeUpdateTypes) {
    Harness h;
    ASSERT_TRUE(h.create("a"));
    Uuid id{9, 9};
    auto update = [&](AttributeUpdateType type, std::int64_t value, std::int64_t expected = kNullAttribute) {
        return h.attributes("a", {{id, type, value, expected}});
    };
    EXPECT_TRUE(update(AttributeUpdateType::kReplaceIfEquals, 1));
    EXPECT_EQ(update(AttributeUpdateType::kNone, 2).error(), Errc::kBadAttribute);
    EXPECT_TRUE(update(AttributeUpdateType::kAccumulate, 4));
    EXPECT_EQ(update(AttributeUpdateType::kReplaceIfGreater, 5).error(), Errc::kBadAttribute);
    EXPECT_TRUE(update(AttributeUpdateType::kReplaceIfGreater, 6));
    EXPECT_EQ(update(AttributeUpdateType::kReplaceIfEquals, 9, 5).error(), Errc::kBadAttribute);
    EXPECT_EQ(h.attribute("a", id), 6);
    EXPECT_TRUE(update(AttributeUpdateType::kReplace, kNullAttribute));
    EXPECT_TRUE(update(AttributeUpdateType::kNone, 3));
    EXPECT_EQ(h.attributes("a", {{kSegmentType, AttributeUpdateType::kReplace, 1, 0}}).error(), Errc::kInvalidArgument);
    EXPECT_EQ(
        h.attributes("a", {{id, AttributeUpdateType::kReplace, 8, 0}, {id, AttributeUpdateType::kNone, 1, 0}}).error(),
        Errc::kBadAttribute);
    EXPECT_EQ(h.attribute("a", id), 3) << "all or none";
    ASSERT_TRUE(h.seal("a"));
    EXPECT_EQ(update(AttributeUpdateType::kReplace, 1).error(), Errc::kSealed);
    h.crash();
    EXPECT_EQ(h.attribute("a", id), 3);
}

TEST(Container, Tables) {
    Harness h;
    auto versions = h.table("t", {{"b", "1", kNotExists}, {"a", "2", kAnyVersion}});
    ASSERT_TRUE(versions);
    EXPECT_EQ(h.table("t", {{"b", "x", kNotExists}}).error(), Errc::kBadVersion);
    EXPECT_EQ(h.table("t", {{"b", "x", 99}, {"c", "x", 1}}).error(), Errc::kNoKey) << "a missing key wins";
    EXPECT_TRUE(
        h.table("t", {{"b", std::nullopt, (*versions)[0]}, {"p/1", "v", kAnyVersion}, {"p/2", "w", kAnyVersion}}));
    h.crash();
    EXPECT_FALSE(h.container->table_get("t", "b"));
    EXPECT_EQ(h.container->table_get("t", "a")->version, (*versions)[1]);
    auto page = h.container->table_scan("t", "p/", "", 1);
    ASSERT_EQ(page.size(), 1u);
    EXPECT_EQ(page[0].key, "p/1");
    EXPECT_EQ(h.container->table_scan("t", "p/", "p/1", 10).size(), 1u);
    EXPECT_TRUE(h.container->table_scan("none", "", "", 10).empty());
    auto again = h.table("t", {{"z", "1", kNotExists}});
    ASSERT_TRUE(again);
    EXPECT_GT((*again)[0], (*versions)[1]) << "versions go on growing after recovery";
}

TEST(Container, ReadsComeFromTheLogWhenMemoryIsGone) {
    ContainerOptions options;
    options.cache_bytes = 64 << 10;
    options.frame_bytes = 16 << 10;
    Harness h(options);
    ASSERT_TRUE(h.create("a"));
    AppendSession& w = h.session("a", 1);
    ASSERT_TRUE(h.setup(w));
    std::string all;
    for (int i = 1; i <= 200; ++i) {
        std::string data(1000 + static_cast<std::size_t>(i), static_cast<char>('a' + i % 26));
        all += data;
        h.append(w, i, data);
        if (i % 3 == 0) h.executor.run_until_idle();
    }
    h.executor.run_until_idle();
    EXPECT_LE(h.container->stats().cache_bytes, 80u << 10);
    EXPECT_EQ(h.text("a"), all);
    EXPECT_GT(h.log->reads, 0u);
    std::string big(300'000, 'B');
    h.append(w, 1000, big);
    h.executor.run_until_idle();
    EXPECT_EQ(h.text("a"), all + big) << "larger than a frame";
    h.crash();
    EXPECT_EQ(h.text("a", 777), (all + big).substr(777));
}

TEST(Container, NeighboursOfOneWriterBecomeOneRecord) {
    Harness h;
    ASSERT_TRUE(h.create("a"));
    ASSERT_TRUE(h.create("b"));
    AppendSession& one = h.session("a", 1);
    AppendSession& two = h.session("b", 2);
    ASSERT_TRUE(h.setup(one));
    ASSERT_TRUE(h.setup(two));
    std::string a;
    for (int i = 1; i <= 10; ++i) {
        h.append(one, i, std::string(static_cast<std::size_t>(i), static_cast<char>('a' + i)));
        a += std::string(static_cast<std::size_t>(i), static_cast<char>('a' + i));
    }
    h.append(two, 1, "other");
    h.append(one, 11, "later");
    h.append(one, 12, "conditional", static_cast<std::int64_t>(a.size()) + 5, true);
    h.append(one, 13, "last");
    a += "laterconditionallast";
    h.executor.run_until_idle();
    // Ten joined; one, for another stands between; a conditional one is answered by itself, and so is what follows it.
    ASSERT_EQ(h.sink.all.size(), 5u);
    EXPECT_EQ(h.sink.all[0].requests, 10u);
    EXPECT_EQ(h.sink.all[0].event_number, 10);
    EXPECT_EQ(h.sink.all[0].request_id, 100);
    EXPECT_EQ(h.sink.all[0].end_offset, 55);
    EXPECT_EQ(h.sink.all[0].bytes, 55u);
    EXPECT_EQ(h.sink.all[3].previous_event_number, 11);
    EXPECT_EQ(h.container->stats().index_entries, 5u);
    EXPECT_EQ(h.container->stats().appends, 14u);
    EXPECT_EQ(h.text("a"), a);
    h.crash();
    EXPECT_EQ(h.text("a"), a);
    EXPECT_EQ(h.attribute("a", kEventCount), 13);
    EXPECT_EQ(h.attribute("a", Uuid{1, 1}), 13);
}

TEST(Container, ALogErrorStopsIt) {
    Harness h;
    ASSERT_TRUE(h.create("a"));
    AppendSession& w = h.session("a", 1);
    ASSERT_TRUE(h.setup(w));
    std::optional<Result<ReadResult>> waiting;
    h.container->read("a", 0, 100, [&](Result<ReadResult> r) { waiting = std::move(r); });
    h.log->fail_next = true;
    h.append(w, 1, "abc");
    h.executor.run_until_idle();
    ASSERT_TRUE(h.failure);
    EXPECT_EQ(*h.failure, Errc::kIo);
    ASSERT_EQ(h.sink.all.size(), 1u);
    EXPECT_EQ(h.sink.all[0].status, AppendStatus::kFatal);
    EXPECT_EQ(waiting->error(), Errc::kClosed);
    EXPECT_EQ(h.create("b").error(), Errc::kClosed);
    h.crash();
    EXPECT_EQ(h.info("a")->length, 0);
}

TEST(Container, StopDrainsThePipeline) {
    Harness h;
    ASSERT_TRUE(h.create("a"));
    AppendSession& w = h.session("a", 1);
    ASSERT_TRUE(h.setup(w));
    std::optional<Result<ReadResult>> waiting;
    h.container->read("a", 3, 100, [&](Result<ReadResult> r) { waiting = std::move(r); });
    h.append(w, 1, "abc");
    bool stopped = false;
    h.container->stop([&] { stopped = true; });
    EXPECT_FALSE(stopped);
    h.executor.run_until_idle();
    EXPECT_TRUE(stopped);
    EXPECT_EQ(h.sink.all.size(), 1u);
    EXPECT_EQ(waiting->error(), Errc::kClosed);
    bool forgotten = false;
    h.container->close_append(w, [&] { forgotten = true; });
    h.executor.run_until_idle();
    EXPECT_TRUE(forgotten);
}

// "It exists already" would be a lie when its creation never becomes durable.
TEST(Container, RefusalsThatFollowFromWhatIsLostAreNotTold) {
    Harness h;
    ASSERT_TRUE(h.create("sealed"));
    h.log->hold = true;
    std::vector<Errc> told;
    auto note = [&](const auto& result) { told.push_back(result ? Errc::kExists : result.error().code()); };
    h.container->create("a", {}, note);
    h.container->create("a", {}, note);
    h.container->seal("sealed", note);
    h.container->seal("sealed", note);
    h.container->remove("sealed", note);
    h.container->truncate("sealed", 0, note);
    h.executor.run_until_idle();
    EXPECT_TRUE(told.empty());
    h.log->fail_next = true;
    h.log->acknowledge(1);
    h.executor.run_until_idle();
    EXPECT_EQ(told, std::vector<Errc>(6, Errc::kClosed));
}

}  // namespace
}  // namespace millrace::container
