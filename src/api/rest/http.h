// HTTP as the routes see it: requests, responses and the table that brings one to the other. No library shows through
// here.
//
//   Router router;
//   router.add(Method::kGet, "/v1/scopes/{scope}", [](const HttpRequest& request, Respond respond) {
//       respond(HttpResponse::json(200, ...request.captures[0]...));
//   });
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "runtime/executor.h"

namespace millrace::rest {

enum class Method : std::uint8_t { kGet, kPost, kPut, kDelete, kOther };

std::string_view name_of(Method method);  // "GET"; "" for others

struct HttpRequest {
    Method method = Method::kGet;
    std::vector<std::string> path;                           // segments, percent-decoded; "/a/b" is {"a", "b"}
    std::vector<std::pair<std::string, std::string>> query;  // decoded, in order
    std::string body;
    std::vector<std::string> captures;  // what the route's {} stand for, in order; set by the router

    std::optional<std::string_view> parameter(std::string_view name) const;  // of the query; the first one of that name
};

struct HttpResponse {
    std::uint16_t status = 200;
    std::string content_type;  // empty: no body
    std::string body;
    std::string allow;  // for 405: the methods that the path knows

    static HttpResponse empty(std::uint16_t status);
    static HttpResponse json(std::uint16_t status, std::string body);
    static HttpResponse error(std::uint16_t status, std::string_view reason);  // {"error": reason}
};

// Answers one request: once, on the server's executor, within the handler or later. Dropping it unused closes the
// connection.
using Respond = runtime::Callback<HttpResponse>;
using Handler = std::move_only_function<void(const HttpRequest& request, Respond respond)>;

// Splits and decodes a request target ("/v1/a%20b?x=1"). kInvalidArgument says what is wrong with it.
Result<> parse_target(std::string_view target, HttpRequest& request);

// Routes are looked up in the order of adding; a pattern's segment is a word or "{name}" for any one segment.
class Router {
  public:
    void add(Method method, std::string_view pattern, Handler handler);

    // Every route's method and pattern, in the order of adding.
    std::vector<std::pair<Method, std::string>> known() const;

    // 404 for a path that no route knows, 405 for a known one with another method.
    void dispatch(HttpRequest request, Respond respond);

  private:
    struct Route {
        Method method;
        std::string pattern;
        std::vector<std::string> segments;  // empty: any
        Handler handler;
    };
    std::vector<Route> routes_;
};

}  // namespace millrace::rest
