#include "node/metrics.h"

#include <atomic>
#include <future>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "container/state/memory_state_store.h"
#include "controller/fake_segment_api.h"
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

// A process with two containers, one of which never answers: its loop does not run.
class MetricsTest : public testing::Test {
  protected:
    MetricsTest() {
        control.start();
        shard.start();
        controller = std::make_unique<controller::Controller>(control, api, controller::ControllerOptions{});
        std::promise<void> started;
        controller->start([&](Result<>) { started.set_value(); });
        started.get_future().get();
    }
    ~MetricsTest() override {
        std::promise<void> stopped;
        control.post([&] { controller->stop([&] { stopped.set_value(); }); });
        stopped.get_future().get();
        control.stop();
        shard.stop();
        stuck.stop();
    }
    void make(std::vector<container::SegmentContainer*> containers) {
        Metrics::Sources sources;
        sources.containers = std::move(containers);
        sources.fill = [this](MetricsSnapshot& snapshot) {
            ++filled;
            snapshot.ready = true;
        };
        metrics = std::make_unique<Metrics>(control, *controller, std::move(sources), 10);
    }
    static std::unique_ptr<container::state::StateStore> memory(runtime::Executor& executor) {
        auto disk = std::make_shared<container::state::MemoryStateDisk>();
        return std::make_unique<container::state::MemoryStateStore>(std::move(disk), executor);
    }
    std::future<rest::HttpResponse> ask(std::vector<std::pair<std::string, std::string>> query = {}) {
        auto answered = std::make_shared<std::promise<rest::HttpResponse>>();
        control.post([this, answered, query = std::move(query)]() mutable {
            rest::HttpRequest request;
            request.query = std::move(query);
            metrics->scrape(request, [answered](rest::HttpResponse response) { answered->set_value(response); });
        });
        return answered->get_future();
    }

    runtime::CoreLoop control{"control", 1};
    runtime::CoreLoop shard{"shard", 2};
    runtime::CoreLoop stuck{"stuck", 3};
    controller::FakeSegmentApi api;
    container::SegmentContainer one{ContainerId(0), shard, {}, memory(shard)};
    container::SegmentContainer two{ContainerId(1), stuck, {}, memory(stuck)};
    std::unique_ptr<controller::Controller> controller;
    std::unique_ptr<Metrics> metrics;
    std::atomic<int> filled{0};
};

TEST_F(MetricsTest, AContainerThatDoesNotAnswerIsLeftOut) {
    make({&one, &two});
    rest::HttpResponse response = ask().get();
    EXPECT_EQ(response.status, 200);
    EXPECT_THAT(response.body, HasSubstr("\nmillrace_containers 2\n"));
    EXPECT_THAT(response.body, HasSubstr("\nmillrace_containers_silent 1\n"));
    EXPECT_THAT(response.body, HasSubstr("\nmillrace_container_segments{container_id=\"0\"} 0\n"));
    EXPECT_THAT(response.body, Not(HasSubstr("container_id=\"1\"")));
    EXPECT_THAT(response.body, HasSubstr("\nmillrace_streams 0\n"));
}

TEST_F(MetricsTest, RequestsAtTheSameTimeShareAnAnswer) {
    make({&one, &two});
    auto first = ask();
    auto second = ask();
    auto other = ask({{"stream", "s/x"}});
    EXPECT_EQ(first.get().body, second.get().body);
    EXPECT_THAT(other.get().body, Not(HasSubstr("millrace_streams ")));
    EXPECT_EQ(filled, 2);
}

TEST_F(MetricsTest, QueriesAreChecked) {
    make({&one});
    EXPECT_EQ(ask({{"stream", "x"}}).get().status, 400);
    EXPECT_EQ(ask({{"other", "x"}}).get().status, 200);
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
