#include "net/listener.h"

#include <atomic>
#include <cerrno>
#include <cstring>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

namespace millrace::net {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr int kAcceptsPerTurn = 64;
constexpr std::chrono::milliseconds kPauseWithoutDescriptors{100};
constexpr std::chrono::seconds kWarnEvery{10};

std::string to_text(const tcp::endpoint& endpoint) {
    std::string address = endpoint.address().to_string();
    return endpoint.address().is_v6() ? fmt::format("[{}]:{}", address, endpoint.port())
                                      : fmt::format("{}:{}", address, endpoint.port());
}

Result<tcp::endpoint> parse(const ListenerOptions& options) {
    std::string text = options.address == "localhost" ? "127.0.0.1" : options.address;
    error_code error;
    auto address = asio::ip::make_address(text, error);
    if (error) {
        return fail(Errc::kInvalidArgument,
                    fmt::format("not an IPv4 or IPv6 address, nor localhost: {}", options.address));
    }
    return tcp::endpoint(address, options.port);
}

Error listen_error(int error, const tcp::endpoint& endpoint, const ListenerOptions& options) {
    std::string where = to_text(endpoint);
    std::string change = options.flag.empty() ? "" : fmt::format(" with {}", options.flag);
    switch (error) {
        case EADDRINUSE:
            return {Errc::kExists,
                    fmt::format("address already in use: {}; another server runs there, or choose another{}", where,
                                change)};
        case EACCES:
            return {Errc::kInvalidArgument,
                    fmt::format("not permitted to listen on {}; choose a port above 1023{}", where, change)};
        case EADDRNOTAVAIL:
            return {Errc::kInvalidArgument,
                    fmt::format("this machine has no address {}", endpoint.address().to_string())};
        default:
            return {Errc::kIo, fmt::format("cannot listen on {}: {}", where, std::strerror(error))};
    }
}

// A listening, non-blocking descriptor.
Result<Socket> listen_on(tcp::endpoint& endpoint, const ListenerOptions& options) {
    int descriptor = ::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return fail(listen_error(errno, endpoint, options));
    Socket socket(descriptor, "");
    int on = 1;
    int off = 0;
    ::setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (endpoint.address().is_v6()) ::setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (::bind(descriptor, endpoint.data(), static_cast<socklen_t>(endpoint.size())) != 0 ||
        ::listen(descriptor, options.backlog) != 0) {
        return fail(listen_error(errno, endpoint, options));
    }
    auto size = static_cast<socklen_t>(endpoint.capacity());
    if (::getsockname(descriptor, endpoint.data(), &size) != 0) return fail(listen_error(errno, endpoint, options));
    endpoint.resize(size);
    return socket;
}

// A reply must not wait for the next one, and a peer that vanished without a word must not stay for ever.
void prepare(int descriptor) {
    int on = 1;
    int idle_s = 60;
    int interval_s = 10;
    int probes = 6;
    ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    ::setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    ::setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    ::setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

bool out_of_resources(int error) { return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM; }

}  // namespace

struct Listener::Impl : std::enable_shared_from_this<Listener::Impl> {
    Impl(runtime::CoreLoop& l, Choose c, Accept a)
        : loop(l), choose(std::move(c)), accept(std::make_shared<Accept>(std::move(a))), stream(l.context()) {}

    void wait();
    void accept_some();
    bool accept_one();
    void pause(int error);

    runtime::CoreLoop& loop;
    tcp::endpoint endpoint;
    std::string address;
    Choose choose;
    std::shared_ptr<Accept> accept;
    asio::posix::stream_descriptor stream;
    std::chrono::steady_clock::time_point next_warning{};
    std::atomic<std::uint64_t> pauses{0};
};

void Listener::Impl::wait() {
    if (!stream.is_open()) return;
    stream.async_wait(asio::posix::stream_descriptor::wait_read, [self = shared_from_this()](const error_code& error) {
        if (error) return;
        runtime::CoreLoop::Held held(self->loop);
        self->accept_some();
    });
}

void Listener::Impl::accept_some() {
    for (int i = 0; i < kAcceptsPerTurn; ++i) {
        if (accept_one()) continue;
        if (out_of_resources(errno)) return pause(errno);
        break;
    }
    wait();
}

// False, with errno, when there is nothing to accept or no means to do so.
bool Listener::Impl::accept_one() {
    tcp::endpoint peer;
    auto size = static_cast<socklen_t>(peer.capacity());
    int descriptor = ::accept4(stream.native_handle(), peer.data(), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor < 0) {
        // Other errors are those of one connection that broke while it waited: the next one may be fine.
        return errno != EAGAIN && errno != EWOULDBLOCK && errno != EBADF && errno != EINVAL && !out_of_resources(errno);
    }
    peer.resize(size);
    prepare(descriptor);
    runtime::CoreLoop& home = choose();
    home.post([&home, accept = accept, socket = Socket(descriptor, to_text(peer))]() mutable {
        (*accept)(home, std::move(socket));
    });
    return true;
}

void Listener::Impl::pause(int error) {
    pauses.fetch_add(1, std::memory_order_relaxed);
    auto now = loop.clock().now();
    if (now >= next_warning) {
        next_warning = now + kWarnEvery;
        log::warn(
            "cannot accept connections on {}: {}; trying again every {} ms (raise the limit of open files, ulimit -n)",
            address, std::strerror(error), kPauseWithoutDescriptors.count());
    }
    loop.call_after(kPauseWithoutDescriptors, [self = shared_from_this()] {
        if (self->stream.is_open()) self->accept_some();
    });
}

Listener::Listener(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Listener::~Listener() { close(); }

Result<std::unique_ptr<Listener>> Listener::open(runtime::CoreLoop& loop, const ListenerOptions& options, Choose choose,
                                                 Accept accept) {
    auto endpoint = parse(options);
    if (!endpoint) return fail(endpoint.error());
    auto socket = listen_on(*endpoint, options);
    if (!socket) return fail(socket.error());
    auto impl = std::make_shared<Impl>(loop, std::move(choose), std::move(accept));
    impl->endpoint = *endpoint;
    impl->address = to_text(*endpoint);
    error_code error;
    (void)impl->stream.assign(socket->descriptor(), error);
    if (error) return fail(listen_error(error.value(), *endpoint, options));
    (void)socket->release();
    loop.post([impl] { impl->wait(); });
    return std::unique_ptr<Listener>(new Listener(std::move(impl)));
}

std::uint16_t Listener::port() const { return impl_->endpoint.port(); }
const std::string& Listener::address() const { return impl_->address; }
std::uint64_t Listener::pauses() const { return impl_->pauses.load(std::memory_order_relaxed); }

void Listener::close() {
    impl_->loop.post([impl = impl_] {
        error_code ignored;
        (void)impl->stream.close(ignored);
    });
}

}  // namespace millrace::net
