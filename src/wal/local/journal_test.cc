// The running journal: order, gathering, files, recycling, errors.
#include <gmock/gmock.h>

#include "wal/local/journal_fixture.h"

namespace millrace::wal::local {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

using JournalTest = JournalFixture;

TEST_F(JournalTest, OptionsAreChecked) {
    EXPECT_TRUE(validate(options).has_value());
    EXPECT_TRUE(validate(JournalOptions{.directory = "/x"}).has_value());
    auto refused = [&](auto change) {
        JournalOptions changed = options;
        change(changed);
        auto valid = validate(changed);
        return !valid && valid.error() == Errc::kInvalidArgument;
    };
    EXPECT_TRUE(refused([](JournalOptions& o) { o.directory = ""; }));
    EXPECT_TRUE(refused([](JournalOptions& o) { o.file_bytes += 1; }));
    EXPECT_TRUE(refused([](JournalOptions& o) { o.max_payload_bytes = o.file_bytes; }));
    EXPECT_TRUE(refused([](JournalOptions& o) { o.max_payload_bytes = kMaxPayload + 1; }));
    EXPECT_TRUE(refused([](JournalOptions& o) { o.first_file_bytes = 4096; }));
    EXPECT_TRUE(refused([](JournalOptions& o) { o.limit_bytes = o.file_bytes * 3; }));
    EXPECT_TRUE(refused([](JournalOptions& o) { o.max_in_flight = 0; }));
    EXPECT_TRUE(refused([](JournalOptions& o) { o.max_write_bytes = 0; }));
}

TEST_F(JournalTest, AcknowledgesInOrderThoughWritesCompleteInAnother) {
    start();
    files.set_hold(true);
    for (int i = 0; i < 4; ++i) {
        append(i % 2 == 0 ? kOne : kTwo, 100);
        executor.run_until_idle();  // a write each
    }
    ASSERT_EQ(files.held(), 4u);
    files.release_in_order(std::vector<std::size_t>{3, 2, 1});
    executor.run_until_idle();
    EXPECT_TRUE(order.empty());
    files.release(1);
    executor.run_until_idle();
    ASSERT_THAT(order, SizeIs(4));
    EXPECT_TRUE(acknowledged(0) && acknowledged(1) && acknowledged(2) && acknowledged(3));
    EXPECT_LT(std::find(order.begin(), order.end(), 0), std::find(order.begin(), order.end(), 2));
    EXPECT_LT(std::find(order.begin(), order.end(), 1), std::find(order.begin(), order.end(), 3));
    files.set_hold(false);
}

TEST_F(JournalTest, GathersWhatWaitsIntoOneWrite) {
    options.max_in_flight = 1;
    start();
    must_append(kOne, 10);
    files.set_hold(true);
    std::uint64_t before = files.operations();
    append(kOne, 100);
    executor.run_until_idle();
    EXPECT_EQ(files.operations(), before + 1);
    for (int i = 0; i < 10; ++i) append(i % 2 == 0 ? kOne : kTwo, 3000);
    executor.run_until_idle();
    EXPECT_EQ(files.operations(), before + 1) << "one write at a time";
    files.release(1);
    executor.run_until_idle();
    EXPECT_EQ(files.operations(), before + 2) << "ten frames are one write";
    files.set_hold(false);
    executor.run_until_idle();
    EXPECT_THAT(order, SizeIs(12));
}

TEST_F(JournalTest, KeepsAFewWritesInFlightAndNoMore) {
    start();
    must_append(kOne, 10);
    files.set_hold(true);
    for (int i = 0; i < 10; ++i) {
        append(kOne, 60'000);
        executor.run_until_idle();
    }
    EXPECT_EQ(files.held(), 4u);
    // A complete write that waits for one before it still takes its place.
    files.release_in_order(std::vector<std::size_t>{1, 2});
    executor.run_until_idle();
    EXPECT_EQ(files.held(), 2u);
    files.set_hold(false);
    executor.run_until_idle();
    EXPECT_THAT(order, SizeIs(11));
}

TEST_F(JournalTest, FilesAreRecycledWhenNothingInThemIsNeeded) {
    start();
    for (int i = 0; i < 400; ++i) {
        must_append(kOne, 20'000);
        if (i % 7 == 0) must_append(kTwo, 50);
        if (i % 10 == 9) {
            log_of(kOne).truncate(LogSequence(log_of(kOne).next_sequence().value() - 5));
            log_of(kTwo).truncate(log_of(kTwo).next_sequence());
            executor.run_until_idle();
        }
    }
    EXPECT_LE(journal_files().size(), 6u);
    std::uint64_t oldest = parse_file_name(journal_files()[0])->value();
    EXPECT_GT(oldest, 20u);
    EXPECT_LE(log_of(kOne).space().used_bytes, 6 * options.file_bytes);
    close();
    start();
    const auto& frames = recovered.frames[kOne];
    ASSERT_GE(frames.size(), 5u);
    EXPECT_LE(frames.size(), 50u);
    for (const RecoveredFrame& frame : frames) {
        EXPECT_EQ(frame.payload, make_payload(kOne, frame.where.sequence, 0, 20'000));
    }
    EXPECT_EQ(frames.back().where.sequence, LogSequence(400));
    EXPECT_EQ(log_of(kTwo).next_sequence(), LogSequence(59));
}

TEST_F(JournalTest, ALaggardHoldsFilesBack) {
    start();
    must_append(kTwo, 10);
    for (int i = 0; i < 60; ++i) {
        must_append(kOne, 60'000);
        log_of(kOne).truncate(log_of(kOne).next_sequence());
        executor.run_until_idle();
    }
    EXPECT_THAT(journal_files()[0], file_name(Generation(1)));
    std::size_t held_back = journal_files().size();
    EXPECT_GT(held_back, 10u);
    log_of(kTwo).truncate(LogSequence(2));
    executor.run_until_idle();
    EXPECT_LT(journal_files().size(), 8u);
    drop();
    start();
    EXPECT_TRUE(recovered.frames[kTwo].empty());
    EXPECT_EQ(log_of(kTwo).next_sequence(), LogSequence(2));
}

// Truncation points that no frame carries are written down before a file goes.
TEST_F(JournalTest, TruncationAloneFreesFiles) {
    start();
    for (int i = 0; i < 30; ++i) must_append(kOne, 60'000);
    std::size_t before = journal_files().size();
    log_of(kOne).truncate(LogSequence(31));
    executor.run_until_idle();
    EXPECT_LT(journal_files().size(), before);
    std::uint64_t oldest = parse_file_name(journal_files()[0])->value();
    EXPECT_GE(oldest, 7u);
    drop();
    start();
    EXPECT_EQ(log_of(kOne).next_sequence(), LogSequence(31));
}

TEST_F(JournalTest, AFileStaysUntilTheNextOneHasBegun) {
    start();
    must_append(kOne, 60'000);
    log_of(kOne).truncate(LogSequence(2));
    executor.advance(Millis(300));  // the idle marker records it
    must_append(kOne, 10);
    log_of(kOne).truncate(LogSequence(3));
    executor.advance(Millis(300));
    files.set_hold(true);
    append(kTwo, 60'000);  // goes to the next file, whose start is on its way
    executor.run_until_idle();
    ASSERT_EQ(files.held(), 2u);
    files.release(1);  // the end of the first file
    executor.run_until_idle();
    executor.advance(Millis(3000));
    EXPECT_EQ(journal_files()[0], file_name(Generation(1)));
    files.set_hold(false);
    executor.run_until_idle();
    EXPECT_EQ(journal_files()[0], file_name(Generation(2)));
}

// A burst's files are used again by the next burst; what exceeds the share of the limit goes back to the disk.
TEST_F(JournalTest, RecycledFilesAreKeptUpToAShareOfTheLimit) {
    options.limit_bytes = 16 * 12 * options.file_bytes;
    start();
    auto burst = [&](int frames) {
        for (int i = 0; i < frames; ++i) must_append(kOne, 60'000);
        log_of(kOne).truncate(log_of(kOne).next_sequence());
        executor.run_until_idle();
    };
    burst(30);  // about four to a file
    std::size_t kept = journal_files().size();
    EXPECT_GE(kept, 7u);
    burst(20);
    EXPECT_EQ(journal_files().size(), kept);
    burst(120);
    EXPECT_LE(journal_files().size(), 12u + 2u);
    EXPECT_GE(journal_files().size(), 12u);
}

TEST_F(JournalTest, ReadsOfRecycledFilesFail) {
    start();
    Appended first = must_append(kOne, 50'000);
    std::optional<Result<bytes::Slice>> answer;
    files.set_hold(true);
    log_of(kOne).read(first.payload, 50'000, [&](Result<bytes::Slice> data) { answer = std::move(data); });
    executor.run_until_idle();
    std::vector<std::size_t> others;
    for (int i = 0; i < 20; ++i) {
        append(kOne, 60'000);
        executor.run_until_idle();
        others.clear();
        for (std::size_t held = 1; held < files.held(); ++held) others.push_back(held);
        files.release_in_order(others);
        executor.run_until_idle();
        log_of(kOne).truncate(LogSequence(log_of(kOne).next_sequence().value() - 1));
        executor.run_until_idle();
    }
    ASSERT_FALSE(answer.has_value());
    files.set_hold(false);
    executor.run_until_idle();
    ASSERT_TRUE(answer.has_value());
    EXPECT_FALSE(answer->has_value()) << "the file may have been written again";
    EXPECT_EQ(answer->error().code(), Errc::kNotFound);
}

TEST_F(JournalTest, FramesOfTheLargestSizeByDefault) {
    options = JournalOptions{.directory = "/journal"};
    options.min_free_bytes = 0;
    start();
    for (int i = 0; i < 3; ++i) must_append(kOne, kMaxPayload);
    must_append(kTwo, 100);
    drop();
    start();
    ASSERT_THAT(recovered.frames[kOne], SizeIs(3));
    EXPECT_EQ(recovered.frames[kOne][2].payload, make_payload(kOne, LogSequence(3), 0, kMaxPayload));
    EXPECT_THAT(recovered.frames[kTwo], SizeIs(1));
}

TEST_F(JournalTest, AWriteErrorIsFinalForAll) {
    start();
    must_append(kOne, 10);
    files.set_hold(true);
    append(kOne, 10);
    executor.run_until_idle();
    files.fail_next(io::OpKind::kWrite, Errc::kIo);
    append(kTwo, 20);
    executor.run_until_idle();
    append(kOne, 30);
    append(kTwo, 30);
    executor.run_until_idle();
    files.release_in_order(std::vector<std::size_t>{0});
    executor.run_until_idle();
    EXPECT_TRUE(acknowledged(1)) << "was complete before";
    files.set_hold(false);
    executor.run_until_idle();
    for (std::size_t i : {2u, 3u, 4u}) EXPECT_TRUE(refused(i, Errc::kIo)) << i;
    EXPECT_THAT(answers[2]->result.error().message(), HasSubstr(path(1)));
    std::size_t later = append(kOne, 10);
    EXPECT_FALSE(answers[later].has_value()) << "never from inside the call";
    executor.run_until_idle();
    EXPECT_TRUE(refused(later, Errc::kIo));
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()) || order.size() == 6);
    std::optional<Result<>> closed;
    journal->close([&](Result<> result) { closed = std::move(result); });
    executor.run_until_idle();
    ASSERT_TRUE(closed.has_value());
    EXPECT_FALSE(closed->has_value());
    drop();
    start();
    EXPECT_GE(recovered.frames[kOne].size(), 2u);
}

TEST_F(JournalTest, ClosedJournalTakesNothing) {
    start();
    log_of(kOne);
    for (int i = 0; i < 5; ++i) append(kOne, 5000);
    std::optional<Result<>> closed;
    journal->close([&](Result<> result) { closed = std::move(result); });
    executor.run_until_idle();
    ASSERT_TRUE(closed.has_value() && closed->has_value());
    for (std::size_t i = 0; i < 5; ++i) EXPECT_TRUE(acknowledged(i));
    append(kOne, 10);
    executor.run_until_idle();
    EXPECT_TRUE(refused(5, Errc::kClosed));
    drop();
    start();
    EXPECT_THAT(recovered.frames[kOne], SizeIs(5));
    EXPECT_EQ(report.torn_tails, 0u);
}

// Every start writes a marker; it must find room when the file is full of them.
TEST_F(JournalTest, ManyRestartsMoveOnToFurtherFiles) {
    start();
    must_append(kOne, 1000);
    for (int i = 0; i < 200; ++i) {
        if (i % 2 == 0)
            close();
        else
            drop();
        start();
        ASSERT_THAT(recovered.frames[kOne], SizeIs(1));
        ASSERT_EQ(report.torn_tails, 0u);
    }
    EXPECT_GT(journal_files().size(), 3u);
    EXPECT_EQ(must_append(kOne, 1000).sequence, LogSequence(2));
}

TEST_F(JournalTest, IdleMarkerIsWrittenOnce) {
    start();
    must_append(kOne, 1000);
    std::uint64_t before = files.operations();
    executor.advance(Millis(10'000));
    EXPECT_EQ(files.operations(), before + 1);
    executor.advance(Millis(10'000));
    EXPECT_EQ(files.operations(), before + 1);
    must_append(kOne, 1000);
    executor.advance(Millis(10'000));
    EXPECT_EQ(files.operations(), before + 3);
}

TEST_F(JournalTest, LogsOfOtherExecutorsAreServedInBatches) {
    start();
    runtime::ManualExecutor elsewhere(9);
    logs[kTwo] = journal->open(kTwo, elsewhere);
    executor.run_until_idle();
    std::uint64_t before = files.operations();
    for (int i = 0; i < 10; ++i) append(kTwo, 100);
    executor.run_until_idle();
    EXPECT_EQ(files.operations(), before) << "nothing crosses before the end of the turn";
    elsewhere.run_until_idle();
    executor.run_until_idle();
    EXPECT_EQ(files.operations(), before + 1) << "one batch, one write";
    EXPECT_TRUE(order.empty()) << "completions run on the log's executor";
    elsewhere.run_until_idle();
    EXPECT_THAT(order, SizeIs(10));
    logs.clear();
}

}  // namespace
}  // namespace millrace::wal::local
