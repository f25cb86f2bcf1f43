// Listener: accepts TCP connections on one address and hands each socket to a core loop. Runs on one loop; the sockets
// go where `choose` says (round robin, say). Out of descriptors, it waits a moment and keeps serving.
//
//   auto listener = Listener::open(loop, {.address = "127.0.0.1", .port = 6000, .flag = "--store-port"},
//                                  [&]() -> CoreLoop& { return next_loop(); },
//                                  [&](CoreLoop& home, Socket socket) { serve(home, std::move(socket)); });
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "net/socket.h"
#include "runtime/core_loop.h"

namespace millrace::net {

struct ListenerOptions {
    std::string address = "127.0.0.1";  // IPv4 or IPv6 literal, or "localhost"
    std::uint16_t port = 0;             // 0: any free one, see Listener::port()
    std::string flag;                   // what the user changes to get another port, for the error message
    int backlog = 1024;
};

class Listener {
  public:
    using Choose = std::function<runtime::CoreLoop&()>;  // on the listener's loop
    using Accept =
        std::function<void(runtime::CoreLoop& home, Socket socket)>;  // on `home`: several threads may be in it

    // Binds and listens before it returns; any thread. kExists when the port is taken.
    static Result<std::unique_ptr<Listener>> open(runtime::CoreLoop& loop, const ListenerOptions& options,
                                                  Choose choose, Accept accept);
    ~Listener();  // any thread; the loop must still exist
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    std::uint16_t port() const;
    const std::string& address() const;  // "127.0.0.1:6000"

    // Any thread: how often accepting had to wait because descriptors (or memory) had run out.
    std::uint64_t pauses() const;

    // Any thread. Sockets that are on their way to their loop still arrive.
    void close();

  private:
    struct Impl;
    explicit Listener(std::shared_ptr<Impl> impl);
    std::shared_ptr<Impl> impl_;
};

}  // namespace millrace::net
