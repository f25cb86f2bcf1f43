// A journal at its limits: refusals, the reserve, coming back, and who is asked to let go.
#include <gmock/gmock.h>

#include "wal/local/journal_fixture.h"

namespace millrace::wal::local {
namespace {

using testing::SizeIs;

class JournalSpace : public JournalFixture {
  protected:
    static constexpr std::size_t kSize = 30'000;

    void SetUp() override {
        JournalFixture::SetUp();
        options.limit_bytes = 4 * options.file_bytes;
    }
    void listen(ContainerId container) {
        log_of(container).on_space(
            [this, container](DurableLog::SpaceEvent event) { events[container].push_back(event); });
    }
    // Ordinary frames until one is refused; how many were acknowledged.
    std::size_t append_until_refused(ContainerId container) {
        for (std::size_t count = 0; count < 200; ++count) {
            std::size_t index = append(container, kSize);
            executor.run_until_idle();
            if (!acknowledged(index)) {
                EXPECT_TRUE(refused(index, Errc::kNoSpace));
                return count;
            }
        }
        ADD_FAILURE() << "never full";
        return 0;
    }
    LogSequence last_wanted(ContainerId container) {
        LogSequence wanted;
        for (const auto& event : events[container]) wanted = std::max(wanted, event.wanted);
        return wanted;
    }

