#include <gtest/gtest.h>

#include "wire/wire_test_util.h"

namespace millrace::wire {
namespace {

ByteVector header(std::int32_t code, std::int32_t length) {
    ByteVector out;
    bytes::Writer writer(out);
    writer.i32(code);
    writer.i32(length);
    return out;
}

TEST(FrameParser, FindsTheFramesOfAWindow) {
    ByteVector window;
    for (const char* id : {"V1", "V3", "V2", "V7a"}) {
        const ByteVector& frame = golden().at(id);
        window.insert(window.end(), frame.begin(), frame.end());
    }
    std::vector<CommandType> types;
    FrameParser parser(window);
    for (;;) {
        auto frame = parser.next();
        ASSERT_TRUE(frame) << frame.error().to_string();
        if (!*frame) break;
        types.push_back((*frame)->type);
    }
    EXPECT_EQ(types, (std::vector{CommandType::kHello, CommandType::kSetupAppend, CommandType::kKeepAlive,
                                  CommandType::kAppendBlock}));
    EXPECT_EQ(parser.consumed(), window.size());
    EXPECT_EQ(parser.missing(), kFrameHeaderBytes);
}

TEST(FrameParser, SaysHowMuchIsMissing) {
    const ByteVector& whole = golden().at("V3");
    for (std::size_t size = 0; size < whole.size(); ++size) {
        ByteVector part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
        FrameParser parser(part);
        auto frame = parser.next();
        ASSERT_TRUE(frame);
        EXPECT_FALSE(*frame);
        EXPECT_EQ(parser.consumed(), 0u);
        EXPECT_EQ(parser.missing(), size < 8 ? 8 - size : whole.size() - size);
    }
}

TEST(FrameParser, AnEmptyPayloadAtTheEndOfTheWindow) {
    ByteVector window = header(100, 0);
    FrameParser parser(window);
    auto frame = parser.next();
    ASSERT_TRUE(frame && *frame);
    EXPECT_TRUE((*frame)->payload.empty());
}

TEST(FrameParser, BadHeadersAreErrors) {
    auto error_of = [](std::int32_t code, std::int32_t length) {
        ByteVector bytes = header(code, length);
        FrameParser parser(bytes);
        auto first = parser.next();
        auto again = parser.next();
        EXPECT_EQ(first.has_value(), again.has_value());
        return first ? std::string("none") : first.error().message();
    };
    EXPECT_EQ(error_of(0x47455420, 0x2f204854), "frame: unknown command code 1195725856");
    EXPECT_EQ(error_of(6, 0), "frame: unknown command code 6");
    EXPECT_EQ(error_of(-128, 0), "frame: unknown command code -128");
    EXPECT_EQ(error_of(101, 0), "frame: unknown command code 101");
    EXPECT_EQ(error_of(11, -1), "GET_STREAM_SEGMENT_INFO: frame of negative length -1");
    EXPECT_EQ(error_of(11, 16'777'207), "none");
    EXPECT_EQ(error_of(11, 16'777'208), "GET_STREAM_SEGMENT_INFO: frame of 16777208 bytes, the limit is 16777207");
    EXPECT_EQ(error_of(11, 0x7fffffff), "GET_STREAM_SEGMENT_INFO: frame of 2147483647 bytes, the limit is 16777207");
    // The largest batch that a Java client sends is larger than what the reference server takes.
    EXPECT_EQ(error_of(3, 16 + 2 * (8 * 1024 * 1024 + 8)), "none");
    EXPECT_EQ(error_of(4, 17 << 20), "none");
    EXPECT_EQ(error_of(4, (17 << 20) + 1), "APPEND_BLOCK_END: frame of 17825793 bytes, the limit is 17825792");
}

TEST(FrameParser, StopsAtTheFirstBadFrame) {
    ByteVector window = golden().at("V2");
    ByteVector bad = header(12345, 4);
    window.insert(window.end(), bad.begin(), bad.end());
    window.insert(window.end(), golden().at("V3").begin(), golden().at("V3").end());
    FrameParser parser(window);
    auto first = parser.next();
    ASSERT_TRUE(first && *first);
    EXPECT_FALSE(parser.next());
    EXPECT_FALSE(parser.next());
    EXPECT_EQ(parser.consumed(), 8u);
}

}  // namespace
}  // namespace millrace::wire
