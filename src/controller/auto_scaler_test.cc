// A controller that scales streams by the traffic it is told of, on manual time.
#include "controller/auto_scaler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/controller_harness.h"

namespace millrace::controller {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

const StreamName kX{"s", "x"};

// Traffic as a test says: events per second by segment, for hours already.
class FakeTraffic final : public store::TrafficApi {
  public:
    explicit FakeTraffic(FakeSegmentApi& api) : api_(api) {}

    std::map<std::string, double> events;
    bool fails = false;
    int asked = 0;

    void traffic(ContainerId container, runtime::Executor& on,
                 runtime::Callback<Result<std::vector<container::SegmentTraffic>>> done) override {
        scaling_traffic(container, on, std::move(done));
    }
    void scaling_traffic(ContainerId container, runtime::Executor& on,
                         runtime::Callback<Result<std::vector<container::SegmentTraffic>>> done) override {
        ++asked;
        Result<std::vector<container::SegmentTraffic>> reply;
        if (fails) reply = fail(Errc::kUnavailable, "injected");
        for (const auto& [name, segment] : api_.segments) {
            bool tells = reply && api_.container_for(name) == container && !segment.sealed &&
                         segment.options.scale_type != 0 && events.contains(name);
            if (!tells) continue;
            container::SegmentTraffic one{name, {}, segment.options.scale_type, segment.options.target_rate};
            one.rates.events.fill(events[name]);
            one.rates.recent_events.fill(events[name]);
            one.rates.age = 5h;
            reply->push_back(std::move(one));
        }
        on.post([done = std::move(done), reply = std::move(reply)]() mutable { done(std::move(reply)); });
    }

  private:
    FakeSegmentApi& api_;
};

class AutoScalerTest : public testing::Test {
  protected:
    void SetUp() override {
        restart();
        ASSERT_EQ(t.create_scope("s"), CreateScopeStatus::kSuccess);
    }
    void TearDown() override { t.stop(); }
    void restart(ScalingProfile profile = ScalingProfile::kFast) {
        t.stop();
        t.api.revive();
        ControllerOptions options;
        options.scaling = profile;
        t.controller = std::make_unique<Controller>(*t.executor, t.api, options, &traffic);
        auto started = t.call<void>([&](auto done) { t.controller->start(std::move(done)); });
        ASSERT_TRUE(started);
    }
    std::size_t count() { return t.current(kX)->size(); }

