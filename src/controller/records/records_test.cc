#include <functional>
#include <limits>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/records/autoscale_record.h"
#include "controller/records/epoch_record.h"
#include "controller/records/group_record.h"
#include "controller/records/last_number_record.h"
#include "controller/records/marker_entries.h"
#include "controller/records/scope_record.h"
#include "controller/records/sealed_segment_record.h"
#include "controller/records/stream_record.h"
#include "controller/records/subscriber_record.h"
#include "controller/records/table_record.h"
#include "controller/records/transaction_record.h"

namespace millrace::controller {
namespace {

std::string hex(std::string_view bytes) {
    std::string text;
    for (unsigned char c : bytes) text += fmt::format("{:02x}", c);
    return text;
}

StreamConfig rich_config() {
    StreamConfig config;
    config.scaling = {ScalingType::kByEvents, 100, 3, 2};
    config.retention = RetentionPolicy{RetentionType::kSize, 1000, 2000};
    config.tags = {"blue", "red"};
    config.timestamp_aggregation_ms = 5000;
    config.rollover_bytes = 1 << 20;
    return config;
}

StreamRecord stream_record(StreamState state) {
    StreamRecord record;
    record.state = state;
    record.creation_ms = 1'700'000'000'000;
    record.first_number = 4;
    record.last_number = 9;
    record.current_epoch = 2;
    record.config = rich_config();
    record.head = {{segment_id(4, 0), 10}, {segment_id(8, 1), kNotReached}};
    if (state == StreamState::kUpdating) record.intent = UpdateIntent{rich_config(), 5, 1'700'000'000'001};
    if (state == StreamState::kTruncating) record.intent = TruncateIntent{{{segment_id(9, 2), 77}}};
    if (state == StreamState::kScaling) {
        record.intent =
            ScaleIntent{{segment_id(4, 0), segment_id(8, 1)}, {{0, 0.25}, {0.25, 0.5}, {0.75, 1}}, 1'700'000'000'002};
    }
    if (state == StreamState::kRolling)
        record.intent = RollIntent{1, 1'700'000'000'003, {{1ULL << 32, 5}, {1ULL << 32, 4}}};
    return record;
}

TransactionRecord transaction_record(TransactionRecord::State state) {
    TransactionRecord record;
    record.state = state;
    record.begun_ms = 1'700'000'000'000;
    record.lease_ms = 30'000;
    record.end_by_ms = 1'700'030'000'000;
    if (state == TransactionRecord::State::kOpen) record.kept_ms = 1'700'000'100'000;
    if (state == TransactionRecord::State::kOpen) record.kept_bytes = 77;
    if (state != TransactionRecord::State::kCommitting) return record;
    record.order = 9;
    record.writer = "w";
    record.time = 1000;
    return record;
}

ReaderGroupConfig group_config() {
    ReaderGroupConfig config;
    config.refresh_ms = 3000;
    config.checkpoint_interval_ms = 30'000;
    config.max_outstanding_checkpoints = 3;
    config.retention = ReaderGroupRetention::kAutomatic;
    config.generation = 7;
    config.id = Uuid{0x1111111122223333, 0x4444555555555555};
    config.start = {{{"s", "a"}, {}}, {{"t", "b"}, {{segment_id(1, 1), 5}}}};
    config.end = {{{"s", "a"}, {}}};
    return config;
}

Epoch epoch() {
    Epoch e;
    e.epoch = 3;
    e.reference = 1;
    e.creation_ms = 1'700'000'000'000;
    e.splits = 2;
    e.merges = 1;
    e.segments = {{segment_id(4, 2), 0, 0.25}, {segment_id(5, 3), 0.25, 1}};
    return e;
}

// Comes back as it was; and nothing else than exactly these bytes is taken.
template <typename Record>
void check(const Record& record) {
    std::string bytes = record.encode();
    auto decoded = Record::decode(bytes);
    ASSERT_TRUE(decoded) << decoded.error().to_string();
    EXPECT_EQ(*decoded, record);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        auto cut = Record::decode(std::string_view(bytes).substr(0, size));
        ASSERT_FALSE(cut) << size << " of " << bytes.size() << " bytes";
        EXPECT_EQ(cut.error(), Errc::kCorrupt);
    }
    auto longer = Record::decode(bytes + '\0');
    ASSERT_FALSE(longer);
    EXPECT_EQ(longer.error(), Errc::kCorrupt);
    std::string newer = bytes;
    newer[0] = 2;
    EXPECT_EQ(Record::decode(newer).error(), Errc::kNewerFormat);
    newer[0] = 0;
    EXPECT_EQ(Record::decode(newer).error(), Errc::kCorrupt);
    // Any byte may be damaged: the decoder answers, whatever it answers.
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        for (int bit = 0; bit < 8; ++bit) {
            std::string damaged = bytes;
            damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
            auto answer = Record::decode(damaged);
            if (answer) EXPECT_EQ(answer->encode(), damaged);
        }
    }
}

