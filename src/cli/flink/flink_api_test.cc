#include "cli/flink/flink_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::cli {
namespace {

// As Flink 1.20 answers, shortened.
constexpr const char* kJob = R"({"jid":"0123456789abcdef0123456789abcdef","name":"orders","isStoppable":false,
 "state":"RUNNING","start-time":1700000000000,"maxParallelism":-1,"vertices":[
 {"id":"aa","slotSharingGroupId":"x","name":"Source: in -> Map","maxParallelism":128,"parallelism":2,"status":"RUNNING",
  "tasks":{"CREATED":0,"RUNNING":2,"FAILED":0}},
 {"id":"bb","name":"Sum -> Sink: out","maxParallelism":4,"parallelism":2,"status":"RUNNING","tasks":{"RUNNING":1}}]})";
constexpr const char* kRequirements =
    R"({"aa":{"parallelism":{"lowerBound":1,"upperBound":2}},"bb":{"parallelism":{"lowerBound":2,"upperBound":2}}})";

FlinkJob job() {
    auto parsed = parse_job(kJob);
    EXPECT_TRUE(parsed && parse_requirements(kRequirements, *parsed));
    return *parsed;
}

TEST(FlinkApi, TakesAnswersApart) {
    FlinkJob orders = job();
    EXPECT_EQ(orders.name, "orders");
    EXPECT_FALSE(orders.has_ended());
    ASSERT_EQ(orders.vertices.size(), 2U);
    EXPECT_EQ(orders.vertices[0].running, 2U);
    EXPECT_EQ(orders.vertices[0].most, 128U);
    EXPECT_EQ(orders.vertices[1].lower, 2U);
    auto jobs = parse_jobs(R"({"jobs":[{"jid":"a","name":"x","state":"FAILED","start-time":5},7]})");
    ASSERT_TRUE(jobs);
    ASSERT_EQ(jobs->size(), 1U);
    EXPECT_EQ(jobs->front().started_ms, 5);
}

TEST(FlinkApi, OtherAnswersAreErrors) {
    for (const char* bad : {"", "[]", "{", "null", R"({"jid":7,"vertices":[]})", R"({"jid":"a","vertices":{}})"}) {
        EXPECT_EQ(parse_job(bad).error(), Errc::kCorrupt) << bad;
    }
    EXPECT_EQ(parse_jobs(R"({"jobs":{}})").error(), Errc::kCorrupt);
    FlinkJob orders = job();
    for (const char* bad : {"7", "{}", R"({"aa":{"parallelism":{}}})", R"({"aa":1,"bb":{"parallelism":[]}})"})
        EXPECT_EQ(parse_requirements(bad, orders).error(), Errc::kCorrupt) << bad;
}

TEST(FlinkApi, ParallelismIsSetWithinWhatOperatorsCanHave) {
    FlinkJob orders = job();
    EXPECT_EQ(present_parallelism(orders, "all"), 2U);
    EXPECT_EQ(greatest_parallelism(orders, "all"), 128U);
    EXPECT_EQ(greatest_parallelism(orders, "Sink"), 4U);
    set_parallelism(orders, "all", 8);
    EXPECT_EQ(
        requirements_json(orders.vertices),
        R"({"aa":{"parallelism":{"lowerBound":1,"upperBound":8}},"bb":{"parallelism":{"lowerBound":2,"upperBound":4}}})");
    set_parallelism(orders, "all", 1);
    EXPECT_EQ(
        requirements_json(orders.vertices),
        R"({"aa":{"parallelism":{"lowerBound":1,"upperBound":1}},"bb":{"parallelism":{"lowerBound":1,"upperBound":1}}})");
    set_parallelism(orders, "sources", 3);
    EXPECT_EQ(present_parallelism(orders, "sources"), 3U);
    EXPECT_EQ(present_parallelism(orders, "Sum"), 1U);
    EXPECT_EQ(present_parallelism(orders, "nothing"), 0U);
}

TEST(FlinkApi, ReasonsAreOneLine) {
    EXPECT_EQ(
        reason_of(R"({"errors":["Internal server error.","<Exception\nat x\nCaused by: a.B: too much\n\tat y"]})"),
        "a.B: too much");
    EXPECT_EQ(reason_of(R"({"errors":["Internal server error.","<Exception on server side:\na.C: no\n\tat x"]})"),
              "a.C: no");
    EXPECT_EQ(reason_of(R"({"errors":["Not found: /x"]})"), "Not found: /x");
    EXPECT_EQ(reason_of("plain\x01text\nmore"), "plain?text");
    EXPECT_EQ(reason_of(""), "");
}

}  // namespace
}  // namespace millrace::cli
