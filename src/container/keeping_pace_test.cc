// Memory that containers share, and appends that wait for a storage writer on the log's disk.
#include "bytes/binary.h"
#include "container/container_harness.h"
#include "container/frame_cache.h"
#include "container/object_format.h"

namespace millrace::container {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kSlab = 64 << 10;
constexpr std::size_t kEvent = 100'000;
constexpr milliseconds kTurn{5};  // in which a round that is due begins

std::uint64_t fill(FrameCache& cache, int slabs) {
    std::uint64_t last = 0;
    for (int i = 0; i < slabs; ++i) {
        bytes::SlabRef slab;
        last = cache.allocate(kSlab, &slab);
    }
    return last;
}

TEST(FrameCacheBudget, ABusyOneUsesWhatTheOthersLeaveAndGivesItBack) {
    auto memory = std::make_shared<MemoryBudget>(8 * kSlab, 2);
    FrameCache busy(memory, kSlab);
    FrameCache other(memory, kSlab);
    std::uint64_t newest = fill(busy, 20);
    EXPECT_EQ(busy.held_bytes(), 8 * kSlab);
    EXPECT_TRUE(busy.holds(newest - 7));
    EXPECT_FALSE(busy.holds(newest - 8));
    fill(other, 10);
    EXPECT_EQ(other.held_bytes(), 4 * kSlab) << "its share, although all is taken";
    busy.trim();
    EXPECT_EQ(busy.held_bytes(), 4 * kSlab);
    fill(other, 1);
    busy.trim();
    EXPECT_EQ(busy.held_bytes(), 4 * kSlab) << "nobody gets less than a share";
}

TEST(FrameCacheBudget, WhatEndsTakesNothing) {
    auto memory = std::make_shared<MemoryBudget>(8 * kSlab, 2);
    {
        FrameCache gone(memory, kSlab);
        fill(gone, 8);
    }
    FrameCache stays(memory, kSlab);
    fill(stays, 8);
    EXPECT_EQ(stays.held_bytes(), 8 * kSlab);
}

ContainerOptions beside_the_log() {
    ContainerOptions options;
    options.cache_bytes = 4'000'000;  // appends wait from 3,000,000 bytes on that did not move, or some more
    options.frame_bytes = 256 << 10;
    options.tiering.flush_bytes = 500'000;
    options.tiering.round_bytes = 500'000;
    options.tiering.chunk_bytes_min = 200'000;
    options.tiering.object_bytes_max = 1'000'000;
    options.tiering.shares_disk = true;
    return options;
}

// A round is one object.
ContainerOptions one_object_a_round() {
    ContainerOptions options = beside_the_log();
    options.tiering.chunk_bytes_min = 1'000'000;
    return options;
}

class KeepingPace : public testing::Test {
  protected:
    void TearDown() override { objects->held.clear(); }  // what waits there holds the objects
    // Storage has just made an object, and now answers nothing.
    void begin(Harness& h) {
        ASSERT_TRUE(h.create("s"));
        writer = &h.session("s", 1);
        ASSERT_TRUE(h.setup(*writer));
        append(h, 6);
        h.executor.advance(milliseconds(100));
        ASSERT_GT(h.container->stats().tiering.written_objects, 0u);
        ASSERT_EQ(h.container->stats().tiering.log_only_bytes, 0u);
        ASSERT_EQ(acknowledged(h), 6u);
        objects->hold = true;
    }
    // The writer goes on.
    void stall(Harness& h) {
        begin(h);
        append(h, 60);
    }
    // Three times enough bytes for a round.
    void begin_rounds(Harness& h) {
        begin(h);
        for (int i = 0; i < 3; ++i) {
            append(h, 6);
            h.executor.advance(kTurn);
        }
    }
    void append(Harness& h, int count) {
        for (int i = 0; i < count; ++i) {
            ++number;
            h.append(*writer, number, std::string(kEvent, static_cast<char>('a' + number % 26)));
            h.executor.run_until_idle();
        }
    }
    std::size_t acknowledged(Harness& h) {
        std::size_t sum = 0;
        for (const AppendOutcome& outcome : h.sink.all)
            sum += outcome.status == AppendStatus::kAppended ? outcome.requests : 0;
        return sum;
    }
    std::uint64_t stored_bytes() const {  // without what follows the data of an object
        std::uint64_t sum = 0;
        for (const auto& [key, data] : objects->objects) {
            sum += bytes::load_le<std::uint64_t>(data.data() + data.size() - kObjectTail + 8);  // as its tail says
        }
        return sum;
    }
    void release(Harness& h) {
        objects->hold = false;
        for (auto& task : std::exchange(objects->held, {})) task();
        h.executor.run_until_idle();
    }

