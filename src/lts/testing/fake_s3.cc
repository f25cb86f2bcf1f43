#include "lts/testing/fake_s3.h"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>
#include <openssl/evp.h>

#include "lts/s3/s3_objects.h"
#include "lts/s3/sigv4.h"
#include "lts/s3/time_text.h"
#include "lts/s3/xml.h"

namespace millrace::lts {
namespace {

constexpr std::int64_t kSkewMax = 15 * 60'000;
constexpr std::size_t kPartMin = 5 << 20;  // of all parts but the last

std::string md5_hex(bytes::ByteSpan data) {
    std::array<std::uint8_t, 16> digest{};
    unsigned size = 0;
    EVP_Digest(data.data(), data.size(), digest.data(), &size, EVP_md5(), nullptr);
    std::string text;
    for (std::uint8_t byte : digest) text += fmt::format("{:02x}", byte);
    return text;
}

std::string decoded(std::string_view text) {
    std::string result;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%' && i + 2 < text.size()) {
            result += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
            i += 2;
        } else {
            result += text[i];
        }
    }
    return result;
}

std::string http_date(std::int64_t ms) {
    static constexpr std::array<const char*, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    std::string stamp = sigv4::timestamp(ms);
    auto days = std::chrono::sys_days(std::chrono::days(ms / 86'400'000));
    unsigned weekday = std::chrono::weekday(days).c_encoding();
    return fmt::format("{}, {} {} {} {}:{}:{} GMT", kDays[weekday], stamp.substr(6, 2),
                       kMonths[static_cast<std::size_t>(std::stoi(stamp.substr(4, 2))) - 1], stamp.substr(0, 4),
                       stamp.substr(9, 2), stamp.substr(11, 2), stamp.substr(13, 2));
}

std::string iso_time(std::int64_t ms) {
    std::string stamp = sigv4::timestamp(ms);
    return fmt::format("{}-{}-{}T{}:{}:{}.{:03}Z", stamp.substr(0, 4), stamp.substr(4, 2), stamp.substr(6, 2),
                       stamp.substr(9, 2), stamp.substr(11, 2), stamp.substr(13, 2), ms % 1000);
}

HttpResponse reply(int status, std::string_view body = {}) {
    HttpResponse response;
    response.status = status;
    response.body = bytes::Slice::copy_of(bytes::as_bytes(body));
    return response;
}

HttpResponse error_reply(int status, std::string_view code) {
    return reply(status,
                 fmt::format("<?xml version=\"1.0\"?><Error><Code>{}</Code><Message>as told</Message></Error>", code));
}

}  // namespace

struct FakeS3::Parsed {
    const HttpRequest& request;
    std::string path;  // decoded
    std::string key;
    sigv4::Fields query;
    HttpFields headers;
    std::vector<std::uint8_t> body;

    explicit Parsed(const HttpRequest& from) : request(from), headers(from.headers), body(from.body.to_vector()) {
        std::string_view target = from.target;
        std::string_view rest = target.substr(std::min(target.find('?'), target.size()));
        path = decoded(target.substr(0, target.size() - rest.size()));
        if (std::size_t slash = path.find('/', 1); slash != std::string::npos) key = path.substr(slash + 1);
        if (!rest.empty()) rest.remove_prefix(1);
        while (!rest.empty()) {
            std::string_view pair = rest.substr(0, rest.find('&'));
            rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
            std::size_t equals = pair.find('=');
            std::string_view value = equals == pair.npos ? std::string_view() : pair.substr(equals + 1);
            query.emplace_back(decoded(pair.substr(0, equals)), decoded(value));
        }
    }
    std::string header(std::string_view name) const {
        for (const auto& [key_, value] : headers) {
            if (key_ == name) return value;
        }
        return {};
    }
    std::optional<std::string> parameter(std::string_view name) const {
        for (const auto& [key_, value] : query) {
            if (key_ == name) return value;
        }
        return std::nullopt;
    }
};

void FakeS3::fail_next(const std::string& method, int status, std::string code, std::size_t count) {
    planned_[method] = {status, std::move(code), count};
}

void FakeS3::lose_next_reply(const std::string& method, std::size_t count) { lost_[method] = count; }

void FakeS3::place(const std::string& key, std::vector<std::uint8_t> data) {
    Object object;
    object.etag = md5_hex(data);
    object.data = std::move(data);
    store(key, std::move(object));
}

void FakeS3::store(const std::string& key, Object object) {
    object.modified_ms = now_ms();
    changes_.push_back({now_ms(), key, true, object.data.size()});
    objects_[key] = std::move(object);
}

