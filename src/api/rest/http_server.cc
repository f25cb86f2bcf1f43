#include "api/rest/http_server.h"

#include <optional>
#include <set>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <sys/socket.h>

#include "base/assert.h"
#include "net/listener.h"

namespace millrace::rest {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using ErrorCode = beast::error_code;

namespace {

class Session;

constexpr std::size_t kLingerBytesMax = 4 << 20;
constexpr std::size_t kLingerPiece = 16 << 10;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace

// Shared by the server and its sessions; on the loop, but for listen().
struct HttpServer::State : std::enable_shared_from_this<HttpServer::State> {
    State(runtime::CoreLoop& core, HttpOptions settings, RequestHandler serve)
        : loop(core), options(std::move(settings)), handler(std::move(serve)) {}

    Result<std::uint16_t> listen();
    void accepted(net::Socket given);
    void stop(runtime::Task done);
    void gone(Session* session);
    void finish_stop();

    runtime::CoreLoop& loop;
    HttpOptions options;
    RequestHandler handler;
    std::unique_ptr<net::Listener> listener;
    std::set<Session*> sessions;
    bool stopping = false;
    runtime::Task stopped;
};

namespace {

http::status refusal_for(const ErrorCode& error) {
    if (error == http::error::header_limit) return http::status::request_header_fields_too_large;
    if (error == http::error::body_limit) return http::status::payload_too_large;
    return http::status::bad_request;
}

// A word of regret that costs nothing: what the socket takes at once, without waiting for the request. A session that
// refuses would read the request away, so that the answer is sure to arrive.
void say_busy(const net::Socket& socket) {
    constexpr std::string_view kBusy =
        "HTTP/1.1 503 Service Unavailable\r\nServer: millrace\r\nContent-Type: application/json\r\n"
        "Content-Length: 32\r\nConnection: close\r\n\r\n{\"error\":\"too many connections\"}";
    (void)::send(socket.descriptor(), kBusy.data(), kBusy.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)::shutdown(socket.descriptor(), SHUT_WR);
}

bool is_http_error(const ErrorCode& error) {
    static const auto& category = make_error_code(http::error::bad_method).category();
    return error.category() == category && error != http::error::end_of_stream && error != http::error::partial_message;
}

Method method_of(http::verb verb) {
    switch (verb) {
        case http::verb::get:
        case http::verb::head:
            return Method::kGet;
        case http::verb::post:
            return Method::kPost;
        case http::verb::put:
            return Method::kPut;
        case http::verb::delete_:
            return Method::kDelete;
        default:
            return Method::kOther;
    }
}

// One connection. Lives as long as an operation or a Respond holds it; the state only knows it by address.
class Session : public std::enable_shared_from_this<Session> {
  public:
    Session(std::shared_ptr<HttpServer::State> state, tcp::socket socket)
        : state_(std::move(state)),
          stream_(std::move(socket)),
          buffer_(2 * std::size_t{state_->options.header_bytes_max}) {}
    ~Session() { state_->gone(this); }

    void read_header();
    void refuse(http::status status, std::string_view reason);
    bool answering() const { return answering_; }
    void close() { stream_.close(); }

  private:
    void on_header(const ErrorCode& error);
    void read_body();
    void handle();
    void write(HttpResponse answer);
    void on_written(const ErrorCode& error);
    void linger();
    void read_and_drop(std::size_t dropped);
    void read_failed(const ErrorCode& error) {
        if (is_http_error(error)) refuse(refusal_for(error), error.message());
        // Else the peer is gone, or was too slow: the session dies with its last handler.
    }

    // Completion handlers: keep the session alive, and show the loop as held.
    template <typename F>
    auto bound(F function) {
        return [self = shared_from_this(), function](const ErrorCode& error, std::size_t size) {
            runtime::CoreLoop::Held held(self->state_->loop);
            function(*self, error, size);
        };
    }

