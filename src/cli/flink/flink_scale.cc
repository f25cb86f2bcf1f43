#include "cli/flink/flink_scale.h"

#include <algorithm>
#include <csignal>
#include <ctime>

#include <fmt/format.h>

namespace millrace::cli {
namespace {

constexpr int kExitDone = 0;
constexpr int kExitFailed = 1;

constexpr std::size_t kLooksMax = 100'000;

bool is_url(std::string_view text) { return text.starts_with("http://") || text.starts_with("https://"); }

std::string running_text(const FlinkJob& job, std::string_view choice) {
    std::uint32_t running = 0;
    for (const FlinkVertex& vertex : job.vertices) {
        if (is_chosen(vertex, choice)) running = std::max(running, vertex.running);
    }
    return fmt::format("{} running", running);
}

// SIGTERM and SIGINT end a wait.
class EndWish {
  public:
    EndWish() {
        sigemptyset(&signals_);
        sigaddset(&signals_, SIGTERM);
        sigaddset(&signals_, SIGINT);
        pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    }
    bool within(std::chrono::milliseconds time) {
        timespec left{};
        left.tv_sec = static_cast<time_t>(time.count() / 1000);
        left.tv_nsec = static_cast<long>(time.count() % 1000) * 1'000'000;
        return sigtimedwait(&signals_, nullptr, &left) > 0;
    }