    Harness t;
    FakeTraffic traffic{t.api};
};

TEST_F(AutoScalerTest, SplitsWhatIsOverloadedAndMergesWhatIsIdle) {
    ASSERT_EQ(t.create(kX, by_events(100, 2, 64)), CreateStreamStatus::kSuccess);
    t.executor->advance(10s);
    EXPECT_EQ(count(), 2u);
    traffic.events["s/x/1.#epoch.0"] = 300;
    t.executor->advance(1s);
    EXPECT_EQ(count(), 5u);
    EXPECT_THAT(t.keys("autoscale/"), ElementsAre("autoscale/s/x"));
    EXPECT_EQ(t.controller->auto_scaling().splits, 1u);
    EXPECT_THAT(t.controller->auto_scaling().last, testing::HasSubstr("s/x: 1 segments became 4"));
    EXPECT_THAT(t.garbage(), IsEmpty());
    t.executor->advance(60s);
    EXPECT_EQ(count(), 5u) << "merges are lazy";
    t.executor->advance(600s);
    EXPECT_EQ(count(), 2u) << "the least";
    EXPECT_GE(t.controller->auto_scaling().merges, 2u);
    EXPECT_THAT(t.garbage(), IsEmpty());
}

TEST_F(AutoScalerTest, LeavesFixedStreamsAlone) {
    ASSERT_EQ(t.create(kX, fixed(2)), CreateStreamStatus::kSuccess);
    traffic.events["s/x/1.#epoch.0"] = 1e6;
    t.executor->advance(30s);
    EXPECT_EQ(count(), 2u);
    // Its segments have a policy, the stream has none any more.
    t.api.segments["s/x/1.#epoch.0"].options.scale_type = 2;
    t.api.segments["s/x/1.#epoch.0"].options.target_rate = 10;
    t.executor->advance(30s);
    EXPECT_EQ(count(), 2u);
}

TEST_F(AutoScalerTest, AnotherProcessMergesWhatOneSplit) {
    ASSERT_EQ(t.create(kX, by_events(100, 1, 64)), CreateStreamStatus::kSuccess);
    t.executor->advance(10s);
    traffic.events["s/x/0.#epoch.0"] = 700;
    t.executor->advance(1s);
    ASSERT_GE(count(), 7u);
    restart();
    t.executor->advance(900s);
    EXPECT_EQ(count(), 1u) << "though there is no traffic at all";
}

// Scaled by hand, or by a configuration with a lower least.
TEST_F(AutoScalerTest, MergesWhatOthersMadeWide) {
    ASSERT_EQ(t.create(kX, by_events(100, 1, 64)), CreateStreamStatus::kSuccess);
    ASSERT_EQ(t.scale(kX, {segment_id(0, 0)}, {{0, 0.5}, {0.5, 1}})->status, ScaleStatus::kStarted);
    const StreamName y{"s", "y"};
    ASSERT_EQ(t.create(y, by_events(100, 4, 64)), CreateStreamStatus::kSuccess);
    ASSERT_EQ(t.update(y, by_events(100, 2, 64)), UpdateStreamStatus::kSuccess);
    const StreamName z{"s", "z"};
    ASSERT_EQ(t.create(z, fixed(3)), CreateStreamStatus::kSuccess);
    ASSERT_EQ(t.update(z, by_events(100, 1, 64)), UpdateStreamStatus::kSuccess);
    EXPECT_THAT(t.keys("autoscale/"), SizeIs(3));
    restart();
    t.executor->advance(900s);
    EXPECT_EQ(count(), 1u);
    EXPECT_THAT(*t.current(y), SizeIs(2));
    EXPECT_THAT(*t.current(z), SizeIs(1));
    EXPECT_THAT(t.keys("autoscale/"), IsEmpty());
    ASSERT_EQ(t.update(z, by_events(100, 3, 64)), UpdateStreamStatus::kSuccess);
    EXPECT_THAT(*t.current(z), SizeIs(3));
    ASSERT_EQ(t.update(z, by_events(100, 1, 64)), UpdateStreamStatus::kSuccess);
    EXPECT_THAT(t.keys("autoscale/"), SizeIs(1));
    ASSERT_EQ(t.update(z, fixed(3)), UpdateStreamStatus::kSuccess);
    EXPECT_THAT(t.keys("autoscale/"), IsEmpty());
    EXPECT_THAT(t.garbage(), IsEmpty());
}

TEST_F(AutoScalerTest, RemembersAHotKeyAcrossProcesses) {
    ASSERT_EQ(t.create(kX, by_events(100, 1, 64)), CreateStreamStatus::kSuccess);
    t.executor->advance(10s);
    traffic.events["s/x/0.#epoch.0"] = 700;
    t.executor->advance(1s);
    std::size_t parts = count();
    ASSERT_GE(parts, 7u);
    traffic.events["s/x/3.#epoch.1"] = 690;  // all of it in one of them
    t.executor->advance(30s);
    EXPECT_EQ(count(), parts);
    restart();
    t.executor->advance(30s);
    EXPECT_EQ(count(), parts);
    t.executor->advance(1200s);
    EXPECT_LE(count(), 3u) << "the others merge around it";
    EXPECT_EQ(t.controller->auto_scaling().splits, 0u);
}

TEST_F(AutoScalerTest, OutlivesTrouble) {
    ASSERT_EQ(t.create(kX, by_events(100, 1, 64)), CreateStreamStatus::kSuccess);
    traffic.fails = true;
    t.executor->advance(10s);
    traffic.fails = false;
    traffic.events["s/x/0.#epoch.0"] = 300;
    t.api.arm(FakeSegmentApi::Fault::kFailBefore, 0);
    t.executor->advance(20s);
    EXPECT_EQ(count(), 4u);
    EXPECT_THAT(t.garbage(), IsEmpty());
    ASSERT_EQ(t.seal(kX), UpdateStreamStatus::kSuccess);
    t.executor->advance(600s);
    ASSERT_EQ(t.remove(kX), DeleteStreamStatus::kSuccess);
    t.executor->advance(600s);
    EXPECT_THAT(t.keys("autoscale/"), IsEmpty());
    EXPECT_THAT(t.garbage(), IsEmpty());
}

// The process dies at each change that a scale by load makes, before and after it. The next one ends what was begun, or
// begins it; what it then knows of the segments is what it would have known.
TEST_F(AutoScalerTest, DiesAtEachStepOfASplit) {
    auto prepare = [&] {
        t.api.segments.clear();
        t.api.tables.clear();
        t.api.ever_created.clear();
        traffic.events.clear();
        restart();
        ASSERT_EQ(t.create_scope("s"), CreateScopeStatus::kSuccess);
        ASSERT_EQ(t.create(kX, by_events(100, 2, 64)), CreateStreamStatus::kSuccess);
        t.executor->advance(10s);
        traffic.events["s/x/1.#epoch.0"] = 300;
    };
    auto kept = [&] {
        std::vector<std::string> values;
        for (const auto& [place, table] : t.api.tables) {
            for (const auto& [key, cell] : table) {
                if (key.starts_with("autoscale/")) values.push_back(cell.value);
            }
        }
        return values;
    };
    prepare();
    t.api.arm(FakeSegmentApi::Fault::kNone, 0);
    t.executor->advance(1s);
    ASSERT_EQ(count(), 5u);
    auto known = kept();
    std::size_t changes = t.api.changes();
    ASSERT_GE(changes, 4u);
    for (auto fault : {FakeSegmentApi::Fault::kDieBefore, FakeSegmentApi::Fault::kDieAfter}) {
        for (std::size_t at = 0; at < changes; ++at) {
            SCOPED_TRACE(testing::Message()
                         << "change " << at << " of " << changes << ", fault " << static_cast<int>(fault));
            prepare();
            t.api.arm(fault, at);
            t.executor->advance(1s);
            ASSERT_TRUE(t.api.dead());
            restart();
            EXPECT_THAT(t.garbage(), IsEmpty());
            bool begun = at > 0 || fault == FakeSegmentApi::Fault::kDieAfter;
            EXPECT_EQ(count(), begun ? 5u : 2u);
            t.executor->advance(10s);
            EXPECT_EQ(count(), 5u);
            EXPECT_EQ(kept(), known);
            t.executor->advance(900s);
            EXPECT_EQ(count(), 2u) << "the least";
            EXPECT_THAT(t.garbage(), IsEmpty());
        }
    }
}

TEST_F(AutoScalerTest, DiesAtEachStepOfAMerge) {
    std::size_t changes = 1;
    for (auto fault :
         {FakeSegmentApi::Fault::kNone, FakeSegmentApi::Fault::kDieBefore, FakeSegmentApi::Fault::kDieAfter}) {
        for (std::size_t at = 0; at < changes; ++at) {
            SCOPED_TRACE(testing::Message()
                         << "change " << at << " of " << changes << ", fault " << static_cast<int>(fault));
            t.api.segments.clear();
            t.api.tables.clear();
            t.api.ever_created.clear();
            restart();
            ASSERT_EQ(t.create_scope("s"), CreateScopeStatus::kSuccess);
            ASSERT_EQ(t.create(kX, by_events(100, 1, 64)), CreateStreamStatus::kSuccess);
            ASSERT_EQ(t.scale(kX, {segment_id(0, 0)}, {{0, 0.5}, {0.5, 1}})->status, ScaleStatus::kStarted);
            t.api.arm(fault, at);
            t.executor->advance(900s);
            if (fault == FakeSegmentApi::Fault::kNone) changes = t.api.changes();
            if (fault == FakeSegmentApi::Fault::kNone) break;
            ASSERT_TRUE(t.api.dead());
            restart();
            EXPECT_THAT(t.garbage(), IsEmpty());
            bool begun = at > 0 || fault == FakeSegmentApi::Fault::kDieAfter;
            EXPECT_EQ(count(), begun ? 1u : 2u);
            t.executor->advance(900s);
            EXPECT_EQ(count(), 1u);
            EXPECT_THAT(t.keys("autoscale/"), IsEmpty());
            EXPECT_THAT(t.garbage(), IsEmpty());
        }
        ASSERT_GE(changes, 4u);
    }
}

TEST_F(AutoScalerTest, AsPravegaWhenToldSo) {
    restart(ScalingProfile::kPravega);
    ASSERT_EQ(t.create(kX, by_events(100, 1, 3)), CreateStreamStatus::kSuccess);
    traffic.events["s/x/0.#epoch.0"] = 700;
    t.executor->advance(500s);
    EXPECT_EQ(count(), 1u);
    t.executor->advance(120s);
    EXPECT_EQ(count(), 3u);
}

// Metadata is read of streams that are overloaded or wide, whatever the number of others.
TEST_F(AutoScalerTest, CostsNothingForStreamsThatAreAsTheyShouldBe) {
    for (int i = 0; i < 50; ++i) {
        StreamName name{"s", "quiet" + std::to_string(i)};
        ASSERT_EQ(t.create(name, by_events(100, 1, 64)), CreateStreamStatus::kSuccess);
        traffic.events[segment_name(name, segment_id(0, 0))] = 50;
    }
    t.executor->advance(10s);
    std::size_t reads = t.api.reads();
    t.executor->advance(60s);
    EXPECT_EQ(t.api.reads(), reads);
}

}  // namespace
}  // namespace millrace::controller
