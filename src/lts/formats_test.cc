// What is written down in docs/formats/long-term-storage.md, and the texts that servers and people write.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lts/chunk_store.h"
#include "lts/errors.h"
#include "lts/register_format.h"
#include "lts/s3/time_text.h"

namespace millrace::lts {
namespace {

using Bytes = std::vector<std::uint8_t>;

// Version 1, for ever.
const Bytes kGolden = {'M',  'L',  'R',  'R',  'E',  'G',  'I',  'S',  1,    0,    0,    0,    0xff,
                       0xff, 0xff, 0xff, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x11, 0x12,
                       0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 3,    0,    0,    0,    'a',  'b',  'c'};
constexpr std::uint8_t kGoldenCrc[4] = {0xee, 0x9, 0xb0, 0x3e};

Bytes golden() {
    Bytes data = kGolden;
    std::copy(std::begin(kGoldenCrc), std::end(kGoldenCrc), data.begin() + 12);
    return data;
}

TEST(RegisterFormat, GoldenBytes) {
    RegisterContent content{{0x0102030405060708, 0x1112131415161718}, {'a', 'b', 'c'}};
    EXPECT_EQ(encode_register(content), golden());
    auto read = decode_register(golden());
    ASSERT_TRUE(read.has_value()) << read.error().to_string();
    EXPECT_EQ(read->write_id, content.write_id);
    EXPECT_EQ(read->value, content.value);
}

TEST(RegisterFormat, EveryDamageIsFound) {
    Bytes data = golden();
    for (std::size_t i = 0; i < data.size(); ++i) {
        for (unsigned bit = 0; bit < 8; ++bit) {
            Bytes damaged = data;
            damaged[i] ^= static_cast<std::uint8_t>(1u << bit);
            EXPECT_FALSE(decode_register(damaged).has_value()) << i << " " << bit;
        }
    }
    for (std::size_t size = 0; size < data.size(); ++size)
        EXPECT_EQ(decode_register(bytes::ByteSpan(data).first(size)).error(), Errc::kCorrupt);
    Bytes longer = data;
    longer.push_back(0);
    EXPECT_EQ(decode_register(longer).error(), Errc::kCorrupt);
    Bytes newer = data;
    newer[8] = 2;
    EXPECT_EQ(decode_register(newer).error(), Errc::kNewerFormat);
}

TEST(RegisterFormat, ValuesUpToTheLimit) {
    for (std::size_t size : {std::size_t{0}, kRegisterSizeMax}) {
        auto read = decode_register(encode_register({{1, 2}, Bytes(size, 7)}));
        ASSERT_TRUE(read.has_value());
        EXPECT_EQ(read->value, Bytes(size, 7));
    }
    EXPECT_EQ(decode_register(encode_register({{1, 2}, Bytes(kRegisterSizeMax + 1)})).error(), Errc::kCorrupt);
}

TEST(Keys, Limits) {
    EXPECT_TRUE(check_key("a").has_value());
    EXPECT_TRUE(check_key("Container-3/chunk_1.2=x/0").has_value());
    EXPECT_TRUE(check_key(std::string(200, 'a') + "/" + std::string(200, 'b')).has_value());
    EXPECT_TRUE(check_list_prefix("").has_value());
    EXPECT_TRUE(check_list_prefix("a/").has_value());
    EXPECT_FALSE(check_list_prefix("a//").has_value());
    EXPECT_FALSE(check_key("a/").has_value());
    EXPECT_EQ(check_key("a\x1b[31m").error().message(), "key 'a??31m': a character other than A-Z a-z 0-9 . _ - =");
}

TEST(Errors, SayWhatCanBeDone) {
    EXPECT_TRUE(is_retryable(Errc::kUnavailable));
    EXPECT_TRUE(is_retryable(Errc::kNoSpace));
    EXPECT_TRUE(is_retryable(Errc::kIo));
    for (Errc code : {Errc::kExists, Errc::kNotFound, Errc::kBadVersion, Errc::kCorrupt, Errc::kInvalidArgument})
        EXPECT_FALSE(is_retryable(code));
    EXPECT_TRUE(is_fenced(Errc::kBadVersion));
    EXPECT_FALSE(is_fenced(Errc::kExists));
    EXPECT_EQ(about_object("k", Error(Errc::kIo, 7, "disk")).to_string(), "I/O error: object k: disk");
    EXPECT_EQ(about_register("k", Error(Errc::kIo, 7)).value(), 7);
}

TEST(TimeText, BothForms) {
    EXPECT_EQ(parse_http_date("Fri, 24 May 2013 00:00:00 GMT"), 1'369'353'600'000);
    EXPECT_EQ(parse_iso_time("2013-05-24T00:00:00.123Z"), 1'369'353'600'123);
    EXPECT_EQ(parse_iso_time("2013-05-24T00:00:00Z"), 1'369'353'600'000);
    for (const char* text :
         {"", "Fri, 24 May 2013 00:00:00 UTC", "Fri, 31 Feb 2013 00:00:00 GMT", "Fri, 24 Mai 2013 00:00:00 GMT",
          "Fri, 24 May 2013 24:00:00 GMT", "Fri, xx May 2013 00:00:00 GMT"})
        EXPECT_FALSE(parse_http_date(text).has_value()) << text;
    for (const char* text : {"", "2013-05-24", "2013-13-24T00:00:00Z", "2013-05-24T00:61:00Z", "2013-05-24 00:00:00Z."})
        EXPECT_FALSE(parse_iso_time(text).has_value()) << text;
}

}  // namespace
}  // namespace millrace::lts
