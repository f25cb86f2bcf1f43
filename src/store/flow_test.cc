// How much a connection may make the store hold, and who waits for whom: credits, a full log, read replies that nobody
// takes, what stays for long. Each with containers on the connections' core and on another one.
#include <gtest/gtest.h>

#include "store/connection.h"
#include "store/store_harness.h"

namespace millrace::store {
namespace {

struct FlowTest : StoreFixture {};

INSTANTIATE_TEST_SUITE_P(Containers, FlowTest, testing::Bool(),
                         [](const auto& param) { return param.param ? "OnAnotherCore" : "OnTheSameCore"; });

TEST_P(FlowTest, CreditsHoldTheSocketBackAndNothingIsLost) {
    StoreOptions options;
    options.credits = {.total_bytes = 100'000, .always_bytes = 20'000, .shared_bytes = 60'000};
    with(options);
    TestClient& client = connect_with_writer();
    TestClient& other = connect();
    other.call<wire::AppendSetup>(setup(kSegment, Uuid{5, 5}));
    h().hold_logs(true);
    std::string data(9'000, 'x');
    for (int i = 1; i <= 20; ++i) client.send(append(i, data));
    h().run();
    EXPECT_TRUE(client.transport.paused);
    EXPECT_GT(client.transport.unread(), 100'000u);
    EXPECT_GT(h().state->counters.pauses.get(), 0u);
    other.send(append(1, data, Uuid{5, 5}));
    h().run();
    EXPECT_FALSE(other.transport.paused) << "a little is possible at any time";
    h().hold_logs(false);
    auto replies = client.replies();
    ASSERT_FALSE(replies.empty());
    EXPECT_EQ(replies.back().as<wire::DataAppended>()->event_number, 20);
    EXPECT_FALSE(client.transport.paused);
    EXPECT_EQ(other.replies().size(), 1u);
}

// Whoever holds nothing is served whatever the others hold; only appends, which would hold more, wait for them.
TEST_P(FlowTest, AConnectionThatHoldsNothingIsReadWhileOthersHoldEverything) {
    StoreOptions options;
    options.credits = {.total_bytes = 5'000, .always_bytes = 20'000, .shared_bytes = 60'000};
    with(options);
    TestClient& client = connect_with_writer();
    TestClient& other = connect();
    Uuid writer{5, 5};
    other.call<wire::AppendSetup>(setup(kSegment, writer));
    h().log_of(kSegment).set_full(true);
    std::string data(6'000, 'x');
    client.send(append(1, data));
    h().run();
    other.send(wire::KeepAlive{});
    EXPECT_EQ(other.replies().size(), 1u);
    EXPECT_EQ(other.call<wire::StreamSegmentInfo>(info(kSegment)).write_offset, 0);
    EXPECT_EQ(other.call<wire::SegmentTruncated>(truncate(kSegment, 0)).segment, kSegment) << "it frees space";
    // Held as soon as its type is known, not when all of it is here.
    std::vector<std::uint8_t> frame;
    bytes::Writer out(frame);
    wire::encode(append(1, data, writer), out);
    other.send_bytes(bytes::ByteSpan(frame).first(8));
    h().run();
    EXPECT_TRUE(other.transport.paused);
    other.send_bytes(bytes::ByteSpan(frame).subspan(8));
    h().run();
    EXPECT_EQ(other.transport.unread(), frame.size());
    h().log_of(kSegment).set_full(false);
    h().run();
    EXPECT_FALSE(other.transport.paused);
    auto replies = other.replies();
    ASSERT_EQ(replies.size(), 1u);
    EXPECT_EQ(replies[0].as<wire::DataAppended>()->event_number, 1);
}

TEST_P(FlowTest, AFullLogHoldsAppendsBackAndKillsNobody) {
    TestClient& client = connect_with_writer();
    h().log_of(kSegment).set_full(true);
    client.send(append(1, "abc"));
    EXPECT_TRUE(client.replies().empty());
    EXPECT_GT(h().credits->total(), 0u);
    EXPECT_EQ(connect().call<wire::StreamSegmentInfo>(info(kSegment)).write_offset, 0);
    h().log_of(kSegment).set_full(false);
    auto replies = client.replies();
    ASSERT_EQ(replies.size(), 1u);
    EXPECT_EQ(replies[0].as<wire::DataAppended>()->event_number, 1);
}

TEST_P(FlowTest, WhatStaysForAClientIsLimited) {
    StoreOptions options;
    options.standing = {.total_bytes = 200'000, .connection_bytes = 100'000, .always_bytes = 20'000};
    with(options);
    std::string name(9'000, 'n');
    TestClient& first = connect_with_segment(name);
    auto writers = [&](TestClient& client, std::uint64_t from, std::uint64_t to) {
        for (std::uint64_t i = from; i < to; ++i) client.send(setup(name, Uuid{7, i}));
        return client.replies().size();
    };
    EXPECT_EQ(writers(first, 0, 5), 5u);
    EXPECT_EQ(h().budgets->standing.total(), 5 * (9'000u + StoreConnection::kStandingOverhead));
    EXPECT_EQ(writers(first, 0, 5), 5u) << "writers that set up again take the place of their former selves";
    EXPECT_EQ(h().budgets->standing.total(), 5 * (9'000u + StoreConnection::kStandingOverhead));
    EXPECT_EQ(writers(first, 5, 10), 5u);
    writers(first, 10, 11);
    EXPECT_TRUE(first.closed()) << "more than one connection may have";
    EXPECT_EQ(h().budgets->standing.total(), 0u);

    // Waiting reads count as well.
    TestClient& second = connect();
    for (int i = 0; i < 10; ++i) second.send(read(name, 0, 100, i));
    EXPECT_TRUE(second.replies().empty());
    EXPECT_FALSE(second.closed());
    TestClient& third = connect();
    EXPECT_EQ(writers(third, 20, 30), 10u);
    EXPECT_FALSE(third.closed());
    TestClient& fourth = connect();
    EXPECT_EQ(writers(fourth, 30, 32), 2u) << "a little is possible at any time";
    EXPECT_FALSE(fourth.closed());
    writers(fourth, 32, 33);
    EXPECT_TRUE(fourth.closed()) << "all of them have what they may have";
    EXPECT_FALSE(second.closed());
}

// 20 clients that do not read: more than the budget is never held for them, nobody fails, and who reads gets on.
TEST_P(FlowTest, SlowReadersShareABudgetAndHoldNobodyUp) {
    StoreOptions options;
    options.reads = {.total_bytes = 300'000, .least_bytes = 10'000};
    with(options);
    TestClient& writer = connect_with_writer();
    writer.call<wire::DataAppended>(append(1, std::string(50'000, 'x')));
    std::vector<TestClient*> slow;
    for (int i = 0; i < 20; ++i) {
        TestClient& client = *slow.emplace_back(&connect());
        client.transport.hold_sends = true;
        for (int id = 0; id < 3; ++id) client.send(read(kSegment, 0, 50'000, id));
        h().run();
    }
    EXPECT_LE(h().budgets->reads.total(), 300'000u + 20 * 10'000u + 50'000u);
    EXPECT_TRUE(slow[19]->transport.paused);
    TestClient& quick = connect();
    for (int round = 0; round < 3; ++round) {
        auto reply = quick.call<wire::SegmentRead>(read(kSegment, 0, 50'000));
        EXPECT_EQ(reply.data.size(), 10'000u) << "a little is possible at any time";
        EXPECT_FALSE(reply.at_tail);
    }
    std::vector<std::size_t> answered(slow.size());
    for (int round = 0; round < 10; ++round) {
        for (std::size_t i = 0; i < slow.size(); ++i) {
            slow[i]->transport.take_held();
            answered[i] += slow[i]->replies().size();
        }
    }
    for (std::size_t i = 0; i < slow.size(); ++i) {
        EXPECT_EQ(answered[i], 3u) << i;
        EXPECT_FALSE(slow[i]->closed());
    }
    EXPECT_EQ(h().budgets->reads.total(), 0u);
    EXPECT_EQ(quick.call<wire::SegmentRead>(read(kSegment, 0, 50'000)).data.size(), 50'000u);
}

TEST_P(FlowTest, AWaitingReadThatIsWokenIntoAFullBudgetIsAnsweredLater) {
    StoreOptions options;
    options.reads = {.total_bytes = 100'000, .least_bytes = 10'000};
    options.send_queue_bytes_max = 1'000'000;
    with(options);
    TestClient& writer = connect_with_writer();
    TestClient& slow = connect();
    slow.transport.hold_sends = true;
    for (int i = 0; i < 50; ++i) slow.send(read(kSegment, 0, 50'000, i));
    h().run();
    EXPECT_EQ(h().budgets->reads.total(), 0u) << "waiting holds no bytes";
    writer.call<wire::DataAppended>(append(1, std::string(40'000, 'x')));
    EXPECT_LE(h().budgets->reads.total(), 140'000u);
    EXPECT_LE(slow.transport.unsent_bytes(), 150'000u);
    std::size_t answered = 0;
    for (int round = 0; round < 50 && answered < 50; ++round) {
        slow.transport.take_held();
        slow.transport.hold_sends = true;
        for (const Received& received : slow.replies()) {
            const auto* reply = received.as<wire::SegmentRead>();
            ASSERT_NE(reply, nullptr);
            EXPECT_EQ(reply->request_id, static_cast<std::int64_t>(answered++)) << "in order";
            EXPECT_GE(reply->data.size(), 10'000u);
        }
    }
    EXPECT_EQ(answered, 50u);
    EXPECT_EQ(h().budgets->reads.total(), 0u);
    // And when the client goes away instead.
    for (int i = 0; i < 50; ++i) slow.send(read(kSegment, 40'000, 50'000, i));
    h().run();
    writer.call<wire::DataAppended>(append(2, std::string(40'000, 'x')));
    EXPECT_GT(h().budgets->reads.total(), 0u);
    slow.transport.hang_up();
    h().run();
    EXPECT_EQ(h().budgets->reads.total(), 0u);
    EXPECT_EQ(h().state->counters.closed.get(), 1u);
}

TEST_P(FlowTest, NoRequestIsStartedWhileTheClientDoesNotRead) {
    StoreOptions options;
    options.send_queue_bytes_max = 100'000;
    options.loading_read_bytes_max = 100'000;
    with(options);
    TestClient& client = connect_with_writer();
    std::string data(50'000, 'x');
    client.call<wire::DataAppended>(append(1, data));
    client.transport.hold_sends = true;
    for (int i = 0; i < 10; ++i) client.send(read(kSegment, 0, 50'000, i));
    h().run();
    EXPECT_TRUE(client.transport.paused);
    EXPECT_GT(client.transport.unread(), 0u);
    EXPECT_LE(client.transport.unsent_bytes(), 300'000u);
    std::size_t answered = 0;
    for (int round = 0; round < 10; ++round) {
        client.transport.take_held();
        client.transport.hold_sends = round < 9;
        answered += client.replies().size();
    }
    EXPECT_EQ(answered, 10u);
    EXPECT_EQ(client.transport.unread(), 0u);
}

}  // namespace
}  // namespace millrace::store
