#include "wire/append_assembler.h"

#include <gtest/gtest.h>

#include "wire/wire_test_util.h"

namespace millrace::wire {
namespace {

constexpr Uuid kWriter{0x0001020304050607, 0x08090a0b0c0d0e0f};
constexpr Uuid kOther{1, 2};
constexpr std::int64_t R = 0x0000000700000001;

class Assembler : public testing::Test {
  protected:
    void set_up(const Uuid& writer, std::uint64_t target = 42) {
        auto done = appends.on_setup_append(SetupAppend{.request_id = 1, .writer_id = writer, .segment = "s"}, target);
        ASSERT_TRUE(done) << done.error().to_string();
    }
    Result<> open_block(std::string_view hex, const Uuid& writer = kWriter) {
        block = from_hex(hex);
        return appends.on_append_block(AppendBlock{writer, block});
    }
    struct End {
        std::int32_t whole = 0;
        std::string_view data_hex;
        std::int32_t num_events = 1;
        std::int64_t last = 1;
        Uuid writer = kWriter;
    };
    Result<AssembledAppend> end_block(const End& end) {
        end_data = from_hex(end.data_hex);
        return appends.on_append_block_end(AppendBlockEnd{.writer_id = end.writer,
                                                          .size_of_whole_events = end.whole,
                                                          .data = end_data,
                                                          .num_events = end.num_events,
                                                          .last_event_number = end.last,
                                                          .request_id = R});
    }
    Result<AssembledAppend> conditional(std::int64_t event_number, std::int64_t expected_offset) {
        return appends.on_conditional_block_end(
            ConditionalBlockEnd{kWriter, event_number, expected_offset, bytes::as_bytes("abc"), R});
    }

    static std::string text(const AssembledAppend& append) {
        std::string hex;
        for (bytes::ByteSpan piece : append.pieces()) hex += to_hex(piece);
        EXPECT_EQ(hex.size(), 2 * append.size());
        return hex;
    }
    template <typename T>
    static void expect_violation(const Result<T>& result, std::string_view message) {
        ASSERT_FALSE(result);
        EXPECT_TRUE(result.error() == Errc::kInvalidArgument);
        EXPECT_EQ(result.error().message(), message);
    }

    AppendAssembler appends;
    ByteVector block;
    ByteVector end_data;
};

// Feeds golden frames, as a connection does, and returns the appends' data.
class GoldenAppends : public Assembler {
  protected:
    void SetUp() override { set_up(kWriter); }

