#include "lts/s3/s3_objects.h"

#include <charconv>

#include <fmt/format.h>

#include "base/log.h"
#include "lts/s3/time_text.h"
#include "lts/s3/xml.h"

namespace millrace::lts {

std::string_view bare_etag(std::string_view etag) {
    if (etag.starts_with("W/")) etag.remove_prefix(2);
    if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') etag = etag.substr(1, etag.size() - 2);
    return etag;
}

Result<> S3State::check(const std::string& key, std::uint64_t size, std::uint64_t size_max) const {
    if (auto open = check_open(); !open) return open;
    if (auto checked = check_key(key); !checked) return checked;
    if (size > size_max) return fail(Errc::kLimit, fmt::format("larger than {} bytes", size_max));
    return {};
}

Async<std::optional<FoundObject>> find_object(S3StateRef state, std::string key) {
    S3Call call;
    call.method = "HEAD";
    call.key = state->object(key);
    auto answer = co_await state->client->call(std::move(call));
    if (!answer) co_return fail(std::move(answer).error());
    if (answer->status == 404) co_return std::optional<FoundObject>();
    if (!answer->ok()) co_return fail(state->client->unexpected(*answer));
    FoundObject found;
    std::string_view size = answer->http.header("content-length");
    auto [stop, error] = std::from_chars(size.data(), size.data() + size.size(), found.status.size_bytes);
    if (error != std::errc() || stop != size.data() + size.size())
        co_return fail(Errc::kUnavailable, "a reply without the object's size");
    found.status.modified_ms = parse_http_date(answer->http.header("last-modified")).value_or(0);
    found.id = answer->http.header(kIdHeader);
    co_return std::optional<FoundObject>(std::move(found));
}

Async<> put_object(S3StateRef state, std::string key, bytes::Chain data, std::string id) {
    S3Client& client = *state->client;
    S3Call call;
    call.method = "PUT";
    call.key = state->object(key);
    call.headers = {{"if-none-match", "*"}, {std::string(kIdHeader), id}};
    call.body = std::move(data);
    Patience patience = client.patience();
    Error last = Errc::kUnavailable;
    for (bool more = true; more;) {
        Attempt tried = co_await client.attempt(call);
        if (tried.kind == Attempt::Kind::kFailed) co_return fail(std::move(tried.error));
        if (tried.kind == Attempt::Kind::kAnswer) {
            if (tried.answer.ok()) co_return Result<>();
            if (tried.answer.status != 412) co_return fail(client.unexpected(tried.answer));
            break;  // it may be ours: of an attempt before, or of one that a proxy has repeated
        }
        last = std::move(tried.error);
        more = co_await client.pause(patience, tried.kind);
    }
    if (client.closed()) co_return fail(Errc::kClosed, "long-term storage is closed");
    ++client.stats().looked_up;
    auto found = co_await find_object(state, key);
    if (!found) co_return fail(std::move(found).error());
    if (!*found) co_return fail(std::move(last));
    if ((*found)->id != id) co_return fail(Errc::kExists, "is there already");
    if ((*found)->status.size_bytes != call.body.size())
        co_return fail(Errc::kUnavailable, "was stored with another size");
    co_return Result<>();
}

namespace {

Result<std::vector<std::pair<std::string, std::string>>> parse_uploads(const S3State& state, const S3Answer& answer,
                                                                       std::int64_t before_ms) {
    auto root = parse_xml(bytes::as_text(answer.http.body.span()));
    if (!root) return fail(Errc::kUnavailable, root.error().message());
    std::vector<std::pair<std::string, std::string>> found;
    for (const XmlElement& element : root->children) {
        if (element.name != "Upload") continue;
        std::string key(element.text_of("Key"));
        auto begun = parse_iso_time(element.text_of("Initiated"));
        if (key.starts_with(state.object("")) && begun && *begun < before_ms)
            found.emplace_back(std::move(key), element.text_of("UploadId"));
    }
    return found;
}

}  // namespace

// One page at a time is enough: what is removed makes room for the next page, at the next start at the latest.
Async<> sweep_uploads(S3StateRef state) {
    S3Client& client = *state->client;
    S3Call call;
    call.method = "GET";
    call.query = {{"uploads", ""}, {"prefix", state->object("")}, {"max-uploads", "1000"}};
    call.response_size_max = std::size_t{4} << 20;
    auto answer = co_await client.call(std::move(call));
    if (!answer) co_return fail(std::move(answer).error());
    if (!answer->ok()) co_return fail(client.unexpected(*answer));
    std::int64_t before = client.executor().clock().wall_millis() - client.options().abandoned_upload_age.count();
    auto uploads = parse_uploads(*state, *answer, before);
    if (!uploads) co_return fail(std::move(uploads).error());
    for (const auto& [key, id] : *uploads) {
        S3Call abort;
        abort.method = "DELETE";
        abort.key = key;
        abort.query = {{"uploadId", id}};
        auto removed = co_await client.call(std::move(abort));
        if (!removed) co_return fail(std::move(removed).error());
    }
    if (!uploads->empty()) log::info("{}: removed {} abandoned uploads", client.origin(), uploads->size());
    co_return Result<>();
}

}  // namespace millrace::lts
