// For tests: a blocking TCP client, and polling with a bound.
#pragma once

#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace millrace::net {

template <typename Condition>
bool eventually(Condition condition) {
    auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > until) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

class TestClient {
  public:
    explicit TestClient(std::uint16_t port) : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        timeval timeout{20, 0};
        ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
        ::setsockopt(descriptor_, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::connect(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    }
    TestClient(TestClient&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
    TestClient& operator=(TestClient&&) = delete;
    ~TestClient() { close(); }

    // How many bytes the kernel took, all of them where nothing is wrong.
    std::size_t send(std::string_view data, int flags = 0) {
        std::size_t done = 0;
        while (done < data.size()) {
            ssize_t count = ::send(descriptor_, data.data() + done, data.size() - done, flags | MSG_NOSIGNAL);
            if (count <= 0) break;
            done += static_cast<std::size_t>(count);
        }
        return done;
    }

    // Up to `size` bytes; fewer at the end of the stream. error() tells a reset from an end.
    std::string receive(std::size_t size) {
        std::string data(size, '\0');
        std::size_t done = 0;
        error_ = 0;
        while (done < size) {
            ssize_t count = ::recv(descriptor_, data.data() + done, size - done, 0);
            if (count < 0) error_ = errno;
            if (count <= 0) break;
            done += static_cast<std::size_t>(count);
        }
        data.resize(done);
        return data;
    }
    int error() const { return error_; }
    bool at_end() { return receive(1).empty() && error_ == 0; }

    void end_own_half() { ::shutdown(descriptor_, SHUT_WR); }
    void close() {
        if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
    }
    void reset() {
        linger hard{1, 0};
        ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        close();
    }

  private:
    int descriptor_;
    int error_ = 0;
};

}  // namespace millrace::net
