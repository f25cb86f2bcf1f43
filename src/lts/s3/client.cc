#include "lts/s3/client.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "lts/s3/sigv4.h"
#include "lts/s3/time_text.h"
#include "lts/s3/xml.h"

namespace millrace::lts {
namespace {

constexpr std::size_t kHashInlineMax = std::size_t{64} << 10;  // some 100 microseconds
constexpr std::int64_t kSkewNoticed = 4 * 60'000;              // servers refuse from 5 or 15 minutes on
constexpr std::size_t kMessageMax = 200;
constexpr std::uint32_t kSlowDownFactor = 4;

Attempt final_error(S3Answer answer, Errc code, std::string text) {
    return {Attempt::Kind::kFailed, std::move(answer), Error(code, std::move(text))};
}

}  // namespace

Result<std::shared_ptr<S3Client>> S3Client::make(runtime::Executor& executor, S3Options options,
                                                 Credentials credentials, std::unique_ptr<HttpTransport> transport,
                                                 runtime::BlockingPool* hashing) {
    auto endpoint = resolve_endpoint(options);
    if (!endpoint) return fail(endpoint.error());
    if (options.attempts_max == 0 || options.requests_max == 0 || options.parts_in_flight == 0 ||
        options.bytes_per_second_min == 0 || options.part_bytes == 0)
        return fail(Errc::kInvalidArgument, "S3: a number that must be 1 or more is 0");
    std::shared_ptr<S3Client> client(
        new S3Client(executor, std::move(options), std::move(credentials), std::move(transport), hashing));
    client->origin_ = endpoint->origin;
    client->host_ = endpoint->host;
    client->base_path_ = endpoint->base_path;
    return client;
}

S3Client::S3Client(runtime::Executor& executor, S3Options options, Credentials credentials,
                   std::unique_ptr<HttpTransport> transport, runtime::BlockingPool* hashing)
    : executor_(executor),
      options_(std::move(options)),
      credentials_(std::move(credentials)),
      transport_(std::move(transport)),
      hashing_(hashing),
      slots_(executor, options_.requests_max) {}

void S3Client::close() {
    closed_ = true;
    transport_->close();
    auto sleepers = std::exchange(sleepers_, {});
    for (auto& [id, wake] : sleepers) executor_.post(std::move(wake));
}

boost::asio::awaitable<void> S3Client::hash_payload(S3Call& call) {
    if (!call.payload_hash.empty()) co_return;
    if (!options_.sign_payload && !call.body.empty()) {
        call.payload_hash = sigv4::kUnsignedPayload;
        co_return;
    }
    if (hashing_ != nullptr && call.body.size() > kHashInlineMax) {
        auto hash = [body = call.body] { return sigv4::sha256_hex(body); };
        bool accepted = true;
        auto start = [&](runtime::Callback<std::string> done) {
            auto shared = std::make_shared<runtime::Callback<std::string>>(std::move(done));
            auto hand_over = [shared](std::string text) { (*shared)(std::move(text)); };
            accepted = hashing_->submit(hash, executor_, hand_over);
            if (!accepted) (*shared)(std::string());  // a full pool: it is done here, below
        };
        call.payload_hash = co_await runtime::await<std::string>(std::move(start));
    }
    if (call.payload_hash.empty()) call.payload_hash = sigv4::sha256_hex(call.body);
}

HttpRequest S3Client::signed_request(const S3Call& call) const {
    sigv4::Scope scope;
    scope.timestamp = sigv4::timestamp(executor_.clock().wall_millis() + clock_ahead_ms_);
    scope.region = options_.region;
    sigv4::Request to_sign;
    to_sign.method = call.method;
    to_sign.path = base_path_ + "/" + sigv4::uri_encode(call.key, true);
    to_sign.query = call.query;
    to_sign.payload_hash = call.payload_hash;
    to_sign.headers = {{"host", host_}, {"x-amz-content-sha256", call.payload_hash}, {"x-amz-date", scope.timestamp}};
    if (!credentials_.session_token.empty())
        to_sign.headers.emplace_back("x-amz-security-token", credentials_.session_token.reveal());
    HttpRequest request;
    for (const auto& [name, value] : call.headers) {
        if (name.starts_with("x-amz-"))
            to_sign.headers.emplace_back(name, value);
        else
            request.headers.emplace_back(name, value);
    }
    for (const auto& field : to_sign.headers) request.headers.push_back(field);
    request.headers.emplace_back("authorization", sigv4::authorization(to_sign, scope, credentials_.access_key,
                                                                       credentials_.secret_key.reveal()));
    request.method = call.method;
    request.origin = origin_;
    request.target = to_sign.path;
    if (!call.query.empty()) request.target += "?" + sigv4::canonical_query(call.query);
    request.body = call.body;
    request.response_size_max = call.response_size_max;
    std::uint64_t bytes = call.body.size() + call.response_size_max;
    request.timeout =
        options_.request_timeout + std::chrono::milliseconds(bytes * 1000 / options_.bytes_per_second_min);
    return request;
}

std::string S3Client::redacted(std::string_view text) const {
    std::string shown(text.substr(0, kMessageMax));
    for (char& c : shown) {
        if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
    }
    for (const std::string* secret :
         {&credentials_.access_key, &credentials_.secret_key.reveal(), &credentials_.session_token.reveal()}) {
        if (secret->empty()) continue;
        for (std::size_t at = shown.find(*secret); at != std::string::npos; at = shown.find(*secret))
            shown.replace(at, secret->size(), "***");
    }
    return shown;
}

Error S3Client::unexpected(const S3Answer& answer) const {
    std::string text = fmt::format("{} answered {}", origin_, answer.status);
    if (!answer.code.empty()) text += " " + redacted(answer.code);
    Errc code = Errc::kInvalidArgument;
    if (answer.status == 404) code = answer.code == "NoSuchBucket" ? Errc::kInvalidArgument : Errc::kNotFound;
    if (answer.status == 507 || answer.code == "QuotaExceeded") code = Errc::kNoSpace;
    if (answer.status == 413 || answer.code == "EntityTooLarge") code = Errc::kLimit;
    if (answer.status == 501) code = Errc::kUnsupported;
    if (answer.status == 409 || answer.status == 412 || answer.ok()) code = Errc::kUnavailable;
    return {code, std::move(text)};
}

Attempt S3Client::judge(Result<HttpResponse> reply) const {
    if (!reply) {
        auto kind = reply.error() == Errc::kUnavailable ? Attempt::Kind::kAgain : Attempt::Kind::kFailed;
        return {kind, {}, {reply.error().code(), fmt::format("{}: {}", origin_, redacted(reply.error().message()))}};
    }
    S3Answer answer{reply->status, std::move(*reply), {}};
    if (answer.ok()) return {Attempt::Kind::kAnswer, std::move(answer), Errc::kUnavailable};
    if (auto root = parse_xml(bytes::as_text(answer.http.body.span())); root && root->name == "Error")
        answer.code = root->text_of("Code");
    Error error = unexpected(answer);
    bool slow = answer.status == 429 || answer.status == 503;
    bool again = answer.status == 500 || answer.status == 502 || answer.status == 504 || answer.status == 408 ||
                 answer.code == "RequestTimeout" || answer.code == "OperationAborted" ||
                 answer.code == "ConditionalRequestConflict";
    if (slow || again) {
        auto kind = slow ? Attempt::Kind::kSlowDown : Attempt::Kind::kAgain;
        return {kind, std::move(answer), Error(Errc::kUnavailable, error.message())};
    }
    bool definite = answer.status == 404 || answer.status == 409 || answer.status == 412 || answer.status == 416;
    if (definite && answer.code != "NoSuchBucket") return {Attempt::Kind::kAnswer, std::move(answer), std::move(error)};
    if (answer.status >= 300 && answer.status < 400)
        return final_error(std::move(answer), Errc::kInvalidArgument,
                           error.message() + ": the bucket is elsewhere; check endpoint and region");
    return {Attempt::Kind::kFailed, std::move(answer), std::move(error)};
}

// True when the request was refused for its time, and the server's is known now.
bool S3Client::learn_time(const Attempt& attempt) {
    if (attempt.answer.status != 403) return false;
    auto theirs = parse_http_date(attempt.answer.http.header("date"));
    if (!theirs) return false;
    std::int64_t ahead = *theirs - executor_.clock().wall_millis();
    bool off = std::abs(ahead - clock_ahead_ms_) > kSkewNoticed;
    // The reply to a HEAD has no code.
    if (attempt.answer.code != "RequestTimeTooSkewed" && !(attempt.answer.code.empty() && off)) return false;
    log::warn("{}: clocks differ by {} s; requests are signed with the server's time", origin_, ahead / 1000);
    clock_ahead_ms_ = ahead;
    return true;
}

boost::asio::awaitable<Attempt> S3Client::attempt(S3Call& call) {
    co_await hash_payload(call);
    auto take = [this](runtime::Callback<runtime::SemaphoreUnits> granted) { slots_.take(1, std::move(granted)); };
    runtime::SemaphoreUnits slot = co_await runtime::await<runtime::SemaphoreUnits>(std::move(take));
    Attempt result;
    for (int times = 0; times < 2; ++times) {
        ++stats_.requests;
        auto send = [&](runtime::Callback<Result<HttpResponse>> done) {
            transport_->send(signed_request(call), std::move(done));
        };
        Result<HttpResponse> reply = co_await runtime::await<Result<HttpResponse>>(std::move(send));
        result = judge(std::move(reply));
        if (!learn_time(result)) break;
        result.kind = Attempt::Kind::kAgain;
        result.error = Error(Errc::kUnavailable, result.error.message());
    }
    if (result.kind == Attempt::Kind::kSlowDown) ++stats_.throttled;
    co_return result;
}

Patience S3Client::patience() const { return {0, executor_.clock().now() + options_.operation_timeout}; }

boost::asio::awaitable<bool> S3Client::pause(Patience& patience, Attempt::Kind after) {
    if (++patience.attempts >= options_.attempts_max || closed_) co_return false;
    std::uint32_t doublings = std::min(patience.attempts - 1, std::uint32_t{20});
    auto longest = std::min<std::int64_t>(options_.backoff_max.count(), options_.backoff_first.count() << doublings);
    if (after == Attempt::Kind::kSlowDown)
        longest = std::min<std::int64_t>(options_.backoff_max.count(), longest * kSlowDownFactor);
    // Random over the whole range, so that clients that failed together do not come back together; but an overloaded
    // server is never asked at once.
    std::int64_t least = after == Attempt::Kind::kSlowDown ? longest / 2 : 0;
    auto random = executor_.random().below(static_cast<std::uint64_t>(longest - least) + 1);
    std::chrono::milliseconds delay(least + static_cast<std::int64_t>(random));
    if (executor_.clock().now() + delay >= patience.give_up) co_return false;
    co_await sleep(delay);
    ++stats_.retries;
    co_return !closed_;
}

Async<S3Answer> S3Client::call(S3Call call) {
    Patience patience = this->patience();
    for (;;) {
        Attempt tried = co_await attempt(call);
        if (tried.kind == Attempt::Kind::kAnswer) co_return std::move(tried.answer);
        if (tried.kind == Attempt::Kind::kFailed) co_return fail(std::move(tried.error));
        bool more = co_await pause(patience, tried.kind);
        if (!more) co_return fail(closed_ ? Error(Errc::kClosed) : std::move(tried.error));
    }
}

boost::asio::awaitable<void> S3Client::sleep(std::chrono::milliseconds delay) {
    auto start = [&](runtime::Callback<> done) {
        std::uint64_t id = ++last_sleeper_;
        sleepers_.emplace(id, std::move(done));
        executor_.call_after(delay, [weak = weak_from_this(), id] {
            if (auto self = weak.lock()) self->wake(id);
        });
    };
    co_await runtime::await<void>(std::move(start));
}

void S3Client::wake(std::uint64_t sleeper) {
    auto node = sleepers_.extract(sleeper);
    if (!node.empty()) node.mapped()();
}

}  // namespace millrace::lts
