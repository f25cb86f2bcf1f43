#include "container/tiering.h"

#include "container/container_harness.h"
#include "container/scan_pacer.h"

namespace millrace::container {
namespace {

using std::chrono::milliseconds;

ContainerOptions small_tier() {
    ContainerOptions options;
    options.tiering.flush_bytes = 4000;
    options.tiering.flush_after = milliseconds(2000);
    options.tiering.chunk_bytes_min = 2000;
    options.tiering.piece_bytes_min = 2000;
    options.tiering.object_bytes_max = 8000;
    options.tiering.pieces_max = 4;
    options.tiering.reader.block_bytes = kObjectBlock;
    options.tiering.reader.cache_bytes = 4 * kObjectBlock;
    return options;
}

class Tier : public testing::Test {
  protected:
    explicit Tier() : objects(std::make_shared<MemoryObjects>()) {}

    // `count` appends of `size` bytes by a writer of its own; what was written is kept in `model`.
    void write(Harness& h, const std::string& segment, int count, std::size_t size) {
        AppendSession& w = h.session(segment, ++writers);
        ASSERT_TRUE(h.setup(w));
        for (int i = 1; i <= count; ++i) {
            std::string data(size, static_cast<char>('a' + (letter++ % 26)));
            model[segment] += data;
            h.append(w, i, data);
            h.executor.run_until_idle();
        }
    }
    // Long enough for all rounds that are due.
    void settle(Harness& h) {
        for (int i = 0; i < 20; ++i) h.executor.advance(milliseconds(1000));
    }
    void expect_all(Harness& h) {
        for (const auto& [name, text] : model) {
            auto start = static_cast<std::size_t>(h.info(name)->start_offset);
            std::string now = h.text(name, static_cast<std::int64_t>(start));
            std::string expected = text.substr(start);
            if (now == expected) continue;
            auto at = std::mismatch(now.begin(), now.end(), expected.begin(), expected.end()).first - now.begin();
            auto failing = h.read(name, static_cast<std::int64_t>(start) + at);
            FAIL() << name << " from " << start << ": " << now.size() << " bytes instead of " << expected.size()
                   << ", different at " << at
                   << "; there: " << (failing && !*failing ? failing->error().to_string() : "bytes");
        }
    }

