#include "controller/names.h"

#include <gtest/gtest.h>

#include "controller/page_token.h"

namespace millrace::controller {
namespace {

TEST(Names, Allowed) {
    for (std::string good :
         {std::string("a"), std::string("A-b.9"), std::string("_x"), std::string("_MARKx"), std::string(255, 'n')}) {
        EXPECT_TRUE(is_allowed_name(good)) << good;
    }
    for (std::string bad :
         {std::string(), std::string("_"), std::string("__x"), std::string("a_b"), std::string("a b"),
          std::string("a/b"), std::string("ü"), std::string("a$"), std::string(256, 'n'), std::string("a\0b", 3)}) {
        EXPECT_FALSE(is_allowed_name(bad)) << bad;
    }
    EXPECT_TRUE(is_allowed_user_name(std::string(250, 'n')));
    EXPECT_FALSE(is_allowed_user_name(std::string(251, 'n')));
    EXPECT_FALSE(is_allowed_user_name("_g"));
    EXPECT_FALSE(is_allowed_user_name(""));
}

TEST(Names, OfCompanions) {
    StreamName x{"s", "x"};
    StreamName mark = mark_of(x);
    EXPECT_EQ(mark.stream, "_MARKx");
    EXPECT_EQ(base_of(mark), x);
    EXPECT_EQ(base_of(x), x);
    EXPECT_FALSE(is_mark("_MARK"));
    EXPECT_EQ(reader_group_stream("s", "g").stream, "_RGg");
    EXPECT_EQ(segment_name(x, segment_id(3, 1)), "s/x/3.#epoch.1");
    EXPECT_EQ(parse_scoped_name("s/x"), x);
    EXPECT_FALSE(parse_scoped_name("s"));
    EXPECT_FALSE(parse_scoped_name("s/x/y"));
    EXPECT_FALSE(parse_scoped_name("/x"));
    // A companion's name may be longer than names that are given.
    EXPECT_TRUE(is_possible_name(mark_of({"s", std::string(255, 'n')})));
}

TEST(PageToken, OnlyOurs) {
    EXPECT_EQ(*last_name_of(""), "");
    EXPECT_EQ(*last_name_of(page_token("abc")), "abc");
    for (const char* bad : {"garbage", "00000000abc", "x", "a much longer text than a token, with spaces"}) {
        auto name = last_name_of(bad);
        ASSERT_FALSE(name) << bad;
        EXPECT_EQ(name.error(), Errc::kInvalidArgument);
    }
}

TEST(Names, OfSegmentsThereAndBack) {
    auto parsed = parse_segment_name(segment_name({"s", "x.y"}, segment_id(7, 3)));
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->stream, (StreamName{"s", "x.y"}));
    EXPECT_EQ(parsed->id, segment_id(7, 3));
    for (const char* bad : {"", "s/x", "s/x/3", "s/x/3.#epoch.", "s/x/.#epoch.1", "s/x/-3.#epoch.1", "s/x/3.#epoch.1x",
                            "s/x/3.#epoch.1#transaction.00000000000000010000000000000002", "x/3.#epoch.1",
                            "a/s/x/3.#epoch.1", "s/x/99999999999.#epoch.1", "_controller"}) {
        EXPECT_FALSE(parse_segment_name(bad)) << bad;
    }
}

}  // namespace
}  // namespace millrace::controller
