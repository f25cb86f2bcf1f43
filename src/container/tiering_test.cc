// What a container has in long-term storage and what it frees in its log, while storage works.
#include "container/scan_pacer.h"
#include "container/tiering_harness.h"

namespace millrace::container {
namespace {

using std::chrono::milliseconds;

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

// After a merge memory may have what lies before and behind bytes that it has no more.
TEST_F(Tier, PiecesThatAreJoinedAroundAGapInMemory) {
    ContainerOptions options = small_tier();
    options.cache_bytes = 256 << 10;
    options.frame_bytes = 128 << 10;
    options.tiering.pieces_max = 3;
    Harness h(options, objects);
    for (const char* name : {"target", "source", "other"}) ASSERT_TRUE(h.create(name));
    write(h, "source", 1, 200);
    settle(h);
    write(h, "other", 40, 20'000);  // the first piece leaves memory
    settle(h);
    write(h, "target", 1, 210);
    write(h, "source", 1, 220);
    settle(h);
    ASSERT_TRUE(h.seal("source"));
    ASSERT_TRUE(h.merge("target", "source"));
    model["target"] += model["source"];
    model.erase("source");
    expect_all(h);
    std::uint64_t before = h.container->stats().tiering.written_bytes;
    write(h, "other", 1, 230);  // whose frame lies beside theirs: a round that holds it has them at hand
    settle(h);
    EXPECT_GE(h.container->stats().tiering.written_bytes, before + 230 + 630) << "the pieces are joined";
    expect_all(h);
    h.crash();
    expect_all(h);
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

// Twenty segments are worth it at the same moment: not all of them are joined at once, and none is forgotten.
TEST_F(Tier, ManyPiecesAreJoinedAFewAtATime) {
    constexpr int kSegments = 20;
    constexpr std::uint64_t kPieces = 8;
    constexpr std::uint64_t kSize = 450;
    ContainerOptions options = small_tier();
    options.tiering.flush_bytes = 100'000;  // a round each time
    options.tiering.pieces_max = kPieces;
    options.tiering.piece_bytes_min = 10'000;
    Harness h(options, objects);
    for (int i = 0; i < kSegments; ++i) ASSERT_TRUE(h.create("s" + std::to_string(i)));
    for (std::uint64_t round = 0; round < kPieces; ++round) {
        EXPECT_EQ(h.container->stats().tiering.written_bytes, round * kSegments * kSize) << "nothing is joined yet";
        for (int i = 0; i < kSegments; ++i) write(h, "s" + std::to_string(i), 1, kSize);
        h.executor.advance(std::chrono::milliseconds(3000));
        h.executor.run_until_idle();
    }
    settle(h);
    TieringStats stats = h.container->stats().tiering;
    EXPECT_EQ(stats.written_bytes, 2 * kPieces * kSegments * kSize) << "each byte once more";
    EXPECT_GE(stats.rounds, 14u) << "72,000 bytes, some 32,000 at a time: two more than for all at once";
    EXPECT_EQ(stats.objects_in_flight, 0u);
    expect_all(h);
    h.crash();
    expect_all(h);
}

}  // namespace
}  // namespace millrace::container
