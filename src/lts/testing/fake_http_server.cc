#include "lts/testing/fake_http_server.h"

#include <algorithm>
#include <charconv>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"

namespace millrace::lts {
namespace {

bool receive_more(int socket, std::string& input) {
    char part[65536];
    ssize_t count = ::recv(socket, part, sizeof part, 0);
    if (count <= 0) return false;
    input.append(part, static_cast<std::size_t>(count));
    return true;
}

bool send_all(int socket, std::string_view data) {
    while (!data.empty()) {
        ssize_t count = ::send(socket, data.data(), data.size(), MSG_NOSIGNAL);
        if (count <= 0) return false;
        data.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
}

HttpRequest parse_head(std::string_view head) {
    HttpRequest request;
    std::size_t space = head.find(' ');
    request.method = head.substr(0, space);
    request.target = head.substr(space + 1, head.find(' ', space + 1) - space - 1);
    for (std::size_t at = head.find("\r\n"); at != head.npos && at + 2 < head.size();) {
        std::size_t end = std::min(head.find("\r\n", at + 2), head.size());
        std::string_view line = head.substr(at + 2, end - at - 2);
        std::size_t colon = line.find(':');
        std::string name(line.substr(0, colon));
        std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
        if (colon != line.npos) request.headers.emplace_back(name, line.substr(std::min(colon + 2, line.size())));
        at = end;
    }
    return request;
}

std::size_t body_size(const HttpRequest& request) {
    std::size_t size = 0;
    for (const auto& [name, value] : request.headers) {
        if (name == "content-length") std::from_chars(value.data(), value.data() + value.size(), size);
    }
    return size;
}

}  // namespace

FakeHttpServer::FakeHttpServer(FakeS3& server) : server_(server) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    MILLRACE_ASSERT(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    MILLRACE_ASSERT(::listen(listener_, 64) == 0);
    socklen_t size = sizeof address;
    MILLRACE_ASSERT(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
}

FakeHttpServer::~FakeHttpServer() {
    stopping_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    ::close(listener_);
    drop_connections();
    for (std::thread& thread : threads_) thread.join();
}

void FakeHttpServer::with(const std::function<void(FakeS3&)>& use) {
    std::lock_guard lock(mutex_);
    use(server_);
}

void FakeHttpServer::drop_connections() {
    std::lock_guard lock(mutex_);
    for (int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
}

void FakeHttpServer::accept_all() {
    while (!stopping_) {
        int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (socket < 0) continue;
        ++connections_;
        std::lock_guard lock(mutex_);
        sockets_.push_back(socket);
        threads_.emplace_back([this, socket] { serve(socket); });
    }
}

void FakeHttpServer::serve(int socket) {
    std::string input;
    while (!stopping_ && exchange(socket, input)) {
    }
    std::lock_guard lock(mutex_);
    std::erase(sockets_, socket);
    ::close(socket);
}

bool FakeHttpServer::exchange(int socket, std::string& input) {
    std::size_t head_end;
    while ((head_end = input.find("\r\n\r\n")) == input.npos) {
        if (!receive_more(socket, input)) return false;
    }
    HttpRequest request = parse_head(std::string_view(input).substr(0, head_end));
    std::size_t total = head_end + 4 + body_size(request);
    while (input.size() < total) {
        if (!receive_more(socket, input)) return false;
    }
    std::string_view body = std::string_view(input).substr(head_end + 4, total - head_end - 4);
    request.body = bytes::Chain(bytes::Slice::copy_of(bytes::as_bytes(body)));
    input.erase(0, total);
    FakeS3::Reply reply;
    with([&](FakeS3& server) { reply = server.handle(request); });
    std::this_thread::sleep_for(reply.delay);
    if (reply.delivery == FakeS3::Reply::Delivery::kNone) return false;
    std::string head = fmt::format("HTTP/1.1 {} Told\r\n", reply.response.status);
    bool sized = false;
    for (const auto& [name, value] : reply.response.headers) {
        head += name + ": " + value + "\r\n";
        sized = sized || name == "content-length";
    }
    std::string_view text = bytes::as_text(reply.response.body.span());
    if (!sized && reply.response.status != 204) head += fmt::format("content-length: {}\r\n", text.size());
    if (!send_all(socket, head + "\r\n")) return false;
    bool half = reply.delivery == FakeS3::Reply::Delivery::kHalf;
    return send_all(socket, half ? text.substr(0, text.size() / 2) : text) && !half;
}

}  // namespace millrace::lts
