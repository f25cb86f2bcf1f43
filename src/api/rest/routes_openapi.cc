#include "api/rest/openapi_document.h"
#include "api/rest/routes.h"

namespace millrace::rest {

void add_openapi_route(Router& router) {
    router.add(Method::kGet, "/v1/openapi.json", [](const HttpRequest&, Respond respond) {
        respond(HttpResponse::json(200, std::string(kOpenApiDocument)));
    });
}

}  // namespace millrace::rest
