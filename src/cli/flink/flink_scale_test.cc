#include "cli/flink/flink_scale.h"

#include <map>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/flink/flink_scale_options.h"

namespace millrace::cli {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;
using Outcome = FlinkScaler::Outcome;

const std::string kId(32, 'a');

// Millrace's metrics and Flink, both in one.
class World final : public HttpClient {
  public:
    Result<HttpAnswer> post(const std::string&) override { return fail(Errc::kUnavailable, "not asked for"); }
    Result<HttpAnswer> remove(const std::string&) override { return fail(Errc::kUnavailable, "not asked for"); }
    Result<HttpAnswer> get(const std::string& url) override {
        if (down) return fail(Errc::kUnavailable, "no route");
        if (url.starts_with("http://m:9091/metrics"))
            return HttpAnswer{200, fmt::format("millrace_stream_segments{{scope=\"s\",stream=\"x\"}} {}\n", segments)};
        if (url.ends_with("/jobs/overview"))
            return HttpAnswer{200, fmt::format(R"({{"jobs":[{{"jid":"{}","name":"n","state":"FAILED","start-time":9}},
                                                   {{"jid":"{}","name":"n","state":"{}","start-time":5}}]}})",
                                               std::string(32, 'b'), kId, state)};
        if (url.ends_with("/jobs/" + kId))
            return HttpAnswer{200, fmt::format(R"({{"jid":"{}","name":"n","state":"{}","vertices":[
                {{"id":"v","name":"Source: x","maxParallelism":{},"tasks":{{"RUNNING":{}}}}}]}})",
                                               kId, state, most, upper)};
        if (url.ends_with("/resource-requirements"))
            return HttpAnswer{200,
                              fmt::format(R"({{"v":{{"parallelism":{{"lowerBound":1,"upperBound":{}}}}}}})", upper)};
        return HttpAnswer{404, "{}"};
    }
    Result<HttpAnswer> put(const std::string& url, const std::string& body) override {
        EXPECT_EQ(url, "http://f:8081/jobs/" + kId + "/resource-requirements");
        if (refuses) return HttpAnswer{500, R"({"errors":["no"]})"};
        EXPECT_EQ(std::sscanf(body.c_str(), R"({"v":{"parallelism":{"lowerBound":1,"upperBound":%u}}})", &upper), 1);
        asked.push_back(upper);
        return HttpAnswer{200, ""};
    }

    unsigned segments = 1;
    unsigned upper = 1;
    int most = 128;
    std::string state = "RUNNING";
    bool down = false;
    bool refuses = false;
    std::vector<unsigned> asked;
};

class FlinkScalerTest : public testing::Test {
  protected:
    FlinkScalerTest() {
        log::set_level(log::Level::kError);
        options.flink = "http://f:8081/";
        options.metrics = "http://m:9091";
        options.job = kId;
        options.streams = {{"s", "x"}};
        EXPECT_TRUE(check(options));
    }
    Result<Outcome> look() {
        if (!scaler) scaler.emplace(options, world, clock);
        auto outcome = scaler->look();
        clock.advance(seconds(5));
        return outcome;
    }
    void looks(int n) {
        for (int i = 0; i < n; ++i) EXPECT_TRUE(look());
    }

    World world;
    ManualClock clock;
    FlinkScaleOptions options;
    std::optional<FlinkScaler> scaler;
};

TEST_F(FlinkScalerTest, FollowsTheStream) {
    EXPECT_EQ(*look(), Outcome::kWatching);
    world.segments = 4;
    EXPECT_EQ(*look(), Outcome::kChanged);
    looks(20);
    world.segments = 2;
    looks(59);
    EXPECT_THAT(world.asked, ElementsAre(4));
    looks(2);
    EXPECT_THAT(world.asked, ElementsAre(4, 2));
}

TEST_F(FlinkScalerTest, ByNameTheOneThatRuns) {
    options.job = "n";
    world.segments = 3;
    EXPECT_EQ(*look(), Outcome::kChanged);
    world.state = "FINISHED";
    EXPECT_EQ(look().error(), Errc::kNotFound);  // another may come
    options.job = kId;
    scaler.reset();
    EXPECT_EQ(*look(), Outcome::kJobEnded);
}

