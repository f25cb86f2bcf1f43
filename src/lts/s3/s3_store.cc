#include "lts/s3/s3_store.h"

#include <charconv>

#include <fmt/format.h>

#include "base/log.h"
#include "base/uuid.h"
#include "lts/errors.h"
#include "lts/register_format.h"
#include "lts/s3/curl_transport.h"
#include "lts/s3/s3_objects.h"
#include "lts/s3/time_text.h"
#include "lts/s3/xml.h"

namespace millrace::lts {
namespace {

constexpr std::size_t kErrorReplySizeMax = std::size_t{64} << 10;
constexpr std::size_t kListReplySizeMax = std::size_t{4} << 20;

Async<> put(S3StateRef state, std::string key, bytes::Chain data) {
    if (auto checked = state->check(key, data.size(), kPutSizeMax); !checked)
        co_return fail(about_object(key, checked.error()));
    std::string id = to_hex(state->client->executor().random().uuid());
    std::uint64_t size = data.size();
    Result<> done = co_await put_object(state, key, std::move(data), std::move(id));
    if (!done) co_return fail(about_object(key, done.error()));
    ++state->client->stats().objects_written;
    state->client->stats().bytes_written += size;
    co_return done;
}

Error too_short(const std::string& key, std::uint64_t actual, std::uint64_t offset, std::uint64_t size) {
    return {Errc::kCorrupt, static_cast<std::int64_t>(actual),
            fmt::format("object {}: has {} bytes, but {} from {} were asked for", key, actual, size, offset)};
}

Error missing(const std::string& key) { return {Errc::kNotFound, "object " + key + ": not there"}; }

// The object is known to be shorter than the range, or nothing of it is wanted: how long is it?
Async<bytes::Slice> compare_size(S3StateRef state, std::string key, std::uint64_t offset, std::uint64_t size) {
    auto found = co_await find_object(state, key);
    if (!found) co_return fail(about_object(key, found.error()));
    if (!*found) co_return fail(missing(key));
    std::uint64_t actual = (*found)->status.size_bytes;
    if (size == 0 && offset <= actual) co_return bytes::Slice();
    co_return fail(too_short(key, actual, offset, size));
}

Async<bytes::Slice> read_range(S3StateRef state, std::string key, std::uint64_t offset, std::uint64_t size) {
    S3Client& client = *state->client;
    if (auto checked = state->check(key, size, kReadSizeMax); !checked)
        co_return fail(about_object(key, checked.error()));
    if (offset > static_cast<std::uint64_t>(INT64_MAX) - kReadSizeMax)
        co_return fail(Errc::kInvalidArgument, "object " + key + ": offset out of range");
    ++client.stats().reads;
    if (size == 0) co_return co_await compare_size(state, key, offset, size);
    S3Call call;
    call.method = "GET";
    call.key = state->object(key);
    call.headers = {{"range", fmt::format("bytes={}-{}", offset, offset + size - 1)}};
    call.response_size_max = std::max<std::size_t>(size, kErrorReplySizeMax);
    auto answer = co_await client.call(std::move(call));
    if (!answer) co_return fail(about_object(key, answer.error()));
    if (answer->status == 404) co_return fail(missing(key));
    if (answer->status == 416) co_return co_await compare_size(state, key, offset, size);
    if (answer->status != 206 && !(answer->status == 200 && offset == 0))
        co_return fail(about_object(key, client.unexpected(*answer)));
    client.stats().bytes_read += answer->http.body.size();
    if (answer->http.body.size() < size) co_return co_await compare_size(state, key, offset, size);
    co_return answer->http.body.sub(0, size);
}

Async<ObjectStatus> status_of(S3StateRef state, std::string key) {
    if (auto checked = state->check(key, 0, 0); !checked) co_return fail(about_object(key, checked.error()));
    auto found = co_await find_object(state, key);
    if (!found) co_return fail(about_object(key, found.error()));
    if (!*found) co_return fail(missing(key));
    co_return (*found)->status;
}

struct RawPage {
    ListPage page;
    std::string last;  // as the server names it
    bool more = false;
};

Result<RawPage> parse_page(const S3Answer& answer, const std::string& root_key) {
    auto root = parse_xml(bytes::as_text(answer.http.body.span()));
    if (!root) return fail(Errc::kUnavailable, root.error().message());
    if (root->name != "ListBucketResult") return fail(Errc::kUnavailable, "a listing was expected");
    RawPage raw;
    raw.more = root->text_of("IsTruncated") == "true";
    for (const XmlElement& element : root->children) {
        if (element.name != "Contents") continue;
        raw.last = element.text_of("Key");
        if (!raw.last.starts_with(root_key)) continue;
        ListedObject object;
        object.key = raw.last.substr(root_key.size());
        std::string_view size = element.text_of("Size");
        auto [stop, error] = std::from_chars(size.data(), size.data() + size.size(), object.status.size_bytes);
        if (error != std::errc() || stop != size.data() + size.size())
            return fail(Errc::kUnavailable, "a listing without sizes");
        object.status.modified_ms = parse_iso_time(element.text_of("LastModified")).value_or(0);
        if (check_key(object.key)) raw.page.objects.push_back(std::move(object));  // others are not ours
    }
    if (raw.more && raw.last.empty()) return fail(Errc::kUnavailable, "an empty page of a longer listing");
    if (raw.more && !raw.page.objects.empty()) raw.page.next = raw.page.objects.back().key;
    return raw;
}

Async<ListPage> list_page(S3StateRef state, std::string prefix, std::string after, std::size_t limit) {
    S3Client& client = *state->client;
    if (auto open = state->check_open(); !open) co_return fail(open.error());
    if (auto checked = check_list_prefix(prefix); !checked) co_return fail(checked.error());
    if (auto checked = check_list_prefix(after); !checked) co_return fail(checked.error());
    if (limit == 0 || limit > kListMax) co_return fail(Errc::kLimit, "a page has 1 to 1000 objects");
    ++client.stats().lists;
    std::string start_after = after.empty() ? std::string() : state->object(after);
    for (;;) {
        S3Call call;
        call.method = "GET";
        call.query = {{"list-type", "2"}, {"max-keys", std::to_string(limit)}, {"prefix", state->object(prefix)}};
        if (!start_after.empty()) call.query.emplace_back("start-after", start_after);
        call.response_size_max = kListReplySizeMax;
        auto answer = co_await client.call(std::move(call));
        if (!answer) co_return fail(std::move(answer).error());
        if (!answer->ok()) co_return fail(client.unexpected(*answer));
        auto raw = parse_page(*answer, state->object(""));
        if (!raw) co_return fail(std::move(raw).error());
        if (!raw->more || !raw->page.objects.empty()) co_return std::move(raw->page);
        if (raw->last <= start_after) co_return fail(Errc::kUnavailable, "a listing that does not go on");
        start_after = std::move(raw->last);  // a page of strangers
    }
}

Async<> remove_key(S3StateRef state, std::string key) {
    if (auto checked = state->check(key, 0, 0); !checked) co_return fail(about_object(key, checked.error()));
    ++state->client->stats().removals;
    S3Call call;
    call.method = "DELETE";
    call.key = state->object(key);
    auto answer = co_await state->client->call(std::move(call));
    if (!answer) co_return fail(about_object(key, answer.error()));
    if (!answer->ok() && answer->status != 404) co_return fail(about_object(key, state->client->unexpected(*answer)));
    co_return Result<>();
}

struct FoundRegister {
    Register seen;
    Uuid write_id;
};

Async<FoundRegister> find_register(S3StateRef state, std::string key) {
    S3Call call;
    call.method = "GET";
    call.key = state->register_key(key);
    auto answer = co_await state->client->call(std::move(call));
    if (!answer) co_return fail(std::move(answer).error());
    FoundRegister found;
    if (answer->status == 404) co_return found;
    if (!answer->ok()) co_return fail(state->client->unexpected(*answer));
    auto content = decode_register(answer->http.body.span());
    if (!content) co_return fail(std::move(content).error());
    found.seen.tag.text = bare_etag(answer->http.header("etag"));
    if (found.seen.tag.absent()) co_return fail(Errc::kUnavailable, "a reply without the register's tag");
    found.seen.value = std::move(content->value);
    found.write_id = content->write_id;
    co_return found;
}

Async<Register> load_register(S3StateRef state, std::string key) {
    if (auto checked = state->check(key, 0, 0); !checked) co_return fail(about_register(key, checked.error()));
    auto found = co_await find_register(state, key);
    if (!found) co_return fail(about_register(key, found.error()));
    co_return std::move(found->seen);
}

Async<RegisterTag> store_register(S3StateRef state, std::string key, RegisterContent content, RegisterTag expected) {
    S3Client& client = *state->client;
    std::vector<std::uint8_t> data = encode_register(content);
    S3Call call;
    call.method = "PUT";
    call.key = state->register_key(key);
    // The bare tag: Ceph compares it as it stands, Amazon takes both forms.
    if (expected.absent())
        call.headers = {{"if-none-match", "*"}};
    else
        call.headers = {{"if-match", expected.text}};
    call.body = bytes::Chain(bytes::Slice::copy_of(data));
    Patience patience = client.patience();
    bool unknown = false;
    Error last = Errc::kUnavailable;
    for (bool more = true; more;) {
        Attempt tried = co_await client.attempt(call);
        if (tried.kind == Attempt::Kind::kFailed) co_return fail(std::move(tried.error));
        if (tried.kind == Attempt::Kind::kAnswer) {
            std::string tag(bare_etag(tried.answer.http.header("etag")));
            if (tried.answer.ok() && !tag.empty()) co_return RegisterTag{std::move(tag)};
            bool lost = tried.answer.status == 412 || (tried.answer.status == 404 && !expected.absent());
            if (!lost && !tried.answer.ok()) co_return fail(client.unexpected(tried.answer));
            break;  // it may be our own value that is there: see put_object()
        }
        // For some losers of a race Ceph has a 500.
        unknown = true;
        last = std::move(tried.error);
        more = co_await client.pause(patience, tried.kind);
    }
    if (client.closed()) co_return fail(Errc::kClosed, "long-term storage is closed");
    ++client.stats().looked_up;
    auto found = co_await find_register(state, key);
    if (!found) co_return fail(std::move(found).error());
    if (!found->seen.tag.absent() && found->write_id == content.write_id) co_return std::move(found->seen.tag);
    if (found->seen.tag == expected) co_return fail(std::move(last));
    co_return fail(Error(Errc::kBadVersion, unknown ? 1 : 0, "was changed by somebody else"));
}

Async<RegisterTag> write_register_object(S3StateRef state, std::string key, std::vector<std::uint8_t> value,
                                         RegisterTag expected) {
    if (auto checked = state->check(key, value.size(), kRegisterSizeMax); !checked)
        co_return fail(about_register(key, checked.error()));
    for (char c : expected.text) {
        if (c <= ' ' || c > '~' || expected.text.size() > 256)
            co_return fail(Errc::kInvalidArgument, "register " + key + ": not a tag");
    }
    RegisterContent content;
    content.write_id = state->client->executor().random().uuid();
    content.value = std::move(value);
    auto tag = co_await store_register(state, key, std::move(content), std::move(expected));
    if (!tag) co_return fail(about_register(key, tag.error()));
    co_return tag;
}

boost::asio::awaitable<void> sweep_quietly(S3StateRef state) {
    Result<> swept = co_await sweep_uploads(state);
    if (!swept && swept.error() != Errc::kClosed)
        log::info("{}: abandoned uploads are not removed: {}", state->client->origin(), swept.error().to_string());
}

class S3Store final : public ChunkStore {
  public:
    explicit S3Store(S3StateRef state) : state_(std::move(state)) {
        runtime::spawn(state_->client->executor(), "lts sweep", sweep_quietly(state_));
    }
    ~S3Store() override { state_->client->close(); }