    std::shared_ptr<MemoryObjects> objects;
    std::map<std::string, std::string> model;
    std::uint64_t writers = 0;
    int letter = 0;
};

TEST_F(Tier, BytesMoveAndTheLogIsFreed) {
    ContainerOptions options = small_tier();
    options.cache_bytes = 4 << 10;
    options.frame_bytes = 4 << 10;
    options.checkpoint_log_bytes = 3000;
    Harness h(options, objects);
    ASSERT_TRUE(h.create("busy"));
    ASSERT_TRUE(h.create("quiet"));
    write(h, "quiet", 1, 10);
    for (int round = 0; round < 10; ++round) {
        write(h, "busy", 20, 500);
        h.executor.advance(milliseconds(1000));
    }
    settle(h);
    TieringStats stats = h.container->stats().tiering;
    EXPECT_EQ(stats.log_only_bytes, 0u);
    EXPECT_GT(stats.written_objects, 10u);
    EXPECT_GT(h.disk->physically_truncated, 100u) << "the quiet segment holds nothing back";
    expect_all(h);
    EXPECT_GT(objects->reads, 0u);
    h.crash();
    expect_all(h);
    EXPECT_EQ(h.container->stats().tiering.log_only_bytes, 0u);
    AppendSession& w = h.session("busy", writers);
    EXPECT_EQ(h.setup(w), 20);
}

// A scan of history gets its rate while appends wait, and all that there is when they do not; a read of a single place
// is answered at once all the same.
TEST_F(Tier, AScanGivesWayToAppendsThatWait) {
    ContainerOptions options = small_tier();
    options.cache_bytes = 4 << 10;
    options.frame_bytes = 4 << 10;
    options.tiering.scans = std::make_shared<ScanPacer>(ScanPacerOptions{.bytes_per_second = 100'000});
    Harness h(options, objects);
    ASSERT_TRUE(h.create("old"));
    write(h, "old", 1000, 1000);
    settle(h);
    ASSERT_TRUE(h.create("other"));
    write(h, "other", 20, 1000);
    settle(h);
    // From head to end in pieces; how long it took.
    auto scan = [&](bool appends_wait) {
        auto begin = h.executor.clock().now();
        std::string all;
        while (all.size() < model["old"].size()) {
            std::optional<Result<ReadResult>> result;
            (void)h.container->read("old", static_cast<std::int64_t>(all.size()), 10'000,
                                    [&](Result<ReadResult> read) { result = std::move(read); });
            for (h.executor.run_until_idle(); !result; h.executor.advance(milliseconds(1))) {
                if (appends_wait) options.tiering.scans->appends_wait(h.executor.clock().now());
            }
            if (!*result || (*result)->data.empty()) break;
            auto data = (*result)->data.to_vector();
            all.append(data.begin(), data.end());
            if (appends_wait) options.tiering.scans->appends_wait(h.executor.clock().now());
        }
        EXPECT_EQ(all, model["old"]);
        return h.executor.clock().now() - begin;
    };
    EXPECT_EQ(scan(false), milliseconds(0));
    auto held = scan(true);
    EXPECT_GT(held, milliseconds(4'000)) << "a million bytes; the first half of its first window is no scan yet";
    EXPECT_LT(held, milliseconds(6'000));
    options.tiering.scans->appends_wait(h.executor.clock().now());
    auto single = h.read("old", 333'333, 100);
    ASSERT_TRUE(single && *single);
    h.executor.advance(milliseconds(300));
    EXPECT_EQ(scan(false), milliseconds(0));
}

TEST_F(Tier, QuietSegmentsShareOneObject) {
    Harness h(small_tier(), objects);
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(h.create("s" + std::to_string(i)));
    for (int i = 0; i < 50; ++i) write(h, "s" + std::to_string(i), 1, 20);
    settle(h);
    EXPECT_EQ(objects->objects.size(), 1u);
    expect_all(h);
    h.crash();
    expect_all(h);
}

TEST_F(Tier, SmallPiecesAreJoined) {
    Harness h(small_tier(), objects);
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(h.create("s" + std::to_string(i)));
    for (int round = 0; round < 12; ++round) {
        for (int i = 0; i < 5; ++i) write(h, "s" + std::to_string(i), 1, 30);
        settle(h);
    }
    EXPECT_LE(objects->objects.size(), 5u) << "of twelve rounds";
    EXPECT_GT(objects->removed, 0u);
    expect_all(h);
    h.crash();
    settle(h);
    expect_all(h);
}

// The cost of moving follows the bytes and the flushes, not the number of segments.
TEST_F(Tier, ThousandsOfTricklingSegmentsCostAnObjectAFlush) {
    constexpr int kSegments = 5000;
    constexpr int kRounds = 40;
    ContainerOptions options;
    options.tiering.flush_after = milliseconds(10'000);
    options.tiering.pieces_max = 16;
    Harness h(options, objects);
    std::vector<AppendSession*> sessions;
    for (int i = 0; i < kSegments; ++i) {
        std::string name = "s" + std::to_string(i);
        ASSERT_TRUE(h.create(name));
        sessions.push_back(&h.session(name, static_cast<std::uint64_t>(i) + 1));
        ASSERT_TRUE(h.setup(*sessions.back()));
    }
    for (int round = 1; round <= kRounds; ++round) {
        for (int i = 0; i < kSegments; ++i) {
            std::string data = std::to_string(i) + "," + std::to_string(round) + ";";
            model["s" + std::to_string(i)] += data;
            h.append(*sessions[static_cast<std::size_t>(i)], round, data);
        }
        h.executor.run_until_idle();
        for (int i = 0; i < 12; ++i) h.executor.advance(milliseconds(1000));
    }
    settle(h);
    TieringStats stats = h.container->stats().tiering;
    EXPECT_EQ(stats.log_only_bytes, 0u);
    EXPECT_LE(stats.written_objects, static_cast<std::uint64_t>(kRounds)) << "small pieces are joined on the way";
    EXPECT_LE(stats.objects, 20u) << "small pieces are joined";
    expect_all(h);
}

TEST_F(Tier, PiecesAreJoinedWhenTheLoadIsOver) {
    ContainerOptions options = small_tier();
    options.tiering.pieces_max = 50;
    options.tiering.piece_bytes_min = 4000;
    Harness h(options, objects);
    std::vector<std::string> names;
    for (int i = 0; i < 8; ++i) {
        names.push_back("s" + std::to_string(i));
        ASSERT_TRUE(h.create(names.back()));
    }
    // A round's worth at a time, in small pieces of all of them.
    for (int round = 0; round < 10; ++round) {
        for (const std::string& name : names) write(h, name, 2, 300);
        h.executor.run_until_idle();
        h.executor.advance(milliseconds(100));
    }
    h.executor.advance(milliseconds(600));
    std::uint64_t under_load = h.container->stats().tiering.written_bytes;
    EXPECT_LE(under_load, 10u * 8 * 600) << "nothing was written twice meanwhile";
    h.executor.advance(milliseconds(5000));
    EXPECT_GT(h.container->stats().tiering.written_bytes, under_load) << "pieces were joined";
    settle(h);
    std::uint64_t settled = h.container->stats().tiering.written_bytes;
    h.executor.advance(milliseconds(60'000));
    EXPECT_EQ(h.container->stats().tiering.written_bytes, settled) << "and then it is quiet";
    expect_all(h);
}

TEST_F(Tier, TruncationAndDeletionRemoveObjects) {
    Harness h(small_tier(), objects);
    ASSERT_TRUE(h.create("a"));
    write(h, "a", 40, 500);
    settle(h);
    std::size_t before = objects->objects.size();
    ASSERT_GE(before, 2u);
    ASSERT_TRUE(h.truncate("a", 19'000));
    settle(h);
    EXPECT_LT(objects->objects.size(), before);
    expect_all(h);
    h.crash();
    expect_all(h);
    ASSERT_TRUE(h.remove("a"));
    settle(h);
    EXPECT_TRUE(objects->objects.empty());
}

TEST_F(Tier, AMergeCopiesNoBytes) {
    Harness h(small_tier(), objects);
    ASSERT_TRUE(h.create("target"));
    ASSERT_TRUE(h.create("source"));
    write(h, "target", 10, 500);
    write(h, "source", 10, 500);
    settle(h);
    write(h, "target", 1, 7);
    write(h, "source", 1, 9);
    std::uint64_t puts = objects->puts;
    ASSERT_TRUE(h.merge("target", "source"));
    model["target"] += model["source"];
    model.erase("source");
    EXPECT_EQ(objects->puts, puts);
    expect_all(h);
    settle(h);
    expect_all(h);
    h.crash();
    expect_all(h);
    ASSERT_TRUE(h.remove("target"));
    settle(h);
    EXPECT_TRUE(objects->objects.empty());
}

TEST_F(Tier, WhatIsGoneWhileItIsWrittenCountsForNothing) {
    Harness h(small_tier(), objects);
    ASSERT_TRUE(h.create("a"));
    ASSERT_TRUE(h.create("b"));
    ASSERT_TRUE(h.create("c"));
    objects->hold = true;
    write(h, "a", 1, 100);
    write(h, "b", 1, 100);
    write(h, "c", 1, 100);
    h.executor.advance(milliseconds(5000));
    ASSERT_EQ(objects->held.size(), 1u);
    ASSERT_TRUE(h.remove("a"));
    model.erase("a");
    ASSERT_TRUE(h.merge("c", "b"));
    model["c"] += model["b"];
    model.erase("b");
    objects->hold = false;
    objects->held[0]();
    objects->held.clear();
    settle(h);
    expect_all(h);
    EXPECT_EQ(h.container->stats().tiering.log_only_bytes, 0u);
    h.crash();
    expect_all(h);
    ASSERT_TRUE(h.remove("c"));
    settle(h);
    EXPECT_TRUE(objects->objects.empty());
}

// Bytes on their way forward in the log reach long-term storage: were they put into the log's index again, they would
// be written once more as a part of an object, which no manifest takes and no recovery accepts.
TEST_F(Tier, BytesCarriedForwardWhileTheyMoveAreNotTakenBack) {
    ContainerOptions options = small_tier();
    options.tiering.chunk_bytes_min = 500;
    options.tiering.piece_bytes_min = 500;
    Harness h(options, objects);
    ASSERT_TRUE(h.create("a"));
    ASSERT_TRUE(h.create("b"));
    objects->hold = true;
    write(h, "a", 5, 300);
    write(h, "b", 1, 900);
    h.executor.advance(milliseconds(5000));
    ASSERT_EQ(objects->held.size(), 2u);
    objects->down = true;
    objects->held[1]();  // from now on nothing counts on storage
    objects->down = false;
    ASSERT_TRUE(h.container->stats().tiering.trouble);
    std::uint64_t reads = h.log->reads;
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(h.create("s" + std::to_string(i)));
    h.log->set_full(false, h.log->next_sequence());
    while (h.log->reads < reads + 3 && h.executor.run_one()) {
    }
    ASSERT_EQ(h.log->reads, reads + 3) << "they are carried forward, some of them";
    objects->held[0]();
    objects->held.clear();
    objects->hold = false;
    settle(h);
    EXPECT_EQ(h.container->stats().tiering.log_only_bytes, 0u);
    expect_all(h);
    h.crash();
    expect_all(h);
    EXPECT_EQ(h.container->stats().tiering.log_only_bytes, 0u);
}

// A reader is told the truth about bytes whose object went while it waited: it is not damage.
TEST_F(Tier, AReadOutlivesTheObjectItWasReading) {
    ContainerOptions options = small_tier();
    options.cache_bytes = 4 << 10;
    options.frame_bytes = 4 << 10;
    Harness h(options, objects);
    ASSERT_TRUE(h.create("a"));
    write(h, "a", 20, 1000);
    settle(h);
    h.crash();
    h.log->hold = true;
    h.container->truncate("a", 10'000, [](Result<>) {});
    h.executor.run_until_idle();
    std::optional<Result<ReadResult>> truncated;
    h.container->read("a", 0, 100, [&](Result<ReadResult> r) { truncated = std::move(r); });
    objects->objects.clear();
    h.log->acknowledge(1);
    h.executor.run_until_idle();
    ASSERT_TRUE(truncated && !*truncated);
    EXPECT_EQ(truncated->error(), Errc::kTruncated);
}

TEST_F(Tier, StorageThatIsDownDelaysAndHeals) {
    ContainerOptions options = small_tier();
    Harness h(options, objects);
    ASSERT_TRUE(h.create("a"));
    objects->down = true;
    write(h, "a", 30, 500);
    settle(h);
    TieringStats stats = h.container->stats().tiering;
    ASSERT_TRUE(stats.trouble);
    EXPECT_EQ(stats.log_only_bytes, 15'000u);
    expect_all(h);
    objects->down = false;
    for (int i = 0; i < 60; ++i) h.executor.advance(milliseconds(1000));
    stats = h.container->stats().tiering;
    EXPECT_FALSE(stats.trouble);
    EXPECT_EQ(stats.log_only_bytes, 0u);
    expect_all(h);
}

TEST_F(Tier, AFullLogIsWaitedForWhileStorageWorks) {
    Harness h(small_tier(), objects);
    ASSERT_TRUE(h.create("a"));
    write(h, "a", 2, 100);
    h.log->set_full(true);
    std::optional<Result<>> created;
    h.container->create("b", {}, [&](Result<> result) { created = std::move(result); });
    h.executor.run_until_idle();
    EXPECT_FALSE(created) << "space is about to come";
    h.log->set_full(false);
    h.executor.run_until_idle();
    ASSERT_TRUE(created);
    EXPECT_TRUE(*created);

    h.log->set_full(true);
    created.reset();
    h.container->create("c", {}, [&](Result<> result) { created = std::move(result); });
    objects->down = true;
    AppendSession& w = h.session("a", 77);
    h.container->setup_append(w, [](Result<std::int64_t>) {});
    h.append(w, 1, "more");
    h.executor.advance(milliseconds(3000));
    ASSERT_TRUE(created) << "nobody makes space";
    EXPECT_EQ(created->error(), Errc::kNoSpace);
}

TEST_F(Tier, ExtentsOfQuietSegmentsAreGivenUpBeforeTheIndexIsFull) {
    ContainerOptions options = small_tier();
    options.index_bytes = 10 * sizeof(Extent);
    options.cache_bytes = 8 << 10;
    options.frame_bytes = 4 << 10;
    Harness h(options, objects);
    for (int i = 0; i < 40; ++i) {
        std::string name = "s" + std::to_string(i);
        ASSERT_TRUE(h.create(name));
        write(h, name, 1, 500);
        settle(h);
    }
    EXPECT_LE(h.container->stats().index_entries, 12u);
    expect_all(h);
}

TEST_F(Tier, ACheckpointWaitsUntilItsLastFrameIsPublished) {
    Harness h(small_tier(), objects);
    h.disk->frames_per_file = 1;
    ASSERT_TRUE(h.create("target"));
    ASSERT_TRUE(h.create("source"));
    write(h, "source", 1, 500);
    settle(h);
    h.log->hold = true;
    h.container->create("x", {}, [&](Result<>) { h.container->create("y", {}, [](Result<>) {}); });
    h.container->merge("target", "source", {}, [](Result<std::int64_t>) {});
    h.executor.run_until_idle();
    h.log->set_full(false, h.log->next_sequence());  // the checkpoint waits for the frame
    h.log->hold = false;
    h.log->acknowledge(1);
    h.executor.run_until_idle();
    model["target"] = model["source"];
    model.erase("source");
    h.crash();
    expect_all(h);
}

TEST_F(Tier, WhatWasMovedMeanwhileIsNotCarried) {
    Harness h(small_tier(), objects);
    h.disk->frames_per_file = 1;
    ASSERT_TRUE(h.create("a"));
    write(h, "a", 6, 300);
    objects->down = true;
    h.executor.advance(milliseconds(5000));
    objects->down = false;
    objects->hold = true;
    h.executor.advance(milliseconds(25'000));
    ASSERT_EQ(objects->held.size(), 1u) << "still in trouble";
    auto reads = h.log->reads;
    h.log->set_full(false, LogSequence(4));
    while (h.log->reads == reads) ASSERT_TRUE(h.executor.run_one());
    objects->hold = false;
    auto held = std::exchange(objects->held, {});
    held[0]();  // the object's record comes before the relocations
    settle(h);
    EXPECT_EQ(h.container->stats().tiering.log_only_bytes, 0u);
    h.crash();
    expect_all(h);
}

TEST_F(Tier, AFullIndexOfMovedBytesTakesAppendsAgain) {
    ContainerOptions options = small_tier();
    options.index_bytes = 10 * sizeof(Extent);  // and all of it in memory
    Harness h(options, objects);
    ASSERT_TRUE(h.create("a"));
    write(h, "a", 40, 200);
    settle(h);
    EXPECT_EQ(h.info("a")->length, 8000);
    expect_all(h);
}

TEST_F(Tier, AStoreThatNeverAnswersIsInTrouble) {
    Harness h(small_tier(), objects);
    ASSERT_TRUE(h.create("a"));
    objects->hold = true;
    write(h, "a", 1, 100);
    for (int i = 0; i < 100; ++i) h.executor.advance(milliseconds(1000));
    EXPECT_TRUE(h.container->stats().tiering.trouble);
    objects->hold = false;
    for (auto& task : std::exchange(objects->held, {})) task();
    settle(h);
    EXPECT_FALSE(h.container->stats().tiering.trouble);
    EXPECT_EQ(h.container->stats().tiering.log_only_bytes, 0u);
}

TEST_F(Tier, WhatNeedsSpaceIsRefusedWhenNoneComes) {
    Harness h(small_tier(), objects);
    ASSERT_TRUE(h.create("a"));
    h.log->set_full(true);
    std::optional<Result<>> created;
    h.container->create("b", {}, [&](Result<> result) { created = std::move(result); });
    h.executor.advance(milliseconds(20'000));
    EXPECT_FALSE(created);
    h.executor.advance(milliseconds(20'000));
    ASSERT_TRUE(created);
    EXPECT_EQ(created->error(), Errc::kNoSpace);
    created.reset();
    h.log->set_full(false);
    h.executor.run_until_idle();
    h.log->set_full(true);
    h.container->create("b", {}, [&](Result<> result) { created = std::move(result); });
    EXPECT_FALSE(created) << "patience again";
    h.container->end_waiting();
    ASSERT_TRUE(created);
    EXPECT_EQ(created->error(), Errc::kNoSpace);
}

TEST_F(Tier, LostRepliesLeaveNoGarbage) {
    Harness h(small_tier(), objects);
    ASSERT_TRUE(h.create("a"));
    objects->lose_replies = true;
    write(h, "a", 10, 500);
    settle(h);
    objects->lose_replies = false;
    for (int i = 0; i < 60; ++i) h.executor.advance(milliseconds(1000));
    expect_all(h);
    EXPECT_EQ(h.container->stats().tiering.log_only_bytes, 0u);
    EXPECT_EQ(objects->objects.size(), h.container->stats().tiering.objects);
}

TEST_F(Tier, ACrashLeavesOrphansThatTheNextStartRemoves) {
    Harness h(small_tier(), objects);
    ASSERT_TRUE(h.create("a"));
    write(h, "a", 3, 100);
    h.log->hold = true;  // the object is written, its record never is
    h.executor.advance(milliseconds(5000));
    ASSERT_EQ(objects->objects.size(), 1u);
    std::string orphan = objects->objects.begin()->first;
    h.crash(0);
    settle(h);
    EXPECT_FALSE(objects->objects.contains(orphan));
    EXPECT_EQ(objects->objects.size(), 1u);
    expect_all(h);
}

// Two servers on copies of one data directory: who started last is the owner.
TEST_F(Tier, WhoStartedFirstOnACopyMovesAndRemovesNothingAnyMore) {
    Harness first(small_tier(), objects);
    ASSERT_TRUE(first.create("a"));
    write(first, "a", 20, 500);
    settle(first);
    first.crash();  // lives are drawn at random, and two harnesses draw the same
    settle(first);
    ASSERT_FALSE(first.container->stats().tiering.trouble);

    auto before = objects->objects;
    ASSERT_GE(before.size(), 2u);
    Harness second(small_tier(), objects, std::make_shared<MemoryLogDisk>(*first.disk));
    settle(second);
    expect_all(second);
    // Soon after, and long after.
    for (int i = 0; i < 2; ++i) {
        ASSERT_TRUE(first.truncate("a", 8000 + i));
        settle(first);
        write(first, "a", 20, 500);
        model["a"].resize(10'000);
        settle(first);
        EXPECT_EQ(objects->objects, before) << "nothing is written or removed by the first";
    }
    TieringStats stats = first.container->stats().tiering;
    ASSERT_TRUE(stats.trouble);
    EXPECT_NE(stats.trouble->find("another server"), std::string::npos) << *stats.trouble;
    EXPECT_EQ(first.container->tiering_gauges().fenced, 1u);
    EXPECT_GT(stats.log_only_bytes, 0u);
    write(second, "a", 20, 500);
    settle(second);
    expect_all(second);
    EXPECT_FALSE(second.container->stats().tiering.trouble);
    EXPECT_GT(objects->objects.size(), before.size());
    // The first one again: now it is the last.
    first.crash();
    settle(first);
    EXPECT_FALSE(first.container->stats().tiering.trouble);
}

TEST_F(Tier, DamageIsToldWithItsPlaceAndNeverServed) {
    ContainerOptions options = small_tier();
    options.cache_bytes = 4 << 10;
    options.frame_bytes = 4 << 10;
    Harness h(options, objects);
    ASSERT_TRUE(h.create("a"));
    ASSERT_TRUE(h.create("b"));
    write(h, "a", 8, 500);
    settle(h);
    write(h, "b", 30, 500);
    settle(h);
    h.crash();
    auto good = objects->objects;
    for (auto& [key, data] : objects->objects) data[100] ^= 1;
    auto result = h.read("a", 0);
    ASSERT_TRUE(result);
    ASSERT_FALSE(*result);
    EXPECT_EQ(result->error(), Errc::kCorrupt);
    EXPECT_NE(result->error().message().find("test/c0/"), std::string::npos) << result->error().message();
    objects->objects = good;
    expect_all(h);  // what was damaged on the way is not kept
    h.crash();
    for (auto& [key, data] : objects->objects) data.resize(data.size() - 1);
    EXPECT_EQ(h.read("a", 0)->error(), Errc::kCorrupt);
    objects->objects.clear();
    h.crash();
    EXPECT_EQ(h.read("b", 0)->error(), Errc::kCorrupt);
    EXPECT_EQ(h.info("b")->length, 15'000) << "only the bytes are gone";
}

TEST_F(Tier, RandomRunsSurviveCrashes) {
    for (std::uint64_t seed = 1; seed <= 150; ++seed) {
        SeededRandom random(seed);
        objects = std::make_shared<MemoryObjects>();
        model.clear();
        ContainerOptions options = small_tier();
        options.frame_bytes = 4096;
        options.cache_bytes = 8192;
        options.checkpoint_log_bytes = 2000 + random.below(10'000);
        Harness h(options, objects);
        h.disk->frames_per_file = 1 + random.below(5);
        std::vector<std::string> names{"a", "b", "c", "d"};
        for (int step = 0; step < 120; ++step) {
            const std::string& name = names[random.below(names.size())];
            if (!model.contains(name)) {
                ASSERT_TRUE(h.create(name)) << "seed " << seed;
                model[name];
            }
            switch (random.below(12)) {
                case 0:
                    ASSERT_TRUE(h.remove(name));
                    model.erase(name);
                    break;
                case 1: {
                    std::string other = names[random.below(names.size())];
                    if (other == name || !model.contains(other) || h.info(other)->start_offset > 0) break;
                    ASSERT_TRUE(h.merge(name, other)) << "seed " << seed;
                    model[name] += model[other];
                    model.erase(other);
                    break;
                }
                case 2: {
                    auto info = h.info(name);
                    auto size = static_cast<std::uint64_t>(info->length - info->start_offset);
                    ASSERT_TRUE(
                        h.truncate(name, info->start_offset + static_cast<std::int64_t>(random.below(size + 1))));
                    break;
                }
                case 3:
                    objects->down = !objects->down && random.below(2) == 0;
                    break;
                case 4:
                    objects->lose_replies = random.below(3) == 0;
                    break;
                case 5:
                    h.crash(random.below(3));
                    break;
                case 6:
                    h.log->set_full(false, h.log->next_sequence());
                    h.executor.run_until_idle();
                    break;
                case 7:
                case 8:
                    h.executor.advance(milliseconds(random.below(6000)));
                    break;
                default:
                    write(h, name, 1 + static_cast<int>(random.below(6)), 1 + random.below(900));
            }
            ASSERT_FALSE(h.failure) << "seed " << seed;
            if (random.below(10) == 0 && !objects->down) expect_all(h);
            if (HasFatalFailure()) FAIL() << "seed " << seed << " step " << step;
        }
        objects->down = objects->lose_replies = false;
        h.crash();
        for (int i = 0; i < 60; ++i) h.executor.advance(milliseconds(1000));
        expect_all(h);
        ASSERT_EQ(h.container->stats().tiering.log_only_bytes, 0u) << "seed " << seed;
        ASSERT_EQ(objects->objects.size(), h.container->stats().tiering.objects) << "seed " << seed << ": garbage";
        if (HasFatalFailure()) FAIL() << "seed " << seed;
    }
}

TEST(Manifest, PutReplacesWholeEntriesOnly) {
    Manifest manifest;
    auto none = [](const ManifestEntry&) { FAIL(); };
    auto entry = [](std::uint64_t from, std::uint64_t to, std::uint64_t object) {
        return ManifestEntry{from, to - from, ObjectId(object), 0};
    };
    ASSERT_TRUE(manifest.put(entry(10, 20, 1), none));
    ASSERT_TRUE(manifest.put(entry(30, 40, 2), none));
    ASSERT_TRUE(manifest.put(entry(20, 30, 3), none));
    EXPECT_FALSE(manifest.put(entry(5, 15, 4), none));
    EXPECT_FALSE(manifest.put(entry(35, 45, 4), none));
    EXPECT_FALSE(manifest.put(entry(12, 15, 4), none));
    int dropped = 0;
    ASSERT_TRUE(manifest.put(entry(10, 30, 5), [&](const ManifestEntry&) { ++dropped; }));
    EXPECT_EQ(dropped, 2);
    EXPECT_EQ(manifest.size(), 2u);
    EXPECT_EQ(manifest.find(29)->object, ObjectId(5));
    EXPECT_EQ(manifest.find(9), nullptr);
    EXPECT_EQ(manifest.find(40), nullptr);
    manifest.drop_below(30, [&](const ManifestEntry&) { ++dropped; });
    EXPECT_EQ(dropped, 3);
    EXPECT_EQ(manifest.entries().front(), entry(30, 40, 2));
}

}  // namespace
}  // namespace millrace::container
