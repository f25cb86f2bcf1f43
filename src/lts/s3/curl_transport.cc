#include "lts/s3/curl_transport.h"

#include <algorithm>
#include <charconv>
#include <list>
#include <map>
#include <mutex>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <curl/curl.h>
#include <fmt/format.h>

#include "base/assert.h"

namespace millrace::lts {
namespace {

namespace asio = boost::asio;
using Descriptor = asio::posix::stream_descriptor;

constexpr std::size_t kFirstBuffer = std::size_t{16} << 10;
constexpr std::size_t kHeaderBytesMax = std::size_t{64} << 10;

void initialise_once() {
    static std::once_flag once;
    std::call_once(once, [] { MILLRACE_ASSERT(curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK); });
}

// A socket of curl's that somebody waits for. Shared with the waits; `removed` when curl wants no more of it.
struct Watch {
    Watch(asio::io_context& context, curl_socket_t number) : stream(context, number) {}

    Descriptor stream;
    int wanted = CURL_POLL_NONE;
    bool reading = false;
    bool writing = false;
    bool removed = false;
};

using WatchRef = std::shared_ptr<Watch>;

// One exchange. curl keeps a pointer to it, so it stays where it is.
struct Transfer {
    HttpRequest request;
    runtime::Callback<Result<HttpResponse>> done;
    CURL* easy = nullptr;
    curl_slist* fields = nullptr;
    char failure[CURL_ERROR_SIZE] = {};

    bool begun = false;     // the request is on its way
    std::size_t slice = 0;  // of the body, what is sent next
    std::size_t slice_offset = 0;

    HttpResponse response;
    std::size_t header_bytes = 0;
    bytes::SlabRef buffer;
    std::size_t received = 0;
    bool too_large = false;

