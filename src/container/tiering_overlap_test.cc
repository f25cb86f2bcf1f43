// Rounds of the storage writer beside each other, while their segments grow, merge, go and come again, and containers
// fail, stop, are fenced and crash in the middle of them.
#include "container/tiering_harness.h"

namespace millrace::container {
namespace {

using std::chrono::milliseconds;

class Overlap : public Tier {
  protected:
    void TearDown() override { objects->held.clear(); }

    ContainerOptions small_overlap() {
        ContainerOptions options = small_tier();
        options.frame_bytes = 16 << 10;
        options.cache_bytes = 48 << 10;
        options.tiering.shares_disk = true;
        options.tiering.piece_bytes_min = 1500;
        options.tiering.round_bytes = 8000;
        options.tiering.pieces_max = 2;
        options.state.resident_segments = 3;
        options.state.marked_max = 8;
        options.state.batch_bytes = 2000;
        options.memory = std::make_shared<MemoryBudget>(options.cache_bytes, 1);
        return options;
    }
    // Answers of storage, in any order.
    void release(Harness& h, SeededRandom& random, std::size_t count) {
        for (; count > 0 && !objects->held.empty(); --count) {
            std::size_t at = random.below(objects->held.size());
            runtime::Task task = std::move(objects->held[at]);
            objects->held.erase(objects->held.begin() + static_cast<std::ptrdiff_t>(at));
            task();
            if (random.below(2) == 0) h.executor.run_until_idle();
        }
    }
    void close_all(Harness& h) {
        for (AppendSession& session : h.sessions) h.container->close_append(session, [] {});
        h.executor.run_until_idle();
        h.sessions.clear();
    }
};

TEST_F(Overlap, RandomRuns) {
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        SCOPED_TRACE(seed);
        SeededRandom random(seed);
        objects = std::make_shared<MemoryObjects>();
        model.clear();
        ContainerOptions options = small_overlap();
        if (random.below(2) == 0) options.checkpoint_log_bytes = 2000 + random.below(10'000);
        Harness h(options, objects);
        h.disk->frames_per_file = 1 + random.below(50);
        std::vector<std::string> names{"a", "b", "c", "d", "e", "f"};
        for (int step = 0; step < 150; ++step) {
            const std::string& name = names[random.below(names.size())];
            if (!model.contains(name)) {
                ASSERT_TRUE(h.create(name));
                model[name];
            }
            switch (random.below(20)) {
                case 0:
                    ASSERT_TRUE(h.remove(name));
                    model.erase(name);
                    break;
                case 1:
                case 2: {
                    const std::string& other = names[random.below(names.size())];
                    if (other == name || !model.contains(other) || h.info(other)->start_offset > 0) break;
                    ASSERT_TRUE(h.merge(name, other));
                    model[name] += model[other];
                    model.erase(other);
                    break;
                }
                case 3: {
                    auto info = h.info(name);
                    auto size = static_cast<std::uint64_t>(info->length - info->start_offset);
                    auto to = info->start_offset + static_cast<std::int64_t>(random.below(size + 1));
                    ASSERT_TRUE(h.truncate(name, to));
                    break;
                }
                case 4:
                    objects->down = !objects->down && random.below(2) == 0;
                    break;
                case 5:
                case 6:
                    objects->hold = !objects->hold;
                    break;
                case 7:
                case 8:
                    release(h, random, 1 + random.below(4));
                    break;
                case 9:
                    if (random.below(3) == 0) h.crash(random.below(3));
                    break;
                case 10:
                    close_all(h);
                    break;
                case 11: {  // the log fails
                    if (random.below(3) != 0) break;
                    h.log->fail_next = true;
                    h.container->update_attributes(name, {{Uuid{5, 5}, AttributeUpdateType::kReplace, step, 0}},
                                                   [](Result<>) {});
                    h.executor.run_until_idle();
                    ASSERT_TRUE(h.failure);
                    release(h, random, random.below(5));
                    if (random.below(2) == 0) h.executor.advance(milliseconds(random.below(2000)));
                    h.crash();
                    break;
                }
                case 12: {
                    if (random.below(3) != 0) break;
                    bool stopped = false;
                    h.container->stop([&] { stopped = true; });
                    release(h, random, random.below(5));
                    h.executor.run_until_idle();
                    ASSERT_TRUE(stopped);
                    if (random.below(2) == 0) release(h, random, 100);
                    h.crash();
                    break;
                }
                case 13:
                case 14:
                    h.executor.advance(milliseconds(random.below(6000)));
                    break;
                case 15:  // somebody else takes over, until the next start
                    if (random.below(5) == 0) {
                        for (auto& [key, owner] : objects->registers) {
                            owner = {{std::to_string(++objects->tags)}, std::vector<std::uint8_t>{'x'}};
                        }
                    }
                    h.executor.advance(milliseconds(random.below(10)));
                    break;
                default:
                    if (h.container->stats().tiering.log_only_bytes > 20'000) {
                        objects->hold = false;
                        release(h, random, 100);
                        h.executor.advance(milliseconds(3000));
                    }
                    write(h, name, 1 + static_cast<int>(random.below(6)), 1 + random.below(900));
            }
            ASSERT_FALSE(h.failure);
            if (random.below(10) == 0 && !objects->down) expect_all(h);
            if (HasFatalFailure()) FAIL() << "step " << step;
        }
        objects->down = objects->hold = false;
        release(h, random, 1000);
        h.executor.advance(milliseconds(40'000));
        if (h.container->tiering_gauges().fenced > 0) h.crash();
        for (int i = 0; i < 60; ++i) h.executor.advance(milliseconds(1000));
        expect_all(h);
        ASSERT_EQ(h.container->stats().tiering.log_only_bytes, 0u)
            << h.container->stats().tiering.trouble.value_or("no trouble");
        ASSERT_EQ(options.memory->rounds(), 0u);
        h.crash();
        for (int i = 0; i < 60; ++i) h.executor.advance(milliseconds(1000));
        expect_all(h);
        ASSERT_EQ(h.container->stats().tiering.log_only_bytes, 0u);
        ASSERT_EQ(objects->objects.size(), h.container->stats().tiering.objects) << "garbage";
        if (HasFatalFailure()) FAIL();
        h.container.reset();
        ASSERT_EQ(options.memory->rounds(), 0u);
    }
}

// Each byte that comes is enough for a round; none is not.
TEST_F(Overlap, ARoundOfAnySizeNeedsBytes) {
    for (bool shares_disk : {false, true}) {
        for (std::uint64_t enough : {0, 1, 3}) {
            ContainerOptions options = small_overlap();
            options.tiering.flush_bytes = enough;
            options.tiering.shares_disk = shares_disk;
            Harness h(options, objects);
            ASSERT_TRUE(h.create("a"));
            settle(h);  // and not: looks without end
            model["a"].clear();
            write(h, "a", 1, 5);
            h.executor.advance(milliseconds(10));
            EXPECT_EQ(h.container->stats().tiering.log_only_bytes, 0u);
            settle(h);
            EXPECT_LE(h.container->stats().tiering.rounds, 2u);
            expect_all(h);
            h.container.reset();
            objects = std::make_shared<MemoryObjects>();
        }
    }
}

// A segment that was not in memory for a while is joined once.
TEST_F(Overlap, PiecesOfASegmentThatCameBackAreJoinedOnce) {
    ContainerOptions options = small_overlap();
    options.tiering.shares_disk = false;
    options.tiering.pieces_max = 3;
    Harness h(options, objects);
    for (const char* name : {"a", "b", "b"}) {
        if (!model.contains(name)) {
            ASSERT_TRUE(h.create(name));
        }
        write(h, name, 1, 100);
        settle(h);
    }
    close_all(h);
    for (int i = 0; i < 30; ++i) {
        std::string other = "x" + std::to_string(i);
        ASSERT_TRUE(h.create(other));
        ASSERT_TRUE(h.attributes(other, {{Uuid{5, 5}, AttributeUpdateType::kReplace, i, 0}}));
        settle(h);
    }
    ASSERT_LT(h.container->stats().resident_segments, 20u);
    std::uint64_t before = h.container->stats().tiering.written_bytes;
    ASSERT_TRUE(h.merge("b", "a"));
    model["b"] += model["a"];
    model.erase("a");
    write(h, "x0", 1, 10);
    settle(h);
    EXPECT_EQ(h.container->stats().tiering.written_bytes, before + 300 + 10);
    expect_all(h);
}

}  // namespace
}  // namespace millrace::container
