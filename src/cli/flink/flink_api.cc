#include "cli/flink/flink_api.h"

#include <algorithm>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include "base/text.h"

namespace millrace::cli {

namespace json = boost::json;

namespace {

constexpr std::size_t kReasonBytesMax = 500;
constexpr std::uint32_t kParallelismMax = 1 << 15;  // Flink's

std::string text_of(const json::object& object, std::string_view key) {
    const json::value* value = object.if_contains(json::string_view(key.data(), key.size()));
    if (value == nullptr || !value->is_string()) return {};
    return std::string(value->get_string());
}

std::int64_t number_of(const json::object& object, std::string_view key) {
    const json::value* value = object.if_contains(json::string_view(key.data(), key.size()));
    if (value == nullptr || !value->is_int64()) return 0;
    return value->get_int64();
}

std::uint32_t parallelism_of(const json::object& object, std::string_view key) {
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(number_of(object, key), 0, kParallelismMax));
}

Result<json::object> parse_object(std::string_view text, const char* what) {
    boost::system::error_code error;
    json::value value = json::parse(json::string_view(text.data(), text.size()), error);
    if (error || !value.is_object()) return fail(Errc::kCorrupt, fmt::format("{} is no JSON object", what));
    return std::move(value.get_object());
}

bool is_id(std::string_view text) {
    auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    return text.size() == 32 && std::ranges::all_of(text, hex);
}

}  // namespace

Result<std::vector<JobSummary>> parse_jobs(std::string_view text) {
    auto object = parse_object(text, "the list of jobs");
    if (!object) return fail(object.error());
    const json::value* list = object->if_contains("jobs");
    if (list == nullptr || !list->is_array()) return fail(Errc::kCorrupt, "the list of jobs has no jobs");
    std::vector<JobSummary> jobs;
    for (const json::value& entry : list->get_array()) {
        if (!entry.is_object()) continue;
        const json::object& job = entry.get_object();
        jobs.push_back(
            {text_of(job, "jid"), text_of(job, "name"), text_of(job, "state"), number_of(job, "start-time")});
    }
    return jobs;
}

Result<FlinkJob> parse_job(std::string_view text) {
    auto object = parse_object(text, "the job");
    if (!object) return fail(object.error());
    FlinkJob job;
    job.id = text_of(*object, "jid");
    job.name = text_of(*object, "name");
    job.state = text_of(*object, "state");
    const json::value* vertices = object->if_contains("vertices");
    if (job.id.empty() || vertices == nullptr || !vertices->is_array())
        return fail(Errc::kCorrupt, "the job has no id or no vertices");
    for (const json::value& entry : vertices->get_array()) {
        if (!entry.is_object()) continue;
        const json::object& from = entry.get_object();
        FlinkVertex& vertex = job.vertices.emplace_back();
        vertex.id = text_of(from, "id");
        vertex.name = text_of(from, "name");
        vertex.most = parallelism_of(from, "maxParallelism");
        const json::value* tasks = from.if_contains("tasks");
        if (tasks != nullptr && tasks->is_object()) vertex.running = parallelism_of(tasks->get_object(), "RUNNING");
    }
    return job;
}

Result<> parse_requirements(std::string_view text, FlinkJob& job) {
    auto object = parse_object(text, "the job's requirements");
    if (!object) return fail(object.error());
    for (FlinkVertex& vertex : job.vertices) {
        const json::value* entry = object->if_contains(vertex.id);
        const json::value* bounds =
            entry != nullptr && entry->is_object() ? entry->get_object().if_contains("parallelism") : nullptr;
        if (bounds == nullptr || !bounds->is_object())
            return fail(Errc::kCorrupt, fmt::format("vertex {} has no requirements", vertex.id));
        vertex.lower = std::max(parallelism_of(bounds->get_object(), "lowerBound"), 1U);
        vertex.upper = std::max(parallelism_of(bounds->get_object(), "upperBound"), vertex.lower);
    }
    return {};
}

std::string requirements_json(const std::vector<FlinkVertex>& vertices) {
    json::object all;
    for (const FlinkVertex& vertex : vertices) {
        json::object bounds;
        bounds["lowerBound"] = vertex.lower;
        bounds["upperBound"] = vertex.upper;
        json::object entry;
        entry["parallelism"] = std::move(bounds);
        all[vertex.id] = std::move(entry);
    }
    return json::serialize(all);
}