    ~Transfer() {
        if (easy != nullptr) curl_easy_cleanup(easy);
        curl_slist_free_all(fields);
    }
};

std::size_t on_send(char* target, std::size_t size, std::size_t count, void* context) {
    auto& transfer = *static_cast<Transfer*>(context);
    const auto& slices = transfer.request.body.slices();
    std::size_t room = size * count;
    std::size_t sent = 0;
    while (sent < room && transfer.slice < slices.size()) {
        const bytes::Slice& slice = slices[transfer.slice];
        std::size_t step = std::min(room - sent, slice.size() - transfer.slice_offset);
        std::memcpy(target + sent, slice.data() + transfer.slice_offset, step);
        sent += step;
        transfer.slice_offset += step;
        if (transfer.slice_offset < slice.size()) break;
        ++transfer.slice;
        transfer.slice_offset = 0;
    }
    return sent;
}

// Called before each request that goes out. When a kept connection breaks, curl would send the request again by itself,
// and nobody would know that it may have been carried out twice: whether to repeat is the client's decision.
int on_begin(void* context, char*, char*, int, int) {
    auto& transfer = *static_cast<Transfer*>(context);
    return std::exchange(transfer.begun, true) ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

// curl takes a body from its beginning again when it has sent a part of it in vain.
int on_seek(void* context, curl_off_t offset, int origin) {
    auto& transfer = *static_cast<Transfer*>(context);
    if (origin != SEEK_SET || offset < 0) return CURL_SEEKFUNC_CANTSEEK;
    auto rest = static_cast<std::size_t>(offset);
    const auto& slices = transfer.request.body.slices();
    transfer.slice = 0;
    while (transfer.slice < slices.size() && rest >= slices[transfer.slice].size())
        rest -= slices[transfer.slice++].size();
    transfer.slice_offset = rest;
    return transfer.slice == slices.size() && rest > 0 ? CURL_SEEKFUNC_FAIL : CURL_SEEKFUNC_OK;
}

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* context) {
    auto& transfer = *static_cast<Transfer*>(context);
    std::string_view line(data, size * count);
    if (line.starts_with("HTTP/")) {  // a new reply: after "100 Continue", say
        transfer.response.headers.clear();
        transfer.header_bytes = 0;
    }
    transfer.header_bytes += line.size();
    if (transfer.header_bytes > kHeaderBytesMax) {
        transfer.too_large = true;
        return 0;
    }
    std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return line.size();
    std::string name(line.substr(0, colon));
    for (char& c : name) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && static_cast<unsigned char>(value.front()) <= ' ') value.remove_prefix(1);
    while (!value.empty() && static_cast<unsigned char>(value.back()) <= ' ') value.remove_suffix(1);
    transfer.response.headers.emplace_back(std::move(name), value);
    return line.size();
}

// Memory follows what has arrived, not what the peer announces; but a reply of announced and allowed size gets one
// buffer, so that a range read is not copied.
bool make_room(Transfer& transfer, std::size_t size) {
    std::size_t needed = transfer.received + size;
    if (needed > transfer.request.response_size_max) return false;
    if (transfer.buffer && needed <= transfer.buffer->capacity()) return true;
    std::size_t wanted = std::max({needed, transfer.received * 2, kFirstBuffer});
    if (!transfer.buffer) {
        std::uint64_t announced = 0;
        std::string_view text = transfer.response.header("content-length");
        std::from_chars(text.data(), text.data() + text.size(), announced);
        wanted = std::max<std::uint64_t>(wanted, announced);
    }
    wanted = std::min(wanted, std::max(needed, transfer.request.response_size_max));
    bytes::SlabRef larger = bytes::Slab::allocate(wanted);
    if (transfer.received > 0) std::memcpy(larger->data(), transfer.buffer->data(), transfer.received);
    transfer.buffer = std::move(larger);
    return true;
}

std::size_t on_receive(char* data, std::size_t size, std::size_t count, void* context) {
    auto& transfer = *static_cast<Transfer*>(context);
    std::size_t total = size * count;
    if (!make_room(transfer, total)) {
        transfer.too_large = true;
        return 0;
    }
    std::memcpy(transfer.buffer->data() + transfer.received, data, total);
    transfer.received += total;
    return total;
}

class CurlTransport final : public HttpTransport {
  public:
    CurlTransport(runtime::CoreLoop& loop, const S3Options& options) : loop_(loop), options_(options) {
        initialise_once();
        multi_ = curl_multi_init();
        MILLRACE_ASSERT(multi_ != nullptr);
        curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &CurlTransport::on_socket);
        curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
        curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &CurlTransport::on_timer);
        curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
        curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(options_.requests_max));
    }
    ~CurlTransport() override {
        close();
        *alive_ = false;
        curl_multi_cleanup(multi_);
        for (auto& [number, watch] : watches_) forget(*watch);
        loop_.cancel(timer_);
    }

    void send(HttpRequest request, runtime::Callback<Result<HttpResponse>> done) override {
        if (closed_) return complete(std::move(done), fail(Errc::kClosed, "long-term storage is closed"));
        Transfer& transfer = transfers_.emplace_back();
        transfer.request = std::move(request);
        transfer.done = std::move(done);
        if (prepare(transfer) && curl_multi_add_handle(multi_, transfer.easy) == CURLM_OK) return;
        complete(std::move(transfer.done), fail(Errc::kUnavailable, "curl cannot start a request"));
        transfers_.pop_back();
    }

    void close() override {
        closed_ = true;
        while (!transfers_.empty()) {
            Transfer& transfer = transfers_.front();
            curl_multi_remove_handle(multi_, transfer.easy);
            complete(std::move(transfer.done), fail(Errc::kClosed, "long-term storage is closed"));
            transfers_.pop_front();
        }
    }

  private:
    void complete(runtime::Callback<Result<HttpResponse>> done, Result<HttpResponse> result) {
        loop_.post([done = std::move(done), result = std::move(result)]() mutable { done(std::move(result)); });
    }

    bool prepare(Transfer& transfer) {
        CURL* easy = transfer.easy = curl_easy_init();
        if (easy == nullptr) return false;
        const HttpRequest& request = transfer.request;
        for (const auto& [name, value] : request.headers)
            transfer.fields = curl_slist_append(transfer.fields, (name + ": " + value).c_str());
        transfer.fields = curl_slist_append(transfer.fields, "Expect:");
        std::string url = request.origin + request.target;
        curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
        curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
        curl_easy_setopt(easy, CURLOPT_PROXY, options_.proxy.c_str());
        curl_easy_setopt(easy, CURLOPT_USERAGENT, "millrace");
        if (!options_.ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, options_.ca_file.c_str());
        curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout.count()));
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer.fields);
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.failure);
        curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
        curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, &on_begin);
        curl_easy_setopt(easy, CURLOPT_PREREQDATA, &transfer);
        curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &on_header);
        curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &on_receive);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
        if (request.method == "HEAD") {
            curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        } else if (request.method == "PUT" || request.method == "POST") {
            curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
            curl_easy_setopt(easy, CURLOPT_READFUNCTION, &on_send);
            curl_easy_setopt(easy, CURLOPT_READDATA, &transfer);
            curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, &on_seek);
            curl_easy_setopt(easy, CURLOPT_SEEKDATA, &transfer);
            curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
            curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 512L * 1024);
            curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
        } else {
            curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L * 1024);
            curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
        }
        return true;
    }

    static int on_socket(CURL*, curl_socket_t number, int what, void* context, void*) {
        static_cast<CurlTransport*>(context)->watch(number, what);
        return 0;
    }

    void watch(curl_socket_t number, int what) {
        auto found = watches_.find(number);
        if (what == CURL_POLL_REMOVE) {
            if (found == watches_.end()) return;
            forget(*found->second);
            watches_.erase(found);
            return;
        }
        if (found == watches_.end())
            found = watches_.emplace(number, std::make_shared<Watch>(loop_.context(), number)).first;
        found->second->wanted = what;
        wait(found->second);
    }

    // The socket stays curl's: it is let go, not closed.
    static void forget(Watch& watch) {
        watch.removed = true;
        watch.stream.release();
    }

    void wait(const WatchRef& watch) {
        if ((watch->wanted & CURL_POLL_IN) != 0 && !std::exchange(watch->reading, true)) {
            watch->stream.async_wait(Descriptor::wait_read,
                                     [this, alive = alive_, watch](const boost::system::error_code& error) {
                                         watch->reading = false;
                                         if (*alive) ready(watch, CURL_CSELECT_IN, error);
                                     });
        }
        if ((watch->wanted & CURL_POLL_OUT) != 0 && !std::exchange(watch->writing, true)) {
            watch->stream.async_wait(Descriptor::wait_write,
                                     [this, alive = alive_, watch](const boost::system::error_code& error) {
                                         watch->writing = false;
                                         if (*alive) ready(watch, CURL_CSELECT_OUT, error);
                                     });
        }
    }

    void ready(const WatchRef& watch, int how, const boost::system::error_code& error) {
        if (watch->removed || error == asio::error::operation_aborted) return;
        runtime::CoreLoop::Held held(loop_);
        int wanted = how == CURL_CSELECT_IN ? CURL_POLL_IN : CURL_POLL_OUT;
        if (error || (watch->wanted & wanted) != 0)
            drive(watch->stream.native_handle(), error ? CURL_CSELECT_ERR : how);
        if (!watch->removed && !error) wait(watch);
    }

    static int on_timer(CURLM*, long delay_ms, void* context) {
        static_cast<CurlTransport*>(context)->set_timer(delay_ms);
        return 0;
    }

    // Never acts at once: curl may be in the middle of something.
    void set_timer(long delay_ms) {
        loop_.cancel(timer_);
        timer_ = {};
        if (delay_ms < 0) return;
        timer_ = loop_.call_after(std::chrono::milliseconds(delay_ms), [this, alive = alive_] {
            if (*alive) drive(CURL_SOCKET_TIMEOUT, 0);
        });
    }

    void drive(curl_socket_t number, int how) {
        int running = 0;
        curl_multi_socket_action(multi_, number, how, &running);
        int waiting = 0;
        while (CURLMsg* message = curl_multi_info_read(multi_, &waiting)) {
            if (message->msg != CURLMSG_DONE) continue;
            Transfer* transfer = nullptr;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
            CURLcode code = message->data.result;
            curl_multi_remove_handle(multi_, transfer->easy);
            finish(*transfer, code);
            transfers_.remove_if([&](const Transfer& other) { return &other == transfer; });
        }
    }

    void finish(Transfer& transfer, CURLcode code) {
        if (transfer.too_large)
            return complete(std::move(transfer.done), fail(Errc::kLimit, "the reply is larger than was asked for"));
        if (code != CURLE_OK) {
            if (code == CURLE_ABORTED_BY_CALLBACK)
                return complete(std::move(transfer.done), fail(Errc::kUnavailable, "the connection broke"));
            const char* why = transfer.failure[0] != '\0' ? transfer.failure : curl_easy_strerror(code);
            return complete(std::move(transfer.done), fail(Errc::kUnavailable, why));
        }
        long status = 0;
        curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &status);
        transfer.response.status = static_cast<int>(status);
        if (transfer.received > 0)
            transfer.response.body = bytes::Slice(std::move(transfer.buffer), 0, transfer.received);
        complete(std::move(transfer.done), std::move(transfer.response));
    }

    runtime::CoreLoop& loop_;
    const S3Options options_;
    CURLM* multi_ = nullptr;
    std::list<Transfer> transfers_;
    std::map<curl_socket_t, WatchRef> watches_;
    runtime::TimerId timer_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    bool closed_ = false;
};

}  // namespace

std::unique_ptr<HttpTransport> make_curl_transport(runtime::CoreLoop& loop, const S3Options& options) {
    return std::make_unique<CurlTransport>(loop, options);
}

}  // namespace millrace::lts
