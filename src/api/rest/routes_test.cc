#include "api/rest/routes.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/rest/paging.h"
#include "api/rest/stream_json.h"

namespace millrace::rest {
namespace {

using controller::RetentionType;
using controller::ScalingType;
using controller::StreamConfig;
using testing::HasSubstr;

Result<StreamConfig> parse(std::string_view body) {
    auto object = parse_object(body);
    if (!object) return fail(object.error());
    return parse_stream_config(*object);
}

std::string shown(const StreamConfig& config) {
    return boost::json::serialize(stream_property(controller::StreamName{"sc", "st"}, config));
}

TEST(StreamJson, FixedStreamWithDefaults) {
    auto config =
        parse(R"({"scalingPolicy":{"type":"FIXED_NUM_SEGMENTS","minSegments":3},"retentionPolicy":null,"new":1})");
    ASSERT_TRUE(config) << config.error().to_string();
    EXPECT_EQ(config->scaling.type, ScalingType::kFixed);
    EXPECT_EQ(shown(*config),
              R"({"scopeName":"sc","streamName":"st","scalingPolicy":{"type":"FIXED_NUM_SEGMENTS","minSegments":3},)"
              R"("tags":[],"timestampAggregationTimeout":0,"rolloverSizeBytes":0})");
}

TEST(StreamJson, EverythingSet) {
    auto config = parse(
        R"({"scalingPolicy":{"type":"BY_RATE_IN_EVENTS_PER_SEC","targetRate":100,"scaleFactor":2,"minSegments":1},)"
        R"("retentionPolicy":{"type":"LIMITED_SIZE_MB","value":5,"maxValue":10},"streamTags":["b","a"],)"
        R"("timestampAggregationTimeout":7,"rolloverSizeBytes":1048576})");
    ASSERT_TRUE(config) << config.error().to_string();
    EXPECT_EQ(config->retention->type, RetentionType::kSize);
    EXPECT_EQ(config->retention->param, 5 << 20);
    EXPECT_EQ(config->retention->max, 10 << 20);
    EXPECT_EQ(
        shown(*config),
        R"({"scopeName":"sc","streamName":"st","scalingPolicy":{"type":"BY_RATE_IN_EVENTS_PER_SEC","targetRate":100,)"
        R"("scaleFactor":2,"minSegments":1},"retentionPolicy":{"type":"LIMITED_SIZE_MB","value":5},"tags":["b","a"],)"
        R"("timestampAggregationTimeout":7,"rolloverSizeBytes":1048576})");
}

TEST(StreamJson, RetentionByTime) {
    constexpr std::string_view kScaling = R"("scalingPolicy":{"type":"FIXED_NUM_SEGMENTS","minSegments":1})";
    auto days = parse(fmt::format(
        R"({{{},"retentionPolicy":{{"type":"LIMITED_DAYS","value":2,"timeBasedRetention":{{"hours":9}}}}}})",
        kScaling));
    ASSERT_TRUE(days) << days.error().to_string();
    EXPECT_EQ(days->retention->param, 2 * 86'400'000);
    EXPECT_EQ(days->retention->max, std::numeric_limits<std::int64_t>::max());
    EXPECT_THAT(shown(*days), HasSubstr(R"("value":2,"timeBasedRetention":{"days":2,"hours":0,"minutes":0})"));
    auto span = parse(fmt::format(
        R"({{{},"retentionPolicy":{{"type":"LIMITED_DAYS","value":0,"timeBasedRetention":{{"days":1,"hours":2,"minutes":3}}}}}})",
        kScaling));
    ASSERT_TRUE(span) << span.error().to_string();
    EXPECT_THAT(shown(*span), HasSubstr(R"("value":0,"timeBasedRetention":{"days":1,"hours":2,"minutes":3})"));
}

TEST(StreamJson, RefusesWhatItCannotMean) {
    for (
        std::string_view bad :
        {"", "[]", "{", "{}", R"({"scalingPolicy":[]})", R"({"scalingPolicy":{"type":"OTHER","minSegments":1}})",
         R"({"scalingPolicy":{"type":"FIXED_NUM_SEGMENTS"}})",
         R"({"scalingPolicy":{"type":"FIXED_NUM_SEGMENTS","minSegments":-1}})",
         R"({"scalingPolicy":{"type":"FIXED_NUM_SEGMENTS","minSegments":4294967297}})",
         R"({"scalingPolicy":{"type":"BY_RATE_IN_KBYTES_PER_SEC","minSegments":1}})",
         R"({"scalingPolicy":{"type":"FIXED_NUM_SEGMENTS","minSegments":1},"streamTags":[1]})",
         R"({"scalingPolicy":{"type":"FIXED_NUM_SEGMENTS","minSegments":1},"rolloverSizeBytes":"x"})",
         R"({"scalingPolicy":{"type":"FIXED_NUM_SEGMENTS","minSegments":1},"retentionPolicy":{"type":"LIMITED_DAYS"}})",
         R"({"scalingPolicy":{"type":"FIXED_NUM_SEGMENTS","minSegments":1},"retentionPolicy":{"type":"LIMITED_SIZE_MB","value":9223372036854775807}})",
         R"({"scalingPolicy":{"type":"FIXED_NUM_SEGMENTS","minSegments":1},"retentionPolicy":{"type":"LIMITED_SIZE_MB","value":5,"maxValue":4}})"}) {
        auto config = parse(bad);
        ASSERT_FALSE(config) << bad;
        EXPECT_EQ(config.error().code(), Errc::kInvalidArgument);
        EXPECT_FALSE(config.error().message().empty());
    }
    EXPECT_FALSE(parse_object(std::string(100'000, '[')));
}

TEST(StreamJson, ScalingEventsOfARange) {
    std::vector<controller::Epoch> epochs;
    for (std::int32_t i = 0; i < 4; ++i) {
        controller::Epoch epoch;
        epoch.epoch = i;
        epoch.creation_ms = 100 * (i + 1);
        epoch.splits = i;
        epoch.segments = {{controller::segment_id(0, 0), 0, 0.5}, {controller::segment_id(i + 1, i), 0.5, 1}};
        epochs.push_back(epoch);
    }
    auto events = scaling_events(epochs, 250, 350);
    ASSERT_EQ(events.size(), 2u);  // the one of 200, which is the state at `from`, and the one of 300
    EXPECT_EQ(boost::json::serialize(events[1]),
              R"({"timestamp":300,"segments":[{"number":0,"epoch":0,"start":100,"keyStart":0E0,"keyEnd":5E-1},)"
              R"({"number":3,"epoch":2,"start":300,"keyStart":5E-1,"keyEnd":1E0}],"splits":1,"merges":0})");
    EXPECT_EQ(scaling_events(epochs, 0, 99).size(), 0u);
    EXPECT_EQ(scaling_events(epochs, 0, 1000).size(), 4u);
    EXPECT_EQ(scaling_events(epochs, 500, 600).size(), 1u);
    EXPECT_EQ(scaling_events({}, 0, 1).size(), 0u);
}

TEST(HealthRoutes, ShowTheTree) {
    Health root;
    root.status = HealthStatus::kUp;
    Health log{"log", HealthStatus::kUp, {{"used", "5"}}, {}};
    Health part{"containers", HealthStatus::kUp, {}, {Health{"2", HealthStatus::kStarting, {}, {}}}};
    root.children = {log, part};
    Router router;
    add_ping_and_health_routes(router, [&root] { return root; });
    auto get = [&](std::string_view target) {
        HttpRequest request;
        EXPECT_TRUE(parse_target(target, request));
        HttpResponse answer;
        router.dispatch(std::move(request), [&answer](HttpResponse got) { answer = std::move(got); });
        return std::to_string(answer.status) + " " + answer.body;
    };
    EXPECT_EQ(get("/ping"), "200 ");
    EXPECT_EQ(get("/v1/health/status"), "200 \"STARTING\"");
    EXPECT_EQ(get("/v1/health/readiness"), "200 false");
    EXPECT_EQ(get("/v1/health/liveness"), "200 true");
    EXPECT_EQ(get("/v1/health/readiness/log"), "200 true");
    EXPECT_EQ(get("/v1/health/status/containers%2F2"), "200 \"STARTING\"");
    EXPECT_EQ(get("/v1/health/details/log"), R"(200 {"used":"5"})");
    EXPECT_EQ(
        get("/v1/health/log"),
        R"(200 {"name":"log","status":"UP","readiness":true,"liveness":true,"details":{"used":"5"},"children":{}})");
    EXPECT_EQ(get("/v1/health/nobody"), R"(404 {"error":"no component of this name"})");
    EXPECT_THAT(get("/v1/health"), HasSubstr(R"("children":{"log":{"name":"log",)"));
    // Whoever walks the tree sees what it was; who asks for details sees what is.
    root.children[0].details[0].second = "6";
    EXPECT_THAT(get("/v1/health/log"), HasSubstr(R"("used":"5")"));
    EXPECT_EQ(get("/v1/health/details/log"), R"(200 {"used":"6"})");
    EXPECT_THAT(get("/v1/health"), HasSubstr(R"("used":"6")"));
    EXPECT_THAT(get("/v1/health/log"), HasSubstr(R"("used":"6")"));
}

TEST(Paging, CollectsUntilAnEmptyPage) {
    std::vector<std::string> tokens;
    auto fetch = [&](std::string token, PageDone done) {
        tokens.push_back(token);
        controller::Page<std::string> page;
        page.token = token + "x";
        if (token.size() < 3) page.items = {"item" + token};
        done(std::optional(page));
    };
    std::optional<std::vector<std::string>> got;
    collect_pages(fetch, [&](auto list) { got = **list; });
    EXPECT_THAT(*got, testing::ElementsAre("item", "itemx", "itemxx"));
    EXPECT_THAT(tokens, testing::ElementsAre("", "x", "xx", "xxx"));
}

TEST(Names, OfUsers) {
    EXPECT_TRUE(is_user_name("a.B-9", kScopeNameMax));
    EXPECT_TRUE(is_user_name(std::string(255, 'a'), kScopeNameMax));
    for (std::string bad :
         {std::string(), std::string("_a"), std::string("a/b"), std::string("\xc3\xa9"), std::string(256, 'a')}) {
        EXPECT_FALSE(is_user_name(bad, kScopeNameMax)) << bad;
    }
}

}  // namespace
}  // namespace millrace::rest
