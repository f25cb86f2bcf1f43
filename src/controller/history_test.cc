// A stream that changes its segments for ever keeps a bounded history, and answers all that can still be asked.
#include "controller/history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/controller_harness.h"

namespace millrace::controller {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

const StreamName kX{"s", "x"};

// Each epoch has one segment, of its own number.
StreamSegmentId in_epoch(std::int32_t epoch) { return segment_id(epoch, epoch); }

struct History : testing::Test {
    History() {
        EXPECT_EQ(t.create_scope("s"), CreateScopeStatus::kSuccess);
        EXPECT_EQ(t.create(kX, fixed(1)), CreateStreamStatus::kSuccess);
    }
    void grow_to(std::int32_t epoch) {
        while (epoch_of(t.current(kX)->front().id) < epoch) {
            StreamSegmentId last = t.current(kX)->front().id;
            ASSERT_EQ(t.scale(kX, {last}, {{0, 1}})->status, ScaleStatus::kStarted);
        }
    }
    void truncate_at(std::int32_t epoch) {
        ASSERT_EQ(t.truncate(kX, {{in_epoch(epoch), 0}}), UpdateStreamStatus::kSuccess);
    }
    std::int32_t oldest() {
        auto epochs = t.call<std::vector<Epoch>>([&](auto done) { t.controller->list_epochs(kX, 0, 1, done); });
        return epochs && !epochs->empty() ? epochs->front().epoch : -1;
    }
    auto successors(StreamSegmentId segment) {
        return t.call<std::vector<Successor>>(
            [&](auto done) { t.controller->successors(kX, segment, std::move(done)); });
    }
    Result<bool> valid(StreamCut cut) {
        return t.call<bool>([&](auto done) { t.controller->is_cut_valid(kX, cut, std::move(done)); });
    }
    auto between(StreamCut from, StreamCut to) {
        return t.call<std::vector<StreamSegmentId>>(
            [&](auto done) { t.controller->segments_between(kX, from, to, std::move(done)); });
    }