    std::shared_ptr<MemoryObjects> objects = std::make_shared<MemoryObjects>();
    AppendSession* writer = nullptr;
    int number = 0;
};

TEST_F(KeepingPace, AppendsWaitForAStorageWriterThatMoves) {
    Harness h(beside_the_log(), objects);
    stall(h);
    std::size_t before = acknowledged(h);
    EXPECT_GE(before, 6u + 25u) << "what memory has room for";
    EXPECT_LT(before, 6u + 40u);
    EXPECT_EQ(h.container->stats().holds, 1u);
    h.executor.advance(milliseconds(500));
    EXPECT_EQ(acknowledged(h), before);
    release(h);
    for (int i = 0; i < 20; ++i) h.executor.advance(milliseconds(50));
    EXPECT_EQ(acknowledged(h), 66u);
    std::string all = h.text("s");
    ASSERT_EQ(all.size(), 66 * kEvent);
    for (int i = 0; i < 66; ++i) ASSERT_EQ(all[static_cast<std::size_t>(i) * kEvent], 'a' + (i + 1) % 26);
}

TEST_F(KeepingPace, ARoundBeginsBesideTheOneBefore) {
    Harness h(one_object_a_round(), objects);
    begin_rounds(h);
    EXPECT_EQ(h.container->stats().tiering.objects_in_flight, 3u);
    EXPECT_EQ(objects->held.size(), 3u);
    append(h, 24);
    h.executor.advance(kTurn);
    EXPECT_EQ(h.container->stats().tiering.objects_in_flight, 4u) << "no more than so many";
    release(h);
    for (int i = 0; i < 20; ++i) h.executor.advance(milliseconds(1000));
    EXPECT_EQ(h.container->stats().tiering.log_only_bytes, 0u);
    EXPECT_EQ(h.text("s").size(), 48 * kEvent);
    EXPECT_EQ(stored_bytes(), 48 * kEvent) << "each byte once";
}

// While nobody moves anything half of a round is enough, and beside two rounds a whole one.
TEST_F(KeepingPace, ContainersTakeTurns) {
    ContainerOptions options = one_object_a_round();
    options.memory = std::make_shared<MemoryBudget>(2 * options.cache_bytes, 2);
    Harness h(options, objects);
    begin(h);
    options.memory->round_begins();  // of others
    options.memory->round_begins();
    append(h, 4);
    h.executor.advance(milliseconds(50));
    EXPECT_EQ(objects->held.size(), 0u);
    options.memory->round_ends();
    h.executor.advance(kTurn);
    EXPECT_EQ(objects->held.size(), 1u) << "three quarters, beside one";
    options.memory->round_ends();
    append(h, 4);
    h.executor.advance(kTurn);
    EXPECT_EQ(objects->held.size(), 2u);
    append(h, 4);
    h.executor.advance(milliseconds(50));
    EXPECT_EQ(objects->held.size(), 2u) << "two of its own count as well";
    append(h, 1);
    h.executor.advance(kTurn);
    EXPECT_EQ(objects->held.size(), 3u);
    release(h);
    EXPECT_EQ(h.container->stats().tiering.log_only_bytes, 0u);
    EXPECT_EQ(options.memory->rounds(), 0u);
}

TEST_F(KeepingPace, WhoGoesTakesItsRoundsAlong) {
    ContainerOptions options = one_object_a_round();
    options.memory = std::make_shared<MemoryBudget>(2 * options.cache_bytes, 2);
    {
        Harness h(options, objects);
        begin_rounds(h);
        EXPECT_EQ(options.memory->rounds(), 3u);
        objects->held.clear();
    }
    EXPECT_EQ(options.memory->rounds(), 0u);
}

// Its bytes are on their way to an object when the segment goes: with its writer, or with nobody.
TEST_F(KeepingPace, ASegmentThatGoesWhileItMoves) {
    for (bool merged : {false, true}) {
        for (bool has_writer : {false, true}) {
            objects = std::make_shared<MemoryObjects>();
            number = 0;
            Harness h(one_object_a_round(), objects);
            ASSERT_TRUE(h.create("target"));
            begin(h);
            append(h, 6);
            h.executor.advance(kTurn);
            ASSERT_EQ(objects->held.size(), 1u);
            if (!has_writer) {
                h.container->close_append(*writer, [] {});
                h.executor.run_until_idle();
            }
            if (merged) {
                ASSERT_TRUE(h.seal("s"));
                ASSERT_TRUE(h.merge("target", "s"));
            } else {
                ASSERT_TRUE(h.remove("s"));
            }
            h.executor.run_until_idle();
            release(h);
            for (int i = 0; i < 20; ++i) h.executor.advance(milliseconds(1000));
            EXPECT_EQ(h.container->stats().tiering.log_only_bytes, 0u);
            EXPECT_EQ(h.text("target").size(), merged ? 12 * kEvent : 0);
            EXPECT_EQ(stored_bytes(), merged ? 12 * kEvent : 0) << "what nothing refers to is removed";
            h.crash();
            EXPECT_EQ(h.text("target").size(), merged ? 12 * kEvent : 0);
        }
    }
}

// Small pieces that a round joins are no work for the one beside it.
TEST_F(KeepingPace, PiecesAreJoinedByOneRoundAlone) {
    ContainerOptions options = one_object_a_round();
    options.tiering.object_bytes_max = 4'000'000;
    options.tiering.piece_bytes_min = 2'000'000;
    options.tiering.pieces_max = 1;  // under load, four
    Harness h(options, objects);
    h.disk->frames_per_file = 1000;
    begin(h);
    objects->hold = false;
    for (int i = 0; i < 3; ++i) {
        append(h, 6);
        h.executor.advance(kTurn);
    }
    ASSERT_EQ(h.container->stats().tiering.written_bytes, 24 * kEvent);
    objects->hold = true;
    append(h, 6);
    h.executor.advance(kTurn);
    ASSERT_EQ(objects->held.size(), 2u) << "what is new, and the four pieces";
    append(h, 6);
    h.executor.advance(kTurn);
    ASSERT_EQ(objects->held.size(), 3u);
    // The second round is over: there is a small piece again.
    objects->held.back()();
    objects->held.pop_back();
    h.executor.run_until_idle();
    append(h, 6);
    h.executor.advance(kTurn);
    EXPECT_EQ(objects->held.size(), 3u);
    release(h);
    EXPECT_EQ(h.container->stats().tiering.written_bytes, (24 + 18 + 24) * kEvent);
    EXPECT_EQ(h.text("s").size(), 42 * kEvent);
}

TEST_F(KeepingPace, ElsewhereOneRoundComesAfterTheOther) {
    ContainerOptions options = one_object_a_round();
    options.tiering.shares_disk = false;
    Harness h(options, objects);
    begin_rounds(h);
    EXPECT_EQ(objects->held.size(), 1u);
}

// The bytes of a round that fails are moved again, though those of the rounds beside it are not.
TEST_F(KeepingPace, WhatARoundDidNotMoveIsMovedAgain) {
    for (std::size_t failing = 0; failing < 3; ++failing) {
        objects = std::make_shared<MemoryObjects>();
        number = 0;
        Harness h(one_object_a_round(), objects);
        begin_rounds(h);
        objects->hold = false;
        auto held = std::exchange(objects->held, {});
        ASSERT_EQ(held.size(), 3u);
        for (std::size_t i = 0; i < held.size(); ++i) {
            objects->down = i == failing;
            held[i]();
            objects->down = false;
            h.executor.run_until_idle();
        }
        for (int i = 0; i < 40; ++i) h.executor.advance(milliseconds(1000));
        EXPECT_EQ(h.container->stats().tiering.log_only_bytes, 0u);
        EXPECT_EQ(h.container->stats().tiering.failures, 1u);
        EXPECT_EQ(stored_bytes(), 24 * kEvent);
        h.crash();
        std::string all = h.text("s");
        ASSERT_EQ(all.size(), 24 * kEvent);
        for (int i = 0; i < 24; ++i) ASSERT_EQ(all[static_cast<std::size_t>(i) * kEvent], 'a' + (i + 1) % 26);
    }
}

TEST_F(KeepingPace, NotForOneThatStandsStill) {
    Harness h(beside_the_log(), objects);
    stall(h);
    EXPECT_LT(acknowledged(h), 66u);
    for (int i = 0; i < 25; ++i) h.executor.advance(milliseconds(100));
    EXPECT_EQ(acknowledged(h), 66u) << "the log is there for that";
}

TEST_F(KeepingPace, NotForStorageElsewhere) {
    ContainerOptions options = beside_the_log();
    options.tiering.shares_disk = false;
    Harness h(options, objects);
    stall(h);
    EXPECT_EQ(acknowledged(h), 66u);
    EXPECT_EQ(h.container->stats().holds, 0u);
}

TEST_F(KeepingPace, NotWhileOtherContainersLeaveMemory) {
    ContainerOptions options = beside_the_log();
    options.memory = std::make_shared<MemoryBudget>(4 * options.cache_bytes, 4);
    Harness h(options, objects);
    stall(h);
    EXPECT_EQ(acknowledged(h), 66u);
    append(h, 100);
    EXPECT_LT(acknowledged(h), 166u);
    EXPECT_EQ(h.container->stats().holds, 1u);
}

TEST_F(KeepingPace, WhatComesBehindStaysBehind) {
    Harness h(beside_the_log(), objects);
    stall(h);
    std::size_t before = acknowledged(h);
    ASSERT_LT(before, 66u);
    std::optional<Result<>> truncated;
    std::optional<Result<std::int64_t>> sealed;
    h.container->truncate("s", 65 * kEvent, [&](Result<> result) { truncated = std::move(result); });
    h.container->seal("s", [&](Result<std::int64_t> result) { sealed = std::move(result); });
    h.executor.run_until_idle();
    EXPECT_FALSE(truncated);
    EXPECT_EQ(acknowledged(h), before);
    release(h);
    for (int i = 0; i < 20; ++i) h.executor.advance(milliseconds(50));
    EXPECT_EQ(acknowledged(h), 66u);
    EXPECT_TRUE(truncated && *truncated) << "the offset is there by now";
    ASSERT_TRUE(sealed && *sealed);
    EXPECT_EQ(**sealed, 66 * static_cast<std::int64_t>(kEvent));
}

// What came while storage was down is much more than memory holds: that it moves first must not stop the writers.
TEST_F(KeepingPace, AppendsGoOnWhileABacklogMoves) {
    ContainerOptions options = beside_the_log();
    Harness h(options, objects);
    ASSERT_TRUE(h.create("s"));
    writer = &h.session("s", 1);
    ASSERT_TRUE(h.setup(*writer));
    objects->down = true;
    append(h, 250);
    ASSERT_EQ(acknowledged(h), 250u) << "the log is there for that";
    objects->down = false;
    objects->hold = true;
    for (int i = 0; i < 100 && objects->held.empty(); ++i) h.executor.advance(milliseconds(500));
    std::size_t while_behind = 0;
    std::uint64_t left = h.container->stats().tiering.log_only_bytes;
    for (int i = 0; i < 1000 && left > 2 * options.cache_bytes; ++i) {
        append(h, 1);
        while_behind = acknowledged(h) - 250;
        auto held = std::exchange(objects->held, {});
        for (auto& task : held) task();
        h.executor.advance(milliseconds(10));
        std::uint64_t now = h.container->stats().tiering.log_only_bytes;
        EXPECT_LE(now, left + 5 * kEvent) << "it gets less";
        left = now;
    }
    EXPECT_LE(left, 2 * options.cache_bytes) << "the backlog moves, although appends come as fast as they are taken";
    EXPECT_GT(while_behind, 20u) << "of some two hundred events that moved meanwhile";
}

TEST_F(KeepingPace, TheEndWaitsForNothing) {
    Harness h(beside_the_log(), objects);
    stall(h);
    ASSERT_LT(acknowledged(h), 66u);
    std::size_t before = acknowledged(h);
    bool stopped = false;
    h.container->stop([&] { stopped = true; });
    h.executor.run_until_idle();
    EXPECT_TRUE(stopped);
    EXPECT_EQ(acknowledged(h), before) << "what waited is refused";
}

}  // namespace
}  // namespace millrace::container