    void put_if_absent(std::string key, bytes::Chain data, runtime::Callback<Result<>> done) override {
        start<void>("lts put", put(state_, std::move(key), std::move(data)), std::move(done));
    }
    std::unique_ptr<Upload> upload(std::string key, std::uint64_t /*expected_size*/) override {
        return make_s3_upload(state_, std::move(key));
    }
    void read(std::string key, std::uint64_t offset, std::uint64_t size,
              runtime::Callback<Result<bytes::Slice>> done) override {
        start<bytes::Slice>("lts read", read_range(state_, std::move(key), offset, size), std::move(done));
    }
    void stat(std::string key, runtime::Callback<Result<ObjectStatus>> done) override {
        start<ObjectStatus>("lts stat", status_of(state_, std::move(key)), std::move(done));
    }
    void list(std::string prefix, std::string after, std::size_t limit,
              runtime::Callback<Result<ListPage>> done) override {
        start<ListPage>("lts list", list_page(state_, std::move(prefix), std::move(after), limit), std::move(done));
    }
    void remove(std::string key, runtime::Callback<Result<>> done) override {
        start<void>("lts remove", remove_key(state_, std::move(key)), std::move(done));
    }
    void read_register(std::string key, runtime::Callback<Result<Register>> done) override {
        start<Register>("lts read register", load_register(state_, std::move(key)), std::move(done));
    }
    void write_register(std::string key, std::vector<std::uint8_t> value, RegisterTag expected,
                        runtime::Callback<Result<RegisterTag>> done) override {
        start<RegisterTag>("lts write register",
                           write_register_object(state_, std::move(key), std::move(value), std::move(expected)),
                           std::move(done));
    }
    StoreStats stats() const override { return state_->client->stats(); }
    std::string description() const override {
        const S3Options& options = state_->client->options();
        return fmt::format("S3 bucket {} at {}{}", options.bucket, state_->client->origin(),
                           options.prefix.empty() ? "" : ", prefix " + options.prefix);
    }