TEST(Records, Scope) {
    check(ScopeRecord{ScopeRecord::State::kActive, 1'700'000'000'000});
    check(ScopeRecord{ScopeRecord::State::kDeleting, -1});
    EXPECT_EQ(ScopeRecord::key("s"), "scope/s");
}

TEST(Records, StreamInEachState) {
    for (int state = 1; state <= 9; ++state) check(stream_record(static_cast<StreamState>(state)));
    StreamRecord plain;
    plain.config.scaling.min_segments = 1;
    check(plain);
    EXPECT_EQ(StreamRecord::key({"s", "x"}), "stream/s/x");
    EXPECT_TRUE(StreamRecord::is_deleting(stream_record(StreamState::kDeleting).encode()));
    EXPECT_FALSE(StreamRecord::is_deleting(stream_record(StreamState::kActive).encode()));
    EXPECT_FALSE(StreamRecord::is_deleting(""));
}

TEST(Records, StreamWithAnIntentOfAnotherState) {
    StreamRecord record = stream_record(StreamState::kUpdating);
    record.state = StreamState::kActive;
    EXPECT_EQ(StreamRecord::decode(record.encode()).error(), Errc::kCorrupt);
    record = stream_record(StreamState::kActive);
    record.state = StreamState::kTruncating;
    EXPECT_EQ(StreamRecord::decode(record.encode()).error(), Errc::kCorrupt);
    record.state = StreamState::kScaling;
    EXPECT_EQ(StreamRecord::decode(record.encode()).error(), Errc::kCorrupt);
}

TEST(Records, StreamThatRollsWhileItIsSealed) {
    StreamRecord record = stream_record(StreamState::kRolling);
    record.state = StreamState::kSealing;
    check(record);
    record.state = StreamState::kActive;
    EXPECT_EQ(StreamRecord::decode(record.encode()).error(), Errc::kCorrupt);
    record = stream_record(StreamState::kRolling);
    std::get<RollIntent>(record.intent).reference = record.current_epoch;
    EXPECT_EQ(StreamRecord::decode(record.encode()).error(), Errc::kCorrupt) << "an epoch that is not over";
    record.intent = std::monostate();
    EXPECT_EQ(StreamRecord::decode(record.encode()).error(), Errc::kCorrupt);
}

