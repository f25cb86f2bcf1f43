#include "request_loop.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer_socket.h"
#include "wire/codec.h"

namespace millrace::bench {
namespace {

constexpr std::size_t kReceiveBytes = 4 << 20;

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "bench: %s: %s\n", what, std::strerror(errno));
    std::exit(1);
}

}  // namespace

RequestLoop::RequestLoop(const std::string& host, int port, std::size_t connections, std::size_t window)
    : window_(window), epoll_(epoll_create1(0)) {
    for (std::size_t i = 0; i < connections; ++i) {
        auto made = std::make_unique<Connection>();
        made->fd = connect_to(host, port);
        made->in.resize(kReceiveBytes);
        bytes::Writer out(made->out);
        wire::encode(wire::Hello{}, out);
        set_nonblocking(made->fd);
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.u64 = i;
        epoll_ctl(epoll_, EPOLL_CTL_ADD, made->fd, &event);
        connections_.push_back(std::move(made));
    }
}

RequestLoop::~RequestLoop() {
    for (auto& connection : connections_) close(connection->fd);
    close(epoll_);
}

double RequestLoop::run(RequestLoad& load, double seconds) {
    std::uint64_t begin = now_us();
    std::uint64_t end = begin + static_cast<std::uint64_t>(seconds * 1e6);
    std::vector<epoll_event> events(64);
    for (;;) {
        bool over = now_us() >= end;
        std::size_t under_way = 0;
        for (std::size_t i = 0; i < connections_.size(); ++i) {
            Connection& connection = *connections_[i];
            bytes::Writer out(connection.out);
            while (!over && connection.under_way < window_ && load.next(i, out)) ++connection.under_way;
            under_way += connection.under_way;
            send_some(i);
        }
        if (under_way == 0) return static_cast<double>(now_us() - begin) / 1e6;
        if (now_us() > end + 60'000'000) fail("requests stay unanswered");
        int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 100);
        for (int i = 0; i < n; ++i) receive(events[static_cast<std::size_t>(i)].data.u64, load);
    }
}

void RequestLoop::send_some(std::size_t number) {
    Connection& connection = *connections_[number];
    bool blocked = false;
    while (connection.out_sent < connection.out.size() && !blocked) {
        ssize_t n = send(connection.fd, connection.out.data() + connection.out_sent,
                         connection.out.size() - connection.out_sent, MSG_NOSIGNAL);
        blocked = n < 0 && errno == EAGAIN;
        if (n <= 0 && !blocked) fail("send");
        if (n > 0) connection.out_sent += static_cast<std::size_t>(n);
    }
    if (!blocked) {
        connection.out.clear();
        connection.out_sent = 0;
    }
    if (blocked == connection.writing) return;
    connection.writing = blocked;
    epoll_event event{};
    event.events = EPOLLIN | (blocked ? static_cast<std::uint32_t>(EPOLLOUT) : 0U);
    event.data.u64 = number;
    epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &event);
}

void RequestLoop::receive(std::size_t number, RequestLoad& load) {
    Connection& connection = *connections_[number];
    ssize_t n = recv(connection.fd, connection.in.data() + connection.used, connection.in.size() - connection.used, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) fail("the server closed the connection");
    connection.used += static_cast<std::size_t>(n);
    wire::FrameParser frames(bytes::ByteSpan(connection.in.data(), connection.used));
    for (auto frame = frames.next(); frame && *frame; frame = frames.next()) {
        if ((*frame)->type == wire::CommandType::kHello) continue;
        if (!load.answered(number, **frame)) {
            std::fprintf(stderr, "bench: a request is answered with %d\n", static_cast<int>((*frame)->type));
            std::exit(1);
        }
        --connection.under_way;
    }
    std::memmove(connection.in.data(), connection.in.data() + frames.consumed(), connection.used - frames.consumed());
    connection.used -= frames.consumed();
}

}  // namespace millrace::bench
