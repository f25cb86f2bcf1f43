#include "store/credits.h"

#include <gtest/gtest.h>

namespace millrace::store {
namespace {

TEST(CreditPool, WhoHoldsNothingIsAlwaysRead) {
    CreditPool pool({.total_bytes = 1'000, .always_bytes = 100, .shared_bytes = 500});
    EXPECT_TRUE(pool.may_read(0));
    EXPECT_TRUE(pool.may_read(400)) << "much, while nobody else needs it";
    pool.take(450);
    EXPECT_TRUE(pool.may_read(40));
    EXPECT_FALSE(pool.may_read(100));
    EXPECT_TRUE(pool.may_read(99)) << "a little";
    EXPECT_FALSE(pool.full());
    pool.take(550);
    EXPECT_TRUE(pool.full());
    EXPECT_FALSE(pool.may_read(1));
    EXPECT_TRUE(pool.may_read(0));
    EXPECT_TRUE(pool.give_back(1)) << "whoever waits is worth a look";
    EXPECT_FALSE(pool.give_back(1)) << "once";
    EXPECT_TRUE(pool.may_read(1));
}

TEST(ReadPool, GivesALittleWhenItIsFull) {
    ReadPool pool({.total_bytes = 8'000, .least_bytes = 100});
    EXPECT_EQ(pool.share(5'000), 5'000u);
    EXPECT_TRUE(pool.may_start(7'999));
    pool.take(9'000);
    EXPECT_TRUE(pool.full());
    EXPECT_FALSE(pool.may_start(1));
    EXPECT_TRUE(pool.may_start(0));
    EXPECT_EQ(pool.share(5'000), 100u);
    EXPECT_EQ(pool.share(50), 50u);
    EXPECT_FALSE(pool.give_back(1'500)) << "not yet a good step below";
    EXPECT_FALSE(pool.full());
    EXPECT_TRUE(pool.give_back(501));
    EXPECT_FALSE(pool.give_back(1));
}

TEST(StandingPool, RefusesWhatIsTooMuchForOneOrForAll) {
    StandingPool pool({.total_bytes = 1'000, .connection_bytes = 800, .always_bytes = 50});
    EXPECT_TRUE(pool.take(0, 800));
    EXPECT_FALSE(pool.take(800, 1));
    EXPECT_FALSE(pool.take(0, 201)) << "too much for all";
    EXPECT_EQ(pool.total(), 800u);
    EXPECT_TRUE(pool.take(0, 200));
    EXPECT_TRUE(pool.take(0, 50)) << "a little is possible at any time";
    EXPECT_FALSE(pool.take(50, 1));
    pool.give_back(1'050);
    EXPECT_EQ(pool.total(), 0u);
}

}  // namespace
}  // namespace millrace::store
