#include <chrono>
#include <memory>
#include <optional>

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

// What /v1/health said last. A component that is asked for soon after is the same as it was in there, though its
// numbers have moved: whoever walks the tree sees one moment. /v1/health/details/NAME is always new.
struct Snapshot {
    Health root;
    std::chrono::steady_clock::time_point taken;
    bool is_young() const { return std::chrono::steady_clock::now() - taken < std::chrono::seconds(5); }
};

void answer_with(const Health* found, json::value (*show)(const Health& health), Respond respond) {
    if (found == nullptr) return respond(HttpResponse::error(404, "no component of this name"));
    respond(HttpResponse::json(200, json::serialize(show(*found))));
}

using Show = json::value (*)(const Health& health);

void add_view(Router& router, const HealthSource& source, const std::string& path, Show show) {
    auto answer = [source, show](std::string_view id, Respond respond) {
        Health root = source();
        answer_with(root.find(id), show, std::move(respond));
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
    auto last = std::make_shared<std::optional<Snapshot>>();
    Show tree = [](const Health& h) { return json::value(health_json(h)); };
    router.add(Method::kGet, "/v1/health", [health, last, tree](const HttpRequest&, Respond respond) {
        last->emplace(health(), std::chrono::steady_clock::now());
        answer_with(&(*last)->root, tree, std::move(respond));
    });
    router.add(Method::kGet, "/v1/health/{id}", [health, last, tree](const HttpRequest& request, Respond respond) {
        std::string_view id = request.captures[0];
        if (*last && (*last)->is_young()) return answer_with((*last)->root.find(id), tree, std::move(respond));
        Health now = health();
        answer_with(now.find(id), tree, std::move(respond));
    });
}

}  // namespace millrace::rest
