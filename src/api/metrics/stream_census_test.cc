#include "api/metrics/stream_census.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/controller_harness.h"

namespace millrace::metrics {
namespace {

using controller::CreateScopeStatus;
using controller::CreateStreamStatus;
using controller::fixed;
using controller::StreamName;
using controller::UpdateStreamStatus;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr milliseconds kPatience{2'000};

std::vector<std::string> lines(const std::vector<StreamSegments>& streams) {
    std::vector<std::string> all;
    for (const StreamSegments& each : streams)
        all.push_back(each.scope + "/" + each.stream + " " + std::to_string(each.segments));
    return all;
}

class StreamCensusTest : public testing::Test {
  protected:
    StreamCensusTest() : t(2) {  // items of a page
        for (std::string scope : {"b", "a", "empty"}) EXPECT_EQ(t.create_scope(scope), CreateScopeStatus::kSuccess);
        create({"b", "x"}, 3);
        for (const char* name : {"one", "two", "three", "four", "five"}) create({"a", name}, 1);
    }
    void create(const StreamName& name, std::int32_t segments) {
        EXPECT_EQ(t.create(name, fixed(segments)), CreateStreamStatus::kSuccess);
    }
    StreamCensus::CensusRef take(StreamCensus& census) {
        // The answer may come long after this has returned.
        struct Answer {
            StreamCensus::CensusRef taken;
            bool within = true;
        };
        auto answer = std::make_shared<Answer>();
        census.take(kPatience, [answer](StreamCensus::CensusRef result) {
            EXPECT_FALSE(answer->within);
            answer->taken = std::move(result);
        });
        answer->within = false;
        t.executor->run_until_idle();
        return std::exchange(answer->taken, nullptr);
    }

    controller::Harness t;
};

TEST_F(StreamCensusTest, CountsAllAndNamesTheFirst) {
    StreamCensus census(*t.executor, *t.controller, 4);
    auto taken = take(census);
    ASSERT_NE(taken, nullptr);
    EXPECT_EQ(taken->scopes, 3U);  // without _system
    EXPECT_EQ(taken->streams, 6U);
    EXPECT_THAT(lines(taken->named), ElementsAre("a/five 1", "a/four 1", "a/one 1", "a/three 1"));
}

TEST_F(StreamCensusTest, SealedStreamsHaveNoOpenSegments) {
    ASSERT_EQ(t.seal({"b", "x"}), UpdateStreamStatus::kSuccess);
    StreamCensus census(*t.executor, *t.controller, 100);
    auto taken = take(census);
    ASSERT_NE(taken, nullptr);
    EXPECT_EQ(lines(taken->named).back(), "b/x 0");
}

TEST_F(StreamCensusTest, ManyStreams) {
    for (int i = 0; i < 100; ++i) create({"b", "s" + std::to_string(i)}, 1 + i % 3);
    StreamCensus census(*t.executor, *t.controller, 1000);
    auto taken = take(census);
    ASSERT_NE(taken, nullptr);
    EXPECT_EQ(taken->streams, 106U);
    ASSERT_EQ(taken->named.size(), 106U);
    EXPECT_THAT(lines(taken->named), testing::Contains("b/s98 3"));
}

TEST_F(StreamCensusTest, WhoeverIsAskedForIsNamed) {
    StreamCensus census(*t.executor, *t.controller, 0);
    Census found;
    census.of({{"b", "x"}, {"a", "none"}, {"no", "scope"}, {"a", "two"}},
              [&](Census result) { found = std::move(result); });
    t.executor->run_until_idle();
    EXPECT_THAT(lines(found.named), ElementsAre("b/x 3", "a/two 1"));
    auto taken = take(census);
    ASSERT_NE(taken, nullptr);
    EXPECT_THAT(taken->named, IsEmpty());
    EXPECT_EQ(taken->streams, 6U);
}

// The containers do not answer any more: the last census is told, after the patience that was asked for.
TEST_F(StreamCensusTest, PatienceEnds) {
    StreamCensus census(*t.executor, *t.controller, 100);
    ASSERT_NE(take(census), nullptr);
    t.api.arm(controller::FakeSegmentApi::Fault::kDieBefore, 0);
    t.try_call<CreateScopeStatus>([&](auto done) { t.controller->create_scope("c", std::move(done)); });
    ASSERT_TRUE(t.api.dead());
    EXPECT_EQ(take(census), nullptr);  // not yet
    bool told = false;
    census.take(kPatience, [&](StreamCensus::CensusRef result) { told = result != nullptr; });
    t.executor->run_until_idle();
    EXPECT_FALSE(told);
    t.executor->advance(kPatience);
    t.executor->run_until_idle();
    EXPECT_TRUE(told);
}

}  // namespace
}  // namespace millrace::metrics