  private:
    sigset_t signals_{};
};

}  // namespace

std::string metrics_url(const FlinkScaleOptions& options) {
    std::string url = options.metrics;
    std::size_t host = url.find("://");
    bool has_path = host != std::string::npos && url.find('/', host + 3) != std::string::npos;
    if (!has_path && url.find('?') == std::string::npos) url += "/metrics";
    for (const WatchedStream& stream : options.streams) {
        url += url.find('?') == std::string::npos ? '?' : '&';
        url += fmt::format("stream={}/{}", stream.scope, stream.stream);
    }
    return url;
}

Result<> check(FlinkScaleOptions& options) {
    auto refuse = [](std::string text) { return fail(Errc::kInvalidArgument, std::move(text)); };
    while (options.flink.ends_with('/')) options.flink.pop_back();
    while (options.metrics.ends_with('/')) options.metrics.pop_back();
    if (!is_url(options.flink)) return refuse("--flink must be http://HOST:PORT or https://HOST:PORT");
    if (!is_url(options.metrics)) return refuse("--metrics must be http://HOST:PORT or https://HOST:PORT");
    if (options.job.empty()) return refuse("--job is needed: the job's id, or its name");
    if (options.streams.empty()) return refuse("--stream is needed: SCOPE/STREAM, the stream that the job reads");
    const ScaleRules& rules = options.rules;
    if (rules.min > rules.max) return refuse(fmt::format("--min {} is more than --max {}", rules.min, rules.max));
    if (rules.by != ScaleBy::kSegments && !(rules.per_task > 0))
        return refuse("--by events and --by bytes need --per-task: how many per second one subtask can take");
    if (rules.by == ScaleBy::kSegments && rules.per_task > 0)
        return refuse("--per-task has no meaning with --by segments");
    return {};
}

FlinkScaler::FlinkScaler(FlinkScaleOptions options, HttpClient& http, const Clock& clock)
    : options_(std::move(options)), http_(http), clock_(clock), flink_(http, options_.flink) {}

Result<StreamLoad> FlinkScaler::read_load() {
    std::string url = metrics_url(options_);
    auto answer = http_.get(url);
    if (!answer) return fail(answer.error());
    if (answer->status != 200) return fail(Errc::kUnavailable, fmt::format("{} was answered {}", url, answer->status));
    return load_of(answer->body, options_.streams, options_.window);
}

void FlinkScaler::remember(std::uint32_t wanted) {
    TimePoint now = clock_.now();
    looks_.push_back({now, wanted});
    // The last look before the window stays: it shows that the window was watched from its beginning.
    TimePoint begin = now - options_.rules.cooldown_down;
    std::size_t old = 0;
    while (old + 1 < looks_.size() && looks_[old + 1].when <= begin) ++old;
    if (looks_.size() - old > kLooksMax) old = looks_.size() - kLooksMax;
    looks_.erase(looks_.begin(), looks_.begin() + static_cast<std::ptrdiff_t>(old));
}

// What stays the same is told once.
void FlinkScaler::tell(std::string text) {
    if (text == told_) return;
    log::info("{}", text);
    told_ = std::move(text);
}

Result<FlinkScaler::Outcome> FlinkScaler::look() {
    auto failed = [this](const Error& error) {
        looks_.clear();
        told_.clear();
        return fail(error);
    };
    auto load = read_load();
    if (!load) return failed(load.error());
    auto job = flink_.job(options_.job);
    if (!job) return failed(job.error());
    if (job->has_ended()) {
        log::info("job {} ({}) is {}", job->id, job->name, job->state);
        return Outcome::kJobEnded;
    }
    if (job->id != last_job_) {
        if (!last_job_.empty()) log::info("job {} has begun in the place of {}", job->id, last_job_);
        last_job_ = job->id;
        last_change_.reset();
        looks_.clear();
        imagined_.reset();
    }
    std::uint32_t present = present_parallelism(*job, options_.vertices);
    if (present == 0) {
        std::string names;
        for (const FlinkVertex& vertex : job->vertices)
            names += fmt::format("{}\"{}\"", names.empty() ? "" : ", ", vertex.name);
        return failed(Error(Errc::kNotFound, fmt::format("no vertex of the job is meant by --vertices {}; it has {}",
                                                         options_.vertices, names)));
    }
    if (imagined_) present = *imagined_;
    ScaleRules rules = options_.rules;
    if (std::uint32_t greatest = greatest_parallelism(*job, options_.vertices); greatest > 0) {
        rules.max = std::min(rules.max, greatest);
        rules.min = std::min(rules.min, greatest);
    }
    remember(wanted_parallelism(rules, *load, present));
    Situation situation{clock_.now(), present, last_change_, looks_, options_.once};
    Decision decision = decide(rules, situation);
    if (decision.target == present) {
        log::debug("{} segments, {:.0f} events/s, {:.0f} bytes/s; {} asked for, {}", load->segments,
                   load->events_per_second, load->bytes_per_second, present, running_text(*job, options_.vertices));
        // Seconds that count down are for the debugger; what is meant is the same.
        std::string meaning = decision.reason.substr(0, decision.reason.find(';'));
        tell(fmt::format("{} segments, parallelism {}: {}", load->segments, present, meaning));
        return Outcome::kWatching;
    }
    log::info("{} segments, {:.0f} events/s, {:.0f} bytes/s: parallelism {}{}", load->segments, load->events_per_second,
              load->bytes_per_second, decision.reason, options_.dry_run ? " (dry run: not asked for)" : "");
    return apply(std::move(*job), decision);
}

Result<FlinkScaler::Outcome> FlinkScaler::apply(FlinkJob job, const Decision& decision) {
    told_.clear();
    set_parallelism(job, options_.vertices, decision.target);
    if (options_.dry_run) {
        imagined_ = decision.target;
    } else if (auto asked = flink_.require(job); !asked) {
        looks_.clear();
        return fail(asked.error());
    }
    last_change_ = clock_.now();
    return Outcome::kChanged;
}

int run_flink_scale(const FlinkScaleOptions& options) {
    log::set_level(options.log_level);
    log::set_json(options.log_json);
    EndWish end;
    SystemClock clock;
    auto http = make_http_client(options.timeout);
    FlinkScaler scaler(options, *http, clock);
    std::string last_error;
    while (true) {
        auto outcome = scaler.look();
        if (!outcome) {
            std::string text = outcome.error().message();
            if (text != last_error) log::warn("{}", text);
            last_error = std::move(text);
        } else {
            if (!last_error.empty()) log::info("goes on");
            last_error.clear();
        }
        if (options.once) return outcome ? kExitDone : kExitFailed;
        if (outcome && *outcome == FlinkScaler::Outcome::kJobEnded) return kExitDone;
        if (end.within(options.interval)) return kExitDone;
    }
}

}  // namespace millrace::cli
