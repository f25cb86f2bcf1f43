// Transactions and time: leases and their ends, prepared ones that are kept, completed ones that are forgotten.
#include "controller/transactions_harness.h"

namespace millrace::controller {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// ---- leases ----

TEST_F(TransactionsTest, WithoutPingsItIsAbortedWhenItsLeaseIsOver) {
    make_stream(1);
    BegunTransaction txn = begun(10'000);
    t.write(kX, txn, 0, 10);
    t.executor->advance(seconds(10));
    EXPECT_EQ(t.state(kX, txn.id), TransactionState::kOpen) << "some seconds more for slow pings";
    t.executor->advance(seconds(6));
    EXPECT_EQ(t.state(kX, txn.id), TransactionState::kAborted);
    EXPECT_THAT(t.garbage(), IsEmpty());
}

TEST_F(TransactionsTest, PingsKeepItOpenAndWriteNothing) {
    make_stream(1);
    BegunTransaction txn = begun(10'000);
    t.api.arm(FakeSegmentApi::Fault::kNone, 0);
    for (int i = 0; i < 100; ++i) {
        t.executor->advance(seconds(9));
        EXPECT_EQ(t.ping(kX, txn.id, 10'000), PingStatus::kOk);
    }
    EXPECT_EQ(t.api.changes(), 0u);
    t.executor->advance(seconds(16));
    EXPECT_EQ(t.state(kX, txn.id), TransactionState::kAborted);
}

TEST_F(TransactionsTest, NoPingGoesBeyondTheLongestExecution) {
    make_stream(1);
    BegunTransaction txn = begun(100'000);  // so a day
    for (int i = 0; i < 863; ++i) {
        t.executor->advance(seconds(100));
        ASSERT_EQ(t.ping(kX, txn.id, 100'000), PingStatus::kOk) << i;
    }
    t.executor->advance(seconds(10));
    EXPECT_EQ(t.ping(kX, txn.id, 100'000), PingStatus::kMaxExecutionTimeExceeded);
    EXPECT_EQ(t.ping(kX, txn.id, 80'000), PingStatus::kOk);
    BegunTransaction quick = begun(10'000);  // so 10,000 s
    for (int i = 0; i < 999; ++i) {
        t.executor->advance(seconds(10));
        ASSERT_EQ(t.ping(kX, quick.id, 10'000), PingStatus::kOk) << i;
    }
    t.executor->advance(seconds(1));
    EXPECT_EQ(t.ping(kX, quick.id, 10'000), PingStatus::kMaxExecutionTimeExceeded);
}

TEST_F(TransactionsTest, ALeaseOutlivesARestart) {
    make_stream(1);
    BegunTransaction short_one = begun(10'000);
    BegunTransaction long_one = begun(10'000);
    EXPECT_EQ(t.ping(kX, long_one.id, 120'000), PingStatus::kOk);
    t.executor->advance(seconds(9));
    t.restart();
    t.executor->advance(seconds(10));
    EXPECT_EQ(t.state(kX, short_one.id), TransactionState::kOpen) << "its whole lease again";
    t.executor->advance(seconds(6));
    EXPECT_EQ(t.state(kX, short_one.id), TransactionState::kAborted);
    t.executor->advance(seconds(100));
    EXPECT_EQ(t.state(kX, long_one.id), TransactionState::kOpen) << "as the longest ping was promised";
    t.executor->advance(seconds(10));
    EXPECT_EQ(t.state(kX, long_one.id), TransactionState::kAborted);
}

TEST_F(TransactionsTest, ACommitDoesNotExpire) {
    make_stream(1);
    BegunTransaction txn = begun();
    t.write(kX, txn, 0, 10);
    t.api.arm(FakeSegmentApi::Fault::kFailBefore, 1);  // the merge, after the record
    EXPECT_EQ(t.commit(kX, txn.id), kSuccess);
    EXPECT_EQ(t.state(kX, txn.id), TransactionState::kCommitting);
    EXPECT_EQ(t.ping(kX, txn.id), PingStatus::kCommitted);
    t.executor->advance(minutes(1));
    EXPECT_EQ(t.state(kX, txn.id), TransactionState::kCommitted);
    EXPECT_EQ(t.api.segments.at("s/x/0.#epoch.0").length, 10);
}

// ---- prepared ones ----

TEST_F(TransactionsTest, WhatWasWrittenIsKeptWhereTheStreamSaysSo) {
    make_stream(2, {std::string(kKeepPreparedTag)});
    BegunTransaction txn = begun(10'000);
    t.write(kX, txn, 1, 10);
    t.executor->advance(minutes(11));  // a commit that is repeated ten minutes after the lease ended
    EXPECT_EQ(t.state(kX, txn.id), TransactionState::kOpen);
    auto listed = t.transactions(kX);
    ASSERT_THAT(listed, SizeIs(1));
    EXPECT_TRUE(listed[0].kept_ms.has_value());
    EXPECT_EQ(listed[0].kept_bytes, 10);
    t.executor->advance(hours(24 * 30));
    t.restart();
    t.executor->advance(hours(24 * 30));
    EXPECT_TRUE(t.transactions(kX).at(0).kept_ms.has_value());
    EXPECT_EQ(t.commit(kX, txn.id), kSuccess);
    EXPECT_EQ(t.state(kX, txn.id), TransactionState::kCommitted);
    EXPECT_EQ(t.api.segments.at("s/x/1.#epoch.0").length, 10);
    EXPECT_THAT(t.garbage(), IsEmpty());
}

TEST_F(TransactionsTest, OrWhereTheServerDoesAndTheStreamDoesNotDisagree) {
    t.transaction_options.keep_prepared = true;
    t.restart();
    make_stream(1);
    BegunTransaction kept = begun();
    t.write(kX, kept, 0, 10);
    t.executor->advance(minutes(1));
    EXPECT_EQ(t.state(kX, kept.id), TransactionState::kOpen);
    EXPECT_EQ(t.update(kX, fixed(1, {std::string(kExpirePreparedTag)})), UpdateStreamStatus::kSuccess);
    BegunTransaction other = begun();
    t.write(kX, other, 0, 10);
    t.executor->advance(minutes(1));
    EXPECT_EQ(t.state(kX, other.id), TransactionState::kAborted);
    EXPECT_EQ(t.state(kX, kept.id), TransactionState::kOpen) << "what is kept stays so";
    EXPECT_EQ(t.abort(kX, kept.id), kSuccess) << "an administrator ends it";
    EXPECT_THAT(t.transactions(kX), IsEmpty());
    EXPECT_THAT(t.garbage(), IsEmpty());
}

TEST_F(TransactionsTest, AnEmptyOneIsKeptNoLongerThanTheLongestExecution) {
    make_stream(1, {std::string(kKeepPreparedTag)});
    BegunTransaction txn = begun(100'000);
    t.executor->advance(hours(23));
    EXPECT_EQ(t.state(kX, txn.id), TransactionState::kOpen);
    t.executor->advance(hours(2));
    EXPECT_EQ(t.state(kX, txn.id), TransactionState::kAborted);
    EXPECT_THAT(t.garbage(), IsEmpty());
}

TEST_F(TransactionsTest, APingTakesAPreparedOneUpAgain) {
    make_stream(1, {std::string(kKeepPreparedTag)});
    BegunTransaction txn = begun(10'000);
    t.write(kX, txn, 0, 10);
    t.executor->advance(hours(48));
    EXPECT_EQ(t.ping(kX, txn.id, 10'000), PingStatus::kOk) << "no longest execution here";
    EXPECT_FALSE(t.transactions(kX).at(0).kept_ms.has_value());
    EXPECT_EQ(t.transactions(kX).at(0).lease_left_ms, 10'000);
    t.write(kX, txn, 0, 10);
    t.executor->advance(seconds(16));
    EXPECT_EQ(t.transactions(kX).at(0).kept_bytes, 20);
}

TEST_F(TransactionsTest, TooManyPreparedOnesStopNewOnesAndNoOthers) {
    t.transaction_options.kept_limit = 2;
    t.transaction_options.kept_bytes_limit = 100;
    t.restart();
    make_stream(1, {std::string(kKeepPreparedTag)});
    std::vector<BegunTransaction> all;
    for (int i = 0; i < 3; ++i) {
        all.push_back(begun());
        t.write(kX, all.back(), 0, 10);
    }
    t.executor->advance(minutes(1));
    for (const auto& txn : all) EXPECT_EQ(t.state(kX, txn.id), TransactionState::kOpen);
    auto refused = t.begin(kX);
    EXPECT_EQ(refused.error(), Errc::kNoSpace);
    EXPECT_THAT(refused.error().message(), HasSubstr("keeps 3 prepared transactions with 30 bytes"));
    t.restart();
    EXPECT_EQ(t.begin(kX).error(), Errc::kNoSpace) << "also the next process counts them";
    EXPECT_EQ(t.abort(kX, all[0].id), kSuccess);
    EXPECT_EQ(t.commit(kX, all[1].id), kSuccess);
    BegunTransaction big = begun();
    t.write(kX, big, 0, 100);
    t.executor->advance(minutes(1));
    EXPECT_EQ(t.commit(kX, all[2].id), kSuccess);
    EXPECT_EQ(t.begin(kX).error(), Errc::kNoSpace) << "too many bytes";
    EXPECT_EQ(t.commit(kX, big.id), kSuccess);
    EXPECT_TRUE(t.begin(kX));
}
// ---- completed ones ----

TEST_F(TransactionsTest, CompletedOnesAreListedNewestFirst) {
    make_stream(1);
    std::vector<TransactionId> ids;
    for (int i = 0; i < 6; ++i) ids.push_back(begun().id);
    for (std::size_t i : {3u, 0u, 1u, 2u}) {
        t.executor->advance(seconds(1));
        EXPECT_EQ(i == 0 ? t.abort(kX, ids[i]) : t.commit(kX, ids[i]), kSuccess);
    }
    auto listed = t.completed(kX);
    ASSERT_THAT(listed, SizeIs(4));
    EXPECT_EQ(listed[0].id, ids[2]);
    EXPECT_EQ(listed[2].id, ids[0]);
    EXPECT_FALSE(listed[2].committed);
    EXPECT_EQ(listed[3].id, ids[3]);
    EXPECT_TRUE(listed[3].committed);
    EXPECT_THAT(t.completed(kX, 2), SizeIs(2));
}

TEST_F(TransactionsTest, TheyAreForgottenAfterADay) {
    make_stream(1);
    TransactionId early = begun().id;
    EXPECT_EQ(t.commit(kX, early), kSuccess);
    t.executor->advance(hours(20));
    TransactionId late = begun().id;
    EXPECT_EQ(t.commit(kX, late), kSuccess);
    EXPECT_EQ(t.state(kX, early), TransactionState::kCommitted);
    t.executor->advance(hours(5));
    EXPECT_EQ(t.state(kX, early), TransactionState::kUnknown);
    EXPECT_EQ(t.state(kX, late), TransactionState::kCommitted);
}

TEST_F(TransactionsTest, OrWhenTheyAreTooMany) {
    t.transaction_options.completed_limit = 20;
    t.restart();
    make_stream(1);
    ASSERT_EQ(t.create({"s", "x0"}, fixed(1)), CreateStreamStatus::kSuccess);
    TransactionId elsewhere = t.begin({"s", "x0"})->id;
    EXPECT_EQ(t.commit({"s", "x0"}, elsewhere), kSuccess);
    std::vector<TransactionId> ids;
    for (int i = 0; i < 50; ++i) {
        ids.push_back(begun().id);
        EXPECT_EQ(t.commit(kX, ids.back()), kSuccess);
    }
    t.executor->advance(minutes(11));
    EXPECT_THAT(t.completed(kX), SizeIs(20));
    EXPECT_EQ(t.state(kX, ids.back()), TransactionState::kCommitted);
    EXPECT_EQ(t.state(kX, ids.front()), TransactionState::kUnknown);
    EXPECT_EQ(t.state({"s", "x0"}, elsewhere), TransactionState::kCommitted);
}

TEST_F(TransactionsTest, OrWhenAllTogetherAreTooMany) {
    t.transaction_options.completed_total = 40;
    t.restart();
    make_stream(1);
    const StreamName y{"s", "y"};
    ASSERT_EQ(t.create(y, fixed(1)), CreateStreamStatus::kSuccess);
    std::vector<TransactionId> few;
    for (int i = 0; i < 5; ++i) {
        few.push_back(t.begin(y)->id);
        EXPECT_EQ(t.commit(y, few.back()), kSuccess);
    }
    std::vector<TransactionId> many;
    for (int i = 0; i < 100; ++i) {
        many.push_back(begun().id);
        EXPECT_EQ(t.commit(kX, many.back()), kSuccess);
        EXPECT_LE(t.keys("txndone/").size(), 45u);
    }
    EXPECT_THAT(t.completed(y), SizeIs(5)) << "the large ones give way";
    EXPECT_EQ(t.state(kX, many.back()), TransactionState::kCommitted);
    EXPECT_EQ(t.state(kX, many.front()), TransactionState::kUnknown);
    // Another process, with less room, knows of them too.
    t.transaction_options.completed_total = 12;
    t.restart();
    EXPECT_THAT(t.completed(y), SizeIs(5));
    EXPECT_THAT(t.completed(kX), SizeIs(7));
    EXPECT_EQ(t.state(kX, many.back()), TransactionState::kCommitted);
    ASSERT_EQ(t.seal(kX), UpdateStreamStatus::kSuccess);
    ASSERT_EQ(t.remove(kX), DeleteStreamStatus::kSuccess);
    for (int i = 0; i < 6; ++i) EXPECT_EQ(t.commit(y, t.begin(y)->id), kSuccess);
    EXPECT_THAT(t.completed(y), SizeIs(11)) << "those of a stream that is gone do not count";
}

TEST(CompletedTransactions, AreSharedOut) {
    EXPECT_EQ(fair_share({}, 10), 10u);
    EXPECT_EQ(fair_share({3}, 10), 3u);
    EXPECT_EQ(fair_share({30}, 10), 10u);
    EXPECT_EQ(fair_share({30, 1}, 10), 9u);
    EXPECT_EQ(fair_share({30, 5, 30, 2}, 25), 9u);
    EXPECT_EQ(fair_share({30, 30, 30}, 2), 0u);
    EXPECT_EQ(fair_share({5, 5}, 10), 5u);
}
// ---- many at once ----

TEST_F(TransactionsTest, ThousandsWhoseLeasesEnd) {
    make_stream(1);
    std::vector<TransactionId> ids;
    for (int i = 0; i < 500; ++i) ids.push_back(begun().id);
    EXPECT_EQ(t.ping(kX, ids[100], 60'000), PingStatus::kOk);
    t.api.arm(FakeSegmentApi::Fault::kNone, 0);
    t.executor->advance(seconds(20));
    EXPECT_LT(t.api.changes(), 499u + 3 + 10 + 1);
    for (std::size_t i = 0; i < ids.size(); ++i)
        EXPECT_EQ(t.state(kX, ids[i]), i == 100 ? TransactionState::kOpen : TransactionState::kAborted);
    EXPECT_THAT(t.garbage(), IsEmpty());
}

TEST_F(TransactionsTest, ManyLeasesThatEndInTrouble) {
    for (auto fault : {FakeSegmentApi::Fault::kFailBefore, FakeSegmentApi::Fault::kFailAfter}) {
        Harness w;
        ASSERT_EQ(w.create_scope("s"), CreateScopeStatus::kSuccess);
        ASSERT_EQ(w.create(kX, fixed(1)), CreateStreamStatus::kSuccess);
        std::vector<TransactionId> ids;
        for (int i = 0; i < 10; ++i) ids.push_back(w.begin(kX)->id);
        w.api.arm(fault, 0);
        w.executor->advance(seconds(16));
        w.executor->advance(seconds(20));
        for (const TransactionId& id : ids) EXPECT_EQ(w.state(kX, id), TransactionState::kAborted);
        EXPECT_THAT(w.garbage(), IsEmpty());
    }
}

TEST(TransactionLeases, TheNextThatIsDue) {
    using Clock = std::chrono::steady_clock;
    Leases<int> leases;
    std::vector<Leases<int>::Handle> handles(3);
    Clock::time_point start;
    for (int i = 0; i < 3; ++i) leases.set(handles[static_cast<std::size_t>(i)], start + seconds(10 - i), i);
    EXPECT_EQ(leases.next(), start + seconds(8));
    leases.set(handles[2], start + seconds(20), 2);
    leases.end(handles[1]);
    EXPECT_EQ(leases.next(), start + seconds(10));
    EXPECT_FALSE(leases.take_due(start + seconds(9)));
    EXPECT_EQ(leases.take_due(start + seconds(30)), 0);
    EXPECT_FALSE(leases.holds(handles[0]));
    EXPECT_EQ(leases.take_due(start + seconds(30)), 2);
    EXPECT_FALSE(leases.next());
}

}  // namespace
}  // namespace millrace::controller
