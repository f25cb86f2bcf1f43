// The policy by itself, and over hours of simulated load.
#include "controller/scaling_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "controller/scaling_simulation.h"

namespace millrace::controller {
namespace {

using namespace std::chrono_literals;
using testing::SizeIs;

constexpr double kTarget = 100;

ScalingPolicy by_events(std::int32_t target = 100, std::int32_t min_segments = 1, std::int32_t factor = 64) {
    return {ScalingType::kByEvents, target, factor, min_segments};
}

auto steady(double rate) {
    return [rate](double) { return rate; };
}

// Traffic that has been the same for hours.
container::TrafficRates same_for_hours(double events, double bytes = 0) {
    container::TrafficRates rates;
    rates.events.fill(events);
    rates.bytes.fill(bytes);
    rates.recent_events.fill(events);
    rates.recent_bytes.fill(bytes);
    rates.age = 5h;
    return rates;
}

StreamLoad stream_of(ScalingPolicy policy, const std::vector<double>& events) {
    StreamLoad stream;
    stream.policy = policy;
    stream.now_ms = 100'000'000;
    stream.observed = 24h;
    for (const SegmentRange& range : equal_ranges(static_cast<std::int32_t>(events.size()), 0, 0)) {
        SegmentLoad load;
        load.range = range;
        load.age = 5h;
        double rate = events[static_cast<std::size_t>(number_of(range.id))];
        if (rate > 0) load.rates = same_for_hours(rate, rate * 100);
        stream.segments.push_back(load);
    }
    return stream;
}

// ---- splits ----

class Step : public testing::TestWithParam<double> {};

// Wherever the step falls between two looks.
TEST_P(Step, IsAnsweredWithinFiveSecondsByAsManySegmentsAsItNeeds) {
    double factor = GetParam();
    for (double before : {0.25, 0.5, 1.0}) {
        for (double phase : {0.1, 0.5, 0.9}) {
            SCOPED_TRACE(testing::Message() << before << " of the target, times " << factor << ", phase " << phase);
            ScalingSimulation sim(ScalingProfile::kFast, by_events());
            sim.run(1200, steady(before * kTarget));
            ASSERT_EQ(sim.count(), 1u);
            double step = sim.now + phase;
            sim.run(5.5, [&](double t) { return (t < step ? before : before * factor) * kTarget; });
            ASSERT_FALSE(sim.epochs.empty());
            EXPECT_LE(static_cast<double>(sim.epochs[0].when_ms) / 1000 - step, 5.0);
            double needed = std::ceil(before * factor);
            EXPECT_GE(sim.count(), needed);
            EXPECT_LE(sim.count(), 2 * needed + 1);
            sim.run(600, steady(before * factor * kTarget));
            EXPECT_LE(sim.epochs.size(), 2u);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Factors, Step, testing::Values(10.0, 20.0, 40.0));

TEST(Splits, ByBytes) {
    ScalingPolicy policy = by_events();
    policy.type = ScalingType::kByKilobytes;  // 100 KB/s
    ScalingSimulation sim(ScalingProfile::kFast, policy);
    sim.event_bytes = 1024;
    sim.run(600, steady(50));
    EXPECT_EQ(sim.count(), 1u);
    sim.run(5, steady(500));
    EXPECT_GE(sim.count(), 5u);
    EXPECT_LE(sim.count(), 11u);
}

TEST(Splits, OfWhatIsALittleTooMuchForLong) {
    ScalingSimulation sim(ScalingProfile::kFast, by_events());
    sim.run(100, steady(1.2 * kTarget));
    EXPECT_EQ(sim.count(), 1u);
    sim.run(1000, steady(1.2 * kTarget));
    EXPECT_EQ(sim.count(), 2u);
}

TEST(Splits, NotOfBurstsWithinTheTarget) {
    for (double every : {5.0, 10.0, 20.0}) {
        ScalingSimulation sim(ScalingProfile::kFast, by_events());
        sim.run(3600, [&](double t) {
            return std::fmod(t, every) < ScalingSimulation::kTurn ? 0.9 * kTarget * every / ScalingSimulation::kTurn
                                                                  : 0;
        });
        EXPECT_EQ(sim.count(), 1u) << "every " << every << " s";
    }
}

// What chance makes of a few events a second is no load.
TEST(Splits, NotOfChance) {
    for (std::int32_t target : {1, 2, 5, 20}) {
        for (std::uint64_t seed = 1; seed <= 5; ++seed) {
            ScalingSimulation sim(ScalingProfile::kFast, by_events(target), seed);
            sim.run(2 * 3600, steady(0.9 * target));
            EXPECT_EQ(sim.count(), 1u) << target << " events a second";
        }
    }
}

TEST(Splits, AreBoundedByLoadAlone) {
    ScalingSimulation sim(ScalingProfile::kFast, by_events(1));
    sim.run(600, steady(100'000));
    EXPECT_LE(sim.count(), kMostByLoad);
}

TEST(Splits, TileTheRangeOfWhatTheyReplace) {
    auto decision = decide(ScalingProfile::kFast, stream_of(by_events(), {10, 700, 10}));
    ASSERT_TRUE(decision);
    ASSERT_THAT(decision->replaced, testing::ElementsAre(segment_id(1, 0)));
    ASSERT_GE(decision->made.size(), 2u);
    EXPECT_EQ(decision->made.front().range.from, 1.0 / 3);
    EXPECT_EQ(decision->made.back().range.to, 2 * (1.0 / 3));
    for (std::size_t i = 1; i < decision->made.size(); ++i)
        EXPECT_EQ(decision->made[i].range.from, decision->made[i - 1].range.to);
    EXPECT_NEAR(decision->made[0].inherited, 700, 1);
}

TEST(Splits, NotWhileWritersCatchUpAfterARestart) {
    StreamLoad stream = stream_of(by_events(), {700});
    EXPECT_TRUE(decide(ScalingProfile::kFast, stream));
    stream.observed = 2s;
    EXPECT_FALSE(decide(ScalingProfile::kFast, stream));
}

TEST(Splits, OnlyByAPolicyThatSaysSo) {
    StreamLoad stream = stream_of(by_events(), {700});
    stream.policy.type = ScalingType::kFixed;
    EXPECT_FALSE(decide(ScalingProfile::kFast, stream));
    stream = stream_of(by_events(0), {700});
    EXPECT_FALSE(decide(ScalingProfile::kFast, stream));
    stream = stream_of(by_events(-5), {700});
    EXPECT_FALSE(decide(ScalingProfile::kPravega, stream));
}

TEST(Splits, CheapQuestionAgreesWithTheDecision) {
    for (auto profile : {ScalingProfile::kFast, ScalingProfile::kPravega}) {
        for (double rate : {1.0, 50.0, 99.0, 105.0, 131.0, 151.0, 250.0, 1000.0}) {
            bool asked = is_overloaded(profile, ScalingType::kByEvents, 100, same_for_hours(rate));
            EXPECT_EQ(asked, decide(profile, stream_of(by_events(), {rate})).has_value()) << rate;
        }
    }
}

// ---- hot keys ----

TEST(HotKeys, OneIsNotSplitWithoutEnd) {
    ScalingSimulation sim(ScalingProfile::kFast, by_events());
    sim.set_hot_keys({{0.371, 0.9}});
    sim.run(4 * 3600, steady(20 * kTarget));
    EXPECT_LE(sim.epochs_since(1000 + 3600), 2u);
    EXPECT_LE(sim.most, 120u);
    std::size_t after_four_hours = sim.count();
    sim.run(4 * 3600, steady(20 * kTarget));
    EXPECT_LE(sim.count(), after_four_hours);
    EXPECT_LE(sim.epochs_since(1000 + 4 * 3600), 2u);
}

TEST(HotKeys, ThatGrowAreTriedAgainAFewTimes) {
    ScalingSimulation sim(ScalingProfile::kFast, by_events());
    sim.set_hot_keys({{0.371, 0.99}});
    sim.run(6 * 3600, [](double t) { return (2 + t / 1000) * kTarget; });
    EXPECT_LE(sim.epochs.size(), 40u);
    EXPECT_LE(sim.most, 150u);
}

TEST(HotKeys, SomeAmongMany) {
    ScalingSimulation sim(ScalingProfile::kFast, by_events(10));
    sim.set_hot_keys(
        {{0.05, 1.0 / 6}, {0.2, 1.0 / 6}, {0.4, 1.0 / 6}, {0.41, 1.0 / 6}, {0.7, 1.0 / 6}, {0.9, 1.0 / 6}});
    sim.run(3600, steady(500));
    EXPECT_LE(sim.most, 100u);
    EXPECT_LE(sim.epochs_since(1000 + 1800), 2u);
}

// Twice the load everywhere is no hot key, whatever a segment comes from.
TEST(HotKeys, AreNotWhereAllHaveMore) {
    ScalingSimulation sim(ScalingProfile::kFast, by_events());
    sim.run(300, steady(5 * kTarget));
    std::size_t before = sim.count();
    sim.run(300, steady(30 * kTarget));
    EXPECT_GE(sim.count(), 30u);
    EXPECT_GT(sim.count(), before);
}

// ---- merges ----

TEST(Merges, AreLazyAndLeaveTheLeast) {
    ScalingSimulation sim(ScalingProfile::kFast, by_events(100, 3));
    sim.run(120, steady(20 * kTarget));
    std::size_t peak = sim.count();
    ASSERT_GE(peak, 20u);
    double fell = sim.now;
    sim.run(60, steady(0));
    EXPECT_EQ(sim.count(), peak) << "too early";
    sim.run(240, steady(0));
    EXPECT_LT(sim.count(), peak);
    EXPECT_GT(sim.count(), 3u) << "not all at once";
    sim.run(1200, steady(0));
    EXPECT_EQ(sim.count(), 3u);
    EXPECT_LE(sim.epochs_since(fell), 6u) << "pairs at a time";
    sim.run(2 * 3600, steady(0));
    EXPECT_EQ(sim.count(), 3u);
}

TEST(Merges, OfAStreamWithoutAnyTraffic) {
    StreamLoad stream = stream_of(by_events(), {0, 0, 0, 0});
    auto decision = decide(ScalingProfile::kFast, stream);
    ASSERT_TRUE(decision);
    EXPECT_THAT(decision->replaced, SizeIs(4));
    EXPECT_THAT(decision->made, SizeIs(2));
    EXPECT_EQ(decision->made[1].range, (KeyRange{0.5, 1}));
    EXPECT_EQ(decision->made[1].inherited, 0);
    stream.policy.min_segments = 3;
    EXPECT_THAT(decide(ScalingProfile::kFast, stream)->made, SizeIs(1));
    stream.policy.min_segments = 4;
    EXPECT_FALSE(decide(ScalingProfile::kFast, stream));
    stream.policy.min_segments = 0;
    stream.observed = 30s;
    EXPECT_FALSE(decide(ScalingProfile::kFast, stream)) << "nobody knows yet";
    stream.observed = 24h;
    stream.last_changes.push_back({stream.now_ms - 10'000, true, false});
    EXPECT_FALSE(decide(ScalingProfile::kFast, stream)) << "just scaled";
}

TEST(Merges, OfNeighboursThatHaveLittleTogether) {
    auto decision = decide(ScalingProfile::kFast, stream_of(by_events(), {15, 80, 20, 15, 30}));
    ASSERT_TRUE(decision);
    EXPECT_THAT(decision->replaced, testing::ElementsAre(segment_id(2, 0), segment_id(3, 0)));
    EXPECT_FALSE(decide(ScalingProfile::kFast, stream_of(by_events(), {30, 30, 30})));
}

TEST(Splits, GoStraightToWhatIsNeededWhateverTheFactor) {
    for (int factor : {-1, 0, 2, 50}) {
        auto decision = decide(ScalingProfile::kFast, stream_of(by_events(100, 1, factor), {1000}));
        ASSERT_TRUE(decision);
        EXPECT_THAT(decision->made, SizeIs(14)) << factor;
    }
}

// ---- profile pravega ----

TEST(Pravega, WaitsItsMinutesAndKeepsItsFactor) {
    ScalingSimulation sim(ScalingProfile::kPravega, by_events(100, 1, 3));
    sim.run(590, steady(20 * kTarget));
    EXPECT_EQ(sim.count(), 1u);
    sim.run(30, steady(20 * kTarget));
    EXPECT_EQ(sim.count(), 3u) << "no more than the factor";
    sim.run(560, steady(20 * kTarget));
    EXPECT_EQ(sim.count(), 3u);
    sim.run(60, steady(20 * kTarget));
    EXPECT_EQ(sim.count(), 9u);
}

TEST(Pravega, ItsWindows) {
    auto stream = [](double two, double five, double ten, double twenty, std::chrono::milliseconds age) {
        StreamLoad load = stream_of(by_events(), {1, 1, 1, 1});
        for (SegmentLoad& segment : load.segments) {
            segment.age = age;
            segment.rates->events[container::kTwoMinutes] = two;
            segment.rates->events[container::kFiveMinutes] = five;
            segment.rates->events[container::kTenMinutes] = ten;
            segment.rates->events[container::kTwentyMinutes] = twenty;
        }
        return decide(ScalingProfile::kPravega, load);
    };
    auto is_split = [](const std::optional<ScalingDecision>& d) { return d && d->made.size() > d->replaced.size(); };
    EXPECT_FALSE(is_split(stream(499, 199, 99, 99, 1h)));
    EXPECT_TRUE(is_split(stream(501, 199, 99, 99, 1h)));
    EXPECT_TRUE(is_split(stream(499, 201, 99, 99, 1h)));
    EXPECT_TRUE(is_split(stream(499, 199, 101, 99, 1h)));
    EXPECT_FALSE(stream(501, 501, 501, 501, 9min));
    EXPECT_FALSE(stream(99, 99, 99, 51, 1h));
    EXPECT_FALSE(stream(99, 99, 99, 49, 19min));
    auto merge = stream(99, 99, 99, 49, 1h);
    ASSERT_TRUE(merge);
    EXPECT_THAT(merge->replaced, SizeIs(3));
    EXPECT_THAT(merge->made, SizeIs(1));
}

TEST(Pravega, MergesTwoWhereThreeWouldBeTooFew) {
    StreamLoad load = stream_of(by_events(100, 3), {0, 0, 0, 0});
    auto merge = decide(ScalingProfile::kPravega, load);
    ASSERT_TRUE(merge);
    EXPECT_THAT(merge->replaced, testing::ElementsAre(segment_id(0, 0), segment_id(1, 0)));
    load.policy.min_segments = 4;
    EXPECT_FALSE(decide(ScalingProfile::kPravega, load));
}

// ---- no flapping ----

// A load that does the same all the time, however wild, is met after a while: the segments stay.
RC_GTEST_PROP(Flapping, NotUnderANoisyLoad, ()) {
    double level = *rc::gen::inRange(5, 1500) / 100.0;
    double noise = *rc::gen::inRange(0, 100) / 100.0;
    auto period = static_cast<double>(*rc::gen::inRange(1, 30));
    std::mt19937_64 random(*rc::gen::arbitrary<std::uint32_t>());
    ScalingSimulation sim(ScalingProfile::kFast, by_events());
    double now = 1;
    double until = 0;
    auto load = [&](double t) {
        if (t >= until) {
            now = level * (1 + noise * std::uniform_real_distribution<>(-1, 1)(random));
            until = t + period;
        }
        return now * kTarget;
    };
    sim.run(1800, load);
    double settled = sim.now;
    sim.run(3600, load);
    RC_LOG() << level << " of the target, noise " << noise << " of " << period << " s: " << sim.epochs.size()
             << " epochs, " << sim.epochs_since(settled) << " of them late" << std::endl;
    RC_ASSERT(sim.epochs_since(settled) <= 6u);
    RC_ASSERT(sim.count() + 1 >= std::ceil(level * 0.8));
    RC_ASSERT(static_cast<double>(sim.most) <= 6 * level * (1 + noise) + 3);
}

RC_GTEST_PROP(Flapping, NotUnderASawtooth, ()) {
    double low = *rc::gen::inRange(0, 200) / 100.0;
    double high = low + *rc::gen::inRange(50, 1500) / 100.0;
    auto period = static_cast<double>(*rc::gen::inRange(4, 20 * 60));
    bool is_square = *rc::gen::arbitrary<bool>();
    ScalingSimulation sim(ScalingProfile::kFast, by_events());
    auto load = [&](double t) {
        double phase = std::fmod(t, period) / period;
        double height = is_square ? (phase < 0.5 ? 0 : 1) : phase;
        return (low + (high - low) * height) * kTarget;
    };
    sim.run(2 * 3600, load);
    double settled = sim.now;
    sim.run(2 * 3600, load);
    RC_LOG() << low << " to " << high << " of the target within " << period << (is_square ? " s, square: " : " s: ")
             << sim.epochs.size() << " epochs, " << sim.epochs_since(settled) << " of them late" << std::endl;
    RC_ASSERT(sim.epochs_since(settled) <= 6u);
    RC_ASSERT(sim.epochs.size() <= 60u);
}

}  // namespace
}  // namespace millrace::controller
