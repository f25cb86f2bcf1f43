// Retention as a controller does it: rounds on manual time, over a store in memory.
#include "controller/retention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/controller_harness.h"

namespace millrace::controller {
namespace {

using namespace std::chrono_literals;
using testing::IsEmpty;
using testing::SizeIs;

const StreamName kX{"s", "x"};
const StreamName kY{"s", "y"};
const std::string kSegment0 = "s/x/0.#epoch.0";
const auto k0 = segment_id(0, 0), k1 = segment_id(1, 0);

StreamConfig kept(RetentionType type, std::int64_t param, std::int64_t max = 0, std::int32_t segments = 1) {
    StreamConfig config = fixed(segments);
    config.retention = RetentionPolicy{type, param, max};
    return config;
}

class RetentionTest : public testing::Test {
  protected:
    RetentionTest() { EXPECT_EQ(t.create_scope("s"), CreateScopeStatus::kSuccess); }
    ~RetentionTest() override { EXPECT_THAT(t.garbage(), IsEmpty()); }

    // Rounds, with so many bytes written before each.
    void rounds(int count, std::int64_t bytes = 0, const std::string& segment = kSegment0) {
        for (int i = 0; i < count; ++i) {
            t.api.segments.at(segment).length += bytes;
            t.executor->advance(10s);
        }
    }
    void subscribe(const std::string& group, StreamCut cut) {
        auto made = t.create_group("s", group, group_over({kX}, ReaderGroupRetention::kManual));
        ASSERT_EQ(made->status, CreateReaderGroupStatus::kSuccess);
        report(group, std::move(cut));
    }
    void report(const std::string& group, StreamCut cut) {
        SubscriberCut progress{"s/" + group, 0, Uuid{1, 1}, kX, std::move(cut)};
        auto status = t.call<UpdateSubscriberStatus>(
            [&](auto done) { t.controller->update_subscriber(progress, std::move(done)); });
        EXPECT_EQ(status, UpdateSubscriberStatus::kSuccess);
    }
    Result<RetentionReport> ask(const StreamName& name = kX) {
        return t.call<RetentionReport>([&](auto done) { t.controller->retention_report(name, std::move(done)); });
    }
    std::int64_t head(StreamSegmentId id = k0) { return t.head(kX)->at(id); }
    std::size_t samples() { return t.keys("sample/").size(); }