    Harness t;
};

TEST_F(History, StaysWithoutATruncation) {
    grow_to(150);
    EXPECT_EQ(oldest(), 0);
    truncate_at(99);
    EXPECT_EQ(oldest(), 0);
    truncate_at(100);
    EXPECT_EQ(oldest(), 0);
    truncate_at(101);
    EXPECT_EQ(oldest(), 1);
}

TEST_F(History, GoesFarBehindTheHead) {
    grow_to(160);
    truncate_at(150);
    EXPECT_EQ(oldest(), 50);
    EXPECT_THAT(t.keys("epoch/s/x/"), SizeIs(111));
    EXPECT_THAT(t.keys("sealed/s/x/"), SizeIs(110));
    EXPECT_THAT(t.garbage(), IsEmpty());

    auto of_epoch = [&](std::int32_t epoch) {
        return t.call<std::vector<SegmentRange>>(
            [&](auto done) { t.controller->epoch_segments(kX, epoch, std::move(done)); });
    };
    EXPECT_THAT(*of_epoch(50), SizeIs(1));
    EXPECT_EQ(of_epoch(49).error(), Errc::kNotFound);
    EXPECT_EQ(successors(in_epoch(50))->front().segment.id, in_epoch(51));
    EXPECT_EQ(successors(in_epoch(155))->front().segment.id, in_epoch(156));
    EXPECT_THAT(*successors(in_epoch(160)), IsEmpty());
    EXPECT_EQ(successors(in_epoch(49)).error(), Errc::kNotFound) << "not the end of the stream";
    EXPECT_EQ(valid({{in_epoch(150), 0}}), true);
    EXPECT_EQ(valid({{in_epoch(60), 0}}), true);
    EXPECT_EQ(valid({{in_epoch(40), 0}}), false);
    EXPECT_THAT(*between({{in_epoch(158), 0}}, {}), ElementsAre(in_epoch(158), in_epoch(159), in_epoch(160)));
    EXPECT_THAT(*between({}, {{in_epoch(51), 0}}), ElementsAre(in_epoch(50), in_epoch(51)));
    EXPECT_EQ(between({{in_epoch(40), 0}}, {}).error(), Errc::kInvalidArgument);
    EXPECT_EQ(t.truncate(kX, {{in_epoch(40), 0}}), UpdateStreamStatus::kFailure);
    EXPECT_EQ(t.check_scale(kX, 3), ScaleProgress::kSuccess);

    t.restart();
    EXPECT_EQ(oldest(), 50);
    truncate_at(160);
    EXPECT_EQ(oldest(), 60);
    ASSERT_EQ(t.seal(kX), UpdateStreamStatus::kSuccess);
    ASSERT_EQ(t.remove(kX), DeleteStreamStatus::kSuccess);
    EXPECT_THAT(t.keys("epoch/s/x"), IsEmpty());
    EXPECT_THAT(t.keys("sealed/s/x"), IsEmpty());
    EXPECT_THAT(t.garbage(), IsEmpty());
}

// A segment of epoch 0 that nothing replaced keeps it.
TEST_F(History, StaysForASegmentThatLives) {
    ASSERT_EQ(t.update(kX, fixed(2)), UpdateStreamStatus::kSuccess);
    std::int32_t last = 2;
    for (std::int32_t epoch = 2; epoch <= 120; ++epoch) {
        ASSERT_EQ(t.scale(kX, {segment_id(last, epoch - 1)}, {{0.5, 1}})->status, ScaleStatus::kStarted);
        last = epoch + 1;
    }
    ASSERT_EQ(t.truncate(kX, {{segment_id(1, 1), 0}, {segment_id(last, 120), 0}}), UpdateStreamStatus::kSuccess);
    EXPECT_EQ(oldest(), 0);
    EXPECT_EQ(valid({{segment_id(1, 1), 0}, {segment_id(last, 120), 0}}), true);
}

TEST_F(History, StaysForATransaction) {
    grow_to(3);
    t.transaction_options.execution_max = std::chrono::hours(1000);
    t.restart();
    auto txn = t.begin(kX, 600'000);
    ASSERT_TRUE(txn);
    t.write(kX, *txn, 0, 5);
    grow_to(150);
    truncate_at(150);
    EXPECT_EQ(oldest(), 3);
    EXPECT_EQ(t.commit(kX, txn->id), TransactionOutcome::kSuccess);
    EXPECT_EQ(t.state(kX, txn->id), TransactionState::kCommitted);
    EXPECT_THAT(t.garbage(), IsEmpty());
    auto current = t.current(kX)->front().id;
    ASSERT_EQ(t.truncate(kX, {{current, 0}}), UpdateStreamStatus::kSuccess);
    EXPECT_EQ(oldest(), 52);
    // Its copy stands for epoch 150, whose transactions are still named by it.
    txn = t.begin(kX, 600'000);
    ASSERT_TRUE(txn);
    EXPECT_EQ(epoch_of(txn->id), 150);
    EXPECT_EQ(t.abort(kX, txn->id), TransactionOutcome::kSuccess);
    EXPECT_EQ(t.state(kX, txn->id), TransactionState::kAborted);
}

TEST_F(History, StaysForASubscriber) {
    ASSERT_EQ(t.create_group("s", "g", group_over({kX}, ReaderGroupRetention::kManual))->status,
              CreateReaderGroupStatus::kSuccess);
    grow_to(10);
    auto report = [&](std::int32_t epoch) {
        SubscriberCut cut{"s/g", 0, Uuid{1, 1}, kX, {{in_epoch(epoch), 0}}};
        return t.call<UpdateSubscriberStatus>([&](auto done) { t.controller->update_subscriber(cut, done); });
    };
    ASSERT_EQ(report(7), UpdateSubscriberStatus::kSuccess);
    grow_to(140);
    truncate_at(140);
    EXPECT_EQ(oldest(), 7);
    EXPECT_EQ(report(6), UpdateSubscriberStatus::kStreamCutNotValid);
    ASSERT_EQ(report(130), UpdateSubscriberStatus::kSuccess);
    grow_to(141);
    truncate_at(141);
    EXPECT_EQ(oldest(), 41);
    EXPECT_EQ(report(8), UpdateSubscriberStatus::kStreamCutNotValid);
    auto retained = t.call<RetentionReport>([&](auto done) { t.controller->retention_report(kX, std::move(done)); });
    EXPECT_TRUE(retained) << retained.error().to_string();
}

TEST_F(History, OfManyEpochsGoesInParts) {
    grow_to(1'300);
    truncate_at(1'300);
    EXPECT_GT(oldest(), 900);
    truncate_at(1'300);  // as it was: nothing to do
    grow_to(1'301);
    truncate_at(1'301);
    EXPECT_EQ(oldest(), 1'201);
    EXPECT_THAT(t.garbage(), IsEmpty());
}

// ---- while a change is under way ----

// Its successors can be read as soon as a segment is sealed, whenever the controller comes to the end of the change.
TEST_F(History, CutsOfAScaleThatIsUnderWay) {
    EXPECT_EQ(valid({{in_epoch(1), 0}}), false);
    t.api.arm(FakeSegmentApi::Fault::kHang, 4);  // intent, segment, epoch, seal; not the end
    auto scaled = t.try_call<ScaleResult>([&](auto done) {
        ScaleRequest request{{in_epoch(0)}, {{0, 1}}, 0};
        t.controller->scale_stream(kX, request, std::move(done));
    });
    ASSERT_FALSE(scaled);
    ASSERT_TRUE(t.api.segments.at("s/x/0.#epoch.0").sealed);
    EXPECT_EQ(t.current(kX)->front().id, in_epoch(0)) << "it is under way";
    EXPECT_EQ(valid({{in_epoch(1), 0}}), true);
    EXPECT_EQ(valid({{in_epoch(2), 0}}), false);
    EXPECT_THAT(*between({{in_epoch(0), 0}}, {{in_epoch(1), 0}}), ElementsAre(in_epoch(0), in_epoch(1)));
    EXPECT_THAT(*between({}, {{in_epoch(1), 0}}), ElementsAre(in_epoch(0), in_epoch(1)));
    EXPECT_THAT(*between({{in_epoch(1), 0}}, {}), IsEmpty());
    t.api.let_go();
    t.restart();
    EXPECT_EQ(valid({{in_epoch(1), 0}}), true);
}

}  // namespace
}  // namespace millrace::controller
