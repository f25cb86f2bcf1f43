#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "api/rest/paging.h"
#include "api/rest/routes.h"
#include "api/rest/stream_json.h"

namespace millrace::rest {

namespace json = boost::json;
using controller::Controller;
using controller::CreateScopeStatus;
using controller::DeleteScopeStatus;

namespace {

json::object scope_json(const std::string& scope) {
    json::object object;
    object["scopeName"] = scope;
    return object;
}

void create_scope(Controller& controller, const HttpRequest& request, Respond respond) {
    auto body = parse_object(request.body);
    if (!body) return respond(answer_for(body.error()));
    auto scope = text_field(*body, "scopeName");
    if (!scope) return respond(answer_for(scope.error()));
    if (!is_user_name(*scope, kScopeNameMax)) return respond(HttpResponse::error(400, "invalid scope name"));
    auto done = [scope = *scope, respond = std::move(respond)](Result<CreateScopeStatus> status) mutable {
        if (!status) return respond(answer_for(status.error()));
        switch (*status) {
            case CreateScopeStatus::kSuccess:
                return respond(HttpResponse::json(201, json::serialize(scope_json(scope))));
            case CreateScopeStatus::kScopeExists:
                return respond(HttpResponse::error(409, "the scope exists"));
            case CreateScopeStatus::kInvalidScopeName:
                return respond(HttpResponse::error(400, "invalid scope name"));
            case CreateScopeStatus::kFailure:
                return respond(HttpResponse::error(500, "the scope could not be created"));
        }
    };
    controller.create_scope(*scope, std::move(done));
}

void delete_scope(Controller& controller, const HttpRequest& request, Respond respond) {
    auto done = [respond = std::move(respond)](Result<DeleteScopeStatus> status) mutable {
        if (!status) return respond(answer_for(status.error()));
        switch (*status) {
            case DeleteScopeStatus::kSuccess:
                return respond(HttpResponse::empty(204));
            case DeleteScopeStatus::kScopeNotFound:
                return respond(HttpResponse::error(404, "no such scope"));
            case DeleteScopeStatus::kScopeNotEmpty:
                return respond(HttpResponse::error(412, "the scope is not empty"));
            case DeleteScopeStatus::kFailure:
                return respond(HttpResponse::error(500, "the scope could not be deleted"));
        }
    };
    controller.delete_scope(request.captures[0], std::move(done));
}

void get_scope(Controller& controller, const HttpRequest& request, Respond respond) {
    auto done = [scope = request.captures[0], respond = std::move(respond)](Result<bool> exists) mutable {
        if (!exists) return respond(answer_for(exists.error()));
        if (!*exists) return respond(HttpResponse::error(404, "no such scope"));
        respond(HttpResponse::json(200, json::serialize(scope_json(scope))));
    };
    controller.scope_exists(request.captures[0], std::move(done));
}

void list_scopes(Controller& controller, const HttpRequest&, Respond respond) {
    auto fetch = [&controller](std::string token, PageDone done) {
        auto adapt = [done = std::move(done)](Result<controller::Page<std::string>> page) mutable {
            if (!page) return done(fail(page.error()));
            done(std::optional(std::move(*page)));
        };
        controller.list_scopes(std::move(token), std::move(adapt));
    };
    auto done = [respond = std::move(respond)](Result<std::optional<std::vector<std::string>>> scopes) mutable {
        if (!scopes) return respond(answer_for(scopes.error()));
        json::array list;
        for (const std::string& scope : **scopes) list.emplace_back(scope_json(scope));
        json::object object;
        if (!list.empty()) object["scopes"] = std::move(list);
        respond(HttpResponse::json(200, json::serialize(object)));
    };
    collect_pages(std::move(fetch), std::move(done));
}

}  // namespace

void add_scope_routes(Router& router, Controller& controller) {
    auto add = [&](Method method, std::string_view path, Serve serve) {
        add_route(router, method, path, controller, serve);
    };
    add(Method::kGet, "/v1/scopes", list_scopes);
    add(Method::kPost, "/v1/scopes", create_scope);
    add(Method::kGet, "/v1/scopes/{scope}", get_scope);
    add(Method::kDelete, "/v1/scopes/{scope}", delete_scope);
}

}  // namespace millrace::rest
