// The controller's RPCs: gRPC in front of controller::Controller. Life cycle: start once, stop once. Thread rule: start
// and stop are called from any one thread but the controller's, and block (stop for its grace at most); calls run on
// gRPC's own few threads and never wait there: each is handed to the controller and finished by its callback. The
// controller outlives stop().
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "api/grpc/rpc_stats.h"
#include "base/error.h"
#include "controller/controller.h"

namespace millrace::api {

class GrpcServer {
  public:
    // kExists when the port is taken. `port` 0 takes a free one.
    static Result<std::unique_ptr<GrpcServer>> start(const std::string& host, std::uint16_t port,
                                                     controller::Controller& controller);
    ~GrpcServer();
    GrpcServer(const GrpcServer&) = delete;
    GrpcServer& operator=(const GrpcServer&) = delete;

    std::uint16_t port() const;
    std::vector<RpcStats> stats() const;  // of every method of the service, by name; any thread
    // Gives the calls under way that much time, then cuts off whatever is left with UNAVAILABLE.
    void stop(std::chrono::milliseconds grace = std::chrono::milliseconds(500));

  private:
    class Impl;
    explicit GrpcServer(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::api
