#include "wire/modified_utf8.h"

#include <optional>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "wire/wire_test_util.h"

namespace millrace::wire {
namespace {

std::optional<std::string> decoded(std::string_view hex) {
    ByteVector in = from_hex(hex);
    std::string out = "left over";
    if (!decode_modified_utf8(in, out)) return std::nullopt;
    return out;
}

std::string encoded_text(std::string_view text, std::size_t limit = 65'535) {
    ModifiedUtf8Extent extent = measure_modified_utf8(text, limit);
    ByteVector out(extent.encoded_bytes);
    encode_modified_utf8(text, extent, out.data());
    return to_hex(out);
}

TEST(ModifiedUtf8, WhatJavaReads) {
    EXPECT_EQ(decoded(""), "");
    EXPECT_EQ(decoded("61c080c3a9eda0bdedb880"), std::string("a\0\xc3\xa9\xf0\x9f\x98\x80", 8));
    EXPECT_EQ(decoded("6100"), std::string("a\0", 2)) << "a plain zero";
    EXPECT_EQ(decoded("c1a1"), "a") << "overlong";
    EXPECT_EQ(decoded("e081a1"), "a") << "overlong";
    EXPECT_EQ(decoded("eda0bd"), "\xed\xa0\xbd") << "half of a pair is kept";
    EXPECT_EQ(decoded("eda0bd61"),
              "\xed\xa0\xbd"
              "a");
    EXPECT_EQ(decoded("edb880eda0bd"), "\xed\xb8\x80\xed\xa0\xbd") << "halves in the wrong order";
}

TEST(ModifiedUtf8, WhatJavaRefuses) {
    for (const char* hex : {"ffff", "80", "61bf", "c3", "c361", "e9", "e982", "e98261", "e961a1", "f09f9880", "6162c3",
                            "61626364616263ff", "6162636461626364ff", "eda0bdf0", "eda0bdedb8"}) {
        EXPECT_EQ(decoded(hex), std::nullopt) << hex;
    }
}

TEST(ModifiedUtf8, Writing) {
    EXPECT_EQ(encoded_text(std::string("a\0\xc3\xa9\xf0\x9f\x98\x80", 8)), "61c080c3a9eda0bdedb880");
    EXPECT_EQ(encoded_text("\xef\xbf\xbf"), "efbfbf");
    EXPECT_EQ(encoded_text("\xf4\x8f\xbf\xbf"), "edafbfedbfbf") << "U+10FFFF";
    EXPECT_EQ(encoded_text("\xed\xa0\xbd"), "eda0bd") << "half of a pair goes out as it came in";
    for (const char* bad : {"\x80", "\xff", "\xc1", "\xc3", "\xf8"}) EXPECT_EQ(encoded_text(bad), "efbfbd");
    EXPECT_EQ(encoded_text("\xf4\x90\x80\x80"), "efbfbdefbfbdefbfbdefbfbd") << "beyond the last character";
    EXPECT_EQ(encoded_text("\xc1\xa1"), "efbfbdefbfbd") << "overlong";
}

TEST(ModifiedUtf8, CutsBetweenCharacters) {
    EXPECT_EQ(encoded_text("abcdefghij", 9), "616263646566676869");
    EXPECT_EQ(encoded_text("\xc3\xa9\xc3\xa9", 3), "c3a9");
    EXPECT_EQ(encoded_text("a\xf0\x9f\x98\x80", 6), "61") << "a pair of surrogates is one character";
    EXPECT_EQ(encoded_text("a\xf0\x9f\x98\x80", 7), "61eda0bdedb880");
    EXPECT_EQ(encoded_text(std::string_view("\0\0", 2), 3), "c080");
    EXPECT_EQ(encoded_text("abc", 0), "");
}

RC_GTEST_PROP(ModifiedUtf8, AnythingDecodedIsWrittenAndReadAgainTheSame, (const ByteVector& bytes)) {
    std::string text;
    RC_PRE(decode_modified_utf8(bytes, text));
    RC_ASSERT(decoded(encoded_text(text)) == text);
}

RC_GTEST_PROP(ModifiedUtf8, AnyBytesAreWrittenAsSomethingReadable, (const std::string& text, std::uint8_t limit)) {
    ModifiedUtf8Extent extent = measure_modified_utf8(text, limit);
    RC_ASSERT(extent.encoded_bytes <= limit);
    RC_ASSERT(extent.source_bytes <= text.size());
    RC_ASSERT(decoded(encoded_text(text, limit)).has_value());
}

}  // namespace
}  // namespace millrace::wire
