// HttpServer: HTTP/1.1 for people, dashboards and probes: small requests, small answers. Keep-alive and pipelining (one
// request of a connection is handled at a time, in order). Everything a peer can do is limited: sizes, times, number of
// connections; what is not HTTP is answered 400 and the connection closed.
//
// Life cycle: make, listen() (binds in the caller's thread), serve, stop(), destroy after `stopped` or after the loop
// has ended. Thread rule: listen() and stop() from any thread; the handler is called, and must respond, on the loop.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "api/rest/http.h"
#include "runtime/core_loop.h"

namespace millrace::rest {

struct HttpOptions {
    std::string address = "127.0.0.1";
    std::uint16_t port = 9091;             // 0: any free one
    std::uint32_t max_connections = 1000;  // beyond: 503
    std::uint32_t header_bytes_max = 16 << 10;
    std::uint64_t body_bytes_max = 1 << 20;
    std::chrono::milliseconds timeout{
        30'000};  // for one request to come in, idle time included; for one answer to go out
    std::chrono::milliseconds linger{1'000};         // after an error answer, so that the peer can read it
    std::chrono::milliseconds drain_timeout{1'000};  // of stop(), for answers under way
};

class HttpServer {
  public:
    using RequestHandler = std::move_only_function<void(HttpRequest request, Respond respond)>;

    HttpServer(runtime::CoreLoop& loop, HttpOptions options, RequestHandler handler);
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    // The port that is listened on. Errors are those of net::Listener.
    Result<std::uint16_t> listen();

    // Accepts no more, lets answers under way go out, closes everything. `stopped` runs on the loop.
    void stop(runtime::Task stopped);

    struct State;

  private:
    std::shared_ptr<State> state_;
};

}  // namespace millrace::rest
