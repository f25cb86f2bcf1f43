#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "api/rest/routes.h"

namespace millrace::rest {

namespace json = boost::json;

namespace {

json::string_view text(std::string_view view) { return {view.data(), view.size()}; }

json::object details_json(const Health& health) {
    json::object object;
    for (const auto& [name, value] : health.details) object[name] = value;
    return object;
}

json::object health_json(const Health& health) {
    HealthStatus status = health.worst();
    json::object object;
    object["name"] = health.name;
    object["status"] = text(to_string(status));
    object["readiness"] = is_ready(status);
    object["liveness"] = is_alive(status);
    object["details"] = details_json(health);
    json::object children;
    for (const Health& child : health.children) children[child.name] = health_json(child);
    object["children"] = std::move(children);
    return object;
}

using Show = json::value (*)(const Health& health);

void add_view(Router& router, const HealthSource& source, const std::string& path, Show show) {
    auto answer = [source, show](std::string_view id, Respond respond) {
        Health root = source();
        const Health* found = root.find(id);
        if (found == nullptr) return respond(HttpResponse::error(404, "no component of this name"));
        respond(HttpResponse::json(200, json::serialize(show(*found))));
    };
    router.add(Method::kGet, path, [answer](const HttpRequest&, Respond respond) { answer("", std::move(respond)); });
    router.add(Method::kGet, path + "/{id}", [answer](const HttpRequest& request, Respond respond) {
        answer(request.captures[0], std::move(respond));
    });
}

}  // namespace

void add_ping_and_health_routes(Router& router, HealthSource health) {
    router.add(Method::kGet, "/ping", [](const HttpRequest&, Respond respond) { respond(HttpResponse::empty(200)); });
    add_view(router, health, "/v1/health/status",
             [](const Health& h) { return json::value(text(to_string(h.worst()))); });
    add_view(router, health, "/v1/health/readiness", [](const Health& h) { return json::value(is_ready(h.worst())); });
    add_view(router, health, "/v1/health/liveness", [](const Health& h) { return json::value(is_alive(h.worst())); });
    add_view(router, health, "/v1/health/details", [](const Health& h) { return json::value(details_json(h)); });
    add_view(router, health, "/v1/health", [](const Health& h) { return json::value(health_json(h)); });
}

}  // namespace millrace::rest
