// Puts a FakeS3 behind a real socket on 127.0.0.1, one thread a connection: for the tests of what only a socket shows.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "lts/testing/fake_s3.h"

namespace millrace::lts {

class FakeHttpServer {
  public:
    explicit FakeHttpServer(FakeS3& server);
    ~FakeHttpServer();
    FakeHttpServer(const FakeHttpServer&) = delete;
    FakeHttpServer& operator=(const FakeHttpServer&) = delete;

    std::uint16_t port() const { return port_; }
    std::string endpoint() const { return "http://127.0.0.1:" + std::to_string(port_); }
    void with(const std::function<void(FakeS3&)>& use);  // any thread
    std::size_t connections() const { return connections_; }
    void drop_connections();  // as a server that restarts

  private:
    void accept_all();
    void serve(int socket);
    bool exchange(int socket, std::string& input);

    FakeS3& server_;
    std::mutex mutex_;
    int listener_ = -1;
    std::uint16_t port_ = 0;
    std::atomic<std::size_t> connections_{0};
    std::atomic<bool> stopping_{false};
    std::vector<int> sockets_;
    std::vector<std::thread> threads_;
    std::thread acceptor_;
};

}  // namespace millrace::lts
