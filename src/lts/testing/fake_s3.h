// A server of S3 in memory, for tests: checks signatures, clock and conditions, keeps objects and uploads, and fails on
// purpose, repeatably from a seed. It answers requests; FakeTransport and FakeHttpServer carry them. Where Ceph differs
// from Amazon it can be either. Not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "lts/s3/credentials.h"
#include "lts/s3/http.h"
#include "lts/s3/s3_options.h"
#include "runtime/executor.h"

namespace millrace::lts {

struct FakeS3Faults {
    std::uint32_t error_percent = 0;         // 500, not carried out
    std::uint32_t late_error_percent = 0;    // 500, carried out
    std::uint32_t slow_down_percent = 0;     // 503
    std::uint32_t throttle_percent = 0;      // 429
    std::uint32_t lost_request_percent = 0;  // neither carried out nor answered
    std::uint32_t lost_reply_percent = 0;    // carried out, not answered
    std::uint32_t half_body_percent = 0;     // of the replies that have a body
    std::chrono::milliseconds delay_max{0};  // of replies
    std::chrono::milliseconds list_lag{0};   // listings show what was this long ago
    std::int64_t clock_ahead_ms = 0;
    bool lost_race_is_500 = false;            // as Ceph, for some who fail an If-Match
    bool completion_takes_conditions = true;  // Ceph: false
};

class FakeS3 {
  public:
    struct Reply {
        enum class Delivery { kWhole, kHalf, kNone } delivery = Delivery::kWhole;
        HttpResponse response;
        std::chrono::milliseconds delay{0};
    };

    FakeS3(const S3Options& options, Credentials credentials, const Clock& clock, std::uint64_t seed)
        : options_(options), credentials_(std::move(credentials)), clock_(clock), random_(seed) {}

    Reply handle(const HttpRequest& request);

    FakeS3Faults faults;
    // The next so many requests of a method get this status and are not carried out.
    void fail_next(const std::string& method, int status, std::string code, std::size_t count = 1);
    // The next request of a method is carried out, but its reply is lost.
    void lose_next_reply(const std::string& method, std::size_t count = 1);

    // Behind the client's back.
    bool has(const std::string& key) const { return objects_.contains(key); }
    void erase(const std::string& key) { objects_.erase(key); }
    void cut(const std::string& key, std::size_t size) { objects_.at(key).data.resize(size); }
    void place(const std::string& key, std::vector<std::uint8_t> data);
    std::size_t uploads() const { return uploads_.size(); }
    std::size_t requests() const { return requests_; }
    const std::vector<HttpRequest>& log() const { return log_; }
    void clear_log() { log_.clear(); }

  private:
    struct Object {
        std::vector<std::uint8_t> data;
        std::string etag;
        std::string id;
        std::int64_t modified_ms = 0;
    };
    struct Multipart {
        std::string key;
        std::string id;
        std::int64_t begun_ms = 0;
        std::map<int, Object> parts;
    };
    struct Parsed;
    struct Change {  // of the set of keys, for listings that lag
        std::int64_t at_ms;
        std::string key;
        bool present;
        std::uint64_t size;
    };

    HttpResponse serve(const Parsed& request);
    HttpResponse check_signature(const Parsed& request) const;
    HttpResponse put(const Parsed& request);
    HttpResponse put_part(const Parsed& request);
    HttpResponse get(const Parsed& request);
    HttpResponse list(const Parsed& request) const;
    HttpResponse list_uploads(const Parsed& request) const;
    HttpResponse post(const Parsed& request);
    HttpResponse complete(const Parsed& request);
    HttpResponse remove(const Parsed& request);
    HttpResponse check_conditions(const Parsed& request, bool completion);
    void store(const std::string& key, Object object);
    std::int64_t now_ms() const { return clock_.wall_millis() + faults.clock_ahead_ms; }
    bool chance(std::uint32_t percent) { return percent > 0 && random_.below(100) < percent; }

    const S3Options options_;
    const Credentials credentials_;
    const Clock& clock_;
    SeededRandom random_;
    std::map<std::string, Object> objects_;
    std::map<std::string, Multipart> uploads_;
    std::vector<Change> changes_;
    struct Planned {
        int status;
        std::string code;
        std::size_t count;
    };
    std::map<std::string, Planned> planned_;
    std::map<std::string, std::size_t> lost_;
    std::vector<HttpRequest> log_;
    std::size_t requests_ = 0;
    std::uint64_t last_upload_ = 0;
};

// Carries requests to a fake on the same executor, in its time. What is not answered times out.
class FakeTransport final : public HttpTransport {
  public:
    FakeTransport(runtime::Executor& executor, FakeS3& server) : executor_(executor), server_(server) {}
    ~FakeTransport() override { close(); }

    void send(HttpRequest request, runtime::Callback<Result<HttpResponse>> done) override;
    void close() override;
    std::size_t most_at_once() const { return most_at_once_; }

  private:
    void answer(std::uint64_t exchange, Result<HttpResponse> result);

    runtime::Executor& executor_;
    FakeS3& server_;
    std::map<std::uint64_t, runtime::Callback<Result<HttpResponse>>> waiting_;
    std::uint64_t last_ = 0;
    std::size_t most_at_once_ = 0;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    bool closed_ = false;
};

}  // namespace millrace::lts