// {"errors": ["text", "a stack trace"]}: the innermost cause of the trace, else the first text.
std::string reason_of(std::string_view text) {
    boost::system::error_code error;
    json::value value = json::parse(json::string_view(text.data(), text.size()), error);
    const json::value* errors = !error && value.is_object() ? value.get_object().if_contains("errors") : nullptr;
    std::string reason(text);
    if (errors != nullptr && errors->is_array()) {
        for (const json::value& entry : errors->get_array()) {
            if (entry.is_string() && !entry.get_string().empty()) reason = std::string(entry.get_string());
        }
    }
    constexpr std::string_view kCause = "Caused by: ";
    constexpr std::string_view kFrame = "<Exception on server side:\n";
    if (std::size_t last = reason.rfind(kCause); last != std::string::npos)
        reason = reason.substr(last + kCause.size());
    else if (reason.starts_with(kFrame))
        reason = reason.substr(kFrame.size());
    return printable(reason.substr(0, reason.find('\n')), kReasonBytesMax);
}

bool is_chosen(const FlinkVertex& vertex, std::string_view choice) {
    if (choice == "all") return true;
    if (choice == "sources") return vertex.name.starts_with("Source:");
    return vertex.name.find(choice) != std::string::npos;
}

void set_parallelism(FlinkJob& job, std::string_view choice, std::uint32_t parallelism) {
    for (FlinkVertex& vertex : job.vertices) {
        if (!is_chosen(vertex, choice)) continue;
        vertex.upper = vertex.most > 0 ? std::min(parallelism, vertex.most) : parallelism;
        vertex.lower = std::min(vertex.lower, vertex.upper);
    }
}

std::uint32_t present_parallelism(const FlinkJob& job, std::string_view choice) {
    std::uint32_t largest = 0;
    for (const FlinkVertex& vertex : job.vertices) {
        if (is_chosen(vertex, choice)) largest = std::max(largest, vertex.upper);
    }
    return largest;
}

std::uint32_t greatest_parallelism(const FlinkJob& job, std::string_view choice) {
    std::uint32_t greatest = 0;
    for (const FlinkVertex& vertex : job.vertices) {
        if (!is_chosen(vertex, choice)) continue;
        if (vertex.most == 0) return 0;
        greatest = std::max(greatest, vertex.most);
    }
    return greatest;
}

Result<std::string> FlinkApi::get(const std::string& path) {
    auto answer = http_.get(url_ + path);
    if (!answer) return fail(answer.error());
    if (answer->status == 404) return fail(Errc::kNotFound, fmt::format("{}: {}", path, reason_of(answer->body)));
    if (answer->status != 200) {
        return fail(Errc::kUnavailable,
                    fmt::format("{}{} was answered {}: {}", url_, path, answer->status, reason_of(answer->body)));
    }
    return std::move(answer->body);
}

Result<std::string> FlinkApi::find(const std::string& id_or_name) {
    if (is_id(id_or_name)) return id_or_name;
    auto text = get("/jobs/overview");
    if (!text) return fail(text.error());
    auto jobs = parse_jobs(*text);
    if (!jobs) return fail(jobs.error());
    const JobSummary* found = nullptr;
    for (const JobSummary& job : *jobs) {
        bool ended = job.state == "FINISHED" || job.state == "CANCELED" || job.state == "FAILED";
        if (job.name != id_or_name || ended || !is_id(job.id)) continue;
        if (found == nullptr || job.started_ms > found->started_ms) found = &job;
    }
    if (found == nullptr) return fail(Errc::kNotFound, fmt::format("no job \"{}\" is running", id_or_name));
    return found->id;
}

Result<FlinkJob> FlinkApi::job(const std::string& id_or_name) {
    auto id = find(id_or_name);
    if (!id) return fail(id.error());
    auto text = get("/jobs/" + *id);
    if (!text) return fail(text.error());
    auto job = parse_job(*text);
    if (!job || job->has_ended()) return job;
    auto requirements = get(fmt::format("/jobs/{}/resource-requirements", *id));
    if (!requirements) {
        // Before 1.18 there is no such path; schedulers that are not adaptive throw.
        bool is_old = requirements.error() == Errc::kNotFound;
        if (!is_old && requirements.error().message().find("UnsupportedOperationException") == std::string::npos)
            return fail(requirements.error());
        return fail(Errc::kUnsupported,
                    fmt::format("the job's parallelism cannot be changed: it can by Flink 1.18 or newer with "
                                "`jobmanager.scheduler: adaptive` ({})",
                                requirements.error().message()));
    }
    if (auto parsed = parse_requirements(*requirements, *job); !parsed) return fail(parsed.error());
    return job;
}

Result<> FlinkApi::require(const FlinkJob& job) {
    std::string path = fmt::format("/jobs/{}/resource-requirements", job.id);
    auto answer = http_.put(url_ + path, requirements_json(job.vertices));
    if (!answer) return fail(answer.error());
    if (answer->status / 100 != 2) {
        return fail(Errc::kUnavailable,
                    fmt::format("{}{} was answered {}: {}", url_, path, answer->status, reason_of(answer->body)));
    }
    return {};
}

}  // namespace millrace::cli
