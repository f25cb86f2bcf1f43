// Long-term storage that fails, lies damaged or belongs to somebody else by now, and containers that crash.
#include "container/tiering_harness.h"

namespace millrace::container {
namespace {

using std::chrono::milliseconds;

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
    EXPECT_EQ(first.container->tiering_gauges().log_only_bytes, stats.log_only_bytes) << "shown as it is";
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

// As when a disk is not mounted for a while: that is no other owner, and all goes on when it is back.
TEST_F(Tier, StorageThatWasAwayIsStillOurs) {
    Harness h(small_tier(), objects);
    ASSERT_TRUE(h.create("a"));
    write(h, "a", 20, 500);
    settle(h);
    MemoryObjects away = std::exchange(*objects, {});
    write(h, "a", 20, 500);
    settle(h);
    TieringStats stats = h.container->stats().tiering;
    ASSERT_TRUE(stats.trouble);
    EXPECT_NE(stats.trouble->find("gone"), std::string::npos) << *stats.trouble;
    EXPECT_EQ(h.container->tiering_gauges().fenced, 0u);
    EXPECT_TRUE(objects->registers.empty() || objects->registers.begin()->second.value.empty());
    EXPECT_TRUE(objects->objects.empty());
    *objects = std::move(away);
    settle(h);
    settle(h);
    EXPECT_FALSE(h.container->stats().tiering.trouble);
    EXPECT_EQ(h.container->stats().tiering.log_only_bytes, 0u);
    expect_all(h);
}

// The same where it was away at the start: an empty place is not taken for ours, which has objects.
TEST_F(Tier, AnEmptyPlaceIsNotTakenForOurStorage) {
    Harness h(small_tier(), objects);
    ASSERT_TRUE(h.create("a"));
    write(h, "a", 20, 500);
    settle(h);
    ASSERT_FALSE(objects->objects.empty());
    MemoryObjects away = std::exchange(*objects, {});
    h.crash();
    write(h, "a", 20, 500);
    settle(h);
    TieringStats stats = h.container->stats().tiering;
    ASSERT_TRUE(stats.trouble);
    EXPECT_NE(stats.trouble->find("gone"), std::string::npos) << *stats.trouble;
    EXPECT_TRUE(objects->objects.empty());
    *objects = std::move(away);
    settle(h);
    settle(h);
    EXPECT_FALSE(h.container->stats().tiering.trouble);
    EXPECT_EQ(h.container->stats().tiering.log_only_bytes, 0u);
    expect_all(h);
}

// Whole as they are, each has the other one's bytes.
TEST_F(Tier, ObjectsInEachOthersPlaceAreNotServed) {
    ContainerOptions options = small_tier();
    options.cache_bytes = 4 << 10;
    options.frame_bytes = 4 << 10;
    Harness h(options, objects);
    for (const char* name : {"a", "b"}) {
        ASSERT_TRUE(h.create(name));
        write(h, name, 12, 500);
        settle(h);
    }
    h.crash();
    ASSERT_EQ(objects->objects.size(), 2u);
    auto& one = objects->objects.begin()->second;
    auto& other = objects->objects.rbegin()->second;
    ASSERT_EQ(one.size(), other.size());
    std::swap(one, other);
    for (const char* name : {"a", "b"}) {
        auto result = h.read(name, 0);
        ASSERT_TRUE(result && !*result);
        EXPECT_EQ(result->error(), Errc::kCorrupt);
        EXPECT_NE(result->error().message().find("another object"), std::string::npos) << result->error().message();
    }
    std::swap(one, other);
    expect_all(h);
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
                    const std::string& other = names[random.below(names.size())];
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

}  // namespace
}  // namespace millrace::container