    Harness t;
};

TEST_F(RetentionTest, StreamsWithoutPolicyCostNothing) {
    ASSERT_EQ(t.create(kX, fixed(1)), CreateStreamStatus::kSuccess);
    t.api.arm(FakeSegmentApi::Fault::kNone, 0);
    rounds(10, 1000);
    EXPECT_EQ(t.api.changes(), 0u);
    EXPECT_EQ(head(), 0);
    EXPECT_EQ(ask()->reason, "the stream has no retention policy: everything stays");
    EXPECT_EQ(ask(kY).error(), Errc::kNotFound);
}

TEST_F(RetentionTest, BySize) {
    ASSERT_EQ(t.create(kX, kept(RetentionType::kSize, 2500)), CreateStreamStatus::kSuccess);
    rounds(3, 1000);
    EXPECT_EQ(head(), 0) << "cut at 1000, 2000 would be left";
    rounds(1, 1000);
    EXPECT_EQ(head(), 1000);
    EXPECT_EQ(t.api.segments[kSegment0].start, 1000);
    rounds(3, 1000);
    EXPECT_EQ(head(), 4000);
    rounds(100);
    EXPECT_EQ(head(), 4000) << "nothing was written";
    EXPECT_EQ(samples(), 3u);
}

TEST_F(RetentionTest, ByTime) {
    ASSERT_EQ(t.create(kX, kept(RetentionType::kTime, 30'000)), CreateStreamStatus::kSuccess);
    rounds(3, 1000);  // noted at 10, 20, 30 s
    EXPECT_EQ(head(), 0);
    rounds(1, 1000);
    EXPECT_EQ(head(), 1000);
    rounds(2, 1000);
    EXPECT_EQ(head(), 3000);
    rounds(3);
    EXPECT_EQ(head(), 6000) << "time goes on for what was written";
    rounds(2);
    EXPECT_EQ(samples(), 0u) << "nothing is left to choose from";
}

TEST_F(RetentionTest, LooksOftenEnoughAndNoMore) {
    ASSERT_EQ(t.create(kX, kept(RetentionType::kTime, 6'400'000)), CreateStreamStatus::kSuccess);
    rounds(600, 10);  // 6000 s
    EXPECT_EQ(samples(), 60u) << "one in a 64th of the time";
    EXPECT_EQ(head(), 0);
    rounds(100, 10);
    EXPECT_GT(head(), 0);
    EXPECT_EQ(t.api.segments[kSegment0].length, 7000);
    EXPECT_GE(7000 - head(), 6400);
    EXPECT_LE(7000 - head(), 6400 + 2 * 100);
}

TEST_F(RetentionTest, SamplesAreBoundedWhenSubscribersAreBehind) {
    ASSERT_EQ(t.create(kX, kept(RetentionType::kSize, 1000)), CreateStreamStatus::kSuccess);
    subscribe("g", {{k0, 0}});
    rounds(1000, 100);
    EXPECT_EQ(head(), 0);
    EXPECT_LE(samples(), Retention::kSamples);
    EXPECT_GT(samples(), Retention::kSamples / 4);
    report("g", {{k0, 99'900}});
    rounds(1);
    EXPECT_GT(head(), 98'000);
}

TEST_F(RetentionTest, TheTailIsNotAheadOfItsSubscribers) {
    ASSERT_EQ(t.create(kX, kept(RetentionType::kSize, 1000, 5000)), CreateStreamStatus::kSuccess);
    subscribe("g", {{k0, 0}});
    ASSERT_EQ(t.create_group("s", "silent", group_over({kX}, ReaderGroupRetention::kManual))->status,
              CreateReaderGroupStatus::kSuccess);
    rounds(4, 1000);
    EXPECT_EQ(head(), 0) << "nothing of it was read";
    report("g", {{k0, 1500}});
    rounds(1, 500);
    EXPECT_EQ(head(), 1500) << "just what was read";
    report("g", {{k0, 4500}});
    rounds(1);
    EXPECT_EQ(head(), 3000) << "the policy keeps the last 1000";
    rounds(8, 1000);
    EXPECT_GE(head(), 12'500 - 5000) << "the subscriber is behind the most";
    EXPECT_LE(head(), 12'500 - 1000);
}

TEST_F(RetentionTest, ASubscriberWithoutReportHoldsNothingBack) {
    ASSERT_EQ(t.create(kX, kept(RetentionType::kSize, 1000)), CreateStreamStatus::kSuccess);
    ASSERT_EQ(t.create_group("s", "silent", group_over({kX}, ReaderGroupRetention::kAutomatic))->status,
              CreateReaderGroupStatus::kSuccess);
    rounds(3, 1000);
    EXPECT_EQ(head(), 2000);
}

TEST_F(RetentionTest, AGroupThatBeginsAnewHoldsBackWhatItDidOrWhatFollows) {
    ASSERT_EQ(t.create(kX, kept(RetentionType::kSize, 100)), CreateStreamStatus::kSuccess);
    subscribe("g", {{k0, 500}});
    rounds(1, 1000);
    EXPECT_EQ(head(), 500);
    auto update = [&](std::int64_t generation, StreamCut start) {
        auto config = group_over({kX}, ReaderGroupRetention::kManual);
        config.generation = generation;
        config.start.front().cut = std::move(start);
        auto updated = t.update_group("s", "g", config);
        EXPECT_EQ(updated->status, UpdateReaderGroupStatus::kSuccess);
    };
    update(0, {});
    rounds(3, 1000);
    EXPECT_EQ(head(), 500) << "no newer report";
    update(1, {{segment_id(7, 7), 0}});
    update(2, {{k0, 700}});
    rounds(1);
    EXPECT_EQ(head(), 700);
    SubscriberCut late{"s/g", 2, Uuid{1, 1}, kX, {{k0, 2000}}};
    auto status =
        t.call<UpdateSubscriberStatus>([&](auto done) { t.controller->update_subscriber(late, std::move(done)); });
    EXPECT_EQ(status, UpdateSubscriberStatus::kGenerationMismatch);
    rounds(1);
    EXPECT_EQ(head(), 700);
    EXPECT_EQ(t.delete_group("s", "g"), DeleteReaderGroupStatus::kSuccess);
    rounds(1);
    EXPECT_EQ(head(), 3000) << "who is gone holds nothing back";
}

TEST_F(RetentionTest, TheSlowestSubscriberOfEachSegmentCounts) {
    ASSERT_EQ(t.create(kX, kept(RetentionType::kSize, 100, 0, 2)), CreateStreamStatus::kSuccess);
    subscribe("g", {{k0, 700}, {k1, 200}});
    subscribe("h", {{k0, 300}, {k1, 900}});
    t.api.segments["s/x/1.#epoch.0"].length = 1000;
    rounds(1, 1000);
    EXPECT_EQ(*t.head(kX), (StreamCut{{k0, 300}, {k1, 200}}));
}

TEST_F(RetentionTest, ASubscriberThatClaimsMoreThanThereIs) {
    ASSERT_EQ(t.create(kX, kept(RetentionType::kSize, 0)), CreateStreamStatus::kSuccess);
    subscribe("g", {{k0, 1'000'000}});
    rounds(2, 1000);
    EXPECT_EQ(head(), 2000) << "no further than the tail";
}

TEST_F(RetentionTest, AcrossEpochs) {
    ASSERT_EQ(t.create(kX, kept(RetentionType::kSize, 1500)), CreateStreamStatus::kSuccess);
    rounds(1, 1000);
    ASSERT_EQ(t.update(kX, kept(RetentionType::kSize, 1500, 0, 2)), UpdateStreamStatus::kSuccess);
    const std::string low = "s/x/1.#epoch.1";
    const std::string high = "s/x/2.#epoch.1";
    t.api.segments.at(high).length = 500;
    rounds(1, 400, low);
    EXPECT_EQ(head(), 0);
    EXPECT_EQ(ask()->bytes, 1900);
    rounds(1, 1000, low);  // 2900 in all: behind the first sample, at the end of the old segment, 1900
    EXPECT_EQ(head(), 1000);
    rounds(1, 1000, low);  // behind the second: 2000
    EXPECT_EQ(*t.head(kX), (StreamCut{{segment_id(1, 1), 400}, {segment_id(2, 1), 500}}));
    EXPECT_FALSE(t.api.segments.contains(kSegment0));
    EXPECT_EQ(ask()->bytes, 2000);
}

TEST_F(RetentionTest, AcrossAScaleOfSomeSegments) {
    ASSERT_EQ(t.create(kX, kept(RetentionType::kSize, 1500, 0, 2)), CreateStreamStatus::kSuccess);
    subscribe("g", {{k0, 1000}, {k1, 600}});
    t.api.segments.at("s/x/1.#epoch.0").length = 1000;
    rounds(1, 1000);  // 1000 + 1000
    EXPECT_EQ(head(), 0);
    ASSERT_EQ(t.scale(kX, {k0}, {{0, 0.25}, {0.25, 0.5}})->status, ScaleStatus::kStarted);
    rounds(1, 1200, "s/x/2.#epoch.1");
    EXPECT_EQ(ask()->subscribers.front().bytes_behind, 400 + 1200);
    EXPECT_EQ(*t.head(kX), (StreamCut{{k0, 1000}, {k1, 600}})) << "1600 are behind the subscriber";
    report("g", {{segment_id(2, 1), 1200}, {segment_id(3, 1), 0}, {k1, 1000}});
    rounds(1, 400, "s/x/1.#epoch.0");
    EXPECT_EQ(*t.head(kX), (StreamCut{{k0, 1000}, {k1, 1000}})) << "1600 are behind the first sample";
    rounds(1, 1200, "s/x/3.#epoch.1");
    EXPECT_EQ(*t.head(kX), (StreamCut{{k1, 1000}, {segment_id(2, 1), 1200}, {segment_id(3, 1), 0}}));
    EXPECT_FALSE(t.api.segments.contains(kSegment0));
}

TEST_F(RetentionTest, ASubscriberInAnOlderEpoch) {
    ASSERT_EQ(t.create(kX, kept(RetentionType::kSize, 100)), CreateStreamStatus::kSuccess);
    subscribe("g", {{k0, 400}});
    rounds(1, 1000);
    ASSERT_EQ(t.update(kX, kept(RetentionType::kSize, 100, 0, 2)), UpdateStreamStatus::kSuccess);
    rounds(3, 1000, "s/x/1.#epoch.1");
    EXPECT_EQ(*t.head(kX), (StreamCut{{k0, 400}}));
    EXPECT_EQ(ask()->subscribers.front().bytes_behind, 3600);
}

TEST_F(RetentionTest, TruncationByHandGoesBefore) {
    ASSERT_EQ(t.create(kX, kept(RetentionType::kSize, 1000)), CreateStreamStatus::kSuccess);
    rounds(1, 500);
    EXPECT_EQ(samples(), 1u);
    t.api.segments.at(kSegment0).length = 3000;
    ASSERT_EQ(t.truncate(kX, {{k0, 2500}}), UpdateStreamStatus::kSuccess);
    rounds(2, 100);
    EXPECT_EQ(head(), 2500);
    EXPECT_EQ(samples(), 2u) << "the one that was passed is gone";
}

TEST_F(RetentionTest, ThePolicyComesAndGoes) {
    ASSERT_EQ(t.create(kX, fixed(1)), CreateStreamStatus::kSuccess);
    rounds(3, 1000);
    ASSERT_EQ(t.update(kX, kept(RetentionType::kSize, 500)), UpdateStreamStatus::kSuccess);
    EXPECT_THAT(t.keys("retained/"), SizeIs(1));
    rounds(2, 1000);
    EXPECT_EQ(head(), 4000);
    ASSERT_EQ(t.update(kX, fixed(1)), UpdateStreamStatus::kSuccess);
    rounds(3, 1000);
    EXPECT_EQ(head(), 4000);
    EXPECT_THAT(t.keys("retained/"), IsEmpty());
    EXPECT_THAT(t.keys("sample/"), IsEmpty());
    ASSERT_EQ(t.update(kX, kept(RetentionType::kSize, 500)), UpdateStreamStatus::kSuccess);
    rounds(2, 1000);
    EXPECT_GT(head(), 4000);
}

TEST_F(RetentionTest, SealedStreamsStay) {
    ASSERT_EQ(t.create(kX, kept(RetentionType::kSize, 500)), CreateStreamStatus::kSuccess);
    rounds(1, 1000);
    ASSERT_EQ(t.seal(kX), UpdateStreamStatus::kSuccess);
    rounds(3);
    EXPECT_EQ(head(), 0);
    EXPECT_TRUE(ask()->sealed);
    ASSERT_EQ(t.remove(kX), DeleteStreamStatus::kSuccess);
    EXPECT_THAT(t.keys("sample/"), IsEmpty());
    EXPECT_THAT(t.keys("retained/"), IsEmpty());
    rounds(0);
}

TEST_F(RetentionTest, GoesOnInTheNextProcess) {
    ASSERT_EQ(t.create(kX, kept(RetentionType::kSize, 1500)), CreateStreamStatus::kSuccess);
    rounds(2, 1000);
    t.restart();
    rounds(1, 1000);
    EXPECT_EQ(head(), 1000);
}

TEST_F(RetentionTest, TheReportChangesNothingAndSaysWhatARoundWouldDo) {
    ASSERT_EQ(t.create(kX, kept(RetentionType::kSize, 1500, 10'000)), CreateStreamStatus::kSuccess);
    rounds(2, 1000);
    t.api.segments.at(kSegment0).length += 1000;
    t.api.arm(FakeSegmentApi::Fault::kNone, 0);
    auto report = ask();
    ASSERT_TRUE(report) << report.error().to_string();
    EXPECT_EQ(t.api.changes(), 0u);
    EXPECT_EQ(report->bytes, 3000);
    EXPECT_EQ(report->bytes_to_go, 1000);
    EXPECT_EQ(report->cut, (StreamCut{{k0, 1000}}));
    EXPECT_EQ(report->head, (StreamCut{{k0, 0}}));
    EXPECT_EQ(report->tail, (StreamCut{{k0, 3000}}));
    EXPECT_EQ(report->reason, "what the policy keeps is behind it");
    rounds(1);
    EXPECT_EQ(head(), 1000);
    EXPECT_TRUE(ask()->cut.empty());
    EXPECT_EQ(ask()->reason, "there is not yet more than the policy keeps");
}

TEST_F(RetentionTest, TroubleWithOneStreamKeepsNoOtherFromBeingCut) {
    ASSERT_EQ(t.create(kX, kept(RetentionType::kSize, 500)), CreateStreamStatus::kSuccess);
    ASSERT_EQ(t.create(kY, kept(RetentionType::kSize, 500)), CreateStreamStatus::kSuccess);
    for (const char* segment : {"s/x/0.#epoch.0", "s/y/0.#epoch.0"}) t.api.segments.at(segment).length = 1000;
    t.executor->advance(10s);
    for (const char* segment : {"s/x/0.#epoch.0", "s/y/0.#epoch.0"}) t.api.segments.at(segment).length = 2000;
    t.api.arm(FakeSegmentApi::Fault::kFailBefore, 0);
    t.executor->advance(10s);
    EXPECT_EQ(head(), 0);
    EXPECT_EQ(t.head(kY)->at(k0), 1000);
    t.executor->advance(10s);
    EXPECT_EQ(head(), 1000);
}

}  // namespace
}  // namespace millrace::controller
