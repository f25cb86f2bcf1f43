#include "cli/rest_call.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <string_view>

#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

namespace millrace::cli {

namespace {

constexpr std::size_t kAnswerMax = 64 << 20;
constexpr std::string_view kScheme = "http://";

struct Place {
    std::string host;
    std::string port;
};

Result<Place> place_of(std::string_view base) {
    auto refused = [&] { return fail(Errc::kInvalidArgument, fmt::format("\"{}\" is not http://HOST:PORT", base)); };
    if (!base.starts_with(kScheme)) return refused();
    std::string_view rest = base.substr(kScheme.size());
    if (rest.ends_with('/')) rest.remove_suffix(1);
    std::size_t colon = rest.rfind(':');
    if (colon == std::string_view::npos || rest.find('/') != std::string_view::npos) return refused();
    std::string_view host = rest.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    Place place{std::string(host), std::string(rest.substr(colon + 1))};
    if (place.host.empty() || place.port.empty()) return refused();
    return place;
}

class Socket {
  public:
    explicit Socket(int fd) : fd_(fd) {}
    Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Socket& operator=(Socket&&) = delete;
    ~Socket() {
        if (fd_ >= 0) ::close(fd_);
    }
    int fd() const { return fd_; }

  private:
    int fd_;
};

Result<Socket> connect_to(const Place& place, std::chrono::seconds within) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    int failure = ::getaddrinfo(place.host.c_str(), place.port.c_str(), &hints, &found);
    if (failure != 0) return fail(Errc::kUnavailable, fmt::format("{}: {}", place.host, ::gai_strerror(failure)));
    std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, ::freeaddrinfo);
    int error = 0;
    for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
        Socket socket(::socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC, address->ai_protocol));
        timeval patience{within.count(), 0};
        ::setsockopt(socket.fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        ::setsockopt(socket.fd(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        if (::connect(socket.fd(), address->ai_addr, address->ai_addrlen) == 0) return socket;
        error = errno;
    }
    return fail(Errc::kUnavailable, std::strerror(error));
}

Result<std::string> exchange_text(const Socket& socket, std::string_view request) {
    while (!request.empty()) {
        ssize_t sent = ::send(socket.fd(), request.data(), request.size(), MSG_NOSIGNAL);
        if (sent < 0) return fail(Errc::kUnavailable, std::strerror(errno));
        request.remove_prefix(static_cast<std::size_t>(sent));
    }
    std::string answer;
    std::array<char, 16'384> part;
    while (true) {
        ssize_t size = ::recv(socket.fd(), part.data(), part.size(), 0);
        if (size < 0) return fail(Errc::kUnavailable, std::strerror(errno));
        if (size == 0) return answer;
        answer.append(part.data(), static_cast<std::size_t>(size));
        if (answer.size() > kAnswerMax) return fail(Errc::kCorrupt, "the answer does not end");
    }
}

}  // namespace

Result<RestAnswer> rest_get(const std::string& base, const std::string& path, std::chrono::seconds within) {
    auto place = place_of(base);
    if (!place) return fail(place.error());
    auto socket = connect_to(*place, within);
    if (!socket) return fail(socket.error().code(), fmt::format("{}: {}", base, socket.error().message()));
    // Of version 1.0: the answer ends with the connection, and comes in one piece.
    auto text = exchange_text(*socket, fmt::format("GET {} HTTP/1.0\r\nHost: {}\r\n\r\n", path, place->host));
    if (!text) return fail(text.error().code(), fmt::format("{}: {}", base, text.error().message()));
    RestAnswer answer;
    std::size_t space = text->find(' ');
    std::size_t head = text->find("\r\n\r\n");
    bool shaped = text->starts_with("HTTP/") && space != std::string::npos && head != std::string::npos;
    if (shaped) std::from_chars(text->data() + space + 1, text->data() + head, answer.status);
    if (answer.status < 100) return fail(Errc::kCorrupt, fmt::format("{} does not speak HTTP", base));
    answer.body = text->substr(head + 4);
    return answer;
}

}  // namespace millrace::cli
