// Transactions: what clients ask of them, across scales and ends of streams.
#include "controller/transactions_harness.h"

namespace millrace::controller {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST_F(TransactionsTest, BeginsWithSegmentsOfItsOwn) {
    make_stream(2);
    BegunTransaction one = begun();
    BegunTransaction two = begun();
    EXPECT_LT(one.id, two.id);
    EXPECT_EQ(epoch_of(one.id), 0);
    ASSERT_THAT(one.segments, SizeIs(2));
    EXPECT_EQ(one.segments[1], (SegmentRange{segment_id(1, 0), 0.5, 1}));
    EXPECT_TRUE(t.api.segments.contains(own(one, 0)));
    EXPECT_TRUE(t.api.segments.contains(own(two, 1)));
    EXPECT_EQ(t.state(kX, one.id), TransactionState::kOpen);
    EXPECT_THAT(t.garbage(), IsEmpty());
}

TEST_F(TransactionsTest, CommitMovesItsBytes) {
    make_stream(2);
    BegunTransaction txn = begun();
    t.write(kX, txn, 0, 10);
    t.write(kX, txn, 1, 20);
    EXPECT_EQ(t.commit(kX, txn.id), kSuccess);
    EXPECT_EQ(t.state(kX, txn.id), TransactionState::kCommitted);
    EXPECT_EQ(t.api.segments.at("s/x/0.#epoch.0").length, 10);
    EXPECT_EQ(t.api.segments.at("s/x/1.#epoch.0").length, 20);
    EXPECT_EQ(t.commit(kX, txn.id), kSuccess) << "again";
    EXPECT_EQ(t.abort(kX, txn.id), kFailure);
    EXPECT_EQ(t.ping(kX, txn.id), PingStatus::kCommitted);
    EXPECT_THAT(t.keys("txn/"), IsEmpty());
    EXPECT_THAT(t.garbage(), IsEmpty());
}

TEST_F(TransactionsTest, AbortLeavesNothing) {
    make_stream(2);
    BegunTransaction txn = begun();
    t.write(kX, txn, 0, 10);
    EXPECT_EQ(t.abort(kX, txn.id), kSuccess);
    EXPECT_EQ(t.state(kX, txn.id), TransactionState::kAborted);
    EXPECT_EQ(t.abort(kX, txn.id), kSuccess) << "again";
    EXPECT_EQ(t.commit(kX, txn.id), kFailure);
    EXPECT_EQ(t.ping(kX, txn.id), PingStatus::kAborted);
    EXPECT_EQ(t.api.segments.at("s/x/0.#epoch.0").length, 0);
    EXPECT_THAT(t.garbage(), IsEmpty());
}

TEST_F(TransactionsTest, WhatIsNotThere) {
    make_stream(1);
    TransactionId unknown{0, 12345};
    EXPECT_EQ(t.commit(kX, unknown), kFailure);
    EXPECT_EQ(t.abort(kX, unknown), kFailure);
    EXPECT_EQ(t.ping(kX, unknown), PingStatus::kUnknown);
    EXPECT_EQ(t.state(kX, unknown), TransactionState::kUnknown);
    for (const StreamName& missing : {StreamName{"s", "none"}, StreamName{"none", "x"}, StreamName{"s", "a/b"}}) {
        EXPECT_EQ(t.begin(missing).error(), Errc::kNotFound);
        EXPECT_EQ(t.commit(missing, unknown), kFailure);
        EXPECT_EQ(t.state(missing, unknown), TransactionState::kUnknown);
        EXPECT_THAT(t.completed(missing), IsEmpty());
    }
    EXPECT_EQ(t.begin({"", "x"}).error(), Errc::kInvalidArgument);
}

TEST_F(TransactionsTest, LeasesHaveLimitsAndTheErrorSaysWhich) {
    make_stream(1);
    for (std::int64_t lease : {-1, 0, 9'999, 600'001}) {
        auto refused = t.begin(kX, lease);
        EXPECT_EQ(refused.error(), Errc::kInvalidArgument);
        EXPECT_THAT(refused.error().message(), HasSubstr("lease is " + std::to_string(lease)));
    }
    BegunTransaction txn = begun(600'000);
    EXPECT_EQ(t.ping(kX, txn.id, 600'001), PingStatus::kLeaseTooLarge);
    EXPECT_EQ(t.ping(kX, txn.id, 5'000), PingStatus::kOk);
}

TEST_F(TransactionsTest, CommitsKeepTheOrderOfTheirRequests) {
    make_stream(2);
    BegunTransaction one = begun();
    BegunTransaction two = begun();
    BegunTransaction three = begun();
    for (const auto* txn : {&one, &two, &three}) {
        t.write(kX, *txn, 0, 5);
        t.write(kX, *txn, 1, 5);
    }
    // All before any is carried out.
    std::vector<Result<TransactionOutcome>> outcomes;
    for (const auto* txn : {&two, &three, &one}) {
        t.controller->commit_transaction(kX, txn->id, {}, [&](auto outcome) { outcomes.push_back(outcome); });
    }
    t.api.arm(FakeSegmentApi::Fault::kNone, 0);
    t.executor->run_until_idle();
    ASSERT_THAT(outcomes, SizeIs(3));
    for (const auto& outcome : outcomes) EXPECT_EQ(outcome, kSuccess);
    EXPECT_THAT(merged_into("s/x/0.#epoch.0"), ElementsAre(own(two, 0), own(three, 0), own(one, 0)));
    EXPECT_THAT(merged_into("s/x/1.#epoch.0"), ElementsAre(own(two, 1), own(three, 1), own(one, 1)));
    EXPECT_THAT(t.garbage(), IsEmpty());
}

TEST_F(TransactionsTest, ManyCommitsAreOneMergeOfEachSegment) {
    make_stream(2);
    std::vector<BegunTransaction> all;
    for (int i = 0; i < 100; ++i) all.push_back(begun());
    t.api.arm(FakeSegmentApi::Fault::kNone, 0);
    for (const auto& txn : all) {
        t.write(kX, txn, 0, 1);
        t.controller->commit_transaction(kX, txn.id, {}, [](auto) {});
    }
    t.executor->run_until_idle();
    EXPECT_EQ(t.api.segments.at("s/x/0.#epoch.0").length, 100);
    // 100 records say committing; then rounds of two merges and one update: the first for the first commit, the rest.
    EXPECT_LE(t.api.changes(), 100u + 3 * 4);
    EXPECT_THAT(t.completed(kX), SizeIs(100));
}

TEST_F(TransactionsTest, ThousandsAreOpenAtOnce) {
    make_stream(1);
    std::vector<BegunTransaction> all;
    for (int i = 0; i < 5'000; ++i) all.push_back(begun());
    t.restart();
    EXPECT_EQ(t.state(kX, all[4'321].id), TransactionState::kOpen);
    EXPECT_EQ(t.commit(kX, all[4'321].id), kSuccess);
    t.executor->advance(seconds(20));
    EXPECT_THAT(t.keys("txn/"), IsEmpty());
    EXPECT_EQ(t.state(kX, all[4'320].id), TransactionState::kAborted);
    EXPECT_THAT(t.garbage(), IsEmpty());
}

TEST_F(TransactionsTest, AndThenNoMore) {
    t.transaction_options.open_limit = 2;
    t.restart();
    make_stream(1);
    BegunTransaction one = begun();
    begun();
    EXPECT_EQ(t.begin(kX).error(), Errc::kNoSpace);
    EXPECT_EQ(t.commit(kX, one.id), kSuccess);
    EXPECT_TRUE(t.begin(kX));
}
// ---- across scales ----

TEST_F(TransactionsTest, AfterAScaleItsSegmentsAreNamedByItsEpoch) {
    make_stream(2);
    ScaleRequest request;
    request.sealed = {segment_id(0, 0)};
    request.ranges = {{0, 0.25}, {0.25, 0.5}};
    ASSERT_TRUE(t.scale(kX, request.sealed, request.ranges));
    BegunTransaction txn = begun();
    EXPECT_EQ(epoch_of(txn.id), 1);
    EXPECT_THAT(ids_of(txn.segments), ElementsAre(segment_id(2, 1), segment_id(3, 1), segment_id(1, 1)));
    t.write(kX, txn, 2, 7);
    EXPECT_EQ(t.commit(kX, txn.id), kSuccess);
    EXPECT_EQ(t.api.segments.at("s/x/1.#epoch.0").length, 7) << "which is older than the epoch";
    EXPECT_THAT(t.garbage(), IsEmpty());
}

TEST_F(TransactionsTest, OfAnOlderEpochItMakesTwoNewOnes) {
    make_stream(1);
    BegunTransaction old = begun();
    t.write(kX, old, 0, 18);
    scale_to(2);
    EXPECT_EQ(t.commit(kX, old.id), kSuccess);
    EXPECT_EQ(t.state(kX, old.id), TransactionState::kCommitted);
    EXPECT_THAT(ids_of(*t.current(kX)), ElementsAre(segment_id(1, 3), segment_id(2, 3)));
    EXPECT_EQ(t.api.segments.at("s/x/0.#epoch.0").length, 0);
    EXPECT_EQ(t.api.segments.at("s/x/0.#epoch.2").length, 18);
    EXPECT_TRUE(t.api.segments.at("s/x/0.#epoch.2").sealed);
    EXPECT_TRUE(t.api.segments.at("s/x/1.#epoch.1").sealed);
    EXPECT_EQ(epoch_of(begun().id), 1) << "the epoch that the current one copies";
    EXPECT_THAT(t.garbage(), IsEmpty());
}

TEST_F(TransactionsTest, CommitsOfSeveralEpochsKeepTheirOrder) {
    make_stream(1);
    BegunTransaction old = begun();
    scale_to(2);
    BegunTransaction fresh = begun();
    t.write(kX, old, 0, 1);
    t.write(kX, fresh, 0, 1);
    t.controller->commit_transaction(kX, fresh.id, {}, [](auto) {});
    t.controller->commit_transaction(kX, old.id, {}, [](auto) {});
    t.executor->run_until_idle();
    EXPECT_EQ(t.api.segments.at("s/x/1.#epoch.1").length, 1);
    EXPECT_EQ(t.api.segments.at("s/x/0.#epoch.2").length, 1);
    EXPECT_THAT(t.garbage(), IsEmpty());
}

TEST_F(TransactionsTest, ACommitThatWaitsIsCarriedOutBeforeAScale) {
    make_stream(1);
    BegunTransaction txn = begun();
    t.write(kX, txn, 0, 5);
    t.api.arm(FakeSegmentApi::Fault::kFailBefore, 1);  // the merge, which is tried again later
    EXPECT_EQ(t.commit(kX, txn.id), kSuccess);
    EXPECT_EQ(t.state(kX, txn.id), TransactionState::kCommitting);
    scale_to(2);
    EXPECT_EQ(t.state(kX, txn.id), TransactionState::kCommitted);
    EXPECT_EQ(t.api.segments.at("s/x/0.#epoch.0").length, 5);
    EXPECT_THAT(ids_of(*t.current(kX)), ElementsAre(segment_id(1, 1), segment_id(2, 1)));
}

// ---- ends of streams ----

TEST_F(TransactionsTest, SealingAbortsOpenOnesAndCommitsOthers) {
    make_stream(1);
    BegunTransaction old = begun();
    t.write(kX, old, 0, 3);
    scale_to(2);
    BegunTransaction open = begun();
    BegunTransaction committing = begun();
    t.write(kX, open, 0, 1);
    t.write(kX, committing, 0, 2);
    t.controller->commit_transaction(kX, committing.id, {}, [](auto) {});
    t.controller->commit_transaction(kX, old.id, {}, [](auto) {});
    EXPECT_EQ(t.seal(kX), UpdateStreamStatus::kSuccess);
    EXPECT_EQ(t.state(kX, open.id), TransactionState::kAborted);
    EXPECT_EQ(t.state(kX, committing.id), TransactionState::kCommitted);
    EXPECT_EQ(t.state(kX, old.id), TransactionState::kCommitted);
    EXPECT_EQ(t.api.segments.at("s/x/0.#epoch.2").length, 3);
    EXPECT_EQ(t.begin(kX).error(), Errc::kInvalidArgument);
    EXPECT_EQ(t.commit(kX, committing.id), kSuccess) << "again";
    EXPECT_THAT(t.garbage(), IsEmpty());
    EXPECT_EQ(t.remove(kX), DeleteStreamStatus::kSuccess);
    EXPECT_THAT(t.keys("txn"), ElementsAre("txnid/s")) << "ids are never given twice";
    EXPECT_EQ(t.state(kX, old.id), TransactionState::kUnknown);
    EXPECT_THAT(t.garbage(), IsEmpty());
}

TEST_F(TransactionsTest, IdsGoOnWhereTheyWere) {
    make_stream(1);
    TransactionId last = begun().id;
    t.restart();
    EXPECT_LT(last, begun().id);
    EXPECT_EQ(t.delete_scope_recursive("s"), DeleteScopeStatus::kSuccess);
    EXPECT_EQ(t.create_scope("s"), CreateScopeStatus::kSuccess);
    make_stream(1);
    EXPECT_LT(last.low, begun().id.low);
    EXPECT_THAT(t.garbage(), IsEmpty());
}
// ---- many at once ----

TEST_F(TransactionsTest, ThousandsThatAreOpenWhenTheStreamIsSealed) {
    make_stream(1);
    std::vector<TransactionId> ids;
    for (int i = 0; i < 1'000; ++i) ids.push_back(begun(600'000).id);
    t.api.arm(FakeSegmentApi::Fault::kNone, 0);
    ASSERT_EQ(t.seal(kX), UpdateStreamStatus::kSuccess);
    // A deletion of each segment; besides, updates of hundreds of records.
    EXPECT_LT(t.api.changes(), 1'000u + 5 + 20 + 5);
    for (const TransactionId& id : ids) EXPECT_EQ(t.state(kX, id), TransactionState::kAborted);
    EXPECT_THAT(t.garbage(), IsEmpty());
}

}  // namespace
}  // namespace millrace::controller