FakeS3::Reply FakeS3::handle(const HttpRequest& request) {
    ++requests_;
    log_.push_back(request);
    Reply result;
    if (faults.delay_max.count() > 0)
        result.delay = std::chrono::milliseconds(random_.below(static_cast<std::uint64_t>(faults.delay_max.count())));
    auto finish = [&](HttpResponse response) {
        if (request.method == "HEAD") response.body = {};
        response.headers.emplace_back("date", http_date(now_ms()));
        result.response = std::move(response);
        return result;
    };
    if (auto planned = planned_.find(request.method); planned != planned_.end()) {
        Planned plan = planned->second;
        if (--planned->second.count == 0) planned_.erase(planned);
        return finish(error_reply(plan.status, plan.code));
    }
    if (chance(faults.error_percent)) return finish(error_reply(500, "InternalError"));
    if (chance(faults.slow_down_percent)) return finish(error_reply(503, "SlowDown"));
    if (chance(faults.throttle_percent)) return finish(error_reply(429, "TooManyRequests"));
    if (chance(faults.lost_request_percent)) {
        result.delivery = Reply::Delivery::kNone;
        return result;
    }
    Parsed parsed(request);
    HttpResponse refused = check_signature(parsed);
    if (refused.status != 0) return finish(std::move(refused));
    HttpResponse response = serve(parsed);
    if (auto lost = lost_.find(request.method); lost != lost_.end()) {
        if (--lost->second == 0) lost_.erase(lost);
        result.delivery = Reply::Delivery::kNone;
        return result;
    }
    if (chance(faults.late_error_percent)) return finish(error_reply(500, "InternalError"));
    if (chance(faults.lost_reply_percent)) {
        result.delivery = Reply::Delivery::kNone;
        return result;
    }
    if (!response.body.empty() && request.method != "HEAD" && chance(faults.half_body_percent))
        result.delivery = Reply::Delivery::kHalf;
    return finish(std::move(response));
}

// Status 0: all is well.
HttpResponse FakeS3::check_signature(const Parsed& parsed) const {
    std::string given = parsed.header("authorization");
    std::string stamp = parsed.header("x-amz-date");
    if (given.empty() || stamp.size() != 16) return error_reply(403, "AccessDenied");
    auto at =
        parse_iso_time(fmt::format("{}-{}-{}T{}:{}:{}Z", stamp.substr(0, 4), stamp.substr(4, 2), stamp.substr(6, 2),
                                   stamp.substr(9, 2), stamp.substr(11, 2), stamp.substr(13, 2)));
    if (!at || std::abs(*at - now_ms()) > kSkewMax) return error_reply(403, "RequestTimeTooSkewed");
    sigv4::Request request;
    request.method = parsed.request.method;
    request.path = sigv4::uri_encode(parsed.path, true);
    request.query = parsed.query;
    request.payload_hash = parsed.header("x-amz-content-sha256");
    if (request.payload_hash != sigv4::kUnsignedPayload && request.payload_hash != sigv4::sha256_hex(parsed.body))
        return error_reply(400, "XAmzContentSHA256Mismatch");
    std::size_t begin = given.find("SignedHeaders=");
    if (begin == std::string::npos) return error_reply(403, "AccessDenied");
    std::string names = given.substr(begin + 14, given.find(',', begin) - begin - 14);
    for (std::size_t from = 0; from <= names.size();) {
        std::size_t to = std::min(names.find(';', from), names.size());
        std::string name = names.substr(from, to - from);
        request.headers.emplace_back(name, parsed.header(name));
        from = to + 1;
    }
    sigv4::Scope scope{stamp, options_.region, "s3"};
    if (given != sigv4::authorization(request, scope, credentials_.access_key, credentials_.secret_key.reveal()))
        return error_reply(403, "SignatureDoesNotMatch");
    if (!parsed.path.starts_with("/" + options_.bucket + "/")) return error_reply(404, "NoSuchBucket");
    return {};
}

HttpResponse FakeS3::serve(const Parsed& parsed) {
    const std::string& method = parsed.request.method;
    if (method == "PUT") return parsed.parameter("uploadId") ? put_part(parsed) : put(parsed);
    if (method == "POST") return post(parsed);
    if (method == "DELETE") return remove(parsed);
    if (method == "HEAD") return get(parsed);
    if (method != "GET") return error_reply(405, "MethodNotAllowed");
    if (parsed.parameter("uploads")) return list_uploads(parsed);
    return parsed.key.empty() ? list(parsed) : get(parsed);
}