TEST_F(FlinkScalerTest, FailuresChangeNothingAndBreakTheWatch) {
    world.upper = 4;
    looks(50);
    world.down = true;
    EXPECT_FALSE(look());
    world.down = false;
    looks(60);
    EXPECT_THAT(world.asked, IsEmpty());
    looks(1);
    EXPECT_THAT(world.asked, ElementsAre(1));
}

TEST_F(FlinkScalerTest, ARefusalIsTriedAgain) {
    world.segments = 4;
    world.refuses = true;
    EXPECT_FALSE(look());
    EXPECT_FALSE(look());
    world.refuses = false;
    EXPECT_EQ(*look(), Outcome::kChanged);
    EXPECT_THAT(world.asked, ElementsAre(4));
}

TEST_F(FlinkScalerTest, DryRunsOnlySay) {
    options.dry_run = true;
    world.segments = 4;
    EXPECT_EQ(*look(), Outcome::kChanged);
    EXPECT_EQ(*look(), Outcome::kWatching);  // as if it had been done
    EXPECT_THAT(world.asked, IsEmpty());
}

TEST_F(FlinkScalerTest, OperatorsMaximum) {
    world.most = 3;
    world.segments = 8;
    EXPECT_EQ(*look(), Outcome::kChanged);
    looks(30);
    EXPECT_THAT(world.asked, ElementsAre(3));
}

TEST_F(FlinkScalerTest, NoSuchVertexIsTold) {
    options.vertices = "Sink";
    auto outcome = look();
    ASSERT_FALSE(outcome);
    EXPECT_THAT(outcome.error().message(), testing::HasSubstr("\"Source: x\""));
}

TEST(FlinkScaleOptions, AddressesOfMetrics) {
    FlinkScaleOptions options;
    options.streams = {{"s", "x"}, {"s", "y"}};
    options.metrics = "http://h:1";
    EXPECT_EQ(metrics_url(options), "http://h:1/metrics?stream=s/x&stream=s/y");
    options.metrics = "http://h:1/other?a=b";
    EXPECT_EQ(metrics_url(options), "http://h:1/other?a=b&stream=s/x&stream=s/y");
}

TEST(FlinkScaleOptions, AreChecked) {
    auto given = [](std::vector<std::pair<std::string, std::string>> values) {
        FlinkScaleOptions options;
        for (const auto& [name, text] : values) {
            auto option = std::ranges::find(flink_scale_options(), name, &FlinkScaleOption::name);
            EXPECT_NE(option, flink_scale_options().end()) << name;
            if (auto done = option->apply(options, text); !done) return name + ": " + done.error().message();
        }
        auto fine = check(options);
        return fine ? std::string("fine") : fine.error().message();
    };
    EXPECT_EQ(given({{"job", "j"}, {"stream", "s/x"}}), "fine");
    EXPECT_EQ(given({{"job", "j"}, {"stream", "s/x"}, {"by", "bytes"}, {"per-task", "10MiB"}}), "fine");
    EXPECT_EQ(given({{"stream", "s/x"}}), "--job is needed: the job's id, or its name");
    EXPECT_THAT(given({{"job", "j"}}), testing::StartsWith("--stream is needed"));
    EXPECT_THAT(given({{"stream", "x"}}), testing::StartsWith("stream: "));
    EXPECT_THAT(given({{"stream", "s/x y"}}), testing::StartsWith("stream: "));
    EXPECT_THAT(given({{"job", "j"}, {"stream", "s/x"}, {"by", "events"}}), testing::HasSubstr("need --per-task"));
    EXPECT_THAT(given({{"job", "j"}, {"stream", "s/x"}, {"per-task", "5"}}), testing::HasSubstr("no meaning"));
    EXPECT_THAT(given({{"job", "j"}, {"stream", "s/x"}, {"min", "5"}, {"max", "4"}}), testing::HasSubstr("--min 5"));
    EXPECT_THAT(given({{"job", "j"}, {"stream", "s/x"}, {"flink", "f:8081"}}), testing::HasSubstr("--flink must"));
    for (const char* name : {"min", "max", "interval", "timeout", "window", "by", "per-task", "log-level"})
        EXPECT_THAT(given({{name, "0"}}), testing::StartsWith(std::string(name) + ": ")) << name;
}

}  // namespace
}  // namespace millrace::cli
