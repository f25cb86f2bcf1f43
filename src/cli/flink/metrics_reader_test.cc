#include "cli/flink/metrics_reader.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/metrics/exposition.h"

namespace millrace::cli {
namespace {

TEST(ParseSample, LinesOfTheFormat) {
    auto plain = parse_sample("up 1");
    ASSERT_TRUE(plain);
    EXPECT_EQ(plain->name, "up");
    EXPECT_EQ(plain->value, 1);
    auto labelled = parse_sample(R"(a_b:c{x="1",y="a\"b\\c\nd{},",} -2.5e3 1700000000)");
    ASSERT_TRUE(labelled);
    EXPECT_EQ(labelled->name, "a_b:c");
    EXPECT_EQ(labelled->label("x"), "1");
    EXPECT_EQ(labelled->label("y"), "a\"b\\c\nd{},");
    EXPECT_EQ(labelled->label("z"), "");
    EXPECT_EQ(labelled->value, -2500);
    EXPECT_TRUE(std::isinf(parse_sample("a{} +Inf")->value));
    EXPECT_TRUE(std::isnan(parse_sample("a NaN")->value));
}

TEST(ParseSample, WhateverComesIsNoneOrOne) {
    const std::string whole = R"(name{label="value\n",other="x"} 1.5)";
    for (std::size_t size = 0; size < whole.size() - 2; ++size)
        EXPECT_FALSE(parse_sample(std::string_view(whole).substr(0, size))) << size;
    for (const char* bad : {"", "# HELP a b", "{} 1", "a", "a ", "a x", "a{b} 1", "a{b=c} 1", "a{b=\"c\"d=\"e\"} 1",
                            "a{b=\"c\" 1", "a 1x"})
        EXPECT_FALSE(parse_sample(bad)) << bad;
}

// What the server writes is what is read here.
TEST(LoadOf, SumsTheStreamsThatAreAskedFor) {
    metrics::Exposition out;
    out.gauge("millrace_stream_segments", "Segments.");
    out.value(std::uint64_t{3}, {{"scope", "s"}, {"stream", "a"}});
    out.value(std::uint64_t{4}, {{"scope", "s"}, {"stream", "b"}});
    out.value(std::uint64_t{90}, {{"scope", "t"}, {"stream", "a"}});
    out.gauge("millrace_stream_write_events_per_second", "Events.");
    for (const char* window : {"10s", "1m"}) {
        out.value(std::string_view(window) == "1m" ? 100.5 : 7.0,
                  {{"scope", "s"}, {"stream", "a"}, {"window", window}});
        out.value(1000.0, {{"scope", "t"}, {"stream", "a"}, {"window", window}});
    }
    out.value(std::nan(""), {{"scope", "s"}, {"stream", "b"}, {"window", "1m"}});
    out.gauge("millrace_stream_write_bytes_per_second", "Bytes.");
    out.value(5e6, {{"scope", "s"}, {"stream", "b"}, {"window", "1m"}});
    std::string text = out.take();

    auto load = load_of(text, {{"s", "a"}, {"s", "b"}}, "1m");
    ASSERT_TRUE(load) << load.error().to_string();
    EXPECT_EQ(load->segments, 7U);
    EXPECT_EQ(load->events_per_second, 100.5);
    EXPECT_EQ(load->bytes_per_second, 5e6);
    EXPECT_EQ(load_of(text, {{"s", "a"}}, "10s")->events_per_second, 7);
    EXPECT_EQ(load_of(text, {{"s", "a"}, {"s", "none"}}, "1m").error(), Errc::kNotFound);
    EXPECT_EQ(load_of("", {{"s", "a"}}, "1m").error(), Errc::kNotFound);
}

}  // namespace
}  // namespace millrace::cli
