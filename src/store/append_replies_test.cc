#include "store/append_replies.h"

#include <gtest/gtest.h>

#include "store/store_harness.h"

namespace millrace::store {
namespace {

using container::AppendOutcome;
using container::AppendStatus;

struct AppendRepliesTest : testing::Test {
    AppendReplies replies;
    Session first;
    Session second;
    AppendReplies::Verdict verdict;

    AppendRepliesTest() {
        for (Session* session : {&first, &second}) {
            session->state = Session::State::kReady;
            session->segment_name = kSegment;
            session->outstanding = 100;
        }
        first.writer_id = Uuid{0, 1};
        second.writer_id = Uuid{0, 2};
    }
    static AppendOutcome done(Session& session, std::int64_t event, std::int64_t previous, bool conditional = false) {
        return {&session, AppendStatus::kAppended, conditional, event, previous, event * 10, event * 100, 5};
    }
    static AppendOutcome failed(Session& session, std::int64_t event, AppendStatus status, bool conditional = false) {
        return {&session, status, conditional, event, 0, event * 10, 0, 5};
    }
    std::vector<Received> encode(std::vector<AppendOutcome> outcomes) {
        std::vector<std::uint8_t> out;
        bytes::Writer writer(out);
        verdict = replies.encode(outcomes, writer);
        ReplyReader reader;
        reader.add(out);
        std::vector<Received> all;
        for (Received next; reader.next(next);) all.push_back(next);
        EXPECT_EQ(all.size(), verdict.frames);
        return all;
    }
    static void expect_ack(const Received& reply, const Session& session, std::int64_t previous, std::int64_t event) {
        const auto* ack = reply.as<wire::DataAppended>();
        ASSERT_NE(ack, nullptr);
        EXPECT_EQ(ack->writer_id, session.writer_id);
        EXPECT_EQ(ack->previous_event_number, previous);
        EXPECT_EQ(ack->event_number, event);
        EXPECT_EQ(ack->request_id, event * 10);
        EXPECT_EQ(ack->current_segment_write_offset, event * 100);
    }
};

TEST_F(AppendRepliesTest, OneAcknowledgementForAllPlainAppendsOfAWriter) {
    auto all = encode({done(first, 1, kNullAttribute), done(first, 4, 1), done(first, 9, 4)});
    ASSERT_EQ(all.size(), 1u);
    expect_ack(all[0], first, kNullAttribute, 9);
    EXPECT_EQ(verdict.appends, 3u);
    EXPECT_EQ(verdict.bytes, 15u);
    EXPECT_TRUE(verdict.close.empty());
    EXPECT_EQ(first.outstanding, 97u);
}

TEST_F(AppendRepliesTest, WritersThatTakeTurnsGetOneEach) {
    auto all = encode({done(first, 1, 0), done(second, 1, 0), done(first, 2, 1), done(second, 3, 1)});
    ASSERT_EQ(all.size(), 2u);
    expect_ack(all[0], first, 0, 2);
    expect_ack(all[1], second, 0, 3);
}

TEST_F(AppendRepliesTest, ConditionalAppendsAreAnsweredOneByOneAndInOrder) {
    auto all = encode(
        {done(first, 1, 0), done(first, 2, 1), done(first, 3, 2, true), done(first, 4, 3, true), done(first, 5, 4)});
    ASSERT_EQ(all.size(), 4u);
    expect_ack(all[0], first, 0, 2);
    expect_ack(all[1], first, 2, 3);
    expect_ack(all[2], first, 3, 4);
    expect_ack(all[3], first, 4, 5);
}

TEST_F(AppendRepliesTest, ARefusedConditionLeavesTheWriterAlone) {
    auto all = encode({done(first, 1, 0), failed(first, 2, AppendStatus::kBadOffset, true), done(first, 3, 1)});
    ASSERT_EQ(all.size(), 3u);
    expect_ack(all[0], first, 0, 1);
    EXPECT_EQ(all[1].as<wire::ConditionalCheckFailed>()->event_number, 2);
    EXPECT_EQ(all[1].as<wire::ConditionalCheckFailed>()->request_id, 20);
    expect_ack(all[2], first, 1, 3);
    EXPECT_EQ(first.state, Session::State::kReady);
}

TEST_F(AppendRepliesTest, AnErrorFollowsTheAcknowledgementsBeforeItAndIsSaidOnce) {
    auto all = encode({done(first, 1, 0), done(second, 1, 0), failed(first, 2, AppendStatus::kSealed),
                       failed(first, 3, AppendStatus::kSealed), done(second, 2, 1)});
    ASSERT_EQ(all.size(), 3u);
    expect_ack(all[0], first, 0, 1);
    EXPECT_EQ(all[1].as<wire::SegmentIsSealed>()->offset, 2) << "the event number of the refused append";
    EXPECT_EQ(all[1].as<wire::SegmentIsSealed>()->request_id, 20);
    EXPECT_EQ(all[1].as<wire::SegmentIsSealed>()->segment, kSegment);
    expect_ack(all[2], second, 0, 2);
    EXPECT_EQ(first.state, Session::State::kFailed);
    EXPECT_EQ(first.outstanding, 0u) << "what is behind a refusal will be dropped";
    EXPECT_EQ(verdict.appends, 102u);
    EXPECT_TRUE(verdict.close.empty());
}

TEST_F(AppendRepliesTest, MissingSegmentAndBadEventNumber) {
    auto all =
        encode({failed(first, 2, AppendStatus::kNoSuchSegment), failed(second, 3, AppendStatus::kBadEventNumber)});
    ASSERT_EQ(all.size(), 2u);
    EXPECT_EQ(all[0].as<wire::NoSuchSegment>()->offset, -1);
    EXPECT_EQ(all[1].as<wire::InvalidEventNumber>()->event_number, 3);
    EXPECT_EQ(all[1].as<wire::InvalidEventNumber>()->request_id, 30);
    EXPECT_FALSE(verdict.close.empty());
    EXPECT_TRUE(encode({failed(first, 2, AppendStatus::kFatal)}).empty());
}

TEST_F(AppendRepliesTest, AWriterThatWasSetUpAgainHearsNothingOfItsOldPlainAppends) {
    first.superseded = true;
    auto all = encode({done(first, 1, 0), done(first, 2, 1, true), failed(first, 3, AppendStatus::kSealed)});
    ASSERT_EQ(all.size(), 1u);
    expect_ack(all[0], first, 1, 2);
    EXPECT_TRUE(verdict.close.empty());
}

}  // namespace
}  // namespace millrace::store
