// One request after the other, waiting for each: for commands, not for servers. http and https (certificates are
// checked), no redirects; answers up to 32 MiB.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"

namespace millrace::cli {

struct HttpAnswer {
    std::uint16_t status = 0;
    std::string body;
};

// What speaks to the world; tests put their own below.
class HttpClient {
  public:
    virtual ~HttpClient() = default;
    virtual Result<HttpAnswer> get(const std::string& url) = 0;  // kUnavailable with a text
    virtual Result<HttpAnswer> put(const std::string& url, const std::string& json) = 0;
    virtual Result<HttpAnswer> post(const std::string& url) = 0;  // without a body
    virtual Result<HttpAnswer> remove(const std::string& url) = 0;
};

std::unique_ptr<HttpClient> make_http_client(std::chrono::milliseconds timeout);

}  // namespace millrace::cli
