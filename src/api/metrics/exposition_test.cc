#include "api/metrics/exposition.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::metrics {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;
using testing::HasSubstr;

TEST(Exposition, FamiliesAndSamples) {
    Exposition out;
    out.counter("millrace_a_total", "What is counted.");
    out.value(std::uint64_t{18446744073709551615U});
    out.gauge("millrace_b_bytes", "Two.");
    out.value(std::uint64_t{1}, {{"container", "0"}});
    out.value(0.25, {{"container", "1"}, {"source", "log"}});
    EXPECT_EQ(out.take(),
              "# HELP millrace_a_total What is counted.\n"
              "# TYPE millrace_a_total counter\n"
              "millrace_a_total 18446744073709551615\n"
              "# HELP millrace_b_bytes Two.\n"
              "# TYPE millrace_b_bytes gauge\n"
              "millrace_b_bytes{container=\"0\"} 1\n"
              "millrace_b_bytes{container=\"1\",source=\"log\"} 0.25\n");
}

TEST(Exposition, WhateverALabelIsTheLineStaysALine) {
    Exposition out;
    out.gauge("millrace_g", "back\\slash and\nline");
    out.value(std::uint64_t{1}, {{"stream", "a\"b\\c\nd\xff"}});
    EXPECT_EQ(out.take(),
              "# HELP millrace_g back\\\\slash and\\nline\n"
              "# TYPE millrace_g gauge\n"
              "millrace_g{stream=\"a\\\"b\\\\c?d\xEF\xBF\xBD\"} 1\n");
}

TEST(Exposition, NumbersAreWhatTheyAre) {
    EXPECT_EQ(number_text(0), "0");
    EXPECT_EQ(number_text(1e6), "1000000");
    EXPECT_EQ(number_text(1.6e-05), "1.6e-05");
    EXPECT_EQ(number_text(std::numeric_limits<double>::infinity()), "+Inf");
    EXPECT_EQ(number_text(-std::numeric_limits<double>::infinity()), "-Inf");
    EXPECT_EQ(number_text(std::nan("")), "NaN");
}

TEST(Exposition, HistogramsAreCumulative) {
    LatencyHistogram histogram;
    histogram.record(microseconds(1));
    histogram.record(microseconds(16));
    histogram.record(microseconds(17));
    histogram.record(seconds(100));
    Exposition out;
    out.histogram("millrace_h_seconds", "Times.");
    out.value(histogram.read(), {{"method", "m"}});
    std::string text = out.take();
    EXPECT_THAT(text, HasSubstr("# TYPE millrace_h_seconds histogram\n"));
    EXPECT_THAT(text, HasSubstr("millrace_h_seconds_bucket{method=\"m\",le=\"1.6e-05\"} 2\n"));
    EXPECT_THAT(text, HasSubstr("millrace_h_seconds_bucket{method=\"m\",le=\"3.2e-05\"} 3\n"));
    EXPECT_THAT(text, HasSubstr("millrace_h_seconds_bucket{method=\"m\",le=\"16.777216\"} 3\n"));
    EXPECT_THAT(text, HasSubstr("millrace_h_seconds_bucket{method=\"m\",le=\"+Inf\"} 4\n"));
    EXPECT_THAT(text, HasSubstr("millrace_h_seconds_sum{method=\"m\"} 100.000034\n"));
    EXPECT_THAT(text, HasSubstr("millrace_h_seconds_count{method=\"m\"} 4\n"));
}

TEST(LatencyHistogram, EveryTimeIsWithinItsBounds) {
    for (std::uint64_t us : {0U, 1U, 15U, 16U, 17U, 31U, 32U, 33U, 64U, 65U, 1000U, 16'777'216U, 16'777'217U}) {
        std::size_t bucket = LatencyHistogram::bucket_of(us);
        if (bucket < LatencyHistogram::kBounds) EXPECT_LE(us, LatencyHistogram::bound_us(bucket)) << us;
        if (bucket > 0) EXPECT_GT(us, LatencyHistogram::bound_us(bucket - 1)) << us;
    }
}

}  // namespace
}  // namespace millrace::metrics
