#include "cli/flink/scale_decision.h"

#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::cli {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

ScaleRules by_segments() {
    ScaleRules rules;
    rules.max = 16;
    return rules;
}

ScaleRules by_events(double per_task) {
    ScaleRules rules = by_segments();
    rules.by = ScaleBy::kEvents;
    rules.per_task = per_task;
    return rules;
}

std::uint32_t for_rate(double rate, std::uint32_t present, std::uint64_t segments = 100) {
    return wanted_parallelism(by_events(100), {segments, rate, 0}, present);
}

TEST(WantedParallelism, FollowsSegmentsWithinLimits) {
    ScaleRules rules = by_segments();
    EXPECT_EQ(wanted_parallelism(rules, {4, 0, 0}, 1), 4U);
    EXPECT_EQ(wanted_parallelism(rules, {0, 0, 0}, 4), 1U);  // a sealed stream still needs a reader
    EXPECT_EQ(wanted_parallelism(rules, {1'000'000, 0, 0}, 4), 16U);
    rules.min = 3;
    EXPECT_EQ(wanted_parallelism(rules, {1, 0, 0}, 4), 3U);
}

TEST(WantedParallelism, FollowsRates) {
    EXPECT_EQ(for_rate(0, 4), 1U);
    EXPECT_EQ(for_rate(301, 1), 4U);
    EXPECT_EQ(for_rate(1e30, 1), 16U);
    EXPECT_EQ(for_rate(std::numeric_limits<double>::quiet_NaN(), 4), 1U);
    ScaleRules bytes = by_events(1000);
    bytes.by = ScaleBy::kBytes;
    EXPECT_EQ(wanted_parallelism(bytes, {100, 1, 4500}, 1), 5U);
}

TEST(WantedParallelism, NoMoreSubtasksThanSegments) {
    EXPECT_EQ(for_rate(1000, 1, 3), 3U);
    EXPECT_EQ(for_rate(1000, 1, 0), 1U);
    EXPECT_EQ(for_rate(1000, 10, 3), 3U);  // also where the rate would suit what there is
}

TEST(WantedParallelism, ARateNearToWhatThereIsChangesNothing) {
    EXPECT_EQ(for_rate(401, 4), 4U);
    EXPECT_EQ(for_rate(439, 4), 4U);
    EXPECT_EQ(for_rate(441, 4), 5U);
    EXPECT_EQ(for_rate(361, 4), 4U);
    EXPECT_EQ(for_rate(299, 4), 3U);
}

// A job under these rules, looked at every five seconds; obeys at once.
class Job {
  public:
    explicit Job(ScaleRules rules, std::uint32_t present) : rules_(rules), present_(present) {}

    std::uint32_t look(std::uint32_t wanted) {
        looks_.push_back({now_, wanted});
        last_ = decide(rules_, {now_, present_, last_change_, looks_, false});
        if (last_.target != present_) {
            ++changes;
            present_ = last_.target;
            last_change_ = now_;
        }
        now_ += seconds(5);
        return present_;
    }
    void forget() { looks_.clear(); }
    const std::string& reason() const { return last_.reason; }

    int changes = 0;

  private:
    ScaleRules rules_;
    std::uint32_t present_;
    TimePoint now_{seconds(1000)};
    std::optional<TimePoint> last_change_;
    std::vector<Wanted> looks_;
    Decision last_;
};

TEST(Decide, UpAtOnceThenAfterThePause) {
    Job job(by_segments(), 1);
    EXPECT_EQ(job.look(2), 2U);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(job.look(5), 2U) << i;
    EXPECT_THAT(job.reason(), HasSubstr("5 are wanted"));
    EXPECT_EQ(job.look(5), 5U);  // 30 s
    EXPECT_EQ(job.look(5), 5U);
    EXPECT_EQ(job.changes, 2);
}

TEST(Decide, DownOnlyWhenFewerWereEnoughForAWholeWindow) {
    Job job(by_segments(), 8);
    for (int i = 0; i < 60; ++i) EXPECT_EQ(job.look(2), 8U) << i;
    EXPECT_EQ(job.look(2), 2U);  // 300 s
    EXPECT_EQ(job.changes, 1);
}

TEST(Decide, DownToTheLargestThatWasWanted) {
    Job job(by_segments(), 8);
    for (int i = 0; i < 60; ++i) job.look(i == 30 ? 5 : 2);
    EXPECT_EQ(job.look(2), 5U);
    // And not again before the next window has passed.
    for (int i = 0; i < 59; ++i) EXPECT_EQ(job.look(2), 5U) << i;
    EXPECT_EQ(job.look(2), 2U);
}

TEST(Decide, ALoadThatSwingsDoesNotShakeTheJob) {
    Job job(by_segments(), 4);
    for (int i = 0; i < 2000; ++i) job.look(i % 20 < 10 ? 4 : 6);
    EXPECT_EQ(job.changes, 1);
    EXPECT_EQ(job.look(1), 6U);
}

TEST(Decide, WhatWasNotWatchedDoesNotCount) {
    Job job(by_segments(), 8);
    for (int i = 0; i < 50; ++i) job.look(2);
    job.forget();
    for (int i = 0; i < 60; ++i) EXPECT_EQ(job.look(2), 8U) << i;
    EXPECT_EQ(job.look(2), 2U);
}

TEST(Decide, ALoweredLimitIsAnOrder) {
    Job job(by_segments(), 40);
    EXPECT_EQ(job.look(2), 16U);
}

TEST(Decide, OnlyOneLookWaitsForNothing) {
    ScaleRules rules = by_segments();
    TimePoint now{seconds(1000)};
    std::vector<Wanted> looks{{now, 2}};
    EXPECT_EQ(decide(rules, {now, 8, std::nullopt, looks, true}).target, 2U);
    looks[0].parallelism = 12;
    EXPECT_EQ(decide(rules, {now, 8, now, looks, true}).target, 12U);
    EXPECT_EQ(decide(rules, {now, 8, now, {}, true}).target, 8U);
}

}  // namespace
}  // namespace millrace::cli
