// What a connection answers, step by step: framing, appends, closing. Each with containers on its own core and on
// another one.
#include "store/connection.h"

#include <gtest/gtest.h>

#include "base/log.h"
#include "base/text.h"
#include "store/store_harness.h"

namespace millrace::store {
namespace {

struct ConnectionTest : StoreFixture {};

INSTANTIATE_TEST_SUITE_P(Containers, ConnectionTest, testing::Bool(),
                         [](const auto& param) { return param.param ? "OnAnotherCore" : "OnTheSameCore"; });

// ---- connection ----

TEST_P(ConnectionTest, HelloIsAnsweredAndServedWithoutIt) {
    TestClient& client = connect();
    EXPECT_EQ(client.call<wire::NoSuchSegment>(info("none")).offset, -1);
    auto hello = client.call<wire::Hello>(wire::Hello{99, 16});
    EXPECT_EQ(hello.high_version, 16);
    EXPECT_EQ(hello.low_version, 5);
    client.call<wire::Hello>(wire::Hello{5, 5});
    EXPECT_FALSE(client.closed());
}

TEST_P(ConnectionTest, ForeignVersionsAreAnsweredThenClosed) {
    for (wire::Hello hello : {wire::Hello{99, 17}, wire::Hello{4, 1}}) {
        TestClient& client = connect();
        client.call<wire::Hello>(hello);
        EXPECT_TRUE(client.closed());
    }
}

TEST_P(ConnectionTest, KeepAliveIsEchoed) {
    TestClient& client = connect();
    client.send(wire::KeepAlive{}, wire::KeepAlive{});
    EXPECT_EQ(client.replies().size(), 2u);
    client.send_bytes(unhex("0000006400000003010203"));
    EXPECT_EQ(client.replies().size(), 1u);
}

TEST_P(ConnectionTest, RequestIdsAreEchoedWhateverTheyAre) {
    TestClient& client = connect();
    for (std::int64_t id : {std::int64_t{0}, std::int64_t{-1}, kNullAttribute, std::int64_t{42}}) {
        EXPECT_EQ(client.call<wire::NoSuchSegment>(info("none", id)).request_id, id);
    }
}

TEST_P(ConnectionTest, AFrameMayComeInPieces) {
    TestClient& client = connect();
    std::vector<std::uint8_t> out;
    bytes::Writer writer(out);
    wire::encode(create(kSegment), writer);
    for (std::uint8_t byte : out) client.send_bytes({&byte, 1});
    auto replies = client.replies();
    ASSERT_EQ(replies.size(), 1u);
    EXPECT_NE(replies[0].as<wire::SegmentCreated>(), nullptr);
}

TEST_P(ConnectionTest, GarbageClosesItsOwnConnectionOnly) {
    TestClient& good = connect_with_writer();
    std::vector<std::string> frames = {
        "474554202f20485454502f312e310d0a0d0a",  // HTTP
        "0000303900000000",                      // unknown code
        "0000000bffffffff",                      // negative length
        "0000000b01000000",                      // too long
        "0000000b00000000",                      // fields are missing
        "0000000b0000000a00000007000000010029",  // string beyond the frame
        "0000000b0000000e0000000000000000"
        "0002ffff0000",                                                      // no modified UTF-8
        "000000000000000568656c6c6f",                                        // EVENT
        "fffffffe0000000568656c6c6f",                                        // PARTIAL_EVENT
        "000000150000000c000000000000000100026162",                          // a reply
        "0000002900000014000000000000000000020061006200000000000000000000",  // LOCATE_OFFSET
        "fffffffd0000000e00000000000000000000000000000000",                  // FLUSH_TO_STORAGE
        "0000004800000000",                                                  // retired
    };
    for (const std::string& frame : frames) {
        TestClient& bad = connect();
        bad.send_bytes(unhex(frame));
        EXPECT_TRUE(bad.replies().empty()) << frame;
        EXPECT_TRUE(bad.closed()) << frame;
    }
    EXPECT_EQ(h().state->counters.broken.get(), frames.size());
    EXPECT_EQ(good.call<wire::DataAppended>(append(1, "abc")).event_number, 1);
}

TEST_P(ConnectionTest, NothingBehindABadFrameIsServedAndEverythingBeforeItIs) {
    TestClient& client = connect_with_writer();
    std::vector<std::uint8_t> out;
    bytes::Writer writer(out);
    wire::encode(append(1, "abc"), writer);
    bytes::Writer(out).bytes(unhex("0000303900000000"));
    wire::encode(append(2, "def"), writer);
    client.send_bytes(out);
    client.replies();
    EXPECT_TRUE(client.closed());
    EXPECT_EQ(connect().call<wire::StreamSegmentInfo>(info(kSegment)).write_offset, 3);
}

TEST_P(ConnectionTest, TheReasonForACloseIsReadableWhateverTheClientSent) {
    testing::internal::CaptureStderr();
    std::string lone = "\xED\xA0\x80";  // half a surrogate pair: Java sends such, and a name may have it
    for (const std::string& name : {lone, "x" + std::string(200, '\n'), lone + lone}) {
        TestClient& client = connect();
        client.send(truncate(name, -1));
        EXPECT_TRUE(client.replies().empty());
        EXPECT_TRUE(client.closed());
    }
    std::string umlauts;  // cut somewhere
    for (int i = 0; i < 300; ++i) umlauts += "\u00fc";
    for (const char* shift : {"", "x"}) connect().send(truncate(shift + umlauts, -1));
    h().run();
    log::flush();
    std::string lines = testing::internal::GetCapturedStderr();
    std::ranges::replace(lines, '\n', ' ');
    EXPECT_EQ(printable(lines, lines.size()), lines) << "no UTF-8, or a line within a line";
    EXPECT_NE(lines.find("TRUNCATE_SEGMENT of \uFFFD\uFFFD\uFFFD: negative offset -1"), std::string::npos) << lines;
}

TEST_P(ConnectionTest, StallingWithinAFrameIsEnded) {
    StoreOptions options;
    options.partial_frame_timeout = std::chrono::seconds(100);
    with(options);
    h().state->start_sweeping();
    TestClient& idle = connect();
    TestClient& stalled = connect();
    stalled.send_bytes(unhex("000000"));
    EXPECT_EQ(stalled.transport.needed, 8u);
    h().loop.advance(std::chrono::seconds(95));
    EXPECT_FALSE(stalled.closed());
    stalled.send_bytes(unhex("0b00000010"));
    EXPECT_EQ(stalled.transport.needed, 24u);
    for (int i = 0; i < 5; ++i) {
        h().loop.advance(std::chrono::seconds(95));
        EXPECT_FALSE(stalled.closed()) << "it goes on, though slowly";
        stalled.send_bytes(unhex("00"));
    }
    h().loop.advance(std::chrono::seconds(115));
    EXPECT_TRUE(stalled.closed());
    EXPECT_FALSE(idle.closed());
}

TEST_P(ConnectionTest, TheEndOfAClientsHalfClosesTheRest) {
    TestClient& client = connect_with_writer();
    client.transport.handler->on_eof();
    h().run();
    EXPECT_TRUE(client.closed());
    EXPECT_EQ(h().state->counters.broken.get(), 0u);
}

// ---- appends ----

TEST_P(ConnectionTest, TheClientsWaysToSendAppends) {
    TestClient& client = connect_with_segment();
    auto exchange = [&](std::string_view hex) {
        client.send_bytes(unhex(hex));
        return client.replies();
    };
    auto set_up = exchange(
        "00000001000000330000000700000001000102030405060708090a0b0c0d0e0f001773636f70652f73747265616d2f302e2365706f6368"
        "2e300000");
    ASSERT_EQ(set_up.size(), 1u);
    EXPECT_EQ(set_up[0].as<wire::AppendSetup>()->last_event_number, kNullAttribute);
    // An event in a block of its own, as one frame, blocks with a cut, a padded and a wholly nested event.
    client.send_bytes(unhex(
        "000000030000001d000102030405060708090a0b0c0d0e0f000000000000000568656c6c6f"
        "000000040000002c000102030405060708090a0b0c0d0e0f0000000d000000000000000100000000000000010000000700000001"));
    h().run();
    EXPECT_EQ(client.transport.sent, unhex("0000000700000030000102030405060708090a0b0c0d0e0f"
                                           "000000000000000180000000000000000000000700000001000000000000000d"));
    client.replies();
    std::vector<std::pair<std::string, std::int64_t>> blocks = {
        {"0000000300000038000102030405060708090a0b0c0d0e0f00000000000000056576656e740000000000000005736576656efffffffe0"
         "0000006"
         "000000000000"
         "0000000400000033000102030405060708090a0b0c0d0e0f0000001a00000007000574686972640000000300000000000000040000000"
         "700000001",
         52},
        {"0000000300000038000102030405060708090a0b0c0d0e0f00000000000000056576656e740000000000000005736576656effffffff0"
         "0000006"
         "000000000000"
         "000000040000002c000102030405060708090a0b0c0d0e0f0000001a000000000000000200000000000000060000000700000001",
         78},
        {"000000030000002d000102030405060708090a0b0c0d0e0f00000000000000056576656e74fffffffe000000080000000000000000"
         "000000040000002c000102030405060708090a0b0c0d0e0f0000000d0000000000000002000000000000000b0000000700000001",
         99},
    };
    for (const auto& [hex, end] : blocks) {
        std::vector<std::uint8_t> bytes = unhex(hex);
        for (std::size_t cut = 0; cut < bytes.size(); cut += 9) {
            client.send_bytes(bytes::ByteSpan(bytes).subspan(cut, std::min<std::size_t>(9, bytes.size() - cut)));
        }
        auto replies = client.replies();
        ASSERT_EQ(replies.size(), 1u);
        EXPECT_EQ(replies[0].as<wire::DataAppended>()->current_segment_write_offset, end);
    }
    auto stored = client.call<wire::SegmentRead>(read(kSegment, 0, 1000));
    EXPECT_EQ(stored.data.size(), 99u);
    EXPECT_TRUE(std::ranges::equal(
        stored.data, unhex("000000000000000568656c6c6f"
                           "00000000000000056576656e740000000000000005736576656e00000000000000057468697264"
                           "00000000000000056576656e740000000000000005736576656e"
                           "00000000000000056576656e740000000000000000")));
}

TEST_P(ConnectionTest, ABlockAndItsEndInDifferentWindowsWithKeepAliveBetween) {
    TestClient& client = connect_with_writer();
    std::string event = "0123456789";
    client.send(wire::AppendBlock{kWriter, bytes::as_bytes(event)});
    client.send(wire::KeepAlive{});
    wire::AppendBlockEnd end = append(1, "");
    end.size_of_whole_events = 10;
    client.send(end);
    EXPECT_EQ(client.replies().size(), 2u);
    EXPECT_EQ(text(client.call<wire::SegmentRead>(read(kSegment, 0, 100)).data), event);
    client.send(wire::AppendBlock{kWriter, bytes::as_bytes(event)}, info(kSegment));
    EXPECT_TRUE(client.closed()) << "another request inside a block";
}

TEST_P(ConnectionTest, AppendsMayFollowTheirSetUpAtOnce) {
    TestClient& client = connect_with_segment();
    client.send(setup(kSegment), append(1, "abc"), append(2, "de"));
    auto replies = client.replies();
    ASSERT_EQ(replies.size(), 2u);
    EXPECT_NE(replies[0].as<wire::AppendSetup>(), nullptr);
    EXPECT_EQ(replies[1].as<wire::DataAppended>()->current_segment_write_offset, 5);
}

TEST_P(ConnectionTest, ManyAppendsOneAcknowledgement) {
    TestClient& client = connect_with_writer();
    std::vector<std::uint8_t> out;
    bytes::Writer writer(out);
    for (int i = 1; i <= 50; ++i) wire::encode(append(i, "0123", kWriter, 100 + i), writer);
    client.send_bytes(out);
    auto replies = client.replies();
    ASSERT_EQ(replies.size(), 1u);
    const auto* ack = replies[0].as<wire::DataAppended>();
    EXPECT_EQ(ack->previous_event_number, kNullAttribute);
    EXPECT_EQ(ack->event_number, 50);
    EXPECT_EQ(ack->request_id, 150);
    EXPECT_EQ(ack->current_segment_write_offset, 200);
    EXPECT_EQ(h().state->counters.appends.get(), 50u);
    EXPECT_EQ(h().state->counters.acknowledgements.get(), 1u);
}

TEST_P(ConnectionTest, ConditionalAppendsAreAnsweredOneByOne) {
    TestClient& client = connect_with_writer();
    client.send(conditional(1, 0, "abc", 1), conditional(2, 3, "de", 2), conditional(3, 99, "x", 3),
                conditional(4, -1, "f", 4));
    auto replies = client.replies();
    ASSERT_GE(replies.size(), 3u);
    EXPECT_EQ(replies[0].as<wire::DataAppended>()->request_id, 1);
    EXPECT_EQ(replies[1].as<wire::DataAppended>()->request_id, 2);
    EXPECT_EQ(replies[2].as<wire::ConditionalCheckFailed>()->request_id, 3);
    wire::ConditionalAppend event{kWriter, 5, 6, bytes::as_bytes("hi"), 5, {}};
    EXPECT_EQ(client.call<wire::DataAppended>(event).current_segment_write_offset, 16);
}

TEST_P(ConnectionTest, AnErrorComesAfterTheAcknowledgementsBeforeIt) {
    TestClient& client = connect_with_writer();
    h().hold_logs(true);
    client.send(append(1, "abc", kWriter, 1), append(2, "def", kWriter, 2), seal(kSegment, 3),
                append(3, "ghi", kWriter, 4), append(4, "jkl", kWriter, 5));
    EXPECT_TRUE(client.replies().empty()) << "nothing is durable";
    h().hold_logs(false);
    auto replies = client.replies();
    ASSERT_EQ(replies.size(), 3u);
    EXPECT_EQ(replies[0].as<wire::DataAppended>()->event_number, 2);
    EXPECT_NE(replies[1].as<wire::SegmentSealed>(), nullptr);
    ASSERT_NE(replies[2].as<wire::SegmentIsSealed>(), nullptr);
    EXPECT_EQ(replies[2].as<wire::SegmentIsSealed>()->offset, 3);
    EXPECT_EQ(replies[2].as<wire::SegmentIsSealed>()->request_id, 4);
    // The writer has not heard of it yet: dropped, and the connection stays.
    client.send(append(5, "", kWriter, 6), append(6, "mno", kWriter, 7));
    EXPECT_TRUE(client.replies().empty());
    EXPECT_FALSE(client.closed());
    EXPECT_EQ(h().credits->total(), 0u);
    EXPECT_EQ(client.call<wire::AppendSetup>(setup(kSegment)).last_event_number, 2);
}

TEST_P(ConnectionTest, ADeletedSegmentIsReportedOnce) {
    TestClient& client = connect_with_writer();
    client.call<wire::SegmentDeleted>(remove(kSegment));
    EXPECT_EQ(client.call<wire::NoSuchSegment>(append(1, "abc")).offset, -1);
    client.send(append(2, "def"));
    EXPECT_TRUE(client.replies().empty());
    EXPECT_FALSE(client.closed());
}

TEST_P(ConnectionTest, AppendsBehindAFailedSetUp) {
    TestClient& client = connect();
    client.send(setup("none", kWriter, 5), append(1, "abc"), append(2, ""));
    auto replies = client.replies();
    ASSERT_EQ(replies.size(), 1u) << "appends that were under way with the set-up are dropped";
    EXPECT_EQ(replies[0].as<wire::NoSuchSegment>()->request_id, 5);
    EXPECT_FALSE(client.closed());
    EXPECT_EQ(h().credits->total(), 0u);
    client.send(append(3, "abc"));
    EXPECT_TRUE(client.replies().empty());
    EXPECT_TRUE(client.closed()) << "one that was sent after it is a violation";
}

TEST_P(ConnectionTest, AppendsWithoutSetUpCloseTheConnection) {
    TestClient& plain = connect();
    plain.send(append(1, "abc"));
    EXPECT_TRUE(plain.closed());
    TestClient& block = connect();
    block.send(wire::AppendBlock{kWriter, bytes::as_bytes("abc")});
    EXPECT_TRUE(block.closed());
    TestClient& condition = connect();
    condition.send(conditional(1, 0, "abc"));
    EXPECT_TRUE(condition.closed());
}

TEST_P(ConnectionTest, EventNumbers) {
    TestClient& equal = connect_with_writer();
    equal.call<wire::DataAppended>(append(5, "abc"));
    EXPECT_EQ(equal.call<wire::InvalidEventNumber>(append(5, "def", kWriter, 9)).request_id, 9);
    EXPECT_TRUE(equal.closed()) << "an equal number is refused, and the connection closed";

    TestClient& lower = connect();
    EXPECT_EQ(lower.call<wire::AppendSetup>(setup(kSegment)).last_event_number, 5);
    lower.call<wire::DataAppended>(append(8, "abc"));
    lower.send(append(7, "def"));
    EXPECT_TRUE(lower.replies().empty());
    EXPECT_TRUE(lower.closed());

    TestClient& stale = connect();
    stale.call<wire::AppendSetup>(setup(kSegment));
    stale.send(append(3, "abc"));
    EXPECT_TRUE(stale.replies().empty());
    EXPECT_TRUE(stale.closed());
    EXPECT_EQ(connect().call<wire::StreamSegmentInfo>(info(kSegment)).write_offset, 6);
}

TEST_P(ConnectionTest, TheOlderOfTwoConnectionsWithOneWriterIsRefused) {
    TestClient& older = connect_with_writer();
    TestClient& newer = connect();
    newer.call<wire::AppendSetup>(setup(kSegment));
    newer.call<wire::DataAppended>(append(1, "new"));
    EXPECT_EQ(older.call<wire::InvalidEventNumber>(append(2, "old")).event_number, 2);
    EXPECT_TRUE(older.closed());
    EXPECT_EQ(newer.call<wire::DataAppended>(append(3, "new")).previous_event_number, 1);
}

TEST_P(ConnectionTest, ASecondSetUpRedirectsTheWriter) {
    TestClient& client = connect_with_segment("scope/a/0.#epoch.0");
    for (int i = 1; i < 8; ++i) client.call<wire::SegmentCreated>(create("scope/a/" + std::to_string(i) + ".#epoch.0"));
    for (int i = 0; i < 8; ++i) {
        std::string segment = "scope/a/" + std::to_string(i) + ".#epoch.0";
        EXPECT_EQ(client.call<wire::AppendSetup>(setup(segment)).segment, segment);
        EXPECT_EQ(client.call<wire::DataAppended>(append(1, "abc")).current_segment_write_offset, 3);
    }
}

TEST_P(ConnectionTest, SetUpAgainAnswersBehindTheAppendsBeforeItAndForThem) {
    TestClient& client = connect_with_writer();
    h().hold_logs(true);
    client.send(append(1, "abc"), setup(kSegment, kWriter, 2), append(2, "def", kWriter, 3));
    h().run();
    h().hold_logs(false);
    auto replies = client.replies();
    ASSERT_EQ(replies.size(), 2u);
    EXPECT_EQ(replies[0].as<wire::AppendSetup>()->last_event_number, 1);
    EXPECT_EQ(replies[1].as<wire::DataAppended>()->previous_event_number, 1);
    EXPECT_EQ(replies[1].as<wire::DataAppended>()->event_number, 2);
}

TEST_P(ConnectionTest, AVeryLargeAppend) {
    TestClient& client = connect_with_writer();
    std::string data(8 * 1024 * 1024 + 8, 'x');
    EXPECT_EQ(client.call<wire::DataAppended>(append(1, data)).current_segment_write_offset, std::ssize(data));
    EXPECT_EQ(h().state->counters.append_bytes.get(), data.size());
}

TEST_P(ConnectionTest, AFailedSetUpLeavesNothing) {
    TestClient& client = connect();
    for (int i = 0; i < 100; ++i) {
        client.call<wire::NoSuchSegment>(setup(std::string(8'000, 'n'), Uuid{1, static_cast<std::uint64_t>(i)}));
    }
    EXPECT_EQ(h().budgets->standing.total(), 0u);
    // Not counted as a writer of the connection, either.
    for (std::uint64_t i = 0; i <= wire::kMaxWritersPerConnection; ++i) {
        client.send(setup("none", Uuid{2, i}));
        if (i % 100 == 0) h().run();
    }
    EXPECT_EQ(client.replies().size(), wire::kMaxWritersPerConnection + 1);
    EXPECT_FALSE(client.closed());
    client.call<wire::SegmentCreated>(create(kSegment));
    client.call<wire::AppendSetup>(setup(kSegment));
    EXPECT_EQ(client.call<wire::DataAppended>(append(1, "abc")).event_number, 1);
}

TEST_P(ConnectionTest, AWriterThatFailsToMoveIsGone) {
    TestClient& client = connect_with_writer();
    client.call<wire::DataAppended>(append(1, "abc"));
    client.call<wire::NoSuchSegment>(setup("none"));
    EXPECT_EQ(h().budgets->standing.total(), 0u);
    client.send(setup("none"), setup(kSegment));
    auto replies = client.replies();
    ASSERT_EQ(replies.size(), 2u);
    for (const Received& reply : replies) {
        if (const auto* ready = reply.as<wire::AppendSetup>()) EXPECT_EQ(ready->last_event_number, 1);
    }
    EXPECT_EQ(client.call<wire::DataAppended>(append(2, "def")).previous_event_number, 1);
}

// ---- the end ----

TEST_P(ConnectionTest, HangingUpCancelsWhatWaitsAndFinishesWhatIsUnderWay) {
    TestClient& client = connect_with_writer();
    client.send(read(kSegment, 0, 100), read(kSegment, 50, 100));
    h().run();
    EXPECT_EQ(h().container_of(kSegment).stats().waiting_reads, 2u);
    h().hold_logs(true);
    client.send(append(1, "abc"), create("scope/other/0.#epoch.0"));
    client.transport.hang_up();
    h().run();
    EXPECT_EQ(h().container_of(kSegment).stats().waiting_reads, 0u);
    EXPECT_EQ(h().state->counters.closed.get(), 0u) << "it still has an append under way";
    h().hold_logs(false);
    h().run();
    EXPECT_EQ(h().state->counters.closed.get(), 1u);
    EXPECT_EQ(h().credits->total(), 0u);
    TestClient& again = connect();
    EXPECT_EQ(again.call<wire::AppendSetup>(setup(kSegment)).last_event_number, 1) << "it was carried out";
}

TEST_P(ConnectionTest, TransientSegmentsGoWithTheirConnection) {
    TestClient& client = connect_with_segment();
    wire::CreateTransientSegment request{7, kWriter, kSegment, ""};
    std::string merged = client.call<wire::SegmentCreated>(request).segment;
    std::string left = client.call<wire::SegmentCreated>(request).segment;
    EXPECT_EQ(merged.substr(0, kSegment.size() + 44), kSegment + "#transient.000102030405060708090a0b0c0d0e0f.");
    EXPECT_EQ(merged.size(), kSegment.size() + 44 + 32);
    EXPECT_NE(merged, left);
    EXPECT_EQ(client.call<wire::AppendSetup>(setup(merged)).last_event_number, kNullAttribute);
    client.call<wire::DataAppended>(conditional(0, 0, "first"));
    EXPECT_EQ(client.call<wire::DataAppended>(conditional(1, 5, "second")).previous_event_number, 0);
    EXPECT_EQ(
        client.call<wire::SegmentsMerged>(wire::MergeSegments{8, kSegment, merged, "", {}}).new_target_write_offset,
        11);
    TestClient& other = connect();
    EXPECT_TRUE(other.call<wire::StreamSegmentInfo>(info(left)).exists);
    client.transport.hang_up();
    h().run();
    EXPECT_EQ(other.call<wire::NoSuchSegment>(info(left)).segment, left);
    EXPECT_EQ(other.call<wire::StreamSegmentInfo>(info(kSegment)).write_offset, 11);
}

TEST_P(ConnectionTest, ATransientSegmentThatIsMadeTooLateGoesToo) {
    TestClient& client = connect_with_segment();
    h().hold_logs(true);
    client.send(wire::CreateTransientSegment{7, kWriter, kSegment, ""});
    client.transport.hang_up();
    h().run();
    h().hold_logs(false);
    h().run();
    EXPECT_EQ(h().container_of(kSegment).stats().segments, 1u);
}

TEST_P(ConnectionTest, ClosingAllWaitsForTheLast) {
    TestClient& client = connect_with_writer();
    h().hold_logs(true);
    client.send(append(1, "abc"));
    bool empty = false;
    h().state->close_all([&] { empty = true; });
    h().run();
    EXPECT_TRUE(client.closed());
    EXPECT_FALSE(empty);
    h().hold_logs(false);
    h().run();
    EXPECT_TRUE(empty);
}

}  // namespace
}  // namespace millrace::store
