// A log without space: writers wait, what frees space goes on, and nothing that waits is lost or touched after its end.
#include "container/container_harness.h"
#include "container/tail_index.h"

namespace millrace::container {
namespace {

TEST(FullLog, HoldsWritersBackAndLetsSpaceBeFreed) {
    Harness h;
    ASSERT_TRUE(h.create("a"));
    AppendSession& w = h.session("a", 1);
    ASSERT_TRUE(h.setup(w));
    h.append(w, 1, "abc");
    h.executor.run_until_idle();
    h.log->set_full(true);
    h.append(w, 2, "def");
    h.executor.run_until_idle();
    EXPECT_EQ(h.sink.all.size(), 1u) << "held back, not refused";
    EXPECT_EQ(h.create("b").error(), Errc::kNoSpace);
    EXPECT_TRUE(h.truncate("a", 3));
    EXPECT_EQ(h.text("a", 3), "");
    h.log->set_full(false);
    h.executor.run_until_idle();
    EXPECT_EQ(h.sink.all.size(), 2u);
    EXPECT_EQ(h.text("a", 3), "def");
}

TEST(FullLog, AWriterThatLeavesTakesItsWaitingAppendsAlong) {
    Harness h;
    ASSERT_TRUE(h.create("a"));
    auto make = [&](std::uint64_t writer) {
        auto made = std::make_unique<AppendSession>();
        made->writer_id = Uuid{1, writer};
        made->segment_name = "a";
        made->sink = &h.sink;
        return made;
    };
    auto leaving = make(7);
    auto staying = make(8);
    ASSERT_TRUE(h.setup(*leaving));
    ASSERT_TRUE(h.setup(*staying));
    h.log->set_full(true);
    h.append(*staying, 1, "first ");
    h.append(*leaving, 1, "leaves");
    h.append(*staying, 2, "second");
    bool told = false;
    h.container->setup_append(*leaving, [&](Result<std::int64_t> again) { told = !again; });
    h.container->close_append(*leaving, [&] { leaving.reset(); });
    h.executor.run_until_idle();
    EXPECT_TRUE(told);
    EXPECT_FALSE(leaving) << "it does not wait for space";
    EXPECT_EQ(h.sink.dropped_bytes, 6u);
    h.log->set_full(false);
    h.executor.run_until_idle();
    EXPECT_EQ(h.text("a"), "first second");
}

TEST(FullLog, AWriterThatSetsUpAgainWaitsBehindItsAppends) {
    Harness h;
    ASSERT_TRUE(h.create("a"));
    AppendSession& w = h.session("a", 1);
    ASSERT_TRUE(h.setup(w));
    h.log->set_full(true);
    h.append(w, 1, "one");
    std::optional<Result<std::int64_t>> again;
    h.container->setup_append(w, [&](Result<std::int64_t> last) { again = std::move(last); });
    h.executor.run_until_idle();
    EXPECT_FALSE(again);
    h.log->set_full(false);
    h.executor.run_until_idle();
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, 1);
}

TEST(FullLog, StopsAtOnceWithWritersBlocked) {
    Harness h;
    ASSERT_TRUE(h.create("a"));
    AppendSession& w = h.session("a", 1);
    ASSERT_TRUE(h.setup(w));
    h.log->set_full(true);
    h.append(w, 1, "one");
    bool stopped = false;
    h.container->stop([&] { stopped = true; });
    bool forgotten = false;
    h.container->close_append(w, [&] { forgotten = true; });
    h.executor.run_until_idle();
    EXPECT_TRUE(stopped);
    EXPECT_TRUE(forgotten);
    EXPECT_FALSE(h.failure);
    ASSERT_EQ(h.sink.all.size(), 1u);
    EXPECT_EQ(h.sink.all[0].status, AppendStatus::kFatal);
    h.crash();
    EXPECT_EQ(h.info("a")->length, 0);
}

TEST(FullLog, MetadataThatAddsIsRefusedAndWhatEndsAWorkflowIsTaken) {
    Harness h;
    h.log->set_full(true);
    EXPECT_EQ(h.table("meta", {{"k", "v", kAnyVersion}}).error(), Errc::kNoSpace);
    std::optional<Result<std::vector<std::int64_t>>> ended;
    h.container->update_table("meta", {{"k", "v", kAnyVersion}}, SpaceNeed::kFrees,
                              [&](auto result) { ended = std::move(result); });
    EXPECT_TRUE(h.wait(ended));
}

TEST(FullLog, WhatTheReserveHadNoRoomForIsSentAgainInOrder) {
    Harness h;
    ASSERT_TRUE(h.create("a"));
    AppendSession& w = h.session("a", 1);
    ASSERT_TRUE(h.setup(w));
    h.log->hold = true;
    std::string all;
    for (int i = 1; i <= 3; ++i) {  // three frames under way
        h.append(w, i, std::string(3, static_cast<char>('0' + i)));
        all += std::string(3, static_cast<char>('0' + i));
        h.executor.run_until_idle();
    }
    ASSERT_EQ(h.log->under_way(), 3u);
    h.log->refuse = true;
    h.log->acknowledge(1);
    h.append(w, 4, "444");
    all += "444";
    h.executor.run_until_idle();
    EXPECT_TRUE(h.sink.all.empty());
    EXPECT_FALSE(h.failure);
    EXPECT_EQ(h.info("a")->length, 0);

    h.log->refuse = false;
    h.log->hold = false;
    h.log->set_full(false);
    h.log->acknowledge(3);
    h.executor.run_until_idle();
    ASSERT_EQ(h.sink.all.size(), 4u);
    EXPECT_EQ(h.text("a"), all);
    h.crash();
    EXPECT_EQ(h.text("a"), all);
}

TEST(FullLog, StopsAtOnceWithFramesRefused) {
    Harness h;
    ASSERT_TRUE(h.create("a"));
    AppendSession& w = h.session("a", 1);
    ASSERT_TRUE(h.setup(w));
    h.log->refuse = true;
    h.append(w, 1, "one");
    h.append(w, 2, "two");
    bool stopped = false;
    h.executor.run_until_idle();
    h.container->stop([&] { stopped = true; });
    h.executor.run_until_idle();
    EXPECT_TRUE(stopped);
    EXPECT_FALSE(h.failure) << "the process would end with an error";
    ASSERT_FALSE(h.sink.all.empty());
    EXPECT_EQ(h.sink.all.back().status, AppendStatus::kFatal);
}

TEST(FullLog, TheIndexHasALimitToo) {
    ContainerOptions options;
    options.index_bytes = 10 * sizeof(Extent);
    Harness h(options);
    ASSERT_TRUE(h.create("a"));
    AppendSession& w = h.session("a", 1);
    ASSERT_TRUE(h.setup(w));
    for (int i = 1; i <= 20; ++i) {
        h.append(w, i, "x");
        h.executor.run_until_idle();
    }
    EXPECT_EQ(h.sink.all.size(), 11u);
    EXPECT_EQ(h.container->stats().index_entries, 11u);
    EXPECT_EQ(h.create("b").error(), Errc::kNoSpace);
    ASSERT_TRUE(h.truncate("a", 11));
    h.executor.run_until_idle();
    EXPECT_EQ(h.sink.all.back().event_number, 20);
    EXPECT_EQ(h.text("a", 11), "xxxxxxxxx");
}

}  // namespace
}  // namespace millrace::container
