#include "api/rest/stream_json.h"

#include <array>
#include <limits>
#include <map>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <fmt/format.h>

#include "base/units.h"

namespace millrace::rest {

namespace json = boost::json;
using controller::RetentionPolicy;
using controller::RetentionType;
using controller::ScalingPolicy;
using controller::ScalingType;
using controller::StreamConfig;

namespace {

constexpr std::int64_t kUnlimited = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMinuteMs = 60'000;
constexpr std::int64_t kHourMs = 60 * kMinuteMs;
constexpr std::int64_t kDayMs = 24 * kHourMs;

constexpr std::array<std::pair<ScalingType, std::string_view>, 3> kScalingNames{{
    {ScalingType::kFixed, "FIXED_NUM_SEGMENTS"},
    {ScalingType::kByKilobytes, "BY_RATE_IN_KBYTES_PER_SEC"},
    {ScalingType::kByEvents, "BY_RATE_IN_EVENTS_PER_SEC"},
}};

json::string_view key(std::string_view name) { return {name.data(), name.size()}; }
std::string_view view(const json::string& text) { return {text.data(), text.size()}; }

// Null where the field is absent.
const json::value* find(const json::object& object, std::string_view name) {
    const json::value* value = object.if_contains(key(name));
    return value == nullptr || value->is_null() ? nullptr : value;
}

Result<std::optional<std::int64_t>> integer(const json::object& object, std::string_view name,
                                            std::int64_t most = kUnlimited) {
    const json::value* value = find(object, name);
    if (value == nullptr) return std::optional<std::int64_t>();
    if (!value->is_int64()) return fail(Errc::kInvalidArgument, fmt::format("{} must be an integer", name));
    if (value->get_int64() < 0 || value->get_int64() > most)
        return fail(Errc::kInvalidArgument, fmt::format("{} is out of range", name));
    return std::optional(value->get_int64());
}

Result<std::optional<json::object>> child(const json::object& object, std::string_view name) {
    const json::value* value = find(object, name);
    if (value == nullptr) return std::optional<json::object>();
    if (!value->is_object()) return fail(Errc::kInvalidArgument, fmt::format("{} must be an object", name));
    return std::optional(value->get_object());
}

Result<ScalingPolicy> parse_scaling(const json::object& request) {
    auto object = child(request, "scalingPolicy");
    if (!object) return fail(object.error());
    if (!*object) return fail(Errc::kInvalidArgument, "scalingPolicy is missing");
    auto type = text_field(**object, "type");
    if (!type) return fail(type.error());
    ScalingPolicy policy;
    bool known = false;
    for (const auto& [value, name] : kScalingNames) {
        if (*type != name) continue;
        policy.type = value;
        known = true;
    }
    if (!known) return fail(Errc::kInvalidArgument, fmt::format("unknown scaling policy type \"{}\"", *type));
    auto number = [&](std::string_view name, std::int32_t& target) -> Result<> {
        auto value = integer(**object, name, std::numeric_limits<std::int32_t>::max());
        if (!value) return fail(value.error());
        target = static_cast<std::int32_t>(value->value_or(0));
        if (target == 0) return fail(Errc::kInvalidArgument, fmt::format("{} must be at least 1", name));
        return {};
    };
    Result<> step = number("minSegments", policy.min_segments);
    if (policy.type != ScalingType::kFixed) {
        if (step) step = number("targetRate", policy.target_rate);
        if (step) step = number("scaleFactor", policy.scale_factor);
    }
    if (!step) return fail(step.error());
    return policy;
}

// Days, hours and minutes together.
Result<std::optional<std::int64_t>> span_ms(const json::object& retention, std::string_view name) {
    auto object = child(retention, name);
    if (!object) return fail(object.error());
    if (!*object) return std::optional<std::int64_t>();
    constexpr std::array<std::pair<std::string_view, std::int64_t>, 3> kParts{
        {{"days", kDayMs}, {"hours", kHourMs}, {"minutes", kMinuteMs}}};
    std::int64_t sum = 0;
    for (const auto& [part, unit_ms] : kParts) {
        auto value = integer(**object, part, kUnlimited / 4 / unit_ms);
        if (!value) return fail(value.error());
        sum += value->value_or(0) * unit_ms;
    }
    return std::optional(sum);
}

// A bound of a retention policy: `value` in units of `unit`, or, where that is zero or absent, the span of time.
Result<std::optional<std::int64_t>> bound(const json::object& retention, std::string_view value_name, std::int64_t unit,
                                          std::string_view span_name) {
    auto value = integer(retention, value_name, kUnlimited / unit);
    if (!value) return fail(value.error());
    std::optional<std::int64_t> span;
    if (!span_name.empty()) {
        auto parsed = span_ms(retention, span_name);
        if (!parsed) return fail(parsed.error());
        span = *parsed;
    }
    if (value->value_or(0) != 0 || !span) {
        if (!*value) return std::optional<std::int64_t>();
        return std::optional(**value * unit);
    }
    return span;
}

Result<std::optional<RetentionPolicy>> parse_retention(const json::object& request) {
    auto object = child(request, "retentionPolicy");
    if (!object) return fail(object.error());
    if (!*object) return std::optional<RetentionPolicy>();
    auto type = text_field(**object, "type");
    if (!type) return fail(type.error());
    RetentionPolicy policy;
    bool by_time = *type == "LIMITED_DAYS";
    if (!by_time && *type != "LIMITED_SIZE_MB")
        return fail(Errc::kInvalidArgument, fmt::format("unknown retention policy type \"{}\"", *type));
    policy.type = by_time ? RetentionType::kTime : RetentionType::kSize;
    std::int64_t unit = by_time ? kDayMs : static_cast<std::int64_t>(kMiB);
    auto param = bound(**object, "value", unit, by_time ? "timeBasedRetention" : "");
    if (!param) return fail(param.error());
    if (!*param) return fail(Errc::kInvalidArgument, "retentionPolicy has no value");
    auto most = bound(**object, "maxValue", unit, by_time ? "maxTimeBasedRetention" : "");
    if (!most) return fail(most.error());
    policy.param = **param;
    policy.max = most->value_or(kUnlimited);
    if (policy.max < policy.param)
        return fail(Errc::kInvalidArgument, "the retention policy's maximum is below its value");
    return std::optional(policy);
}

Result<std::vector<std::string>> parse_tags(const json::object& request) {
    std::vector<std::string> tags;
    const json::value* value = find(request, "streamTags");
    if (value == nullptr) return tags;
    if (!value->is_array()) return fail(Errc::kInvalidArgument, "streamTags must be an array of strings");
    for (const json::value& tag : value->get_array()) {
        if (!tag.is_string()) return fail(Errc::kInvalidArgument, "streamTags must be an array of strings");
        tags.emplace_back(view(tag.get_string()));
    }
    return tags;
}

json::object scaling_json(const ScalingPolicy& policy) {
    json::object object;
    for (const auto& [type, name] : kScalingNames) {
        if (type == policy.type) object["type"] = key(name);
    }
    if (policy.type != ScalingType::kFixed) {
        object["targetRate"] = policy.target_rate;
        object["scaleFactor"] = policy.scale_factor;
    }
    object["minSegments"] = policy.min_segments;
    return object;
}

}  // namespace

json::object retention_json(const RetentionPolicy& policy) {
    json::object object;
    if (policy.type == RetentionType::kSize) {
        object["type"] = "LIMITED_SIZE_MB";
        object["value"] = policy.param / static_cast<std::int64_t>(kMiB);
        return object;
    }
    std::int64_t days = policy.param / kDayMs;
    std::int64_t rest = policy.param % kDayMs;
    object["type"] = "LIMITED_DAYS";
    object["value"] = rest == 0 ? days : 0;
    json::object span;
    span["days"] = days;
    span["hours"] = rest / kHourMs;
    span["minutes"] = rest % kHourMs / kMinuteMs;
    object["timeBasedRetention"] = std::move(span);
    return object;
}

Result<json::object> parse_object(std::string_view body) {
    json::error_code error;
    json::value value = json::parse(key(body), error);
    if (error) return fail(Errc::kInvalidArgument, "the body is no JSON: " + error.message());
    if (!value.is_object()) return fail(Errc::kInvalidArgument, "the body must be a JSON object");
    return std::move(value.get_object());
}

Result<std::string> text_field(const json::object& object, std::string_view name) {
    const json::value* value = find(object, name);
    if (value == nullptr) return fail(Errc::kInvalidArgument, fmt::format("{} is missing", name));
    if (!value->is_string()) return fail(Errc::kInvalidArgument, fmt::format("{} must be a string", name));
    return std::string(view(value->get_string()));
}

Result<StreamConfig> parse_stream_config(const json::object& request) {
    StreamConfig config;
    auto scaling = parse_scaling(request);
    if (!scaling) return fail(scaling.error());
    auto retention = parse_retention(request);
    if (!retention) return fail(retention.error());
    auto tags = parse_tags(request);
    if (!tags) return fail(tags.error());
    auto aggregation = integer(request, "timestampAggregationTimeout");
    if (!aggregation) return fail(aggregation.error());
    auto rollover = integer(request, "rolloverSizeBytes");
    if (!rollover) return fail(rollover.error());
    config.scaling = *scaling;
    config.retention = *retention;
    config.tags = std::move(*tags);
    config.timestamp_aggregation_ms = aggregation->value_or(0);
    config.rollover_bytes = rollover->value_or(0);
    return config;
}

json::object stream_property(const controller::StreamName& name, const StreamConfig& config) {
    json::object object;
    object["scopeName"] = name.scope;
    object["streamName"] = name.stream;
    object["scalingPolicy"] = scaling_json(config.scaling);
    if (config.retention) object["retentionPolicy"] = retention_json(*config.retention);
    json::array tags;
    for (const std::string& tag : config.tags) tags.emplace_back(tag);
    object["tags"] = std::move(tags);
    object["timestampAggregationTimeout"] = config.timestamp_aggregation_ms;
    object["rolloverSizeBytes"] = config.rollover_bytes;
    return object;
}

json::array scaling_events(const std::vector<controller::Epoch>& epochs, std::int64_t from_ms, std::int64_t to_ms) {
    std::map<std::int32_t, std::int64_t> began;
    for (const controller::Epoch& epoch : epochs) began[epoch.epoch] = epoch.creation_ms;
    // Epochs are in the order of their creation: the last one that began before `from_ms` opens the answer.
    std::size_t first = 0;
    while (first + 1 < epochs.size() && epochs[first + 1].creation_ms < from_ms) ++first;
    json::array events;
    for (std::size_t i = first; i < epochs.size() && epochs[i].creation_ms <= to_ms; ++i) {
        json::object event;
        event["timestamp"] = epochs[i].creation_ms;
        json::array segments;
        for (const controller::SegmentRange& range : epochs[i].segments) {
            json::object segment;
            std::int32_t epoch = controller::epoch_of(range.id);
            segment["number"] = controller::number_of(range.id);
            segment["epoch"] = epoch;
            auto start = began.find(epoch);
            segment["start"] = start == began.end() ? epochs[i].creation_ms : start->second;
            segment["keyStart"] = range.min_key;
            segment["keyEnd"] = range.max_key;
            segments.emplace_back(std::move(segment));
        }
        event["segments"] = std::move(segments);
        event["splits"] = i == 0 ? 0 : epochs[i].splits - epochs[i - 1].splits;
        event["merges"] = i == 0 ? 0 : epochs[i].merges - epochs[i - 1].merges;
        events.emplace_back(std::move(event));
    }
    return events;
}

}  // namespace millrace::rest
