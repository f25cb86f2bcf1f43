// The codec against vectors: the golden frames, and one frame for each row of the command tables.
#include <set>

#include <gtest/gtest.h>

#include "wire/wire_test_util.h"

namespace millrace::wire {
namespace {

using bytes::as_bytes;

constexpr const char* S = "scope/stream/0.#epoch.0";
constexpr const char* T = "s/t_kvtable/0.#epoch.0";
constexpr Uuid W{0x0001020304050607, 0x08090a0b0c0d0e0f};
constexpr std::int64_t R = 0x0000000700000001;
constexpr std::int64_t R2 = R + 1;
constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();

class Golden : public testing::Test {
  protected:
    void connection_and_appends();
    void segments();
    void tables();

    std::set<std::string> seen_;

    // Both ways; a short form is only read.
    template <typename Variant, Command C>
    void check(const std::string& id, const C& expected, bool short_form = false) {
        SCOPED_TRACE(id);
        ASSERT_TRUE(golden().contains(id));
        seen_.insert(id);
        const ByteVector& bytes = golden().at(id);
        Frame frame = only_frame(bytes);
        EXPECT_EQ(frame.type, C::kType);
        Result<Variant> command = fail(Errc::kClosed);
        if constexpr (std::is_same_v<Variant, Request>) {
            command = decode_request(frame.type, frame.payload);
        } else {
            command = decode_reply(frame.type, frame.payload);
        }
        ASSERT_TRUE(command) << command.error().to_string();
        ASSERT_TRUE(std::holds_alternative<C>(*command));
        EXPECT_EQ(print(*command), print(expected));
        if (short_form) {
            EXPECT_GT(encoded(expected).size(), bytes.size());
        } else {
            EXPECT_EQ(to_hex(encoded(expected)), to_hex(bytes));
            EXPECT_EQ(to_hex(std::visit([](const auto& c) { return encoded(c); }, *command)), to_hex(bytes));
        }
    }
    template <Command C>
    void request(const std::string& id, const C& expected) {
        check<Request>(id, expected);
    }
    template <Command C>
    void short_request(const std::string& id, const C& expected) {
        check<Request>(id, expected, true);
    }
    template <Command C>
    void reply(const std::string& id, const C& expected) {
        check<Reply>(id, expected);
    }
};

void Golden::connection_and_appends() {
    request("V1", Hello{.high_version = 17, .low_version = 5});
    reply("V1", Hello{.high_version = 17, .low_version = 5});
    request("V2", KeepAlive{});
    reply("V2", KeepAlive{});
    request("V3", SetupAppend{.request_id = R, .writer_id = W, .segment = S});
    reply("V4", AppendSetup{.request_id = R, .segment = S, .writer_id = W, .last_event_number = kMin});
    ByteVector hello = from_hex("000000000000000568656c6c6f");
    request("V5a", AppendBlock{.writer_id = W, .data = hello});
    request("V5b",
            AppendBlockEnd{
                .writer_id = W, .size_of_whole_events = 13, .num_events = 1, .last_event_number = 1, .request_id = R});
    request("V6", AppendBlockEnd{.writer_id = W,
                                 .size_of_whole_events = 13,
                                 .data = hello,
                                 .num_events = 1,
                                 .last_event_number = 1,
                                 .request_id = R});
    ByteVector v7 = from_hex("00000000000000056576656e740000000000000005736576656efffffffe00000006000000000000");
    ByteVector v7_end = from_hex("00057468697264");
    request("V7a", AppendBlock{.writer_id = W, .data = v7});
    request("V7b", AppendBlockEnd{.writer_id = W,
                                  .size_of_whole_events = 26,
                                  .data = v7_end,
                                  .num_events = 3,
                                  .last_event_number = 4,
                                  .request_id = R});
    ByteVector v8 = from_hex("00000000000000056576656e740000000000000005736576656effffffff00000006000000000000");
    request("V8a", AppendBlock{.writer_id = W, .data = v8});
    request("V8b",
            AppendBlockEnd{
                .writer_id = W, .size_of_whole_events = 26, .num_events = 2, .last_event_number = 6, .request_id = R});
    request("V8c", KeepAlive{});
    ByteVector v9 = from_hex("00000000000000056576656e74fffffffe000000080000000000000000");
    request("V9a", AppendBlock{.writer_id = W, .data = v9});
    request("V9b",
            AppendBlockEnd{
                .writer_id = W, .size_of_whole_events = 13, .num_events = 2, .last_event_number = 11, .request_id = R});
    reply("V10", DataAppended{.writer_id = W,
                              .event_number = 1,
                              .previous_event_number = kMin,
                              .request_id = R,
                              .current_segment_write_offset = 13});
    request("V11",
            ConditionalAppend{
                .writer_id = W, .event_number = 2, .expected_offset = 13, .event = as_bytes("hi"), .request_id = R2});
    request("V12",
            ConditionalBlockEnd{
                .writer_id = W, .event_number = 0, .expected_offset = 0, .data = as_bytes("abc"), .request_id = R2});
    reply("V13", ConditionalCheckFailed{.writer_id = W, .event_number = 2, .request_id = R2});
    reply("V14", InvalidEventNumber{.writer_id = W, .request_id = R, .event_number = 3});
}

void Golden::segments() {
    request("V15", ReadSegment{.segment = S, .offset = 0, .suggested_length = 1024, .request_id = R});
    ByteVector hello = from_hex("000000000000000568656c6c6f");
    reply("V16",
          SegmentRead{
              .segment = S, .offset = 0, .at_tail = true, .end_of_segment = false, .data = hello, .request_id = R});
    reply("V17", StreamSegmentInfo{.request_id = R,
                                   .segment = S,
                                   .exists = true,
                                   .last_modified = 1700000000000,
                                   .write_offset = 13,
                                   .start_offset = 0});
    request("V18", CreateSegment{.request_id = R, .segment = S, .target_rate = 100, .scale_type = 2});
    short_request("V19", CreateSegment{.request_id = 8, .segment = S});
    reply("V20", SegmentCreated{.request_id = R, .segment = S});
    reply("V21", NoSuchSegment{.request_id = R, .segment = S, .offset = -1});
    reply("V22", SegmentIsSealed{.request_id = R, .segment = S, .offset = 2});
    reply("V23", SegmentIsTruncated{.request_id = R, .segment = S, .start_offset = 100, .offset = 50});
    reply("V24", WrongHost{.request_id = R, .segment = S});
    reply("V25", AuthTokenCheckFailed{.request_id = R, .error_code = kAuthTokenExpired});
    reply("V26", ErrorMessage{.request_id = R, .segment = S, .message = "bad", .error_code = kErrorIllegalArgument});
    request(
        "V27",
        MergeSegments{
            .request_id = R, .target = "a/b/0", .source = "a/b/1", .attribute_updates = {{Uuid{1, 2}, 4, 5, kMin}}});
    reply("V28", SegmentsBatchMerged{.request_id = R, .target = "a/b/0", .sources = {{"a/b/1", 28}, {"a/b/2", 56}}});
    request("V29", LocateOffset{.request_id = R, .segment = S, .target_offset = 1000});
    reply("V41", SegmentCreated{.request_id = 1, .segment = std::string("a\0\xc3\xa9\xf0\x9f\x98\x80", 8)});
}

void Golden::tables() {
    request("V30", CreateTableSegment{.request_id = R, .segment = T, .key_length = 16});
    short_request("V31", CreateTableSegment{.request_id = 8, .segment = T});
    request("V32", UpdateTableEntries{.request_id = R,
                                      .segment = T,
                                      .entries = {{"key1", kNoVersion, "value1"}, {"k2", kNotExists, ""}},
                                      .table_segment_offset = -1});
    reply("V33", TableEntriesUpdated{.request_id = R, .updated_versions = {0, 27}});
    request("V34", ReadTable{.request_id = R, .segment = T, .keys = {{"key1", kNoVersion}}});
    reply("V35",
          TableRead{.request_id = R, .segment = T, .entries = {{"key1", 0, "value1"}, {"nope", kNotExists, ""}}});
    request("V36",
            ReadTableKeys{
                .request_id = R, .segment = T, .suggested_key_count = 100, .args = {.from_key = "aa", .to_key = "zz"}});
    short_request("V37", ReadTableKeys{.request_id = 8, .segment = T, .suggested_key_count = 10});
    reply("V38", TableKeysRead{.request_id = R, .segment = T, .keys = {{"ab", 64}}});
    reply("V39", TableEntriesDeltaRead{.request_id = R, .segment = T, .reached_end = true, .last_position = 54});
    request("V40", ReadTable{.request_id = R, .segment = "t", .keys = {{"", kNoVersion}}});
}

TEST_F(Golden, EveryVectorBothWays) {
    connection_and_appends();
    segments();
    tables();
    EXPECT_EQ(golden().size(), 46u);
    for (const auto& [id, bytes] : golden()) EXPECT_TRUE(seen_.contains(id)) << id << " has no test";
}

// Each command of the tables, every field with a value of its own, read and written.
TEST(Layouts, EveryRowOfTheTables) {
    auto rows = vectors("layouts.txt");
    EXPECT_EQ(rows.size(), 65u);
    for (const auto& [name, rest] : rows) {
        SCOPED_TRACE(name);
        std::size_t space = rest.find(' ');
        ByteVector bytes = from_hex(rest.substr(0, space));
        std::string expected = name + " " + rest.substr(space + 1);
        Frame frame = only_frame(bytes);
        auto check = [&](const auto& command) {
            ASSERT_TRUE(command) << command.error().to_string();
            EXPECT_EQ(print(*command), expected);
            EXPECT_EQ(to_hex(std::visit([](const auto& c) { return encoded(c); }, *command)), to_hex(bytes));
        };
        if (is_request(frame.type)) {
            check(decode_request(frame.type, frame.payload));
            EXPECT_FALSE(decode_reply(frame.type, frame.payload));
        } else {
            check(decode_reply(frame.type, frame.payload));
            EXPECT_FALSE(decode_request(frame.type, frame.payload));
        }
    }
}

Result<Request> request_of(CommandType type, std::string_view hex) {
    static ByteVector payload;
    payload = from_hex(hex);
    return decode_request(type, payload);
}

void expect_error(const Result<Request>& result, std::string_view message, Errc code = Errc::kInvalidArgument) {
    ASSERT_FALSE(result) << print(*result);
    EXPECT_EQ(result.error().code(), code);
    EXPECT_EQ(result.error().message(), message);
}

TEST(Decode, ErrorsNameCommandAndField) {
    // The request of every recorded malformed exchange that is the decoder's business.
    expect_error(request_of(CommandType::kGetStreamSegmentInfo, ""),
                 "GET_STREAM_SEGMENT_INFO.requestId: runs beyond the frame");
    expect_error(request_of(CommandType::kGetStreamSegmentInfo, "0000000700000001001d"),
                 "GET_STREAM_SEGMENT_INFO.segment: runs beyond the frame");
    expect_error(request_of(CommandType::kGetStreamSegmentInfo, "00000000000000007fff73686f7274"),
                 "GET_STREAM_SEGMENT_INFO.segment: runs beyond the frame");
    expect_error(request_of(CommandType::kGetStreamSegmentInfo, "00000000000000000fff73686f7274"),
                 "GET_STREAM_SEGMENT_INFO.segment: runs beyond the frame");
    expect_error(request_of(CommandType::kGetStreamSegmentInfo, "00000000000000000002ffff0000"),
                 "GET_STREAM_SEGMENT_INFO.segment: not modified UTF-8");
    expect_error(request_of(CommandType::kConditionalAppend,
                            "11223344556677880000000000000001000000000000000100000000"
                            "00000000000000070000000568656c6c6f0000000700000003"),
                 "CONDITIONAL_APPEND.event: nested frame is no EVENT");
    expect_error(request_of(CommandType::kUpdateTableEntries,
                            "000000070000000200017400000000000900000000d00000001618000000000000000000000050000000131"),
                 "UPDATE_TABLE_ENTRIES.entries: more items than the frame can hold");
    expect_error(request_of(CommandType::kReadTable,
                            "00000000000000010001740000000000020000000c000000000000000c0000000561626364"),
                 "READ_TABLE.keys[1].key: runs beyond the frame");
    expect_error(request_of(CommandType::kSegmentCreated, "0000000700000001000161"), "SEGMENT_CREATED: is no request");
    expect_error(request_of(CommandType::kEvent, "68656c6c6f"), "EVENT: is no request");
    expect_error(request_of(CommandType::kPartialEvent, "68656c6c6f"), "PARTIAL_EVENT: is no request");
    expect_error(decode_request(12345, {}), "frame: unknown command code 12345");
    expect_error(decode_request(72, {}), "frame: unknown command code 72");
}

TEST(Decode, TrailingBytesAreIgnored) {
    auto info = request_of(CommandType::kGetStreamSegmentInfo, "0000000700000001000161000065787472610a");
    ASSERT_TRUE(info);
    EXPECT_EQ(print(*info), "GET_STREAM_SEGMENT_INFO requestId=30064771073 segment=a delegationToken=");
    EXPECT_TRUE(request_of(CommandType::kKeepAlive, "010203"));
    auto padding = request_of(CommandType::kPadding, "00000000");
    ASSERT_TRUE(padding);
    EXPECT_EQ(std::get<Padding>(*padding).length, 4);
}

TEST(Decode, CountsBelowZero) {
    // Entries: none, and the bytes that follow are the next field. As recorded from the reference server.
    auto update = request_of(CommandType::kUpdateTableEntries,
                             "0000000700000002000174000080000001"
                             "0000000d00000001618000000000000000000000050000000131ffffffffffffffff");
    ASSERT_TRUE(update) << update.error().to_string();
    EXPECT_TRUE(std::get<UpdateTableEntries>(*update).entries.empty());
    EXPECT_EQ(std::get<UpdateTableEntries>(*update).table_segment_offset, 55834574849);
    // Attribute updates of a merge: none.
    auto merge = request_of(CommandType::kMergeSegments,
                            "0000000000000001000161000162"
                            "0000"
                            "ffffffff");
    ASSERT_TRUE(merge) << merge.error().to_string();
    EXPECT_TRUE(std::get<MergeSegments>(*merge).attribute_updates.empty());
    // Data of a block's end: none.
    const std::string writer = "000102030405060708090a0b0c0d0e0f";
    auto end = request_of(CommandType::kAppendBlockEnd, writer +
                                                            "0000000d"
                                                            "fffffff0"
                                                            "00000001"
                                                            "0000000000000001");
    ASSERT_TRUE(end) << end.error().to_string();
    EXPECT_TRUE(std::get<AppendBlockEnd>(*end).data.empty());
    EXPECT_EQ(std::get<AppendBlockEnd>(*end).request_id, -1);
    auto block = request_of(CommandType::kConditionalBlockEnd, writer +
                                                                   "0000000000000001"
                                                                   "0000000000000000"
                                                                   "80000000"
                                                                   "0000000000000005");
    ASSERT_TRUE(block) << block.error().to_string();
    EXPECT_TRUE(std::get<ConditionalBlockEnd>(*block).data.empty());
    EXPECT_EQ(std::get<ConditionalBlockEnd>(*block).request_id, 5);

    expect_error(request_of(CommandType::kRemoveTableKeys,
                            "00000000000000010001740000"
                            "ffffffff"),
                 "REMOVE_TABLE_KEYS.keys: negative count");
    expect_error(request_of(CommandType::kReadTable,
                            "00000000000000010001740000"
                            "80000000"),
                 "READ_TABLE.keys: negative count");
    expect_error(request_of(CommandType::kMergeSegmentsBatch,
                            "0000000000000001000174"
                            "ffffffff"
                            "0000"),
                 "MERGE_SEGMENTS_BATCH.sources: negative count");
    expect_error(request_of(CommandType::kReadTable,
                            "00000000000000010001740000"
                            "00000001"
                            "00000000"
                            "ffffffff"),
                 "READ_TABLE.keys[0].key: negative size");
    expect_error(request_of(CommandType::kReadTableKeys,
                            "00000000000000010001740000"
                            "00000001"
                            "ffffffff"),
                 "READ_TABLE_KEYS.continuationToken: negative size");
    expect_error(request_of(CommandType::kConditionalAppend, writer + "00000000000000010000000000000000"
                                                                      "00000000"
                                                                      "ffffffff"),
                 "CONDITIONAL_APPEND.event: negative size");
}

TEST(Decode, TableKeysGoByTheirOwnSize) {
    const std::string head =
        "00000000000000010001740000"
        "00000001";
    // A total that says too little is not looked at; one that runs beyond the frame is an error, unless the key is
    // empty.
    auto small = request_of(CommandType::kReadTable, head +
                                                         "00000000"
                                                         "00000001"
                                                         "61"
                                                         "0000000000000007");
    ASSERT_TRUE(small) << small.error().to_string();
    EXPECT_EQ(std::get<ReadTable>(*small).keys[0].key, "a");
    EXPECT_EQ(std::get<ReadTable>(*small).keys[0].version, 7);
    EXPECT_TRUE(request_of(CommandType::kReadTable, head + "80000000"
                                                           "00000001"
                                                           "61"
                                                           "0000000000000007"));
    EXPECT_TRUE(request_of(CommandType::kReadTable, head + "00000011"
                                                           "00000001"
                                                           "61"
                                                           "0000000000000007"));
    expect_error(request_of(CommandType::kReadTable, head + "00000012"
                                                            "00000001"
                                                            "61"
                                                            "0000000000000007"),
                 "READ_TABLE.keys[0].key: total size runs beyond the frame");
    auto empty = request_of(CommandType::kReadTable, head +
                                                         "7fffffff"
                                                         "00000000"
                                                         "0000000000000007");
    ASSERT_TRUE(empty) << empty.error().to_string();
    EXPECT_EQ(std::get<ReadTable>(*empty).keys[0].version, kNoVersion) << "no version is read for an empty key";
}

TEST(Decode, OptionalFieldsByTheirTwoThresholds) {
    // "At least its size": what is shorter is left alone.
    auto create = request_of(CommandType::kCreateTableSegment,
                             "00000000000000010001740000"
                             "01"
                             "000000");
    ASSERT_TRUE(create) << create.error().to_string();
    EXPECT_TRUE(std::get<CreateTableSegment>(*create).sorted_deprecated);
    EXPECT_EQ(std::get<CreateTableSegment>(*create).key_length, 0);
    auto read = request_of(CommandType::kReadSegment,
                           "000173"
                           "0000000000000009"
                           "00000010"
                           "0000"
                           "00000000000001");
    ASSERT_TRUE(read) << read.error().to_string();
    EXPECT_EQ(std::get<ReadSegment>(*read).request_id, -1);
    // "Anything left": then it must be whole.
    const std::string update =
        "00000000000000010001740000"
        "00000000";
    EXPECT_EQ(std::get<UpdateTableEntries>(*request_of(CommandType::kUpdateTableEntries, update)).table_segment_offset,
              -1);
    expect_error(request_of(CommandType::kUpdateTableEntries, update + "00"),
                 "UPDATE_TABLE_ENTRIES.tableSegmentOffset: runs beyond the frame");
    EXPECT_TRUE(decode_reply(CommandType::kWrongHost, from_hex("0000000000000001"
                                                               "0000"
                                                               "0000")));
    auto host = decode_reply(CommandType::kWrongHost, from_hex("0000000000000001"
                                                               "0000"
                                                               "0000"
                                                               "00"));
    ASSERT_FALSE(host);
    EXPECT_EQ(host.error().message(), "WRONG_HOST.serverStackTrace: runs beyond the frame");
    EXPECT_FALSE(decode_reply(CommandType::kTableKeyBadVersion, from_hex("0000000000000001"
                                                                         "0000")))
        << "mandatory there";
}

TEST(Decode, BooleansAreAnythingButZero) {
    auto updated = decode_reply(CommandType::kSegmentAttributeUpdated, from_hex("0000000000000001"
                                                                                "80"));
    ASSERT_TRUE(updated);
    EXPECT_TRUE(std::get<SegmentAttributeUpdated>(*updated).success);
    EXPECT_EQ(encoded(std::get<SegmentAttributeUpdated>(*updated)).back(), 1);
}

TEST(Decode, CountsAreBoundedBeforeMemoryIsTaken) {
    ByteVector out;
    bytes::Writer w(out);
    w.i64(1);
    w.u16(0);
    w.i32(kMaxListItems + 1);
    w.grow(2 * (kMaxListItems + 1) + 2);
    expect_error(decode_request(CommandType::kMergeSegmentsBatch, out), "MERGE_SEGMENTS_BATCH.sources: too many items",
                 Errc::kLimit);
    bytes::Writer(out).patch_u32(10, 0x7fffffff);
    expect_error(decode_request(CommandType::kMergeSegmentsBatch, out),
                 "MERGE_SEGMENTS_BATCH.sources: more items than the frame can hold");
    bytes::Writer(out).patch_u32(10, kMaxListItems);
    EXPECT_TRUE(decode_request(CommandType::kMergeSegmentsBatch, out));
}

TEST(Decode, AppendsPointIntoThePayload) {
    auto inside = [](bytes::ByteSpan part, const ByteVector& whole) {
        return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
    };
    const ByteVector& block = golden().at("V7a");
    auto decoded = decode<AppendBlock>(only_frame(block).payload);
    ASSERT_TRUE(decoded);
    EXPECT_TRUE(inside(decoded->data, block));
    const ByteVector& conditional = golden().at("V11");
    auto append = decode<ConditionalAppend>(only_frame(conditional).payload);
    ASSERT_TRUE(append);
    EXPECT_TRUE(inside(append->stored, conditional));
    EXPECT_EQ(to_hex(append->stored), "00000000000000026869") << "with the event's header";
    EXPECT_EQ(to_hex(append->event), "6869");
}

TEST(Encode, SegmentReadInTwoParts) {
    std::string data(1000, 'x');
    SegmentRead whole{.segment = "s\xc3\xa9g",
                      .offset = 77,
                      .at_tail = true,
                      .end_of_segment = false,
                      .data = as_bytes(data),
                      .request_id = R};
    ByteVector out;
    bytes::Writer writer(out);
    encode_segment_read_header(writer, whole.segment, whole.offset, true, false, data.size());
    writer.bytes(as_bytes(data));
    encode_segment_read_trailer(writer, R);
    EXPECT_EQ(to_hex(out), to_hex(encoded(whole)));
    only_frame(out);
}

TEST(Encode, LongStringsAreCut) {
    std::string trace(65'534, 'a');
    trace += "\xc3\xa9tail";  // the character of two bytes does not fit into the last one
    ByteVector out = encoded(WrongHost{.request_id = 1, .segment = "s", .server_stack_trace = trace});
    auto decoded = decode<WrongHost>(only_frame(out).payload);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->server_stack_trace, std::string(65'534, 'a'));
}

TEST(CommandTypes, WhatIsServedWhere) {
    int known = 0;
    int served = 0;
    for (std::int32_t code = -200; code <= 200; ++code) {
        if (is_known(code)) ++known;
        if (served_on_data_port(static_cast<CommandType>(code))) ++served;
    }
    EXPECT_EQ(known, 70);
    EXPECT_EQ(served, 29);
    EXPECT_TRUE(served_on_data_port(CommandType::kHello));
    EXPECT_TRUE(served_on_data_port(CommandType::kPadding));
    EXPECT_FALSE(served_on_data_port(CommandType::kFlushToStorage)) << "administration";
    EXPECT_FALSE(served_on_data_port(CommandType::kLocateOffset)) << "a later version's";
    EXPECT_FALSE(served_on_data_port(CommandType::kEvent));
    EXPECT_FALSE(served_on_data_port(CommandType::kSegmentCreated));
    EXPECT_EQ(to_string(CommandType::kMergeSegmentsBatch), "MERGE_SEGMENTS_BATCH");
    EXPECT_EQ(to_string(static_cast<CommandType>(6)), "unknown command");
}

TEST(CommandTypes, HelloVersions) {
    EXPECT_EQ(to_hex(encoded(Hello{})), "ffffff81000000080000001000000005");
    EXPECT_TRUE((Hello{17, 5}.compatible()));
    EXPECT_TRUE((Hello{99, 16}.compatible()));
    EXPECT_TRUE((Hello{5, 1}.compatible()));
    EXPECT_FALSE((Hello{99, 17}.compatible()));
    EXPECT_FALSE((Hello{4, 1}.compatible()));
}

}  // namespace
}  // namespace millrace::wire