    std::map<ContainerId, std::vector<DurableLog::SpaceEvent>> events;
};

TEST_F(JournalSpace, RefusesOrdinaryFramesAtTheLimitAndComesBack) {
    start();
    listen(kOne);
    std::size_t written = append_until_refused(kOne);
    EXPECT_GT(written, 15u);
    EXPECT_TRUE(log_of(kOne).space().full);
    EXPECT_LE(log_of(kOne).space().used_bytes, options.limit_bytes);
    ASSERT_FALSE(events[kOne].empty());
    EXPECT_TRUE(events[kOne].back().full || events[kOne][events[kOne].size() - 2].full);
    EXPECT_EQ(log_of(kOne).next_sequence().value(), written + 1) << "the refused sequence is given out again";

    // What frees space has a whole file left.
    for (int i = 0; i < 6; ++i) {
        std::size_t index = append(kOne, kSize, true);
        executor.run_until_idle();
        EXPECT_TRUE(acknowledged(index)) << i;
    }
    std::size_t ordinary = append(kOne, 10);
    executor.run_until_idle();
    EXPECT_TRUE(refused(ordinary, Errc::kNoSpace));

    EXPECT_GT(last_wanted(kOne).value(), 1u);
    events.clear();
    log_of(kOne).truncate(log_of(kOne).next_sequence());
    executor.run_until_idle();
    EXPECT_FALSE(log_of(kOne).space().full);
    ASSERT_FALSE(events[kOne].empty());
    EXPECT_FALSE(events[kOne].back().full);
    std::uint64_t next = log_of(kOne).next_sequence().value();
    EXPECT_EQ(must_append(kOne, kSize).sequence.value(), next);
    drop();
    start();
    EXPECT_EQ(recovered.frames[kOne].back().where.sequence.value(), next);
    for (const RecoveredFrame& frame : recovered.frames[kOne]) {
        EXPECT_EQ(frame.payload, make_payload(kOne, frame.where.sequence, 0, kSize));
    }
}

TEST_F(JournalSpace, AFullJournalStaysFullAfterARestartAndCanBeFreed) {
    start();
    std::size_t written = append_until_refused(kOne);
    for (int round = 0; round < 5; ++round) {
        drop();
        start();
        ASSERT_THAT(recovered.frames[kOne], SizeIs(written));
        EXPECT_TRUE(log_of(kOne).space().full);
    }
    log_of(kOne).truncate(log_of(kOne).next_sequence());
    executor.run_until_idle();
    EXPECT_FALSE(log_of(kOne).space().full);
    must_append(kOne, kSize);
}

// Even when the reserve is used up to the last page, moving a truncation point helps.
TEST_F(JournalSpace, FreedEvenWhenTheReserveIsUsedUp) {
    start();
    append_until_refused(kOne);
    for (int count = 0;; ++count) {
        ASSERT_LT(count, 100);
        std::size_t index = append(kOne, count % 2 == 0 ? kSize : 10, true);
        executor.run_until_idle();
        if (acknowledged(index)) continue;
        EXPECT_TRUE(refused(index, Errc::kNoSpace));
        index = append(kOne, 10, true);
        executor.run_until_idle();
        if (!acknowledged(index)) break;
    }
    executor.advance(Millis(5000));
    log_of(kOne).truncate(log_of(kOne).next_sequence());
    executor.run_until_idle();
    EXPECT_FALSE(log_of(kOne).space().full);
    for (int i = 0; i < 10; ++i) must_append(kOne, kSize);
    drop();
    start();
    EXPECT_GE(recovered.frames[kOne].size(), 10u);
}

TEST_F(JournalSpace, ARefusalTakesWhatFollowsWithIt) {
    start();
    std::size_t written = append_until_refused(kOne);
    ASSERT_GT(written, 0u);
    listen(kTwo);
    // In one turn: an ordinary frame that is refused, and reserved ones behind it that were built on it.
    order.clear();
    std::size_t reserved_before = append(kOne, 100, true);
    std::size_t ordinary = append(kOne, 100);
    std::size_t follower = append(kOne, 100, true);
    std::size_t other = append(kTwo, 100, true);
    EXPECT_EQ(log_of(kOne).next_sequence().value(), written + 4);
    executor.run_until_idle();
    EXPECT_TRUE(acknowledged(reserved_before));
    EXPECT_TRUE(refused(ordinary, Errc::kNoSpace));
    EXPECT_TRUE(refused(follower, Errc::kNoSpace));
    EXPECT_TRUE(acknowledged(other)) << "other logs are not concerned";
    EXPECT_EQ(log_of(kOne).next_sequence().value(), written + 2);
    std::size_t again = append(kOne, 200, true);
    executor.run_until_idle();
    ASSERT_TRUE(acknowledged(again));
    EXPECT_EQ(answers[again]->result->sequence.value(), written + 2);
    EXPECT_THAT(order, testing::IsSupersetOf({reserved_before, ordinary, follower, again}));
    drop();
    start();
    ASSERT_THAT(recovered.frames[kOne], SizeIs(written + 2));
    EXPECT_EQ(recovered.frames[kOne].back().payload, make_payload(kOne, LogSequence(written + 2), 0, 200));
}

TEST_F(JournalSpace, ARefusalCrossesExecutors) {
    start();
    append_until_refused(kOne);
    runtime::ManualExecutor elsewhere(5);
    logs[kTwo] = journal->open(kTwo, elsewhere);
    auto run_both = [&] {
        for (int i = 0; i < 10; ++i) {
            elsewhere.run_until_idle();
            executor.run_until_idle();
        }
    };
    std::size_t first = append(kTwo, 100, true);
    std::size_t second = append(kTwo, 100);
    std::size_t third = append(kTwo, 100, true);
    elsewhere.run_until_idle();
    std::size_t fourth = append(kTwo, 100, true);  // before the refusal is known there
    run_both();
    EXPECT_TRUE(acknowledged(first));
    for (std::size_t i : {second, third, fourth}) EXPECT_TRUE(refused(i, Errc::kNoSpace));
    EXPECT_EQ(log_of(kTwo).next_sequence(), LogSequence(2));
    std::size_t fifth = append(kTwo, 100, true);
    run_both();
    ASSERT_TRUE(acknowledged(fifth));
    EXPECT_EQ(answers[fifth]->result->sequence, LogSequence(2));
    logs.clear();
}

TEST_F(JournalSpace, AFullDiskIsNoticedAndForgotten) {
    options.limit_bytes = 100 * options.file_bytes;
    options.min_free_bytes = 300 * kKiB;
    files.set_capacity(kMiB + 300 * kKiB);
    start();
    listen(kOne);
    std::size_t written = append_until_refused(kOne);
    EXPECT_GT(written, 10u);
    EXPECT_GE(*files.free_bytes(options.directory), options.min_free_bytes);
    executor.advance(Millis(3000));
    EXPECT_TRUE(log_of(kOne).space().full);
    files.set_capacity(64 * kMiB);
    executor.advance(Millis(1100));
    EXPECT_FALSE(log_of(kOne).space().full);
    EXPECT_FALSE(events[kOne].back().full);
    for (int i = 0; i < 50; ++i) must_append(kOne, kSize);
}

// What containers still have to write when the disk is full has a file, even below the room that should stay free.
TEST_F(JournalSpace, TheReserveMayUseTheLastOfTheDisk) {
    options.limit_bytes = 100 * options.file_bytes;
    options.min_free_bytes = 2 * kMiB;
    files.set_capacity(kMiB);
    start();
    append_until_refused(kOne);
    for (int i = 0; i < 7; ++i) {
        std::size_t index = append(kOne, kSize, true);
        executor.run_until_idle();
        EXPECT_TRUE(acknowledged(index)) << i;
    }
    EXPECT_TRUE(log_of(kOne).space().full);
    files.set_capacity(64 * kMiB);
    executor.advance(Millis(2000));
    for (int i = 0; i < 20; ++i) must_append(kOne, kSize);
}

// What the reserve makes room for must not be taken by ordinary frames, file after file, to the last of the disk.
TEST_F(JournalSpace, OrdinaryFramesLeaveTheReserveOfTheDiskAlone) {
    options.limit_bytes = 100 * options.file_bytes;
    options.min_free_bytes = 2 * kMiB;
    files.set_capacity(4 * kMiB);
    start();
    append_until_refused(kOne);
    for (int i = 0; i < 20; ++i) {
        append(kOne, kSize, true);
        executor.run_until_idle();
        executor.advance(Millis(1100));
        for (int j = 0; j < 8; ++j) append(kOne, kSize);
        executor.run_until_idle();
    }
    // Reserved frames have filled this much: their files, and one more that is kept ready for them.
    std::uint64_t reserved = 20 * align_up(kSize + 200, 4 * kKiB);
    EXPECT_GE(*files.free_bytes(options.directory) + reserved + 2 * options.file_bytes, options.min_free_bytes);
    EXPECT_TRUE(log_of(kOne).space().full);
    files.set_capacity(64 * kMiB);
    executor.advance(Millis(2000));
    for (int i = 0; i < 20; ++i) must_append(kOne, kSize);
}

// The disk fills while frames wait for the file that was to be made.
TEST_F(JournalSpace, WaitingFramesAreRefusedWhenTheirFileCannotBeMade) {
    options.limit_bytes = 100 * options.file_bytes;
    start();
    files.set_latency(Millis(50));  // files take a while to be made
    std::vector<std::size_t> sent;
    files.fail_next(io::OpKind::kWrite, Errc::kNoSpace, 0);
    files.set_capacity(600 * kKiB);
    for (int i = 0; i < 60; ++i) sent.push_back(append(kOne, kSize));
    executor.advance(Millis(5000));
    std::size_t written = 0;
    bool ended = false;
    for (std::size_t index : sent) {
        ASSERT_TRUE(answers[index].has_value());
        bool ok = acknowledged(index);
        EXPECT_FALSE(ended && ok) << "nothing after a refused frame";
        ended = ended || !ok;
        if (ok) ++written;
        if (!ok) EXPECT_TRUE(refused(index, Errc::kNoSpace));
    }
    EXPECT_TRUE(ended);
    EXPECT_GT(written, 3u);
    EXPECT_EQ(log_of(kOne).next_sequence().value(), written + 1);
    files.set_latency(Millis(0));
    drop();
    start();
    EXPECT_THAT(recovered.frames[kOne], SizeIs(written));
}

TEST_F(JournalSpace, FramesWaitForTheNextFile) {
    start();
    files.set_latency(Millis(10));
    std::vector<std::size_t> sent;
    for (int i = 0; i < 15; ++i) sent.push_back(append(kOne, kSize));
    executor.advance(Millis(2000));
    for (std::size_t index : sent) EXPECT_TRUE(acknowledged(index));
    files.set_latency(Millis(0));
}

TEST_F(JournalSpace, LaggardsAreAskedBeforeTheLimit) {
    options.limit_bytes = 8 * options.file_bytes;
    start();
    listen(kOne);
    listen(kTwo);
    must_append(kTwo, 100);
    while (log_of(kOne).space().used_bytes <= options.limit_bytes / 4 * 3) must_append(kOne, kSize);
    executor.run_until_idle();
    EXPECT_FALSE(log_of(kOne).space().full);
    LogSequence wanted = last_wanted(kOne);
    EXPECT_GT(wanted.value(), 1u) << "both hold the oldest file";
    EXPECT_EQ(last_wanted(kTwo), LogSequence(2));
    log_of(kOne).truncate(wanted);
    log_of(kTwo).truncate(LogSequence(2));
    executor.run_until_idle();
    EXPECT_GT(*parse_file_name(journal_files()[0]), Generation(1)) << "what was asked for was enough";
}

TEST_F(JournalSpace, ALaggardIsAskedWhenOthersAreFarAhead) {
    options.limit_bytes = 100 * options.file_bytes;
    start();
    listen(kOne);
    listen(kTwo);
    must_append(kTwo, 100);
    for (int i = 0; i < 60 && last_wanted(kTwo).value() == 0; ++i) {
        must_append(kOne, kSize);
        log_of(kOne).truncate(log_of(kOne).next_sequence());
        executor.run_until_idle();
    }
    EXPECT_EQ(last_wanted(kTwo), LogSequence(2));
    EXPECT_EQ(last_wanted(kOne), LogSequence(0));
    EXPECT_LT(journal_files().size(), 9u);
    log_of(kTwo).truncate(LogSequence(2));
    executor.run_until_idle();
    EXPECT_GT(*parse_file_name(journal_files()[0]), Generation(1));
}

TEST_F(JournalSpace, AListenerMayReplaceItself) {
    start();
    int calls = 0;
    log_of(kOne).on_space([&](DurableLog::SpaceEvent) {
        ++calls;
        log_of(kOne).on_space([&](DurableLog::SpaceEvent) { calls += 100; });
    });
    append_until_refused(kOne);
    executor.advance(Millis(3000));
    EXPECT_EQ(calls % 100, 1);
    EXPECT_GE(calls, 101);
}

TEST_F(JournalSpace, AFileThatCannotBeRecycledEndsTheJournal) {
    start();
    for (int i = 0; i < 14; ++i) must_append(kOne, kSize);
    files.fail_next(io::OpKind::kRemove, Errc::kIo);  // the first file is smaller, so it is removed
    log_of(kOne).truncate(LogSequence(14));
    executor.run_until_idle();
    std::size_t index = append(kOne, 10);
    executor.run_until_idle();
    EXPECT_TRUE(refused(index, Errc::kIo));
    drop();
    start();
    EXPECT_GE(recovered.frames[kOne].size(), 1u);
}

}  // namespace
}  // namespace millrace::wal::local
