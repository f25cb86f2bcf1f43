#include <map>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "node/metrics_text.h"
#include "node/process_stats.h"

namespace millrace::node {
namespace {

using testing::HasSubstr;
using testing::Not;

MetricsSnapshot busy() {
    MetricsSnapshot now;
    now.build = {"1.2.3", "abc", "clang"};
    now.ready = true;
    now.containers = 2;
    now.process.thread_cpu_seconds = {{"shard-0", 1.5}};
    now.journal.writes = 7;
    ContainerFigures one{ContainerId(1), {}};
    one.stats.events = 42;
    one.stats.tiering.log_only_bytes = 1024;
    one.stats.reads_from_log = 3;
    now.answered.push_back(one);
    api::RpcStats rpc;
    rpc.method = "createStream";
    rpc.by_status = {{"OK", 2}, {"NOT_FOUND", 1}};
    now.rpcs.push_back(rpc);
    rpc.method = "neverCalled";
    rpc.by_status.clear();
    now.rpcs.push_back(rpc);
    now.http.requests[{"GET", 200}] = 5;
    now.census = true;
    now.streams = 9;
    now.named.push_back({"demo", "orders", 4, {10, 20, 30}, {1, 2, 3.5}});
    now.named.push_back({"demo", "sealed", 0, {}, {}});
    return now;
}

TEST(MetricsText, SaysWhatIsThere) {
    std::string text = to_text(busy());
    EXPECT_THAT(text, HasSubstr("millrace_build_info{version=\"1.2.3\",revision=\"abc\",compiler=\"clang\"} 1\n"));
    EXPECT_THAT(text, HasSubstr("\nmillrace_journal_syncs_total 7\n"));
    EXPECT_THAT(text, HasSubstr("\nmillrace_containers_silent 1\n"));
    EXPECT_THAT(text, HasSubstr("\nmillrace_container_events_total{container_id=\"1\"} 42\n"));
    EXPECT_THAT(text, HasSubstr("\nmillrace_storage_backlog_bytes{container_id=\"1\"} 1024\n"));
    EXPECT_THAT(text, HasSubstr("\nmillrace_reads_total{container_id=\"1\",source=\"log\"} 3\n"));
    EXPECT_THAT(text, HasSubstr("\nmillrace_thread_cpu_seconds_total{thread=\"shard-0\"} 1.5\n"));
    EXPECT_THAT(text, HasSubstr("\nmillrace_grpc_calls_total{method=\"createStream\",status=\"NOT_FOUND\"} 1\n"));
    EXPECT_THAT(text, HasSubstr("\nmillrace_http_requests_total{method=\"GET\",status=\"200\"} 5\n"));
    EXPECT_THAT(text, HasSubstr("\nmillrace_stream_segments{scope=\"demo\",stream=\"orders\"} 4\n"));
    EXPECT_THAT(
        text,
        HasSubstr("\nmillrace_stream_write_bytes_per_second{scope=\"demo\",stream=\"orders\",window=\"10m\"} 3.5\n"));
    EXPECT_THAT(text, HasSubstr("\nmillrace_stream_advised_parallelism{scope=\"demo\",stream=\"sealed\"} 1\n"));
    EXPECT_THAT(text, Not(HasSubstr("neverCalled")));
    EXPECT_THAT(text, Not(HasSubstr("millrace_container_checkpoint_timestamp_seconds{")));
}

// What Prometheus refuses: a family twice, a sample outside of its family, a series twice.
TEST(MetricsText, FamiliesAreWhole) {
    std::istringstream text(to_text(busy()));
    std::set<std::string> families;
    std::set<std::string> series;
    std::string family;
    for (std::string line; std::getline(text, line);) {
        if (line.starts_with("# HELP ")) {
            family = line.substr(7, line.find(' ', 7) - 7);
            EXPECT_TRUE(families.insert(family).second) << line;
            continue;
        }
        if (line.starts_with("# TYPE ")) {
            EXPECT_TRUE(line.starts_with("# TYPE " + family + " ")) << line;
            bool counter = line.ends_with(" counter");
            EXPECT_EQ(counter, family.ends_with("_total")) << line;
            continue;
        }
        EXPECT_TRUE(line.starts_with(family)) << line;
        EXPECT_TRUE(series.insert(line.substr(0, line.rfind(' '))).second) << line;
    }
    EXPECT_GT(families.size(), 80U);
}

TEST(ProcessStats, AreThoseOfThisProcess) {
    ProcessStats stats = read_process_stats();
    EXPECT_GT(stats.resident_bytes, 1U << 20);
    EXPECT_GT(stats.virtual_bytes, stats.resident_bytes);
    EXPECT_GE(stats.open_files, 3U);
    EXPECT_GE(stats.max_files, stats.open_files);
    EXPECT_GE(stats.threads, 1U);
    EXPECT_FALSE(stats.thread_cpu_seconds.empty());
    EXPECT_GT(read_disk_stats("/").size_bytes, 0U);
    EXPECT_EQ(read_disk_stats("/there/is/no/such/path").size_bytes, 0U);
}

}  // namespace
}  // namespace millrace::node
