#include "cli/flink/flink_scale_options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include <fmt/format.h>

#include "base/units.h"

namespace millrace::cli {
namespace {

constexpr std::uint32_t kParallelismMax = 1 << 15;  // Flink's
constexpr std::uint32_t kSecondsMax = 86'400;
constexpr std::size_t kStreamsMax = 100;  // of one request for metrics

std::unexpected<Error> refuse(std::string text) { return fail(Errc::kInvalidArgument, std::move(text)); }

Result<std::uint32_t> whole(const std::string& text, std::uint32_t least, std::uint32_t most) {
    std::uint32_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc() || end != text.data() + text.size() || value < least || value > most)
        return refuse(fmt::format("it must be a whole number from {} to {}", least, most));
    return value;
}

template <std::chrono::milliseconds FlinkScaleOptions::* Member>
Result<> apply_seconds(FlinkScaleOptions& options, const std::string& text) {
    auto seconds = whole(text, 1, kSecondsMax);
    if (!seconds) return fail(seconds.error());
    options.*Member = std::chrono::seconds(*seconds);
    return {};
}

template <std::chrono::milliseconds ScaleRules::* Member>
Result<> apply_cooldown(FlinkScaleOptions& options, const std::string& text) {
    auto seconds = whole(text, 0, kSecondsMax);
    if (!seconds) return fail(seconds.error());
    options.rules.*Member = std::chrono::seconds(*seconds);
    return {};
}

template <std::uint32_t ScaleRules::* Member>
Result<> apply_limit(FlinkScaleOptions& options, const std::string& text) {
    auto number = whole(text, 1, kParallelismMax);
    if (!number) return fail(number.error());
    options.rules.*Member = *number;
    return {};
}

template <std::string FlinkScaleOptions::* Member>
Result<> apply_text(FlinkScaleOptions& options, const std::string& text) {
    if (text.empty()) return refuse("it must not be empty");
    options.*Member = text;
    return {};
}

Result<> apply_stream(FlinkScaleOptions& options, const std::string& text) {
    auto fits = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
               c == '_';
    };
    std::size_t slash = text.find('/');
    std::string scope = text.substr(0, slash);
    std::string stream = slash == std::string::npos ? "" : text.substr(slash + 1);
    if (scope.empty() || stream.empty() || !std::ranges::all_of(scope, fits) || !std::ranges::all_of(stream, fits))
        return refuse("it must be SCOPE/STREAM");
    if (options.streams.size() == kStreamsMax) return refuse(fmt::format("at most {} streams", kStreamsMax));
    options.streams.push_back({std::move(scope), std::move(stream)});
    return {};
}

Result<> apply_by(FlinkScaleOptions& options, const std::string& text) {
    if (text == "segments")
        options.rules.by = ScaleBy::kSegments;
    else if (text == "events")
        options.rules.by = ScaleBy::kEvents;
    else if (text == "bytes")
        options.rules.by = ScaleBy::kBytes;
    else
        return refuse("it must be segments, events or bytes");
    return {};
}

Result<> apply_per_task(FlinkScaleOptions& options, const std::string& text) {
    auto number = parse_bytes(text);
    if (!number || *number == 0) return refuse("it must be a number above 0, or a size like 10MiB, per second");
    options.rules.per_task = static_cast<double>(*number);
    return {};
}

Result<> apply_tolerance(FlinkScaleOptions& options, const std::string& text) {
    auto percent = whole(text, 0, 90);
    if (!percent) return fail(percent.error());
    options.rules.tolerance = *percent / 100.0;
    return {};
}

Result<> apply_window(FlinkScaleOptions& options, const std::string& text) {
    if (text != "10s" && text != "1m" && text != "10m") return refuse("it must be 10s, 1m or 10m");
    options.window = text;
    return {};
}

Result<> apply_log_level(FlinkScaleOptions& options, const std::string& text) {
    if (!log::parse_level(text, options.log_level)) return refuse("it must be trace, debug, info, warn, error or off");
    return {};
}

Result<> apply_log_format(FlinkScaleOptions& options, const std::string& text) {
    if (text != "text" && text != "json") return refuse("it must be text or json");
    options.log_json = text == "json";
    return {};
}

constexpr std::array kOptions{
    FlinkScaleOption{"flink", "URL", "http://127.0.0.1:8081", "REST port of Flink's JobManager.",
                     apply_text<&FlinkScaleOptions::flink>},
    FlinkScaleOption{"job", "JOB", "needed", "The job's id, or its name: then the newest one of that name that runs.",
                     apply_text<&FlinkScaleOptions::job>},
    FlinkScaleOption{"metrics", "URL", "http://127.0.0.1:9091/metrics", "Metrics of Millrace.",
                     apply_text<&FlinkScaleOptions::metrics>},
    FlinkScaleOption{"stream", "SCOPE/STREAM", "needed",
                     "The stream that the job reads; several times for several streams, which then count together.",
                     apply_stream},
    FlinkScaleOption{
        "by", "WHAT", "segments",
        "segments: one subtask for each open segment. events, bytes: by the rate at which they are written, "
        "at most one for each segment.",
        apply_by},
    FlinkScaleOption{"per-task", "N", "needed by events and bytes",
                     "Events or bytes per second that one subtask takes.", apply_per_task},
    FlinkScaleOption{"window", "TIME", "1m", "Over which rates are averaged: 10s, 1m or 10m.", apply_window},
    FlinkScaleOption{"tolerance", "PERCENT", "10",
                     "A rate that is so near to what the present subtasks are for changes nothing.", apply_tolerance},
    FlinkScaleOption{"min", "N", "1", "Least parallelism.", apply_limit<&ScaleRules::min>},
    FlinkScaleOption{"max", "N", "128", "Most parallelism. Each operator's own maximum holds, too.",
                     apply_limit<&ScaleRules::max>},
    FlinkScaleOption{"vertices", "WHICH", "all",
                     "Which of the job's vertices: all, sources, or those with this text in their name.",
                     apply_text<&FlinkScaleOptions::vertices>},
    FlinkScaleOption{"cooldown-up", "SECONDS", "30", "After a change, so long before the parallelism goes up.",
                     apply_cooldown<&ScaleRules::cooldown_up>},
    FlinkScaleOption{"cooldown-down", "SECONDS", "300",
                     "It goes down when during so long a time fewer were enough, and no change was made.",
                     apply_cooldown<&ScaleRules::cooldown_down>},
    FlinkScaleOption{"interval", "SECONDS", "5", "Between two looks.", apply_seconds<&FlinkScaleOptions::interval>},
    FlinkScaleOption{"timeout", "SECONDS", "10", "Of a request.", apply_seconds<&FlinkScaleOptions::timeout>},
    FlinkScaleOption{"dry-run", "", "", "Says what it would do, and asks Flink for nothing.",
                     [](FlinkScaleOptions& o, const std::string&) {
                         o.dry_run = true;
                         return Result<>();
                     }},
    FlinkScaleOption{"once", "", "",
                     "One look, one change if one is wanted, without waiting for cool-downs; then ends.",
                     [](FlinkScaleOptions& o, const std::string&) {
                         o.once = true;
                         return Result<>();
                     }},
    FlinkScaleOption{"log-level", "LEVEL", "info", "trace, debug, info, warn, error or off. debug: every look.",
                     apply_log_level},
    FlinkScaleOption{"log-format", "FORMAT", "text", "text, or json: one object a line. Logs go to stderr.",
                     apply_log_format},
};

}  // namespace

std::span<const FlinkScaleOption> flink_scale_options() { return kOptions; }

}  // namespace millrace::cli
