#include <gtest/gtest.h>

#include "base/error.h"
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