TEST(Records, Transactions) {
    using State = TransactionRecord::State;
    for (State state : {State::kOpen, State::kCommitting, State::kAborting}) check(transaction_record(state));
    check(CompletedTransactionRecord{true, 5});
    check(CompletedTransactionRecord{false, 1'700'000'000'000});
    check(TransactionCounterRecord{10'000});
    TransactionRecord record = transaction_record(State::kCommitting);
    record.state = State::kOpen;
    EXPECT_EQ(TransactionRecord::decode(record.encode()).error(), Errc::kCorrupt) << "a place among commits";
}

TEST(Records, KeysOfTransactions) {
    StreamName stream{"s", "x"};
    TransactionId id{3ULL << 32, 0xab};
    std::string key = TransactionRecord::key(stream, id);
    EXPECT_EQ(key, "txn/s/x/000000030000000000000000000000ab");
    EXPECT_EQ(TransactionRecord::parse_key(key)->id, id);
    EXPECT_EQ(TransactionRecord::parse_key(key)->stream, stream);
    std::string done = CompletedTransactionRecord::key(stream, id);
    EXPECT_EQ(done, "txndone/s/x/00000000000000ab0000000300000000");
    EXPECT_EQ(CompletedTransactionRecord::parse_key(done)->id, id);
    for (std::string_view bad :
         {"txn/", "txn/s/x", "txn/s/x/12", "txn/s/x/000000030000000000000000000000aB",
          "txn/x/000000030000000000000000000000ab", "stream/s/x/000000030000000000000000000000ab"}) {
        EXPECT_EQ(TransactionRecord::parse_key(bad).error(), Errc::kCorrupt) << bad;
    }
}

TEST(Records, StreamWithAScaleThatCannotBe) {
    StreamRecord record = stream_record(StreamState::kScaling);
    ScaleIntent good = std::get<ScaleIntent>(record.intent);
    auto refused = [&](ScaleIntent intent) {
        record.intent = std::move(intent);
        return StreamRecord::decode(record.encode()).error() == Errc::kCorrupt;
    };
    ScaleIntent bad = good;
    bad.ranges[1].from = 0.2;
    EXPECT_TRUE(refused(bad)) << "overlapping";
    bad = good;
    bad.ranges[2].to = 1.5;
    EXPECT_TRUE(refused(bad)) << "beyond the key space";
    bad = good;
    bad.ranges[0].from = std::numeric_limits<double>::quiet_NaN();
    EXPECT_TRUE(refused(bad)) << "no number";
    bad = good;
    std::swap(bad.replaced[0], bad.replaced[1]);
    EXPECT_TRUE(refused(bad)) << "out of order";
}

TEST(Records, Epoch) {
    check(EpochRecord{epoch()});
    EXPECT_EQ(EpochRecord::key({"s", "x"}, 255), "epoch/s/x/000000ff");
    Epoch gap = epoch();
    gap.segments[1].min_key = 0.5;
    EXPECT_EQ(EpochRecord::decode(EpochRecord{gap}.encode()).error(), Errc::kCorrupt);
    Epoch short_of_one = epoch();
    short_of_one.segments[1].max_key = 0.99;
    EXPECT_EQ(EpochRecord::decode(EpochRecord{short_of_one}.encode()).error(), Errc::kCorrupt);
    Epoch of_the_future = epoch();
    of_the_future.segments[1].id = segment_id(5, 4);
    EXPECT_EQ(EpochRecord::decode(EpochRecord{of_the_future}.encode()).error(), Errc::kCorrupt);
}

TEST(Records, SealedSegment) {
    check(SealedSegmentRecord{2, 1000});
    check(SealedSegmentRecord{1, SealedSegmentRecord::kUnknownLength});
    EXPECT_EQ(SealedSegmentRecord::key({"s", "x"}, segment_id(3, 1)), "sealed/s/x/0000000100000003");
}

TEST(Records, LastNumber) {
    check(LastNumberRecord{41});
    EXPECT_EQ(LastNumberRecord::key({"s", "x"}), "number/s/x");
}

TEST(Records, Group) {
    GroupRecord record;
    record.state = GroupRecord::State::kActive;
    record.config = group_config();
    check(record);
    record.state = GroupRecord::State::kUpdating;
    record.next = group_config();
    record.next->generation = 8;
    check(record);
    record.state = GroupRecord::State::kActive;
    EXPECT_EQ(GroupRecord::decode(record.encode()).error(), Errc::kCorrupt);
    EXPECT_EQ(GroupRecord::key("s", "g"), "group/s/g");
}

TEST(Records, Subscriber) {
    check(SubscriberRecord{3, Uuid{1, 2}, {}});
    check(SubscriberRecord{3, Uuid{1, 2}, {{segment_id(0, 0), 5}, {segment_id(1, 0), kNotReached}}});
    EXPECT_EQ(SubscriberRecord::key({"s", "x"}, "t/g"), "subscriber/s/x/t/g");
}

TEST(Records, Autoscale) {
    check(AutoscaleRecord{});
    check(AutoscaleRecord{{{3, 120.5}, {4, 99}}});
    EXPECT_EQ(AutoscaleRecord::key({"s", "x"}), "autoscale/s/x");
    EXPECT_EQ(AutoscaleRecord::name_of("autoscale/s/x"), (StreamName{"s", "x"}));
    for (const char* bad : {"", "autoscale/", "autoscale/s", "autoscale/s/x/y", "stream/s/x"})
        EXPECT_FALSE(AutoscaleRecord::name_of(bad)) << bad;
    EXPECT_EQ(AutoscaleRecord::decode(AutoscaleRecord{{{3, -1.0}}}.encode()).error(), Errc::kCorrupt);
}

TEST(Records, Table) {
    TableRecord record;
    record.config = {2, 4, 6, 1 << 20};
    record.first_number = 3;
    record.creation_ms = 1'700'000'000'000;
    for (int state = 1; state <= 3; ++state) {
        record.state = static_cast<TableRecord::State>(state);
        check(record);
        EXPECT_EQ(TableRecord::is_deleting(record.encode()), state == 3);
    }
    EXPECT_EQ(TableRecord::key("s", "t"), "table/s/t");
    ASSERT_EQ(record.segments().size(), 2u);
    EXPECT_EQ(record.segments()[1], (SegmentRange{segment_id(4, 0), 0.5, 1}));
    for (KeyValueTableConfig bad :
         {KeyValueTableConfig{0, 4, 0, 0}, KeyValueTableConfig{70'000, 4, 0, 0}, KeyValueTableConfig{1, -1, 0, 0},
          KeyValueTableConfig{1, 4, -1, 0}, KeyValueTableConfig{1, 4, 0, -1}}) {
        record.config = bad;
        EXPECT_EQ(TableRecord::decode(record.encode()).error(), Errc::kCorrupt);
    }
}

TEST(Records, Markers) {
    EXPECT_EQ(hex(marker_value()), "01");
    EXPECT_EQ(TagEntry::key({"s", "x"}, "red"), "tag/s/red/x");
    EXPECT_EQ(TagEntry::key({"s", "x"}, "a/b %ü"), "tag/s/a%2fb%20%25%c3%bc/x");
    for (PendingEntry entry :
         {PendingEntry{PendingEntry::Kind::kStream, "s", "_MARKx"}, PendingEntry{PendingEntry::Kind::kGroup, "_s", "g"},
          PendingEntry{PendingEntry::Kind::kScope, "s", ""}, PendingEntry{PendingEntry::Kind::kTable, "s", "t"}}) {
        auto parsed = PendingEntry::parse(entry.key());
        ASSERT_TRUE(parsed) << entry.key();
        EXPECT_EQ(*parsed, entry);
    }
    EXPECT_EQ((PendingEntry{PendingEntry::Kind::kStream, "s", "x"}.key()), "pending/stream/s/x");
    for (const char* bad : {"", "pending/", "pending/stream/s", "pending/stream/s/", "pending/other/s/x",
                            "pending/scope/", "pending/scope/a/b", "pending/group/s/a/b", "pending/streams/x"}) {
        EXPECT_FALSE(PendingEntry::parse(bad)) << bad;
    }
}

TEST(Records, ListsHaveLimits) {
    RecordWriter out;
    out.i64(1);
    out.uuid({});
    out.count(kListLimit + 1);
    for (std::size_t i = 0; i <= kListLimit; ++i) {
        out.i64(static_cast<std::int64_t>(i));
        out.i64(0);
    }
    EXPECT_EQ(SubscriberRecord::decode(out.take()).error(), Errc::kCorrupt);
    RecordWriter lies;
    lies.i64(1);
    lies.uuid({});
    lies.count(kListLimit);
    EXPECT_EQ(SubscriberRecord::decode(lies.take()).error(), Errc::kCorrupt);
}

// Version 1 as it was first written. These bytes have to be read for ever.
TEST(Records, GoldenVersion1) {
    struct Golden {
        std::string bytes;
        const char* expected;
    };
    GroupRecord group;
    group.state = GroupRecord::State::kActive;
    group.config = group_config();
    for (const Golden& golden : {
             Golden{ScopeRecord{ScopeRecord::State::kActive, 1'700'000'000'000}.encode(), "01010068e5cf8b010000"},
             Golden{
                 stream_record(StreamState::kUpdating).encode(),
                 "01030068e5cf8b0100000400000009000000020000000264000000030000000200000002e803000000000000d007000000000"
                 "000881300000000000000001000000000000200000004000000626c7565030000007265640200000004000000000000000a00"
                 "0000000000000800000001000000ffffffffffffffff010264000000030000000200000002e803000000000000d0070000000"
                 "00000881300000000000000001000000000000200000004000000626c756503000000726564050000000168e5cf8b010000"},
             Golden{stream_record(StreamState::kTruncating).encode(),
                    "01040068e5cf8b0100000400000009000000020000000264000000030000000200000002e803000000000000d007000000"
                    "000000881300000000000000001000000000000200000004000000626c7565030000007265640200000004000000000000"
                    "000a000000000000000800000001000000ffffffffffffffff020100000009000000020000004d00000000000000"},
             Golden{stream_record(StreamState::kScaling).encode(),
                    "01080068e5cf8b0100000400000009000000020000000264000000030000000200000002e803000000000000d0070000"
                    "00000000881300000000000000001000000000000200000004000000626c756503000000726564020000000400000000"
                    "0000000a000000000000000800000001000000ffffffffffffffff030200000004000000000000000800000001000000"
                    "030000000000000000000000000000000000d03f000000000000d03f000000000000e03f000000000000e83f00000000"
                    "0000f03f0268e5cf8b010000"},
             Golden{stream_record(StreamState::kRolling).encode(),
                    "01090068e5cf8b0100000400000009000000020000000264000000030000000200000002e803000000000000d007000000"
                    "000000881300000000000000001000000000000200000004000000626c7565030000007265640200000004000000000000"
                    "000a000000000000000800000001000000ffffffffffffffff04010000000368e5cf8b0100000200000000000000010000"
                    "00050000000000000000000000010000000400000000000000"},
             Golden{transaction_record(TransactionRecord::State::kCommitting).encode(),
                    "01020068e5cf8b0100003075000000000000802bafd18b0100000000000000000000000000000000000009000000000000"
                    "000100000077e803000000000000"},
             Golden{CompletedTransactionRecord{true, 1'700'000'000'000}.encode(), "01010068e5cf8b010000"},
             Golden{TransactionCounterRecord{10'000}.encode(), "011027000000000000"},
             Golden{EpochRecord{epoch()}.encode(),
                    "0103000000010000000068e5cf8b0100000200000000000000010000000000000002000000040000000200000000000000"
                    "00000000000000000000d03f0500000003000000000000000000d03f000000000000f03f"},
             Golden{SealedSegmentRecord{2, 1000}.encode(), "0102000000e803000000000000"},
             Golden{AutoscaleRecord{{{3, 120.5}, {4, 99}}}.encode(),
                    "0102000000030000000000000000205e40040000000000000000c05840"},
             Golden{LastNumberRecord{41}.encode(), "0129000000"},
             Golden{TableRecord{TableRecord::State::kActive, 1'700'000'000'000, 3, {2, 4, 6, 1 << 20}}.encode(),
                    "01020068e5cf8b010000030000000200000004000000060000000000100000000000"},
             Golden{group.encode(),
                    "0102b80b000000000000307500000000000003000000020700000000000000333322221111111155555555555544440200"
                    "00000100000073010000006100000000010000007401000000620100000001000000010000000500000000000000010000"
                    "00010000007301000000610000000000"},
             Golden{SubscriberRecord{3, Uuid{1, 2}, {{segment_id(0, 0), 5}}}.encode(),
                    "010300000000000000010000000000000002000000000000000100000000000000000000000500000000000000"},
         }) {
        EXPECT_EQ(hex(golden.bytes), golden.expected);
    }
}

}  // namespace
}  // namespace millrace::controller
