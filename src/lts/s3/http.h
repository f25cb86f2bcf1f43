// HTTP as the S3 client needs it: one request, one reply, each in memory. curl_transport.h is the real one; tests put a
// server in memory behind the same interface.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "bytes/buffer.h"
#include "runtime/executor.h"

namespace millrace::lts {

using HttpFields = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
    std::string method;
    std::string origin;  // "http://host:port"
    std::string target;  // "/bucket/key?query", encoded
    HttpFields headers;  // with Host
    bytes::Chain body;
    std::chrono::milliseconds timeout{30'000};  // of the whole exchange
    std::size_t response_size_max = std::size_t{1} << 20;
};

struct HttpResponse {
    int status = 0;
    HttpFields headers;  // names in lower case
    bytes::Slice body;

    std::string_view header(std::string_view name) const {
        for (const auto& [key, value] : headers) {
            if (key == name) return value;
        }
        return {};
    }
};

class HttpTransport {
  public:
    virtual ~HttpTransport() = default;

    // On the executor's thread; `done` later, once. Errors: kUnavailable (no connection, no reply in time, a reply cut
    // short: the server may or may not have done what was asked), kLimit (a larger reply than allowed), kClosed (the
    // transport was closed).
    virtual void send(HttpRequest request, runtime::Callback<Result<HttpResponse>> done) = 0;

    // Ends what is under way, and all that comes later, with kClosed.
    virtual void close() = 0;
};

}  // namespace millrace::lts
