// What a container keeps in its state and what in memory: eviction, loading, bounds, failures of the store.
#include <set>

#include <malloc.h>

#include "container/state/all_records.h"
#include "container/table_harness.h"

namespace millrace::container {
namespace {

using namespace std::chrono_literals;

ContainerOptions small() {
    ContainerOptions options;
    options.checkpoint_log_bytes = 4000;
    options.tiering.flush_after = 100ms;
    options.state.marked_max = 8;
    options.state.batch_bytes = 2000;
    options.state.resident_segments = 4;
    return options;
}

std::string name_of(int i) { return "segment-" + std::to_string(i); }

struct ContainerState : testing::Test {
    TableHarness h{small(), std::make_shared<MemoryObjects>()};

    std::int64_t write(const std::string& segment, std::uint64_t writer, const std::string& data) {
        AppendSession& session = h.session(segment, writer);
        auto last = h.setup(session);
        EXPECT_TRUE(last) << last.error().to_string();
        std::int64_t number = *last == kNullAttribute ? 1 : *last + 1;
        h.append(session, number, data);
        h.executor.run_until_idle();
        h.container->close_append(session, [] {});
        h.executor.run_until_idle();
        return number;
    }
    // All bytes go to long-term storage, all changes to the state.
    void settle() {
        h.executor.advance(3s);
        for (int i = 0; i < 10; ++i) {
            write("stir", 1, "x");
            h.executor.advance(1s);
        }
    }
    std::set<std::string> keys(state::Kind kind) const {
        std::set<std::string> found;
        for (const auto& [key, value] : h.state_disk->entries) {
            if (key.front() == static_cast<char>(kind)) found.insert(key);
        }
        return found;
    }
};

TEST_F(ContainerState, IdleSegmentsLeaveMemoryAndComeBackWhole) {
    constexpr int kSegments = 60;
    ASSERT_TRUE(h.create("stir"));
    for (int i = 0; i < kSegments; ++i) {
        ASSERT_TRUE(h.create(name_of(i)));
        EXPECT_EQ(write(name_of(i), 7, "data of " + std::to_string(i)), 1);
        ASSERT_TRUE(h.attributes(name_of(i), {{Uuid{5, 5}, AttributeUpdateType::kReplace, i, 0}}));
    }
    settle();
    EXPECT_EQ(h.container->stats().segments, kSegments + 1u);
    EXPECT_LT(h.container->stats().resident_segments, 20u);
    for (int life = 0; life < 3; ++life) {
        for (int i = 0; i < kSegments; ++i) {
            EXPECT_EQ(h.text(name_of(i)).substr(0, 8), "data of ");
            EXPECT_EQ(h.attribute(name_of(i), Uuid{5, 5}), i);
            EXPECT_EQ(h.attribute(name_of(i), kEventCount), life + 1);
            EXPECT_EQ(h.create(name_of(i)).error(), Errc::kExists);
            EXPECT_EQ(write(name_of(i), 7, "more"), life + 2) << "the writer's number is known";
        }
        settle();
        if (life == 1) h.crash();
    }
    EXPECT_EQ(h.container->stats().segments, kSegments + 1u);
}

TEST_F(ContainerState, OperationsOnEvictedSegmentsKeepTheirOrder) {
    ASSERT_TRUE(h.create("stir"));
    for (int i = 0; i < 30; ++i) ASSERT_TRUE(h.create(name_of(i)));
    write(name_of(0), 1, "abc");
    settle();
    std::vector<std::string> told;
    auto note = [&told](const char* what) {
        return [&told, what](const auto& result) {
            told.push_back(std::string(what) + (result ? "" : ": " + std::string(to_string(result.error().code()))));
        };
    };
    h.container->update_attributes(name_of(0), {{Uuid{1, 9}, AttributeUpdateType::kNone, 4, 0}}, note("attribute"));
    h.container->seal(name_of(0), note("seal"));
    h.container->create("new", {}, note("new"));
    h.container->update_attributes(name_of(0), {{Uuid{1, 9}, AttributeUpdateType::kReplace, 5, 0}}, note("attribute"));
    h.container->merge(name_of(1), name_of(0), {}, note("merge"));
    h.container->remove(name_of(0), note("remove"));
    h.container->create(name_of(0), {}, note("create"));
    h.container->create(name_of(0), {}, note("create"));
    h.executor.run_until_idle();
    EXPECT_EQ(told, (std::vector<std::string>{"attribute", "seal", "new", "attribute: sealed", "merge",
                                              "remove: not found", "create", "create: exists"}));
    EXPECT_EQ(h.text(name_of(1)), "abc");
}

// An operation whose record does not fit the open frame any more is in the one behind it, and its segment is needed
// until that is published.
TEST(ContainerStateFrames, ASegmentStaysUntilTheFrameOfItsOperationIsPublished) {
    ContainerOptions options = small();
    options.frame_bytes = 4096;
    options.state.resident_segments = 0;
    TableHarness h(options, std::make_shared<MemoryObjects>());
    constexpr int kSegments = 20;
    for (int i = 0; i < kSegments; ++i) ASSERT_TRUE(h.create(name_of(i)));
    ASSERT_TRUE(h.create("busy"));
    AppendSession& session = h.session("busy", 1);
    ASSERT_TRUE(h.setup(session));
    std::int64_t number = 0;
    for (int size = 3000; size < 4000; size += 25) {  // somewhere in here the frame is just full
        std::string name = name_of(size / 25 % kSegments);
        (void)h.attribute(name, Uuid{5, 5});  // it is in memory
        h.log->hold = true;
        h.append(session, ++number, std::string(static_cast<std::size_t>(size), 'x'));
        bool done = false;
        h.container->update_attributes(name, {{Uuid{5, 5}, AttributeUpdateType::kReplace, number, 0}},
                                       [&done](Result<> result) { done = result.has_value(); });
        for (int i = 0; i < 4; ++i) {
            h.executor.run_until_idle();
            h.executor.advance(200ms);  // batches of the state
            h.log->acknowledge(1);
        }
        h.log->hold = false;
        h.log->acknowledge(100);
        h.executor.run_until_idle();
        ASSERT_TRUE(done);
        ASSERT_EQ(h.attribute(name, Uuid{5, 5}), number) << size;
    }
}

// Until a batch is saved, the state still has what was deleted.
TEST_F(ContainerState, WhatIsDeletedDoesNotComeBackFromTheState) {
    ASSERT_TRUE(h.create("stir"));
    for (int round = 0; round < 6; ++round) {
        for (int i = 0; i < 20; ++i) {
            ASSERT_TRUE(h.create(name_of(i))) << round << " " << i;
            write(name_of(i), 1, std::string(20, 'a' + static_cast<char>(round)));
        }
        settle();
        for (int i = 0; i < 20; ++i) {
            ASSERT_TRUE(h.remove(name_of(i)));
            EXPECT_EQ(h.info(name_of(i)).error(), Errc::kNotFound);
            EXPECT_EQ(h.remove(name_of(i)).error(), Errc::kNotFound);
        }
        if (round % 2 == 1) h.crash();
        for (int i = 0; i < 20; ++i) ASSERT_EQ(h.info(name_of(i)).error(), Errc::kNotFound) << round << " " << i;
    }
    settle();
    EXPECT_EQ(keys(state::Kind::kSegment).size(), 1u);
    EXPECT_EQ(keys(state::Kind::kName).size(), 1u);
    EXPECT_EQ(keys(state::Kind::kAttribute).size(), 1u) << "of the segment that stays";
}

TEST_F(ContainerState, AttributesOfManyWritersAreInTheState) {
    constexpr std::uint64_t kWriters = 6000;
    ASSERT_TRUE(h.create("stir"));
    ASSERT_TRUE(h.create("a"));
    for (std::uint64_t from = 0; from < kWriters; from += 500) {
        std::vector<AttributeUpdate> updates;
        for (std::uint64_t i = from; i < from + 500; ++i) {
            updates.push_back({Uuid{1, i}, AttributeUpdateType::kReplace, static_cast<std::int64_t>(i) + 10, 0});
        }
        ASSERT_TRUE(h.attributes("a", std::move(updates)));
    }
    settle();
    for (int life = 0; life < 2; ++life) {
        for (std::uint64_t i = 0; i < kWriters; i += 37) {
            EXPECT_EQ(h.attribute("a", Uuid{1, i}), static_cast<std::int64_t>(i) + 10);
        }
        EXPECT_EQ(h.attribute("a", Uuid{2, 2}), kNullAttribute);
        AppendSession& known = h.session("a", 4000);
        EXPECT_EQ(h.setup(known), 4010);
        AppendSession& unknown = h.session("a", kWriters + 5);
        EXPECT_EQ(h.setup(unknown), kNullAttribute);
        auto next = static_cast<std::int64_t>(life);
        EXPECT_TRUE(h.attributes("a", {{Uuid{1, 77}, AttributeUpdateType::kReplaceIfEquals, 87, 87},
                                       {Uuid{1, 5000}, AttributeUpdateType::kAccumulate, 0, 0}}));
        EXPECT_EQ(h.attributes("a", {{Uuid{1, 78}, AttributeUpdateType::kReplaceIfEquals, 1, kNullAttribute}}).error(),
                  Errc::kBadAttribute)
            << "it is set, though it is not in memory " << next;
        h.crash();
    }
}

TEST_F(ContainerState, AReadIsCancelledWhileItWaitsAndNotOnceItsBytesAreOnTheWay) {
    ASSERT_TRUE(h.create("stir"));
    for (int i = 0; i < 12; ++i) {
        ASSERT_TRUE(h.create(name_of(i)));
        write(name_of(i), 1, "data");
    }
    settle();
    h.crash();
    for (int steps = 0; steps < 12; ++steps) {
        int told = 0;
        ReadId read = h.container->read(name_of(steps), 0, 100, [&told](const Result<ReadResult>& result) {
            ++told;
            EXPECT_TRUE(result);
        });
        ASSERT_NE(read.value(), 0u) << "the segment is loaded first";
        for (int i = 0; i < steps && told == 0; ++i) h.executor.run_one();
        bool cancelled = h.container->cancel_read(read);
        EXPECT_TRUE(cancelled || steps > 0);
        h.executor.run_until_idle();
        EXPECT_EQ(told, cancelled ? 0 : 1) << steps;
    }
}

// A batch is put together in steps, and the one before it may be saved between two of them.
TEST_F(ContainerState, AttributesStayInMemoryUntilTheBatchThatHasThemIsSaved) {
    SlowStateStore* store = nullptr;
    h.make_state = [&store, this, memory = h.make_state] {
        auto made = std::make_unique<SlowStateStore>(memory(), h.executor);
        store = made.get();
        return made;
    };
    h.crash();
    constexpr std::uint64_t kWriters = 3000;
    ASSERT_TRUE(h.create("a"));
    auto set_all = [this](std::int64_t value) {
        std::vector<AttributeUpdate> updates;
        for (std::uint64_t i = 0; i < kWriters; ++i)
            updates.push_back({Uuid{1, i}, AttributeUpdateType::kReplace, value, 0});
        h.container->update_attributes("a", std::move(updates), [](Result<> done) { ASSERT_TRUE(done); });
    };
    store->hold_batches = true;
    set_all(1);
    h.executor.run_until_idle();
    ASSERT_EQ(store->held_batches(), 1u);
    set_all(2);
    // The second batch begins, and before it is complete the first one is saved.
    while (h.container->stats().state_waiting_bytes < 10'000) ASSERT_TRUE(h.executor.run_one());
    ASSERT_EQ(store->held_batches(), 1u) << "the second one is not complete";
    store->release_batch();
    for (int steps = 0; steps < 3; ++steps) ASSERT_TRUE(h.executor.run_one());
    std::map<std::int64_t, int> values;
    for (std::uint64_t i = 0; i < kWriters; ++i) {
        h.container->attribute("a", Uuid{1, i}, [&values](Result<std::int64_t> value) { ++values[*value]; });
    }
    h.executor.run_until_idle();
    EXPECT_EQ(values, (std::map<std::int64_t, int>{{2, static_cast<int>(kWriters)}}));
    store->hold_batches = false;
    while (store->held_batches() > 0) store->release_batch();
}

TEST_F(ContainerState, ALargeTableIsRemovedInStepsAndAcrossACrash) {
    ASSERT_TRUE(h.create("stir"));
    ASSERT_TRUE(h.create_table("big"));
    ASSERT_TRUE(h.create_table("small"));
    ASSERT_TRUE(h.update("small", {item("k", "v")}));
    for (int i = 0; i < 26'000; i += 500) {
        std::vector<TableUpdate> updates;
        for (int k = i; k < i + 500; ++k) updates.push_back(item("key" + std::to_string(k), "v"));
        ASSERT_TRUE(h.update("big", std::move(updates)));
    }
    EXPECT_EQ(h.table_info("big")->entries, 26'000);
    ASSERT_TRUE(h.remove_table("big", false));
    for (int i = 0; i < 3; ++i) write("stir", 1, "x");
    settle();
    h.crash();
    settle();
    settle();
    EXPECT_EQ(keys(state::Kind::kTableEntry).size(), 1u);
    EXPECT_EQ(keys(state::Kind::kTableVersion).size(), 1u);
    EXPECT_EQ(keys(state::Kind::kDoomed).size(), 0u);
    EXPECT_EQ(h.container->stats().table_entries, 1u);
    EXPECT_EQ(h.all("small"), "k=v@0");
}

TEST_F(ContainerState, DamageInTheStateIsAnErrorOfItsSegment) {
    ASSERT_TRUE(h.create("stir"));
    for (int i = 0; i < 12; ++i) {
        ASSERT_TRUE(h.create(name_of(i)));
        write(name_of(i), 1, "data");
    }
    settle();
    for (auto& [key, value] : h.state_disk->entries) {
        bool hit =
            key.front() == static_cast<char>(state::Kind::kSegment) && value.find("segment-3") != std::string::npos;
        if (hit) value[9] = static_cast<char>(value[9] ^ 0x40);  // its length
    }
    h.crash();
    EXPECT_EQ(h.info(name_of(3)).error(), Errc::kCorrupt);
    EXPECT_EQ((*h.read(name_of(3), 0)).error(), Errc::kCorrupt);
    EXPECT_EQ(h.seal(name_of(3)).error(), Errc::kCorrupt);
    AppendSession& session = h.session(name_of(3), 1);
    EXPECT_EQ(h.setup(session).error(), Errc::kCorrupt);
    EXPECT_EQ(h.text(name_of(4)), "data");
    EXPECT_FALSE(h.failure) << "the others are served";
}

TEST_F(ContainerState, AStateThatCannotBeFlushedStopsTheContainer) {
    ASSERT_TRUE(h.create("stir"));
    for (int i = 0; i < 30; ++i) write("stir", 1, std::string(200, 'a'));
    h.state->fail_flushes(Error(Errc::kNoSpace, "planted"));
    for (int i = 0; i < 40 && !h.failure; ++i) {
        AppendSession& session = h.session("stir", 2);
        if (!h.setup(session)) break;
        h.append(session, 100 + i, std::string(400, 'b'));
        h.executor.run_until_idle();
    }
    ASSERT_TRUE(h.failure);
    EXPECT_EQ(*h.failure, Errc::kNoSpace);
    std::size_t told = h.sink.all.size();
    h.crash();
    EXPECT_EQ(h.attribute("stir", kEventCount), static_cast<std::int64_t>(told)) << "what was acknowledged is there";
}

TEST(ContainerStateMemory, OfASegmentThatIsNotUsed) {
    constexpr int kSegments = 20'000;
    ContainerOptions options;
    options.tiering.flush_after = 1s;
    options.state.marked_max = 1024;
    options.state.resident_segments = 1024;
    Harness h(options, std::make_shared<MemoryObjects>());
    CollectingSink sink;
    auto make = [&](int from, int to) {
        for (int i = from; i < to; ++i) {
            h.container->create(name_of(i), {}, [](Result<> made) { ASSERT_TRUE(made); });
            AppendSession& session = h.session(name_of(i), static_cast<std::uint64_t>(i));
            h.container->setup_append(session, [](Result<std::int64_t>) {});
            h.executor.run_until_idle();
            h.append(session, 1, "some data");
            h.executor.run_until_idle();
            h.container->close_append(session, [] {});
        }
        h.executor.advance(5s);
        h.sink.all.clear();
        h.sink.all.shrink_to_fit();
        h.sessions.clear();
    };
    make(0, 2000);
    std::size_t before = ::mallinfo2().uordblks;
    auto disk = h.state_disk->entries.size();
    for (int i = 2000; i < kSegments; i += 2000) make(i, i + 2000);
    std::size_t after = ::mallinfo2().uordblks;
    std::uint64_t resident = h.container->stats().resident_segments;
    // The state and the log are in memory here: they are not the container's.
    std::size_t outside = 0;
    for (const auto& frame : h.disk->frames) outside += frame.payload.size();
    std::printf(
        "%d segments, %llu in memory; %.0f bytes each with state and log, which are in memory too (%zu records, "
        "%zu bytes of log)\n",
        kSegments, static_cast<unsigned long long>(resident), static_cast<double>(after - before) / (kSegments - 2000),
        h.state_disk->entries.size() - disk, outside);
    EXPECT_EQ(h.container->stats().segments, static_cast<std::uint64_t>(kSegments));
    EXPECT_LT(resident, 4096u);
}

}  // namespace
}  // namespace millrace::container
