// `millrace flink-scale`: the parallelism of a Flink job follows a stream. Looks at the stream's metrics and the job's
// requirements again and again, and asks Flink's adaptive scheduler for what scale_decision.h says. Keeps nothing: what
// the job has is read from Flink each time, so it may be restarted, and two of them do no harm.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "cli/flink/flink_api.h"
#include "cli/flink/http_client.h"
#include "cli/flink/metrics_reader.h"
#include "cli/flink/scale_decision.h"

namespace millrace::cli {

struct FlinkScaleOptions {
    std::string flink = "http://127.0.0.1:8081";
    std::string job;
    std::string metrics = "http://127.0.0.1:9091/metrics";
    std::vector<WatchedStream> streams;
    std::string vertices = "all";
    std::string window = "1m";
    ScaleRules rules;
    std::chrono::milliseconds interval{5'000};
    std::chrono::milliseconds timeout{10'000};
    bool dry_run = false;
    bool once = false;
    log::Level log_level = log::Level::kInfo;
    bool log_json = false;
};

class FlinkScaler {
  public:
    enum class Outcome : std::uint8_t { kWatching, kChanged, kJobEnded };

    FlinkScaler(FlinkScaleOptions options, HttpClient& http, const Clock& clock);

    // One look, and one request when something is to be changed. An error changes nothing; what was seen before it does
    // not count any more for going down.
    Result<Outcome> look();

  private:
    Result<StreamLoad> read_load();
    Result<Outcome> apply(FlinkJob job, const Decision& decision);
    void remember(std::uint32_t wanted);
    void tell(std::string text);

    const FlinkScaleOptions options_;
    HttpClient& http_;
    const Clock& clock_;
    FlinkApi flink_;
    std::vector<Wanted> looks_;
    std::optional<TimePoint> last_change_;
    std::optional<std::uint32_t> imagined_;  // in a dry run: what the job would be asked to have
    std::string last_job_;
    std::string told_;
};

// "http://h:9091/metrics" -> with the streams as query parameters.
std::string metrics_url(const FlinkScaleOptions& options);

// kInvalidArgument: what is missing, or contradicts itself.
Result<> check(FlinkScaleOptions& options);

// Until SIGTERM or SIGINT, the job's end, or once. The process' exit status: 0; 1 when --once could not do it.
int run_flink_scale(const FlinkScaleOptions& options);

}  // namespace millrace::cli