    AssembledAppend last;
    std::string feed(const std::vector<std::string>& ids) {
        std::string data;
        for (const std::string& id : ids) {
            Frame frame = only_frame(golden().at(id));
            auto request = decode_request(frame.type, frame.payload);
            EXPECT_TRUE(request);
            Result<AssembledAppend> append = fail(Errc::kClosed);
            if (auto* begin = std::get_if<AppendBlock>(&*request)) {
                EXPECT_TRUE(appends.on_append_block(*begin));
                continue;
            }
            if (auto* end = std::get_if<AppendBlockEnd>(&*request)) {
                append = appends.on_append_block_end(*end);
            } else if (auto* event = std::get_if<ConditionalAppend>(&*request)) {
                append = appends.on_conditional_append(*event);
            } else if (auto* raw = std::get_if<ConditionalBlockEnd>(&*request)) {
                append = appends.on_conditional_block_end(*raw);
            } else {
                EXPECT_TRUE(appends.on_other(frame.type));
                continue;
            }
            EXPECT_TRUE(append) << append.error().to_string();
            if (!append) return "error";
            last = *append;
            data += text(last);
        }
        return data;
    }
};

TEST_F(GoldenAppends, BlockOfOneEvent) {
    EXPECT_EQ(feed({"V5a", "V5b"}), "000000000000000568656c6c6f");
    EXPECT_EQ(last.target, 42u);
    EXPECT_EQ(last.writer_id, kWriter);
    EXPECT_EQ(last.event_number, 1);
    EXPECT_EQ(last.num_events, 1);
    EXPECT_EQ(last.expected_offset, kNoCondition);
    EXPECT_EQ(last.request_id, R);
    EXPECT_FALSE(last.conditional);
    EXPECT_EQ(last.pieces().size(), 1u);
    EXPECT_FALSE(appends.block_open());
}

TEST_F(GoldenAppends, EndWithoutBlock) { EXPECT_EQ(feed({"V6"}), "000000000000000568656c6c6f"); }

TEST_F(GoldenAppends, PartialEventIsCompletedByTheEnd) {
    EXPECT_EQ(feed({"V7a", "V7b"}),
              "00000000000000056576656e74"
              "0000000000000005736576656e"
              "00000000000000057468697264");
    EXPECT_EQ(last.num_events, 3);
    EXPECT_EQ(last.pieces().size(), 3u);
    EXPECT_EQ(last.pieces()[0].data(), golden().at("V7a").data() + 24) << "not copied";
}

TEST_F(GoldenAppends, PaddedBlock) {
    EXPECT_EQ(feed({"V8a", "V8b", "V8c"}), "00000000000000056576656e740000000000000005736576656e");
}

TEST_F(GoldenAppends, EventWhollyInThePartialFrame) {
    EXPECT_EQ(feed({"V9a", "V9b"}), "00000000000000056576656e740000000000000000");
    EXPECT_EQ(last.pieces().size(), 2u);
}

TEST_F(GoldenAppends, OneAfterAnother) {
    feed({"V5a", "V5b", "V7a", "V7b", "V8a", "V8b", "V8c", "V9a", "V9b"});
    EXPECT_EQ(last.event_number, 11);
}

TEST_F(GoldenAppends, ConditionalEventKeepsItsHeader) {
    EXPECT_EQ(feed({"V11"}), "00000000000000026869");
    EXPECT_EQ(last.expected_offset, 13);
    EXPECT_EQ(last.event_number, 2);
    EXPECT_EQ(last.num_events, 1);
    EXPECT_TRUE(last.conditional);
}

TEST_F(GoldenAppends, ConditionalBlockIsStoredAsItIs) {
    EXPECT_EQ(feed({"V12"}), "616263");
    EXPECT_EQ(last.expected_offset, 0);
    EXPECT_TRUE(last.conditional);
}

TEST_F(Assembler, NegativeOffsetIsNoCondition) {
    set_up(kWriter);
    std::int64_t number = 0;
    for (std::int64_t offset : {std::int64_t{-1}, std::int64_t{-2}, std::numeric_limits<std::int64_t>::min()}) {
        auto append = conditional(++number, offset);
        ASSERT_TRUE(append);
        EXPECT_EQ(append->expected_offset, kNoCondition);
        EXPECT_TRUE(append->conditional);
    }
}

TEST_F(Assembler, NothingWithoutSetUp) {
    expect_violation(end_block({}), "APPEND_BLOCK_END: the writer was not set up");
    expect_violation(open_block("00"), "APPEND_BLOCK: the writer was not set up");
    expect_violation(conditional(1, 0), "CONDITIONAL_BLOCK_END: the writer was not set up");
    expect_violation(appends.on_conditional_append(ConditionalAppend{.writer_id = kWriter, .event_number = 1}),
                     "CONDITIONAL_APPEND: the writer was not set up");
    set_up(kOther);
    expect_violation(end_block({}), "APPEND_BLOCK_END: the writer was not set up");
    EXPECT_EQ(appends.target_of(kOther), 42u);
    EXPECT_EQ(appends.target_of(kWriter), std::nullopt);
}

TEST_F(Assembler, SizeOfWholeEventsMeansNothingWithoutBlock) {
    set_up(kWriter);
    for (std::int32_t whole : {999, -1}) {
        auto append = end_block({.whole = whole, .data_hex = "616263"});
        ASSERT_TRUE(append);
        EXPECT_EQ(text(*append), "616263");
    }
}

TEST_F(Assembler, EmptyAppend) {
    set_up(kWriter);
    auto append = end_block({});
    ASSERT_TRUE(append);
    EXPECT_EQ(append->size(), 0u);
    EXPECT_TRUE(append->pieces().empty());
}

TEST_F(Assembler, FullBlockDropsTheDataOfItsEnd) {
    set_up(kWriter);
    ASSERT_TRUE(open_block("000000000000000568656c6c6f"));
    auto append = end_block({.whole = 13, .data_hex = "7461696c"});
    ASSERT_TRUE(append);
    EXPECT_EQ(text(*append), "000000000000000568656c6c6f");
}

TEST_F(Assembler, BlockWithoutAnyWholeEvent) {
    set_up(kWriter);
    ASSERT_TRUE(open_block("fffffffe00000002aabb"));
    auto append = end_block({.whole = 0, .data_hex = "cc"});
    ASSERT_TRUE(append);
    EXPECT_EQ(text(*append), "aabbcc");
    EXPECT_EQ(append->pieces().size(), 2u);
}

TEST_F(Assembler, BytesAfterTheNestedFrameAreIgnored) {
    set_up(kWriter);
    ASSERT_TRUE(open_block("01fffffffe00000001aa6767"));
    auto append = end_block({.whole = 1, .data_hex = "bb"});
    ASSERT_TRUE(append) << append.error().to_string();
    EXPECT_EQ(text(*append), "01aabb");
}

TEST_F(Assembler, BadEndsOfBlocks) {
    struct Case {
        std::string_view block_hex;
        End end;
        std::string_view message;
    };
    const Case cases[] = {
        {"000000000000000568656c6c6f78797a",
         {.whole = 13},
         "APPEND_BLOCK_END: the block ends in bytes that are no frame"},
        {"aa0000000000000000",
         {.whole = 1},
         "APPEND_BLOCK_END: the block ends in a frame that is neither PARTIAL_EVENT nor PADDING"},
        {"aafffffffe00000001", {.whole = 1}, "APPEND_BLOCK_END: the frame that ends the block runs beyond it"},
        {"aafffffffeffffffff", {.whole = 1}, "APPEND_BLOCK_END: the frame that ends the block runs beyond it"},
        {"aaffffffff7fffffff00", {.whole = 1}, "APPEND_BLOCK_END: the frame that ends the block runs beyond it"},
        {"aaffffffff00000000", {.whole = 1, .data_hex = "64617461"}, "APPEND_BLOCK_END: data after a padded block"},
        {"aabb", {.whole = 3}, "APPEND_BLOCK_END: more whole events than the block holds"},
        {"aabb", {.whole = -1}, "APPEND_BLOCK_END: more whole events than the block holds"},
        {"aabb", {.whole = 2, .num_events = 0}, "APPEND_BLOCK_END: holds no events"},
        {"aabb", {.whole = 2, .num_events = -1}, "APPEND_BLOCK_END: holds no events"},
        {"aabb", {.whole = 2, .last = -1}, "APPEND_BLOCK_END: event number below the one before"},
        {"aabb", {.whole = 2, .writer = kOther}, "APPEND_BLOCK_END: ends the block of another writer"},
    };
    for (const Case& c : cases) {
        SCOPED_TRACE(c.block_hex);
        appends = {};
        set_up(kWriter);
        set_up(kOther);
        ASSERT_TRUE(open_block(c.block_hex));
        expect_violation(end_block(c.end), c.message);
    }
}

TEST_F(Assembler, OnlyKeepAliveInsideABlock) {
    auto opened = [&] {
        appends = {};
        set_up(kWriter);
        EXPECT_TRUE(open_block("aabb"));
    };
    opened();
    EXPECT_TRUE(appends.on_other(CommandType::kKeepAlive));
    EXPECT_TRUE(end_block({.whole = 2}));
    EXPECT_TRUE(appends.on_other(CommandType::kPadding)) << "outside";

    opened();
    expect_violation(appends.on_other(CommandType::kPadding), "PADDING: inside an append block");
    opened();
    expect_violation(appends.on_other(CommandType::kReadSegment), "READ_SEGMENT: inside an append block");
    opened();
    expect_violation(open_block("cc"), "APPEND_BLOCK: inside an append block");
    opened();
    expect_violation(appends.on_setup_append(SetupAppend{.writer_id = kOther}, 1),
                     "SETUP_APPEND: inside an append block");
    opened();
    expect_violation(conditional(1, 0), "CONDITIONAL_BLOCK_END: inside an append block");
    opened();
    expect_violation(appends.on_conditional_append(ConditionalAppend{.writer_id = kWriter, .event_number = 1}),
                     "CONDITIONAL_APPEND: inside an append block");
}

TEST_F(Assembler, EventNumbersNeverFall) {
    set_up(kWriter);
    EXPECT_TRUE(end_block({.last = 0})) << "a first number of 0 is legal";
    EXPECT_TRUE(end_block({.last = 5}));
    EXPECT_TRUE(end_block({.last = 5})) << "the same again is the store's business";
    expect_violation(end_block({.last = 4}), "APPEND_BLOCK_END: event number below the one before");
    expect_violation(conditional(4, 0), "CONDITIONAL_BLOCK_END: event number below the one before");
    EXPECT_TRUE(conditional(6, 0));
    expect_violation(end_block({.last = 5}), "APPEND_BLOCK_END: event number below the one before");
    expect_violation(appends.on_conditional_append(ConditionalAppend{.writer_id = kWriter, .event_number = 5}),
                     "CONDITIONAL_APPEND: event number below the one before");
}

TEST_F(Assembler, FirstNumberIsNotNegative) {
    set_up(kWriter);
    expect_violation(end_block({.last = -5}), "APPEND_BLOCK_END: event number below the one before");
    expect_violation(conditional(-1, 0), "CONDITIONAL_BLOCK_END: event number below the one before");
}

TEST_F(Assembler, SetUpAgainRedirectsAndStartsAnew) {
    set_up(kWriter, 1);
    ASSERT_TRUE(end_block({.last = 7}));
    set_up(kWriter, 2);
    auto append = end_block({.last = 3});
    ASSERT_TRUE(append) << append.error().to_string();
    EXPECT_EQ(append->target, 2u);
}

TEST_F(Assembler, ManyWritersInTurn) {
    // The map grows under the cached writer; each keeps its own numbers.
    for (std::uint64_t id = 0; id < 1000; ++id) {
        set_up(Uuid{id, id}, id);
        auto append = end_block({.last = static_cast<std::int64_t>(id), .writer = Uuid{id / 2, id / 2}});
        ASSERT_TRUE(append) << append.error().to_string();
        EXPECT_EQ(append->target, id / 2);
    }
}

TEST_F(Assembler, WritersAreLimited) {
    for (std::uint64_t id = 0; id < kMaxWritersPerConnection; ++id) set_up(Uuid{id, 0});
    set_up(Uuid{7, 0});  // not a new one
    auto more = appends.on_setup_append(SetupAppend{.writer_id = kOther}, 1);
    ASSERT_FALSE(more);
    EXPECT_TRUE(more.error() == Errc::kLimit);
}

}  // namespace
}  // namespace millrace::wire
