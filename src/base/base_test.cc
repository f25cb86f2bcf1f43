#include <gtest/gtest.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "base/units.h"
#include "base/uuid.h"

namespace millrace {
namespace {

TEST(Error, CarriesCodeValueAndMessage) {
    Result<int> r = fail(Error(Errc::kBadOffset, 42, "at the tail"));
    ASSERT_FALSE(r.has_value());
    EXPECT_EQ(r.error().code(), Errc::kBadOffset);
    EXPECT_EQ(r.error().value(), 42);
    EXPECT_EQ(r.error().to_string(), "bad offset: at the tail");
}

TEST(Units, ParsesSizes) {
    EXPECT_EQ(parse_bytes("4096"), 4096u);
    EXPECT_EQ(parse_bytes("64MiB"), 64 * kMiB);
    EXPECT_EQ(parse_bytes("1 g"), kGiB);
    EXPECT_FALSE(parse_bytes("x"));
    EXPECT_FALSE(parse_bytes("1 parsec"));
    EXPECT_FALSE(parse_bytes("99999999999999999999"));
    EXPECT_FALSE(parse_bytes("18446744073709551615k"));
    EXPECT_EQ(format_bytes(1536), "1.5 KiB");
}

TEST(Text, BecomesValidUtf8) {
    constexpr std::string_view kNone = "\uFFFD";
    auto none = [&](int count) {
        std::string all;
        while (count-- > 0) all += kNone;
        return all;
    };
    for (std::string_view good : {"", "plain", "\u00fc\u20ac\uFFFD", "\U0001F600", "\U0010FFFF"}) {
        EXPECT_EQ(printable(good, 100), good);
        EXPECT_EQ(json_escape(good), good);
    }
    EXPECT_EQ(printable("\xED\xA0\x80", 100), none(3)) << "half a surrogate pair";
    EXPECT_EQ(json_escape("a\xED\xBF\xBF!"), "a" + none(3) + "!");
    EXPECT_EQ(json_escape("\xC0\x80"), none(2)) << "overlong";
    EXPECT_EQ(json_escape("\xE0\x9F\xBF"), none(3));
    EXPECT_EQ(json_escape("\xF0\x8F\xBF\xBF"), none(4));
    EXPECT_EQ(json_escape("\xF4\x90\x80\x80"), none(4)) << "above the last character";
    EXPECT_EQ(json_escape("\xFF\x80z"), none(2) + "z");
    EXPECT_EQ(json_escape("z\xE2\x82"), "z" + none(2)) << "cut";
    EXPECT_EQ(json_escape("\xE2z"), none(1) + "z");
    EXPECT_EQ(json_escape("say \"a\\b\"\n\x7f"), "say \\\"a\\\\b\\\"\\u000a\\u007f");
    EXPECT_EQ(printable("a\nb\x7f", 100), "a?b?");
}

TEST(Text, IsCutBetweenCharacters) {
    EXPECT_EQ(printable("abcdef", 4), "abcd");
    EXPECT_EQ(printable("ab\u20ac", 4), "ab");
    EXPECT_EQ(printable("ab\u20ac", 5), "ab\u20ac");
    EXPECT_EQ(printable("\xFF\xFF", 5), "\uFFFD");
    EXPECT_EQ(printable("abc", 0), "");
}

TEST(Log, JsonLinesAreValidWhateverTheySay) {
    testing::internal::CaptureStderr();
    log::set_json(true);
    log::warn("closed: {}", "\xED\xA0\x80 \"quoted\"\n");
    log::flush();
    log::set_json(false);
    std::string line = testing::internal::GetCapturedStderr();
    EXPECT_NE(line.find("\"message\":\"closed: \uFFFD\uFFFD\uFFFD \\\"quoted\\\"\\u000a\"}\n"), std::string::npos)
        << line;
}

TEST(Uuid, TextRoundTrip) {
    Uuid id{0x0001020304050607, 0x08090a0b0c0d0e0f};
    EXPECT_EQ(to_string(id), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    EXPECT_EQ(to_hex(id), "000102030405060708090a0b0c0d0e0f");
    EXPECT_EQ(parse_uuid(to_string(id)), id);
    EXPECT_EQ(parse_uuid("0-0-0-0-1"), (Uuid{0, 1}));
    for (const char* bad :
         {"", "1-2-3-4", "1-2-3-4-5-6", "g-0-0-0-1", "1--2-3-4", "00010203040506070809-0a0b-0c0d-0e0f-1234567"}) {
        EXPECT_FALSE(parse_uuid(bad)) << bad;
    }
}

}  // namespace
}  // namespace millrace
