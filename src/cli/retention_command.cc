#include "cli/retention_command.h"

#include <chrono>
#include <cstdio>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_to.hpp>
#include <fmt/format.h>

#include "cli/flink/http_client.h"
#include "cli/stream_argument.h"

namespace millrace::cli {

namespace {

namespace json = boost::json;

constexpr std::chrono::milliseconds kPatience{30'000};
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

// The fields are this program's own; anything that is not as they are made throws, and is caught once.
std::string cut_text(const json::array& cut) {
    std::string text;
    for (const json::value& entry : cut) {
        text += fmt::format("{}{}.#epoch.{}:{}", text.empty() ? "" : ", ", entry.at("segment").as_int64(),
                            entry.at("epoch").as_int64(), entry.at("offset").as_int64());
    }
    return text;
}

std::string string_of(const json::value& value) { return json::value_to<std::string>(value); }

std::string policy_text(const json::object& report) {
    const json::value* policy = report.if_contains("retentionPolicy");
    if (policy == nullptr) return "none";
    return json::serialize(*policy);
}

std::string text_of(const json::object& report) {
    std::string text = fmt::format("stream       {}/{}\npolicy       {}\nkept now     {} bytes, {} to {}\n",
                                   string_of(report.at("scopeName")), string_of(report.at("streamName")),
                                   policy_text(report), report.at("bytes").as_int64(),
                                   cut_text(report.at("head").as_array()), cut_text(report.at("tail").as_array()));
    text += fmt::format("samples      {}", report.at("samples").to_number<std::int64_t>());
    if (const json::value* age = report.if_contains("oldestSampleAgeMs"))
        text += fmt::format(", the oldest {} s old", age->to_number<std::int64_t>() / 1000);
    text += "\n";
    for (const json::value& subscriber : report.at("subscribers").as_array()) {
        const json::object& fields = subscriber.as_object();
        const json::value* behind = fields.if_contains("bytesBehind");
        text += fmt::format("subscriber   {}: {}\n", string_of(fields.at("name")),
                            behind == nullptr ? std::string("has reported nothing, and holds nothing back")
                                              : fmt::format("{} bytes behind", behind->as_int64()));
    }
    const json::value* cut = report.if_contains("cut");
    std::string reason = string_of(report.at("reason"));
    if (cut == nullptr) return text + fmt::format("would go     nothing: {}\n", reason);
    return text + fmt::format("would go     {} bytes, up to {}: {}\n", report.at("bytesToGo").as_int64(),
                              cut_text(cut->as_array()), reason);
}

int refuse(int status, std::string_view message) {
    fmt::print(stderr, "millrace: {}\n", message);
    return status;
}

}  // namespace

Result<std::string> retention_text(std::string_view body) {
    try {
        return text_of(json::parse(json::string_view(body.data(), body.size())).as_object());
    } catch (const std::exception& e) {
        return fail(Errc::kCorrupt, fmt::format("the server's answer is not what this program expects: {}", e.what()));
    }
}

int retention_command(const std::string& stream, const std::string& rest) {
    auto url = stream_url(rest, stream);
    if (!url) return refuse(kExitUsage, url.error().message());
    auto answer = make_http_client(kPatience)->get(*url + "/retention");
    if (!answer) return refuse(kExitFailed, answer.error().message());
    if (answer->status == 404) return refuse(kExitFailed, fmt::format("no stream {}", stream));
    if (answer->status != 200) return refuse(kExitFailed, fmt::format("{} answers {}", rest, answer->body));
    auto text = retention_text(answer->body);
    if (!text) return refuse(kExitFailed, text.error().message());
    fmt::print("{}", *text);
    return 0;
}

}  // namespace millrace::cli
