// Signed requests to one bucket: slots, signatures, the clock of the other side, what a reply means, pauses between
// attempts. What a request is for is s3_store's business. Only .cc files of this folder include it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "lts/async.h"
#include "lts/chunk_store.h"
#include "lts/s3/credentials.h"
#include "lts/s3/http.h"
#include "lts/s3/s3_options.h"
#include "runtime/blocking_pool.h"
#include "runtime/units.h"

namespace millrace::lts {

struct S3Call {
    std::string method;
    std::string key;  // in the bucket, with the prefix; empty: the bucket itself
    HttpFields query;
    HttpFields headers;
    bytes::Chain body;
    std::size_t response_size_max = std::size_t{64} << 10;
    std::string payload_hash;  // filled by the first attempt
};

struct S3Answer {
    int status = 0;
    HttpResponse http;
    std::string code;  // of an error: "NoSuchKey"; empty where the reply has no body

    bool ok() const { return status >= 200 && status < 300; }
};

struct Attempt {
    enum class Kind {
        kAnswer,    // a definite answer: success, or an error that the caller has to understand (404, 409, 412, 416)
        kAgain,     // no answer, or an error of the server: whether it was done is unknown; worth another attempt
        kSlowDown,  // the same, and the server is overloaded
        kFailed,    // no attempt will help: see error
    } kind = Kind::kFailed;
    S3Answer answer;
    Error error = Errc::kUnavailable;
};

// How long one operation goes on.
struct Patience {
    std::uint32_t attempts = 0;
    std::chrono::steady_clock::time_point give_up;
};

class S3Client : public std::enable_shared_from_this<S3Client> {
  public:
    // `hashing` may be null: then payloads are hashed on the executor. kInvalidArgument for options that cannot be.
    static Result<std::shared_ptr<S3Client>> make(runtime::Executor& executor, S3Options options,
                                                  Credentials credentials, std::unique_ptr<HttpTransport> transport,
                                                  runtime::BlockingPool* hashing);

    // Once, for conditional requests.
    boost::asio::awaitable<Attempt> attempt(S3Call& call);
    Patience patience() const;
    // Waits until the next attempt is due; false when there will be none.
    boost::asio::awaitable<bool> pause(Patience& patience, Attempt::Kind after);

    // With repetitions, for requests that may be done twice. Answers are definite ones.
    Async<S3Answer> call(S3Call call);

    void close();
    bool closed() const { return closed_; }

    runtime::Executor& executor() { return executor_; }
    const S3Options& options() const { return options_; }
    const std::string& origin() const { return origin_; }
    StoreStats& stats() { return stats_; }

    // What a definite answer means that an operation did not expect.
    Error unexpected(const S3Answer& answer) const;

  private:
    S3Client(runtime::Executor& executor, S3Options options, Credentials credentials,
             std::unique_ptr<HttpTransport> transport, runtime::BlockingPool* hashing);
    boost::asio::awaitable<void> hash_payload(S3Call& call);
    HttpRequest signed_request(const S3Call& call) const;
    Attempt judge(Result<HttpResponse> reply) const;
    bool learn_time(const Attempt& attempt);
    std::string redacted(std::string_view text) const;
    boost::asio::awaitable<void> sleep(std::chrono::milliseconds delay);
    void wake(std::uint64_t sleeper);

    runtime::Executor& executor_;
    const S3Options options_;
    const Credentials credentials_;
    const std::unique_ptr<HttpTransport> transport_;
    runtime::BlockingPool* const hashing_;
    runtime::Semaphore slots_;
    std::string origin_;               // "http://host:port"
    std::string host_;                 // as in the Host header
    std::string base_path_;            // "/bucket", or nothing
    std::int64_t clock_ahead_ms_ = 0;  // of the server's clock
    std::map<std::uint64_t, runtime::Callback<>> sleepers_;
    std::uint64_t last_sleeper_ = 0;
    StoreStats stats_;
    bool closed_ = false;
};

using ClientRef = std::shared_ptr<S3Client>;

// "http://host:port" -> origin and host; "https://s3.REGION.amazonaws.com" when empty.
struct Endpoint {
    std::string origin;
    std::string host;
    std::string base_path;
};
Result<Endpoint> resolve_endpoint(const S3Options& options);

}  // namespace millrace::lts
