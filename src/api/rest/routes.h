// The REST API's paths, by subject. A path that the controller cannot serve yet answers 501 with a reason. Everything
// runs on the server's executor, which is the controller's too; the controller and what `health` refers to outlive the
// router.
#pragma once

#include <functional>

#include "api/rest/health.h"
#include "api/rest/http.h"
#include "controller/controller.h"

namespace millrace::rest {

using HealthSource = std::function<Health()>;

void add_ping_and_health_routes(Router& router, HealthSource health);
void add_scope_routes(Router& router, controller::Controller& controller);
void add_stream_routes(Router& router, controller::Controller& controller);
void add_retention_routes(Router& router, controller::Controller& controller);
void add_reader_group_routes(Router& router, controller::Controller& controller);
void add_transaction_routes(Router& router, controller::Controller& controller);
void add_openapi_route(Router& router);  // what openapi.json says of all of them
void add_all_routes(Router& router, controller::Controller& controller, HealthSource health);

// For the files of routes: a path served by a function.
using Serve = void (*)(controller::Controller& controller, const HttpRequest& request, Respond respond);
void add_route(Router& router, Method method, std::string_view path, controller::Controller& controller, Serve serve);

// The one table from error codes to HTTP: 400 for what the request should not have been, 404, 409, 501, 503 for what
// may be tried again, 500 for the rest.
HttpResponse answer_for(const Error& error);

// Names that a user may give: letters, digits, '.', '-'.
inline constexpr std::size_t kScopeNameMax = 255;
inline constexpr std::size_t kStreamNameMax = 250;
bool is_user_name(std::string_view name, std::size_t size_max);

}  // namespace millrace::rest
