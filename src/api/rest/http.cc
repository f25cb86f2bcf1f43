#include "api/rest/http.h"

#include "base/text.h"

namespace millrace::rest {
namespace {

constexpr std::size_t kMaxSegments = 16;
constexpr std::size_t kMaxParameters = 64;

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '+' && plus_is_space) {
            out += ' ';
        } else if (text[i] != '%') {
            out += text[i];
        } else {
            if (text.size() - i < 3) return std::nullopt;
            int high = hex_digit(text[i + 1]);
            int low = hex_digit(text[i + 2]);
            if (high < 0 || low < 0) return std::nullopt;
            out += static_cast<char>(high * 16 + low);
            i += 2;
        }
    }
    return out;
}

Result<> parse_query(std::string_view text, HttpRequest& request) {
    while (!text.empty()) {
        std::string_view pair = text.substr(0, text.find('&'));
        text.remove_prefix(std::min(text.size(), pair.size() + 1));
        if (pair.empty()) continue;
        std::string_view name = pair.substr(0, pair.find('='));
        std::string_view value = pair.substr(std::min(pair.size(), name.size() + 1));
        auto decoded_name = percent_decode(name, true);
        auto decoded_value = percent_decode(value, true);
        if (!decoded_name || !decoded_value) return fail(Errc::kInvalidArgument, "bad percent encoding in the query");
        if (request.query.size() == kMaxParameters)
            return fail(Errc::kInvalidArgument, "too many parameters in the query");
        request.query.emplace_back(std::move(*decoded_name), std::move(*decoded_value));
    }
    return {};
}

}  // namespace

std::string_view name_of(Method method) {
    switch (method) {
        case Method::kGet:
            return "GET";
        case Method::kPost:
            return "POST";
        case Method::kPut:
            return "PUT";
        case Method::kDelete:
            return "DELETE";
        case Method::kOther:
            break;
    }
    return "";
}

std::optional<std::string_view> HttpRequest::parameter(std::string_view name) const {
    for (const auto& [key, value] : query) {
        if (key == name) return value;
    }
    return std::nullopt;
}

HttpResponse HttpResponse::empty(std::uint16_t status) {
    HttpResponse response;
    response.status = status;
    return response;
}

HttpResponse HttpResponse::json(std::uint16_t status, std::string body) {
    HttpResponse response;
    response.status = status;
    response.content_type = "application/json";
    response.body = std::move(body);
    return response;
}

HttpResponse HttpResponse::error(std::uint16_t status, std::string_view reason) {
    // A reason may name what the request named, which is any bytes.
    return json(status, R"({"error":")" + json_escape(reason) + R"("})");
}

Result<> parse_target(std::string_view target, HttpRequest& request) {
    constexpr std::string_view kScheme = "http://";  // the absolute form, as sent to proxies
    if (target.starts_with(kScheme)) {
        std::size_t slash = target.find('/', kScheme.size());
        target = slash == std::string_view::npos ? "/" : target.substr(slash);
    }
    if (!target.starts_with('/')) return fail(Errc::kInvalidArgument, "the request target must begin with /");
    target = target.substr(0, target.find('#'));
    std::string_view path = target.substr(0, target.find('?'));
    std::string_view query = target.substr(std::min(target.size(), path.size() + 1));
    while (!path.empty()) {
        path.remove_prefix(1);  // the slash
        std::string_view segment = path.substr(0, path.find('/'));
        path.remove_prefix(segment.size());
        if (segment.empty() && path.empty()) break;  // "/a/" is "/a"
        auto decoded = percent_decode(segment, false);
        if (!decoded) return fail(Errc::kInvalidArgument, "bad percent encoding in the path");
        if (request.path.size() == kMaxSegments) return fail(Errc::kInvalidArgument, "the path has too many segments");
        request.path.push_back(std::move(*decoded));
    }
    return parse_query(query, request);
}

void Router::add(Method method, std::string_view pattern, Handler handler) {
    Route route;
    route.method = method;
    route.pattern = pattern;
    route.handler = std::move(handler);
    while (!pattern.empty()) {
        pattern.remove_prefix(1);
        std::string_view segment = pattern.substr(0, pattern.find('/'));
        pattern.remove_prefix(segment.size());
        route.segments.emplace_back(segment.starts_with('{') ? std::string_view() : segment);
    }
    routes_.push_back(std::move(route));
}

std::vector<std::pair<Method, std::string>> Router::known() const {
    std::vector<std::pair<Method, std::string>> all;
    all.reserve(routes_.size());
    for (const Route& route : routes_) all.emplace_back(route.method, route.pattern);
    return all;
}

void Router::dispatch(HttpRequest request, Respond respond) {
    std::string allow;
    for (Route& route : routes_) {
        if (route.segments.size() != request.path.size()) continue;
        request.captures.clear();
        bool same = true;
        for (std::size_t i = 0; same && i < route.segments.size(); ++i) {
            if (route.segments[i].empty())
                request.captures.push_back(request.path[i]);
            else
                same = route.segments[i] == request.path[i];
        }
        if (!same) continue;
        if (route.method == request.method) return route.handler(request, std::move(respond));
        if (!allow.empty()) allow += ", ";
        allow += name_of(route.method);
    }
    if (allow.empty()) return respond(HttpResponse::error(404, "no such path"));
    HttpResponse response = HttpResponse::error(405, "this path does not know the method");
    response.allow = std::move(allow);
    respond(std::move(response));
}

}  // namespace millrace::rest