    std::shared_ptr<HttpServer::State> state_;
    beast::tcp_stream stream_;
    beast::flat_buffer buffer_;
    std::optional<http::request_parser<http::dynamic_body>> parser_;
    http::response<http::string_body> response_;
    std::string dropped_;
    bool answering_ = false;
    bool keep_alive_ = false;
    bool head_ = false;
};

void Session::read_header() {
    parser_.emplace();
    parser_->header_limit(state_->options.header_bytes_max);
    parser_->body_limit(state_->options.body_bytes_max);
    stream_.expires_after(state_->options.timeout);
    auto done = bound([](Session& self, const ErrorCode& error, std::size_t) { self.on_header(error); });
    http::async_read_header(stream_, buffer_, *parser_, std::move(done));
}

void Session::on_header(const ErrorCode& error) {
    if (error) return read_failed(error);
    if (parser_->is_done()) return handle();
    if (!beast::iequals(parser_->get()[http::field::expect], "100-continue")) return read_body();
    auto done = bound([](Session& self, const ErrorCode& failure, std::size_t) {
        if (!failure) self.read_body();
    });
    asio::async_write(stream_, asio::buffer(kContinue.data(), kContinue.size()), std::move(done));
}

void Session::read_body() {
    auto done = bound([](Session& self, const ErrorCode& error, std::size_t) {
        if (error)
            self.read_failed(error);
        else
            self.handle();
    });
    http::async_read(stream_, buffer_, *parser_, std::move(done));
}

void Session::handle() {
    stream_.expires_never();
    const auto& message = parser_->get();
    keep_alive_ = message.keep_alive();
    head_ = message.method() == http::verb::head;
    answering_ = true;
    HttpRequest request;
    request.method = method_of(message.method());
    Result<> target = parse_target(std::string_view(message.target().data(), message.target().size()), request);
    if (!target) return write(HttpResponse::error(400, target.error().message()));
    request.body = beast::buffers_to_string(message.body().data());
    parser_.reset();
    state_->handler(std::move(request), [self = shared_from_this()](HttpResponse answer) {
        MILLRACE_ASSERT(self->answering_);
        self->write(std::move(answer));
    });
}

void Session::write(HttpResponse answer) {
    keep_alive_ = keep_alive_ && !state_->stopping;
    response_ = {};
    response_.version(11);
    response_.result(answer.status);
    response_.set(http::field::server, "millrace");
    if (!answer.content_type.empty()) response_.set(http::field::content_type, answer.content_type);
    if (!answer.allow.empty()) response_.set(http::field::allow, answer.allow);
    response_.keep_alive(keep_alive_);
    if (answer.status != 204) response_.content_length(answer.body.size());
    if (!head_) response_.body() = std::move(answer.body);
    stream_.expires_after(state_->options.timeout);
    auto done = bound([](Session& self, const ErrorCode& error, std::size_t) { self.on_written(error); });
    http::async_write(stream_, response_, std::move(done));
}

void Session::on_written(const ErrorCode& error) {
    answering_ = false;
    if (error) return;
    if (keep_alive_ && !state_->stopping) return read_header();
    linger();
}

void Session::refuse(http::status status, std::string_view reason) {
    keep_alive_ = false;
    head_ = false;
    write(HttpResponse::error(static_cast<std::uint16_t>(status), reason));
}

// A socket closed with unread bytes resets the connection, and the peer may lose the answer: read them away for a
// moment.
void Session::linger() {
    ErrorCode ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    stream_.expires_after(state_->options.linger);
    dropped_.resize(kLingerPiece);
    read_and_drop(0);
}

void Session::read_and_drop(std::size_t dropped) {
    if (dropped >= kLingerBytesMax) return;
    auto done = bound([dropped](Session& self, const ErrorCode& error, std::size_t size) {
        if (!error) self.read_and_drop(dropped + size);
    });
    stream_.async_read_some(asio::buffer(dropped_), std::move(done));
}

}  // namespace

Result<std::uint16_t> HttpServer::State::listen() {
    net::ListenerOptions where;
    where.address = options.address;
    where.port = options.port;
    where.flag = "--rest-port";
    auto choose = [core = &loop]() -> runtime::CoreLoop& { return *core; };
    auto accept = [weak = weak_from_this()](runtime::CoreLoop&, net::Socket socket) {
        if (auto state = weak.lock()) state->accepted(std::move(socket));
    };
    auto opened = net::Listener::open(loop, where, std::move(choose), std::move(accept));
    if (!opened) return fail(std::move(opened.error()));
    listener = std::move(*opened);
    return listener->port();
}

void HttpServer::State::accepted(net::Socket given) {
    std::size_t most = options.max_connections;
    if (stopping) return;
    if (sessions.size() >= most + most / 4 + 1) return say_busy(given);
    tcp::socket socket(loop.context());
    ErrorCode error;
    socket.assign(tcp::v4(), given.descriptor(), error);  // the protocol is only asked for when a socket is opened
    if (error) return;
    (void)given.release();
    auto session = std::make_shared<Session>(shared_from_this(), std::move(socket));
    sessions.insert(session.get());
    if (sessions.size() > most)
        session->refuse(http::status::service_unavailable, "too many connections");
    else
        session->read_header();
}

void HttpServer::State::stop(runtime::Task done) {
    MILLRACE_ASSERT(!stopping);
    stopping = true;
    stopped = std::move(done);
    if (listener != nullptr) listener->close();
    if (sessions.empty()) return finish_stop();
    for (Session* session : sessions) {
        if (!session->answering()) session->close();
    }
    std::weak_ptr<State> weak = weak_from_this();
    loop.call_after(options.drain_timeout, [weak] {
        auto state = weak.lock();
        if (!state) return;
        for (Session* session : state->sessions) session->close();
        state->finish_stop();
    });
}

void HttpServer::State::gone(Session* session) {
    sessions.erase(session);
    if (stopping && sessions.empty()) finish_stop();
}

void HttpServer::State::finish_stop() {
    if (stopped) loop.post(std::exchange(stopped, nullptr));
}

HttpServer::HttpServer(runtime::CoreLoop& loop, HttpOptions options, RequestHandler handler)
    : state_(std::make_shared<State>(loop, std::move(options), std::move(handler))) {}

HttpServer::~HttpServer() = default;

Result<std::uint16_t> HttpServer::listen() { return state_->listen(); }

void HttpServer::stop(runtime::Task stopped) {
    state_->loop.post([state = state_, stopped = std::move(stopped)]() mutable { state->stop(std::move(stopped)); });
}

}  // namespace millrace::rest
