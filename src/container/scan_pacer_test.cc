#include "container/scan_pacer.h"

#include <gtest/gtest.h>

#include "base/clock.h"

namespace millrace::container {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kMiB = 1 << 20;

struct ScanPacerTest : testing::Test {
    // A scan that takes a piece whenever it may, for so long; bytes.
    std::uint64_t scan(std::chrono::milliseconds time, std::uint64_t piece) {
        std::uint64_t taken = 0;
        for (auto end = clock.now() + time; clock.now() < end; clock.advance(1ms)) {
            if (appending) pacer.appends_wait(clock.now());
            // What nothing holds back takes its piece within a tenth of a millisecond.
            for (int i = 0; i < 10 && pacer.wait(clock.now()) == 0ms; ++i) {
                pacer.took(piece, clock.now());
                taken += piece;
            }
        }
        return taken;
    }
    ManualClock clock;
    ScanPacer pacer;
    bool appending = false;
};

TEST_F(ScanPacerTest, NothingIsHeldBackWhileTheLogTakesAppendsAtOnce) {
    EXPECT_EQ(scan(1s, kMiB), 10'000 * kMiB);
    EXPECT_EQ(pacer.wait(clock.now()), 0ms);
}

TEST_F(ScanPacerTest, ScansGetTheirRateWhileAppendsWait) {
    appending = true;
    EXPECT_NEAR(static_cast<double>(scan(10s, kMiB)), 640.0 * kMiB, 10.0 * kMiB);
    EXPECT_NEAR(static_cast<double>(scan(10s, kMiB / 16)), 640.0 * kMiB, 10.0 * kMiB);
}

TEST_F(ScanPacerTest, ScansGetEverythingWhenWritersAreDone) {
    appending = true;
    scan(1s, kMiB);
    appending = false;
    clock.advance(200ms);
    EXPECT_EQ(scan(1s, kMiB), 10'000 * kMiB);
    appending = true;
    EXPECT_LE(scan(100ms, kMiB), 20 * kMiB) << "what they took meanwhile is no credit, and no debt";
    EXPECT_GE(scan(1s, kMiB), 60 * kMiB);
}

TEST_F(ScanPacerTest, ManyScansAllGetOn) {
    pacer.appends_wait(clock.now());
    for (int i = 0; i < 1000; ++i) pacer.took(kMiB, clock.now());
    EXPECT_EQ(pacer.wait(clock.now()), ScanPacerOptions().wait_max);
}

TEST_F(ScanPacerTest, WithoutARateNothingIsHeldBack) {
    ScanPacer none({.bytes_per_second = 0});
    none.appends_wait(clock.now());
    none.took(1000 * kMiB, clock.now());
    EXPECT_EQ(none.wait(clock.now()), 0ms);
}

TEST(AppendsWaiting, IsWhatMostFramesTell) {
    AppendsWaiting waiting;
    for (int i = 0; i < 8; ++i) EXPECT_FALSE(waiting.frame_sent(true)) << "a burst";
    for (int i = 0; i < 100; ++i) waiting.frame_sent(true);
    EXPECT_TRUE(waiting.frame_sent(false)) << "one of many";
    bool waits = true;
    for (int i = 0; i < 12; ++i) waits = waiting.frame_sent(false);
    EXPECT_FALSE(waits);
    for (int i = 0; i < 100; ++i) waits = waiting.frame_sent(i % 3 == 0);
    EXPECT_FALSE(waits);
}

}  // namespace
}  // namespace millrace::container
