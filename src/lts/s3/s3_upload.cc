// An upload: parts in parallel, or one PUT when all of it fits into a part.
#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"
#include "base/uuid.h"
#include "lts/errors.h"
#include "lts/s3/s3_objects.h"
#include "lts/s3/xml.h"

namespace millrace::lts {
namespace {

constexpr std::size_t kPartsMax = 10'000;  // S3's own limit

struct UploadCore {
    UploadCore(S3StateRef of, std::string name)
        : state(std::move(of)), key(std::move(name)), id(to_hex(state->client->executor().random().uuid())) {}

    S3StateRef state;
    std::string key;
    std::string id;
    std::string upload_id;  // empty: not begun on the server
    bytes::Chain buffer;    // less than a part
    std::uint64_t size = 0;
    std::vector<std::string> etags;  // by part
    std::size_t in_flight = 0;
    Result<> status;  // the first error stays
    bool busy = false;
    bool over = false;                         // finished or given up
    std::vector<runtime::Callback<>> waiting;  // for a part's end, or for the call under way

    void notify() {
        for (auto& wake : std::exchange(waiting, {})) wake();
    }
};

using CoreRef = std::shared_ptr<UploadCore>;

// Tells those who wait for a part or a call, also when its coroutine is taken down with the executor.
struct PartEnd {
    explicit PartEnd(CoreRef of) : core(std::move(of)) {}
    PartEnd(const PartEnd&) = delete;
    PartEnd& operator=(const PartEnd&) = delete;
    ~PartEnd() {
        --core->in_flight;
        core->notify();
    }
    CoreRef core;
};
struct CallEnd {
    explicit CallEnd(CoreRef of) : core(std::move(of)) {}
    CallEnd(const CallEnd&) = delete;
    CallEnd& operator=(const CallEnd&) = delete;
    ~CallEnd() {
        core->busy = false;
        core->notify();
    }
    CoreRef core;
};

boost::asio::awaitable<void> progress(CoreRef core) {
    auto start = [&](runtime::Callback<> done) { core->waiting.push_back(std::move(done)); };
    co_await runtime::await<void>(std::move(start));
}

Async<> begin_upload(CoreRef core) {
    S3Client& client = *core->state->client;
    S3Call call;
    call.method = "POST";
    call.key = core->state->object(core->key);
    call.query = {{"uploads", ""}};
    call.headers = {{std::string(kIdHeader), core->id}};
    auto answer = co_await client.call(std::move(call));
    if (!answer) co_return fail(std::move(answer).error());
    if (!answer->ok()) co_return fail(client.unexpected(*answer));
    auto root = parse_xml(bytes::as_text(answer->http.body.span()));
    if (!root || root->text_of("UploadId").empty())
        co_return fail(Errc::kUnavailable, "a reply without an upload's id");
    core->upload_id = root->text_of("UploadId");
    co_return Result<>();
}

Async<std::string> send_part(CoreRef core, std::size_t number, bytes::Chain data) {
    S3Client& client = *core->state->client;
    S3Call call;
    call.method = "PUT";
    call.key = core->state->object(core->key);
    call.query = {{"partNumber", std::to_string(number)}, {"uploadId", core->upload_id}};
    call.body = std::move(data);
    auto answer = co_await client.call(std::move(call));
    if (!answer) co_return fail(std::move(answer).error());
    if (answer->status == 404) co_return fail(Errc::kUnavailable, "the server has dropped the upload");
    if (!answer->ok()) co_return fail(client.unexpected(*answer));
    std::string etag(answer->http.header("etag"));
    if (etag.empty()) co_return fail(Errc::kUnavailable, "a reply without a part's tag");
    co_return etag;
}

boost::asio::awaitable<void> run_part(CoreRef core, std::size_t number, bytes::Chain data) {
    PartEnd end(core);
    auto etag = co_await send_part(core, number, std::move(data));
    if (etag)
        core->etags[number - 1] = std::move(*etag);
    else if (core->status)
        core->status = fail(std::move(etag).error());
}

Async<> start_part(CoreRef core, bytes::Chain data) {
    if (core->upload_id.empty()) {
        Result<> begun = co_await begin_upload(core);
        if (!begun) co_return begun;
    }
    if (core->etags.size() >= kPartsMax) co_return fail(Errc::kLimit, "more than 10000 parts");
    core->etags.emplace_back();
    ++core->in_flight;
    std::size_t number = core->etags.size();
    runtime::spawn(core->state->client->executor(), "lts part", run_part(core, number, std::move(data)));
    while (core->in_flight >= core->state->client->options().parts_in_flight) co_await progress(core);
    co_return core->status;
}

Async<> append_step(CoreRef core, bytes::Chain data) {
    if (core->status) core->status = core->state->check(core->key, core->size + data.size(), kUploadSizeMax);
    if (!core->status) co_return core->status;
    core->size += data.size();
    core->buffer.append(data);
    std::size_t part = core->state->client->options().part_bytes;
    // What is exactly one part may be all there is: it waits for more, or for the end.
    while (core->status && core->buffer.size() > part) {
        bytes::Chain first = core->buffer.sub(0, part);
        core->buffer = core->buffer.sub(part, core->buffer.size() - part);
        Result<> started = co_await start_part(core, std::move(first));
        if (core->status) core->status = std::move(started);
    }
    co_return core->status;
}

Async<> discard_step(CoreRef core) {
    while (core->busy || core->in_flight > 0) co_await progress(core);
    core->buffer.clear();
    if (core->upload_id.empty()) co_return Result<>();
    S3Call call;
    call.method = "DELETE";
    call.key = core->state->object(core->key);
    call.query = {{"uploadId", std::exchange(core->upload_id, {})}};
    auto answer = co_await core->state->client->call(std::move(call));
    if (!answer) co_return fail(std::move(answer).error());
    if (!answer->ok() && answer->status != 404) co_return fail(core->state->client->unexpected(*answer));
    co_return Result<>();
}

S3Call completion(const UploadCore& core) {
    std::string text = "<CompleteMultipartUpload>";
    for (std::size_t i = 0; i < core.etags.size(); ++i)
        text +=
            fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", i + 1, xml_escape(core.etags[i]));
    text += "</CompleteMultipartUpload>";
    S3Call call;
    call.method = "POST";
    call.key = core.state->object(core.key);
    call.query = {{"uploadId", core.upload_id}};
    call.headers = {{"if-none-match", "*"}, {"content-type", "application/xml"}};
    call.body = bytes::Chain(bytes::Slice::copy_of(bytes::as_bytes(text)));
    return call;
}

// A reply of 200 may still carry an error: the server begins it before it knows.
bool is_completed(const S3Answer& answer) {
    if (!answer.ok()) return false;
    auto root = parse_xml(bytes::as_text(answer.http.body.span()));
    return root && root->name == "CompleteMultipartUploadResult";
}

Async<> check_absent(CoreRef core) {
    auto found = co_await find_object(core->state, core->key);
    if (!found) co_return fail(std::move(found).error());
    if (*found) co_return fail(Errc::kExists, "is there already");
    co_return Result<>();
}

Async<> complete_step(CoreRef core) {
    // Some servers ignore the condition on the completion itself; this finds all but a race.
    Result<> absent = co_await check_absent(core);
    if (!absent) co_return absent;
    S3Client& client = *core->state->client;
    S3Call call = completion(*core);
    Patience patience = client.patience();
    Error last = Errc::kUnavailable;
    for (bool more = true; more;) {
        Attempt tried = co_await client.attempt(call);
        if (tried.kind == Attempt::Kind::kFailed) co_return fail(std::move(tried.error));
        bool answered = tried.kind == Attempt::Kind::kAnswer;
        if (answered && is_completed(tried.answer)) co_return Result<>();
        // Gone, or the key is taken: by an attempt of ours before, or by somebody else.
        if (answered && !tried.answer.ok()) break;
        last =
            answered ? Error(Errc::kUnavailable, "the server could not complete the upload") : std::move(tried.error);
        auto kind = answered ? Attempt::Kind::kAgain : tried.kind;
        more = co_await client.pause(patience, kind);
    }
    if (client.closed()) co_return fail(Errc::kClosed, "long-term storage is closed");
    ++client.stats().looked_up;
    auto found = co_await find_object(core->state, core->key);
    if (!found) co_return fail(std::move(found).error());
    if (!*found) co_return fail(std::move(last));
    if ((*found)->id != core->id) co_return fail(Errc::kExists, "is there already");
    co_return Result<>();
}

Async<> finish_step(CoreRef core) {
    if (core->status) core->status = core->state->check(core->key, core->size, kUploadSizeMax);
    if (!core->status) co_return core->status;
    if (core->upload_id.empty()) co_return co_await put_object(core->state, core->key, core->buffer, core->id);
    if (!core->buffer.empty()) {
        bytes::Chain rest = std::exchange(core->buffer, {});
        Result<> started = co_await start_part(core, std::move(rest));
        if (core->status) core->status = std::move(started);
    }
    while (core->in_flight > 0) co_await progress(core);
    if (core->status) core->status = co_await complete_step(core);
    co_return core->status;
}

boost::asio::awaitable<void> run_append(CoreRef core, bytes::Chain data, runtime::Callback<Result<>> done) {
    Result<> result;
    {
        CallEnd end(core);
        result = co_await append_step(core, std::move(data));
    }
    if (!result) result = fail(about_object(core->key, result.error()));
    done(std::move(result));
}

boost::asio::awaitable<void> run_discard(CoreRef core, runtime::Callback<Result<>> done) {
    Result<> result = co_await discard_step(core);
    if (!result) result = fail(about_object(core->key, result.error()));
    done(std::move(result));
}

boost::asio::awaitable<void> run_finish(CoreRef core, runtime::Callback<Result<>> done) {
    Result<> result;
    {
        CallEnd end(core);
        result = co_await finish_step(core);
    }
    if (result) {
        StoreStats& stats = core->state->client->stats();
        ++stats.objects_written;
        stats.bytes_written += core->size;
    } else {
        result = fail(about_object(core->key, result.error()));
        Result<> discarded = co_await discard_step(core);
        if (!discarded) log::debug("upload of {} is left to the sweep: {}", core->key, discarded.error().to_string());
    }
    done(std::move(result));
}

class S3Upload final : public Upload {
  public:
    S3Upload(S3StateRef state, std::string key)
        : core_(std::make_shared<UploadCore>(std::move(state), std::move(key))) {}
    ~S3Upload() override {
        if (!core_->over) abort([](Result<>) {});
    }

