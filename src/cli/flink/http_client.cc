#include "cli/flink/http_client.h"

#include <array>

#include <curl/curl.h>
#include <fmt/format.h>

#include "base/assert.h"

namespace millrace::cli {
namespace {

constexpr std::size_t kBodyBytesMax = std::size_t{32} << 20;

std::size_t take_body(char* data, std::size_t, std::size_t size, void* to) {
    auto& body = *static_cast<std::string*>(to);
    if (body.size() + size > kBodyBytesMax) return 0;  // curl gives up
    body.append(data, size);
    return size;
}

class CurlClient final : public HttpClient {
  public:
    explicit CurlClient(std::chrono::milliseconds timeout) : timeout_(timeout), easy_(curl_easy_init()) {
        MILLRACE_ASSERT(easy_ != nullptr);
        json_ = curl_slist_append(json_, "Content-Type: application/json");
        json_ = curl_slist_append(json_, "Expect:");
    }
    ~CurlClient() override {
        curl_slist_free_all(json_);
        curl_easy_cleanup(easy_);
    }
    CurlClient(const CurlClient&) = delete;
    CurlClient& operator=(const CurlClient&) = delete;

    Result<HttpAnswer> get(const std::string& url) override { return perform("GET", url, nullptr); }
    Result<HttpAnswer> put(const std::string& url, const std::string& json) override {
        return perform("PUT", url, &json);
    }
    Result<HttpAnswer> post(const std::string& url) override {
        const std::string nothing;
        return perform("POST", url, &nothing);
    }
    Result<HttpAnswer> remove(const std::string& url) override { return perform("DELETE", url, nullptr); }

  private:
    Result<HttpAnswer> perform(const char* method, const std::string& url, const std::string* body) {
        HttpAnswer answer;
        std::array<char, CURL_ERROR_SIZE> failure{};
        curl_easy_reset(easy_);  // keeps the connection
        curl_easy_setopt(easy_, CURLOPT_URL, url.c_str());
        curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy_, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout_.count()));
        curl_easy_setopt(easy_, CURLOPT_USERAGENT, "millrace");
        curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, failure.data());
        curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, take_body);
        curl_easy_setopt(easy_, CURLOPT_WRITEDATA, &answer.body);
        curl_easy_setopt(easy_, CURLOPT_CUSTOMREQUEST, method);
        if (body != nullptr) {
            curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, body->c_str());
            curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body->size()));
            curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, json_);
        }
        CURLcode code = curl_easy_perform(easy_);
        if (code != CURLE_OK) {
            const char* why = failure[0] != '\0' ? failure.data() : curl_easy_strerror(code);
            return fail(Errc::kUnavailable, fmt::format("{}: {}", url, why));
        }
        long status = 0;
        curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
        answer.status = static_cast<std::uint16_t>(status);
        return answer;
    }

    const std::chrono::milliseconds timeout_;
    CURL* easy_;
    curl_slist* json_ = nullptr;
};

}  // namespace

std::unique_ptr<HttpClient> make_http_client(std::chrono::milliseconds timeout) {
    static const bool initialised = curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK;
    MILLRACE_ASSERT(initialised);
    return std::make_unique<CurlClient>(timeout);
}

}  // namespace millrace::cli
