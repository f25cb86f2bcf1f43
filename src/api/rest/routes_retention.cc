// What retention would do with a stream now, and why. Of Millrace's own: Pravega has no such path.
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "api/rest/routes.h"
#include "api/rest/stream_json.h"

namespace millrace::rest {

namespace json = boost::json;
using controller::Controller;
using controller::RetentionReport;
using controller::StreamCut;
using controller::StreamName;

namespace {

json::array cut_json(const StreamCut& cut) {
    json::array entries;
    for (const auto& [id, offset] : cut) {
        json::object entry;
        entry["segment"] = controller::number_of(id);
        entry["epoch"] = controller::epoch_of(id);
        entry["offset"] = offset;
        entries.emplace_back(std::move(entry));
    }
    return entries;
}

json::object report_json(const StreamName& name, const RetentionReport& report) {
    json::object object;
    object["scopeName"] = name.scope;
    object["streamName"] = name.stream;
    if (report.policy) object["retentionPolicy"] = retention_json(*report.policy);
    object["head"] = cut_json(report.head);
    object["tail"] = cut_json(report.tail);
    object["bytes"] = report.bytes;
    object["samples"] = report.samples;
    if (report.samples > 0) object["oldestSampleAgeMs"] = report.now_ms - report.oldest_sample_ms;
    json::array subscribers;
    for (const controller::SubscriberProgress& subscriber : report.subscribers) {
        json::object entry;
        entry["name"] = subscriber.name;
        entry["hasReported"] = subscriber.has_reported;
        if (subscriber.has_reported) entry["bytesBehind"] = subscriber.bytes_behind;
        subscribers.emplace_back(std::move(entry));
    }
    object["subscribers"] = std::move(subscribers);
    if (!report.cut.empty()) object["cut"] = cut_json(report.cut);
    object["bytesToGo"] = report.bytes_to_go;
    object["reason"] = report.reason;
    return object;
}

void get_retention(Controller& controller, const HttpRequest& request, Respond respond) {
    StreamName name{request.captures[0], request.captures[1]};
    auto done = [name, respond = std::move(respond)](Result<RetentionReport> report) mutable {
        if (!report) return respond(answer_for(report.error()));
        respond(HttpResponse::json(200, json::serialize(report_json(name, *report))));
    };
    controller.retention_report(name, std::move(done));
}

}  // namespace

void add_retention_routes(Router& router, Controller& controller) {
    add_route(router, Method::kGet, "/v1/scopes/{scope}/streams/{stream}/retention", controller, get_retention);
}

}  // namespace millrace::rest
