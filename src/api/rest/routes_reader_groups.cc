#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "api/rest/paging.h"
#include "api/rest/routes.h"

namespace millrace::rest {

namespace json = boost::json;
using controller::Controller;
using controller::DeleteReaderGroupStatus;
using controller::ReaderGroupConfig;

namespace {

void list_reader_groups(Controller& controller, const HttpRequest& request, Respond respond) {
    auto fetch = [&controller, scope = request.captures[0]](std::string token, PageDone done) {
        controller.list_reader_groups(scope, std::move(token), std::move(done));
    };
    auto done = [respond = std::move(respond)](Result<std::optional<std::vector<std::string>>> groups) mutable {
        if (!groups) return respond(answer_for(groups.error()));
        if (!*groups) return respond(HttpResponse::error(404, "no such scope"));
        json::array list;
        for (const std::string& group : **groups) {
            json::object entry;
            entry["readerGroupName"] = group;
            list.emplace_back(std::move(entry));
        }
        json::object object;
        if (!list.empty()) object["readerGroups"] = std::move(list);
        respond(HttpResponse::json(200, json::serialize(object)));
    };
    collect_pages(std::move(fetch), std::move(done));
}

json::object group_json(const std::string& scope, const std::string& group, const ReaderGroupConfig& config,
                        const std::vector<std::string>& online) {
    json::array streams;
    for (const controller::StreamPosition& position : config.start) {
        streams.emplace_back(position.stream.scope + "/" + position.stream.stream);
    }
    json::object object;
    object["scopeName"] = scope;
    object["readerGroupName"] = group;
    object["streamList"] = std::move(streams);
    object["onlineReaderIds"] = json::array(online.begin(), online.end());
    return object;
}

void get_reader_group(Controller& controller, const HttpRequest& request, Respond respond) {
    const std::string& scope = request.captures[0];
    const std::string& group = request.captures[1];
    auto done = [&controller, scope, group,
                 respond = std::move(respond)](Result<std::optional<ReaderGroupConfig>> config) mutable {
        if (!config) return respond(answer_for(config.error()));
        if (!*config) return respond(HttpResponse::error(404, "no such reader group"));
        auto found = [scope, group, config = std::move(**config),
                      respond = std::move(respond)](Result<std::vector<std::string>> online) mutable {
            if (!online) return respond(answer_for(online.error()));
            respond(HttpResponse::json(200, json::serialize(group_json(scope, group, config, *online))));
        };
        controller.online_readers(scope, group, std::move(found));
    };
    controller.reader_group_config(scope, group, std::move(done));
}

HttpResponse deleted(Result<DeleteReaderGroupStatus> status) {
    if (!status) return answer_for(status.error());
    switch (*status) {
        case DeleteReaderGroupStatus::kSuccess:
            return HttpResponse::empty(204);
        case DeleteReaderGroupStatus::kNotFound:
            return HttpResponse::error(404, "no such reader group");
        case DeleteReaderGroupStatus::kFailure:
            break;
    }
    return HttpResponse::error(500, "the reader group could not be deleted");
}

void delete_reader_group(Controller& controller, const HttpRequest& request, Respond respond) {
    const std::string& scope = request.captures[0];
    const std::string& group = request.captures[1];
    auto found = [&controller, scope, group,
                  respond = std::move(respond)](Result<std::optional<ReaderGroupConfig>> config) mutable {
        if (!config) return respond(answer_for(config.error()));
        if (!*config) return respond(HttpResponse::error(404, "no such reader group"));
        auto done = [respond = std::move(respond)](Result<DeleteReaderGroupStatus> status) mutable {
            respond(deleted(std::move(status)));
        };
        controller.delete_reader_group(scope, group, (*config)->id, std::move(done));
    };
    controller.reader_group_config(scope, group, std::move(found));
}

}  // namespace

void add_reader_group_routes(Router& router, Controller& controller) {
    auto add = [&](Method method, std::string_view path, Serve serve) {
        add_route(router, method, path, controller, serve);
    };
    add(Method::kGet, "/v1/scopes/{scope}/readergroups", list_reader_groups);
    add(Method::kGet, "/v1/scopes/{scope}/readergroups/{group}", get_reader_group);
    add(Method::kDelete, "/v1/scopes/{scope}/readergroups/{group}", delete_reader_group);
}

}  // namespace millrace::rest
