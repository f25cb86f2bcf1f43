// Socket: an open, non-blocking stream socket on its way from the listener to the loop that will serve it. Owns the
// descriptor.
#pragma once

#include <string>
#include <utility>

namespace millrace::net {

class Socket {
  public:
    Socket() = default;
    Socket(int descriptor, std::string peer) : descriptor_(descriptor), peer_(std::move(peer)) {}
    Socket(Socket&& other) noexcept
        : descriptor_(std::exchange(other.descriptor_, -1)), peer_(std::move(other.peer_)) {}
    Socket& operator=(Socket&& other) noexcept {
        std::swap(descriptor_, other.descriptor_);
        std::swap(peer_, other.peer_);
        return *this;
    }
    ~Socket();

    int descriptor() const { return descriptor_; }
    const std::string& peer() const { return peer_; }
    int release() { return std::exchange(descriptor_, -1); }

  private:
    int descriptor_ = -1;
    std::string peer_;
};

}  // namespace millrace::net