// As Ceph does, and Amazon too: the bare tag is compared; and as Ceph alone does, quotes are never right.
HttpResponse FakeS3::check_conditions(const Parsed& parsed, bool completion) {
    if (completion && !faults.completion_takes_conditions) return {};
    auto found = objects_.find(parsed.key);
    if (std::string none = parsed.header("if-none-match"); none == "*" && found != objects_.end())
        return error_reply(412, "PreconditionFailed");
    std::string match = parsed.header("if-match");
    if (match.empty()) return {};
    if (found == objects_.end()) return error_reply(404, "NoSuchKey");
    if (match == found->second.etag) return {};
    if (faults.lost_race_is_500 && random_.below(2) == 0) return error_reply(500, "InternalError");
    return error_reply(412, "PreconditionFailed");
}

HttpResponse FakeS3::put(const Parsed& parsed) {
    HttpResponse refused = check_conditions(parsed, false);
    if (refused.status != 0) return refused;
    Object object;
    object.data = parsed.body;
    object.etag = md5_hex(object.data);
    object.id = parsed.header(kIdHeader);
    HttpResponse response = reply(200);
    response.headers.emplace_back("etag", "\"" + object.etag + "\"");
    store(parsed.key, std::move(object));
    return response;
}

HttpResponse FakeS3::put_part(const Parsed& parsed) {
    auto upload = uploads_.find(*parsed.parameter("uploadId"));
    if (upload == uploads_.end() || upload->second.key != parsed.key) return error_reply(404, "NoSuchUpload");
    Object part;
    part.data = parsed.body;
    part.etag = md5_hex(part.data);
    HttpResponse response = reply(200);
    response.headers.emplace_back("etag", "\"" + part.etag + "\"");
    upload->second.parts[std::stoi(parsed.parameter("partNumber").value_or("1"))] = std::move(part);
    return response;
}

HttpResponse FakeS3::get(const Parsed& parsed) {
    auto found = objects_.find(parsed.key);
    if (found == objects_.end()) return error_reply(404, "NoSuchKey");
    const Object& object = found->second;
    std::size_t begin = 0;
    std::size_t size = object.data.size();
    std::string range = parsed.header("range");
    bool partial = parsed.request.method == "GET" && range.starts_with("bytes=");
    if (partial) {
        std::size_t dash = range.find('-');
        begin = std::stoull(range.substr(6, dash - 6));
        if (begin >= size) return error_reply(416, "InvalidRange");
        size = std::min(size - begin, static_cast<std::size_t>(std::stoull(range.substr(dash + 1))) - begin + 1);
    }
    HttpResponse response;
    response.status = partial ? 206 : 200;
    response.headers = {{"etag", "\"" + object.etag + "\""},
                        {"content-length", std::to_string(size)},
                        {"last-modified", http_date(object.modified_ms)}};
    if (!object.id.empty()) response.headers.emplace_back(kIdHeader, object.id);
    response.body = bytes::Slice::copy_of(bytes::ByteSpan(object.data).subspan(begin, size));
    return response;
}

HttpResponse FakeS3::list(const Parsed& parsed) const {
    std::map<std::string, std::uint64_t> shown;
    for (const Change& change : changes_) {
        if (change.at_ms > now_ms() - faults.list_lag.count()) break;
        if (change.present)
            shown[change.key] = change.size;
        else
            shown.erase(change.key);
    }
    std::string prefix = parsed.parameter("prefix").value_or("");
    std::string after = parsed.parameter("start-after").value_or("");
    std::size_t limit = std::stoul(parsed.parameter("max-keys").value_or("1000"));
    std::string contents;
    std::size_t count = 0;
    bool more = false;
    for (const auto& [key, size] : shown) {
        if (!key.starts_with(prefix) || key <= after) continue;
        if (more = count++ == limit; more) break;
        contents += fmt::format("<Contents><Key>{}</Key><LastModified>{}</LastModified><Size>{}</Size></Contents>",
                                xml_escape(key), iso_time(now_ms()), size);
    }
    return reply(200,
                 fmt::format("<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult xmlns=\"http://"
                             "s3.amazonaws.com/doc/2006-03-01/\"><IsTruncated>{}</IsTruncated>{}</ListBucketResult>",
                             more, contents));
}

