#include "container/traffic.h"

#include <gmock/gmock.h>

#include "container/container_harness.h"

namespace millrace::container {
namespace {

using namespace std::chrono_literals;

TEST(DecayedRates, AreRightFromTheFirstSecondOn) {
    DecayedRates rates;
    rates.add({500, 50'000}, 1s);
    TrafficRates first = rates.now();
    for (double events : first.events) EXPECT_NEAR(events, 500, 0.01);
    for (double bytes : first.bytes) EXPECT_NEAR(bytes, 50'000, 1);
    for (int i = 0; i < 100; ++i) rates.add({500, 50'000}, 1s);
    TrafficRates last = rates.now();
    for (double events : last.events) EXPECT_NEAR(events, 500, 0.01);
    EXPECT_EQ(last.age, 101s);
}

TEST(DecayedRates, FollowAStepWithinTheirWindow) {
    DecayedRates rates;
    for (int i = 0; i < 3600; ++i) rates.add({100, 0}, 1s);
    for (int i = 0; i < 10; ++i) rates.add({1100, 0}, 1s);
    auto now = rates.now().events;
    EXPECT_NEAR(now[kTenSeconds], 100 + 1000 * (1 - std::exp(-1.0)), 1);
    EXPECT_NEAR(now[kOneMinute], 100 + 1000 * (1 - std::exp(-1.0 / 6)), 1);
    EXPECT_NEAR(now[kTenMinutes], 100 + 1000 * (1 - std::exp(-1.0 / 60)), 5);
    EXPECT_NEAR(now[kTwentyMinutes], 100 + 1000 * (1 - std::exp(-1.0 / 120)), 5);
}

TEST(DecayedRates, TellBurstsFromSteps) {
    DecayedRates rates;
    for (int i = 0; i < 10; ++i) rates.add({100, 1000}, 1s);
    rates.add({900, 9000}, 1s);
    rates.add({100, 1000}, 1s);
    EXPECT_THAT(rates.now().recent_events, testing::ElementsAre(100, 900, 100));
    EXPECT_THAT(rates.now().recent_bytes, testing::ElementsAre(1000, 9000, 1000));
    rates.add({450, 4500}, 500ms);
    EXPECT_THAT(rates.now().recent_events, testing::ElementsAre(900, 100, 900));
}

TEST(DecayedRates, DoNotDependOnHowOftenOneLooks) {
    DecayedRates often;
    DecayedRates seldom;
    for (int i = 0; i < 100; ++i) often.add({50, 700}, 100ms);
    seldom.add({5000, 70'000}, 10s);
    for (std::size_t i = 0; i < kTrafficWindows; ++i) {
        EXPECT_NEAR(often.now().events[i], seldom.now().events[i], 0.01);
        EXPECT_NEAR(often.now().bytes[i], seldom.now().bytes[i], 0.1);
    }
    seldom.add({1, 1}, 0s);  // no time has passed: nothing to divide by
    EXPECT_NEAR(seldom.now().events[0], 500, 0.01);
}

TEST(DecayedRates, Fade) {
    DecayedRates rates;
    EXPECT_EQ(rates.now().events[0], 0);
    rates.add({600'000, 0}, 1s);
    rates.add({0, 0}, 600s);
    EXPECT_LT(rates.now().events[kTenSeconds], 1);
    EXPECT_GT(rates.now().events[kTenMinutes], 300);
    EXPECT_FALSE(rates.faded());
    rates.add({0, 0}, 3000s);
    EXPECT_TRUE(rates.faded());
    rates.add({1, 0}, 1s);
    EXPECT_FALSE(rates.faded());
}

const SegmentTraffic* find(const std::vector<SegmentTraffic>& all, const std::string& segment) {
    for (const SegmentTraffic& one : all) {
        if (one.segment == segment) return &one;
    }
    return nullptr;
}

TEST(Traffic, OfAppendsAndMerges) {
    Harness h;
    CreateOptions policy;
    policy.scale_type = 2;
    policy.target_rate = 70;
    ASSERT_TRUE(h.create("busy", policy));
    ASSERT_TRUE(h.create("quiet"));
    ASSERT_TRUE(h.create("target"));
    AppendSession& busy = h.session("busy", 1);
    ASSERT_TRUE(h.setup(busy));
    EXPECT_TRUE(h.container->traffic().empty());
    for (std::int64_t second = 0; second < 20; ++second) {
        for (std::int64_t i = 1; i <= 10; ++i) h.append(busy, second * 10 + i, std::string(100, 'x'));
        h.executor.advance(1000ms);
    }
    ASSERT_TRUE(h.create("txn"));
    AppendSession& txn = h.session("txn", 2);
    ASSERT_TRUE(h.setup(txn));
    for (std::int64_t i = 1; i <= 50; ++i) h.append(txn, i, std::string(10, 't'));
    h.executor.run_until_idle();
    ASSERT_TRUE(h.merge("target", "txn"));
    h.executor.advance(1000ms);
    auto all = h.container->traffic();
    const SegmentTraffic* of_busy = find(all, "busy");
    ASSERT_NE(of_busy, nullptr);
    EXPECT_EQ(of_busy->scale_type, 2);
    EXPECT_EQ(of_busy->target_rate, 70);
    EXPECT_NEAR(of_busy->rates.events[kTenSeconds], 10, 1.5);
    EXPECT_NEAR(of_busy->rates.bytes[kOneMinute], 1000, 100);
    EXPECT_EQ(find(all, "quiet"), nullptr);
    auto scaling = h.container->scaling_traffic();
    ASSERT_EQ(scaling.size(), 1u);
    EXPECT_EQ(scaling[0].segment, "busy");
    EXPECT_EQ(find(all, "txn"), nullptr) << "it is gone";
    const SegmentTraffic* of_target = find(all, "target");
    ASSERT_NE(of_target, nullptr);
    EXPECT_NEAR(of_target->rates.events[kTenSeconds], 50, 0.1) << "merged events count";
    EXPECT_NEAR(of_target->rates.bytes[kTenSeconds], 500, 1);

    ASSERT_TRUE(h.remove("busy"));
    h.executor.advance(3'700'000ms);
    EXPECT_TRUE(h.container->traffic().empty()) << "an hour of silence";
    // And it starts again.
    AppendSession& again = h.session("quiet", 3);
    ASSERT_TRUE(h.setup(again));
    h.append(again, 1, "x");
    h.executor.advance(2000ms);
    EXPECT_EQ(h.container->traffic().size(), 1u);
}

TEST(Traffic, ManySegmentsAreTakenInTurns) {
    Harness h;
    constexpr std::size_t kSegments = 2 * TrafficMeter::kSegmentsPerTurn + 100;
    for (std::size_t i = 0; i < kSegments; ++i) {
        h.container->create("s" + std::to_string(i), {}, [](Result<>) {});
        AppendSession& writer = h.session("s" + std::to_string(i), 1);
        h.container->setup_append(writer, [](Result<std::int64_t>) {});
        h.append(writer, 1, "data");
    }
    h.executor.run_until_idle();
    h.executor.advance(2000ms);
    auto all = h.container->traffic();
    ASSERT_EQ(all.size(), kSegments);
    for (const SegmentTraffic& one : all) ASSERT_GT(one.rates.bytes[kTenSeconds], 1) << one.segment;
}

}  // namespace
}  // namespace millrace::container
