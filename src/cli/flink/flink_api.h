// The part of Flink's REST API by which a job's parallelism is seen and asked for (Flink 1.18 and newer; the job's
// scheduler must be the adaptive one).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cli/flink/http_client.h"

namespace millrace::cli {

struct FlinkVertex {
    std::string id;
    std::string name;
    std::uint32_t lower = 1;  // of what the job is asked to have
    std::uint32_t upper = 1;
    std::uint32_t running = 0;  // subtasks
    std::uint32_t most = 0;     // maximum parallelism of the operator; 0: not told
};

struct FlinkJob {
    std::string id;
    std::string name;
    std::string state;  // "RUNNING"
    std::vector<FlinkVertex> vertices;

    bool has_ended() const { return state == "FINISHED" || state == "CANCELED" || state == "FAILED"; }
};

struct JobSummary {
    std::string id;
    std::string name;
    std::string state;
    std::int64_t started_ms = 0;
};

// Answers of Flink, taken apart. kCorrupt: it is none of that kind.
Result<std::vector<JobSummary>> parse_jobs(std::string_view json);        // of /jobs/overview
Result<FlinkJob> parse_job(std::string_view json);                        // of /jobs/:id; bounds are not in it
Result<> parse_requirements(std::string_view json, FlinkJob& job);        // of /jobs/:id/resource-requirements
std::string requirements_json(const std::vector<FlinkVertex>& vertices);  // what to put there
std::string reason_of(std::string_view json);                             // of a refusal: its cause, one line

// Those that a choice means: "all", "sources" (names that begin with "Source:"), or a part of their names.
bool is_chosen(const FlinkVertex& vertex, std::string_view choice);

// Sets the chosen vertices' upper bound, each within what its operator can have, and lowers lower bounds that are
// above.
void set_parallelism(FlinkJob& job, std::string_view choice, std::uint32_t parallelism);
// The largest upper bound of the chosen ones; 0: there are none.
std::uint32_t present_parallelism(const FlinkJob& job, std::string_view choice);

// The most that any of the chosen ones can have; 0: not told.
std::uint32_t greatest_parallelism(const FlinkJob& job, std::string_view choice);

class FlinkApi {
  public:
    // `url`: of the JobManager's REST port, without a slash at its end.
    FlinkApi(HttpClient& http, std::string url) : http_(http), url_(std::move(url)) {}

    // By id (32 hexadecimal digits), or by name: then the newest running one. kNotFound; kUnavailable; kUnsupported
    // when the job's scheduler takes no requirements.
    Result<FlinkJob> job(const std::string& id_or_name);
    Result<> require(const FlinkJob& job);

  private:
    Result<std::string> get(const std::string& path);
    Result<std::string> find(const std::string& id_or_name);

    HttpClient& http_;
    const std::string url_;
};

}  // namespace millrace::cli