    void append(bytes::Chain data, runtime::Callback<Result<>> done) override {
        if (!begin()) return refuse(std::move(done));
        spawn("lts append", run_append(core_, std::move(data), std::move(done)));
    }
    void finish(runtime::Callback<Result<>> done) override {
        if (!begin()) return refuse(std::move(done));
        core_->over = true;
        spawn("lts finish", run_finish(core_, std::move(done)));
    }
    void abort(runtime::Callback<Result<>> done) override {
        if (core_->over) return refuse(std::move(done));
        core_->over = true;
        if (core_->status) core_->status = fail(Errc::kClosed, "the upload was given up");
        spawn("lts abort", run_discard(core_, std::move(done)));
    }

  private:
    bool begin() { return !core_->over && !std::exchange(core_->busy, true); }
    void spawn(const char* name, boost::asio::awaitable<void> work) {
        runtime::spawn(core_->state->client->executor(), name, std::move(work));
    }
    void refuse(runtime::Callback<Result<>> done) {
        Error error(Errc::kInvalidArgument, "object " + core_->key + ": the upload is over, or a call is under way");
        core_->state->client->executor().post(
            [done = std::move(done), error = std::move(error)]() mutable { done(fail(std::move(error))); });
    }

    CoreRef core_;
};

}  // namespace

std::unique_ptr<Upload> make_s3_upload(S3StateRef state, std::string key) {
    return std::make_unique<S3Upload>(std::move(state), std::move(key));
}

}  // namespace millrace::lts
