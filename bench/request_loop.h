// A closed loop of requests over some connections: each keeps a window of requests under way and sends the next when an
// answer has come. What is asked and what an answer means is the load's business.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bytes/binary.h"
#include "wire/frame.h"

namespace millrace::bench {

class RequestLoad {
  public:
    virtual ~RequestLoad() = default;
    // Encodes the next request of that connection; false: it has none for now (until an answer has come, or for good).
    virtual bool next(std::size_t connection, bytes::Writer& out) = 0;
    // A complete answer. False: it is not what was expected; the loop ends with an error.
    virtual bool answered(std::size_t connection, const wire::Frame& answer) = 0;
};

class RequestLoop {
  public:
    RequestLoop(const std::string& host, int port, std::size_t connections, std::size_t window);
    ~RequestLoop();
    RequestLoop(const RequestLoop&) = delete;
    RequestLoop& operator=(const RequestLoop&) = delete;

    // Until `seconds` are over and all is answered, or no connection has a request. Returns the seconds that it took;
    // exits with a message when the server refuses something or closes.
    double run(RequestLoad& load, double seconds);

  private:
    struct Connection {
        int fd = -1;
        std::vector<std::uint8_t> in;
        std::size_t used = 0;
        std::vector<std::uint8_t> out;
        std::size_t out_sent = 0;
        std::size_t under_way = 0;
        bool writing = false;
    };
    void send_some(std::size_t number);
    void receive(std::size_t number, RequestLoad& load);

    std::size_t window_;
    std::vector<std::unique_ptr<Connection>> connections_;
    int epoll_ = -1;
};

}  // namespace millrace::bench