  private:
    template <typename T>
    void start(const char* name, Async<T> work, runtime::Callback<Result<T>> done) {
        runtime::spawn(state_->client->executor(), name, deliver<T>(std::move(work), std::move(done)));
    }

    S3StateRef state_;
};

}  // namespace

Result<std::unique_ptr<ChunkStore>> open_s3_store(runtime::Executor& executor, S3Options options,
                                                  Credentials credentials, std::unique_ptr<HttpTransport> transport,
                                                  runtime::BlockingPool* hashing) {
    auto state = std::make_shared<S3State>();
    while (options.prefix.ends_with('/')) options.prefix.pop_back();
    if (!options.prefix.empty()) {
        if (auto checked = check_key(options.prefix); !checked) return fail(checked.error());
        state->prefix = options.prefix + "/";
    }
    auto client = S3Client::make(executor, std::move(options), std::move(credentials), std::move(transport), hashing);
    if (!client) return fail(client.error());
    state->client = std::move(*client);
    return std::make_unique<S3Store>(std::move(state));
}

Result<std::unique_ptr<ChunkStore>> open_s3_store(runtime::CoreLoop& loop, S3Options options,
                                                  runtime::BlockingPool* hashing) {
    if (auto endpoint = resolve_endpoint(options); !endpoint) return fail(endpoint.error());
    auto credentials = find_credentials(options, process_environment);
    if (!credentials) return fail(credentials.error());
    auto transport = make_curl_transport(loop, options);
    return open_s3_store(loop, std::move(options), std::move(*credentials), std::move(transport), hashing);
}

}  // namespace millrace::lts
