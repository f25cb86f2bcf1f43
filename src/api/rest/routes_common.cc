#include <algorithm>

#include "api/rest/routes.h"
#include "base/log.h"

namespace millrace::rest {
namespace {

std::uint16_t status_for(Errc code) {
    switch (code) {
        case Errc::kInvalidArgument:
        case Errc::kLimit:
            return 400;
        case Errc::kNotFound:
        case Errc::kNoKey:
            return 404;
        case Errc::kExists:
            return 409;
        case Errc::kUnsupported:
            return 501;
        case Errc::kNoSpace:
        case Errc::kUnavailable:
        case Errc::kClosed:
        case Errc::kConflict:
            return 503;
        case Errc::kSealed:
        case Errc::kTruncated:
        case Errc::kBadOffset:
        case Errc::kBadAttribute:
        case Errc::kBadVersion:
        case Errc::kMerged:
        case Errc::kIo:
        case Errc::kCorrupt:
        case Errc::kNewerFormat:
        case Errc::kLocked:
            return 500;
    }
    return 500;
}

}  // namespace

void add_route(Router& router, Method method, std::string_view path, controller::Controller& controller, Serve serve) {
    router.add(method, path, [&controller, serve](const HttpRequest& request, Respond respond) {
        serve(controller, request, std::move(respond));
    });
}

HttpResponse answer_for(const Error& error) {
    std::uint16_t status = status_for(error.code());
    if (status == 500) log::warn("rest: request failed: {}", error.to_string());
    return HttpResponse::error(status, error.to_string());
}

bool is_user_name(std::string_view name, std::size_t size_max) {
    auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
    };
    return !name.empty() && name.size() <= size_max && std::ranges::all_of(name, allowed);
}

void add_all_routes(Router& router, controller::Controller& controller, HealthSource health) {
    add_ping_and_health_routes(router, std::move(health));
    add_scope_routes(router, controller);
    add_stream_routes(router, controller);
    add_retention_routes(router, controller);
    add_reader_group_routes(router, controller);
    add_transaction_routes(router, controller);
    add_openapi_route(router);
}

}  // namespace millrace::rest
