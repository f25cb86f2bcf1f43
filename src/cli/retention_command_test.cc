#include "cli/retention_command.h"

#include <gtest/gtest.h>

namespace millrace::cli {
namespace {

TEST(RetentionText, WhatWouldGo) {
    auto text = retention_text(
        R"({"scopeName":"s","streamName":"x","retentionPolicy":{"type":"LIMITED_SIZE_MB","value":1},)"
        R"("head":[{"segment":0,"epoch":0,"offset":0}],"tail":[{"segment":0,"epoch":0,"offset":3000}],"bytes":3000,)"
        R"("samples":2,"oldestSampleAgeMs":12345,"subscribers":[{"name":"s/g","hasReported":true,"bytesBehind":50},)"
        R"({"name":"s/h","hasReported":false}],"cut":[{"segment":0,"epoch":0,"offset":1000}],"bytesToGo":1000,)"
        R"("reason":"so it is"})");
    ASSERT_TRUE(text) << text.error().message();
    EXPECT_EQ(*text,
              "stream       s/x\n"
              "policy       {\"type\":\"LIMITED_SIZE_MB\",\"value\":1}\n"
              "kept now     3000 bytes, 0.#epoch.0:0 to 0.#epoch.0:3000\n"
              "samples      2, the oldest 12 s old\n"
              "subscriber   s/g: 50 bytes behind\n"
              "subscriber   s/h: has reported nothing, and holds nothing back\n"
              "would go     1000 bytes, up to 0.#epoch.0:1000: so it is\n");
}

TEST(RetentionText, NothingGoes) {
    auto text = retention_text(
        R"({"scopeName":"s","streamName":"x","head":[],"tail":[],"bytes":0,"samples":0,"subscribers":[],)"
        R"("bytesToGo":0,"reason":"everything stays"})");
    ASSERT_TRUE(text) << text.error().message();
    EXPECT_TRUE(text->ends_with("would go     nothing: everything stays\n")) << *text;
}

TEST(RetentionText, OtherAnswersAreRefused) {
    for (const char* bad : {"", "{}", "[]", "{\"scopeName\":1}", "not json"}) {
        EXPECT_EQ(retention_text(bad).error(), Errc::kCorrupt) << bad;
    }
}

}  // namespace
}  // namespace millrace::cli