HttpResponse FakeS3::list_uploads(const Parsed& parsed) const {
    std::string text = "<ListMultipartUploadsResult>";
    for (const auto& [id, upload] : uploads_) {
        if (!upload.key.starts_with(parsed.parameter("prefix").value_or(""))) continue;
        text += fmt::format("<Upload><Key>{}</Key><UploadId>{}</UploadId><Initiated>{}</Initiated></Upload>",
                            xml_escape(upload.key), id, iso_time(upload.begun_ms));
    }
    return reply(200, text + "</ListMultipartUploadsResult>");
}

HttpResponse FakeS3::post(const Parsed& parsed) {
    if (!parsed.parameter("uploads")) return complete(parsed);
    std::string id = fmt::format("upload-{}", ++last_upload_);
    uploads_[id] = {parsed.key, parsed.header(kIdHeader), now_ms(), {}};
    return reply(
        200, fmt::format("<InitiateMultipartUploadResult><UploadId>{}</UploadId></InitiateMultipartUploadResult>", id));
}

HttpResponse FakeS3::complete(const Parsed& parsed) {
    auto upload = uploads_.find(parsed.parameter("uploadId").value_or(""));
    if (upload == uploads_.end() || upload->second.key != parsed.key) return error_reply(404, "NoSuchUpload");
    HttpResponse refused = check_conditions(parsed, true);
    if (refused.status != 0) return refused;
    auto root = parse_xml(bytes::as_text(parsed.body));
    if (!root || root->children.empty()) return error_reply(400, "MalformedXML");
    Object object;
    for (std::size_t i = 0; i < root->children.size(); ++i) {
        const XmlElement& element = root->children[i];
        auto part = upload->second.parts.find(std::stoi(std::string(element.text_of("PartNumber"))));
        if (part == upload->second.parts.end() || bare_etag(element.text_of("ETag")) != part->second.etag)
            return error_reply(400, "InvalidPart");
        const auto& data = part->second.data;
        if (data.size() < kPartMin && i + 1 < root->children.size()) return error_reply(400, "EntityTooSmall");
        object.data.insert(object.data.end(), data.begin(), data.end());
    }
    object.etag = fmt::format("{}-{}", md5_hex(object.data), root->children.size());
    object.id = upload->second.id;
    store(parsed.key, std::move(object));
    uploads_.erase(upload);
    return reply(200, "<CompleteMultipartUploadResult><Key/></CompleteMultipartUploadResult>");
}

HttpResponse FakeS3::remove(const Parsed& parsed) {
    if (auto id = parsed.parameter("uploadId"))
        return uploads_.erase(*id) > 0 ? reply(204) : error_reply(404, "NoSuchUpload");
    if (objects_.erase(parsed.key) > 0) changes_.push_back({now_ms(), parsed.key, false, 0});
    return reply(204);
}

void FakeTransport::send(HttpRequest request, runtime::Callback<Result<HttpResponse>> done) {
    std::uint64_t exchange = ++last_;
    waiting_.emplace(exchange, std::move(done));
    most_at_once_ = std::max(most_at_once_, waiting_.size());
    if (closed_) {
        executor_.post([this, alive = alive_, exchange] {
            if (*alive) answer(exchange, fail(Errc::kClosed));
        });
        return;
    }
    FakeS3::Reply reply = server_.handle(request);
    Result<HttpResponse> result = std::move(reply.response);
    std::chrono::milliseconds delay = reply.delay;
    if (reply.delivery == FakeS3::Reply::Delivery::kNone || delay >= request.timeout) {
        result = fail(Errc::kUnavailable, "timed out");
        delay = request.timeout;
    } else if (reply.delivery == FakeS3::Reply::Delivery::kHalf) {
        result = fail(Errc::kUnavailable, "the connection broke within the reply");
    } else if (result->body.size() > request.response_size_max) {
        result = fail(Errc::kLimit, "the reply is larger than was asked for");
    }
    executor_.call_after(delay, [this, alive = alive_, exchange, result = std::move(result)]() mutable {
        if (*alive) answer(exchange, std::move(result));
    });
}

void FakeTransport::answer(std::uint64_t exchange, Result<HttpResponse> result) {
    auto node = waiting_.extract(exchange);
    if (!node.empty()) node.mapped()(std::move(result));
}

void FakeTransport::close() {
    closed_ = true;
    *alive_ = false;
    for (auto& [exchange, finished] : std::exchange(waiting_, {}))
        executor_.post([done = std::move(finished)]() mutable { done(fail(Errc::kClosed)); });
    alive_ = std::make_shared<bool>(true);
}

}  // namespace millrace::lts
