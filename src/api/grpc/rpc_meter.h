// Counts calls by method and status, from gRPC's interception points, so that no method has to think of it. Its methods
// are those of the service's descriptor. Any thread. Included only by this room's .cc files.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <grpcpp/support/server_interceptor.h>

#include "api/grpc/rpc_stats.h"

namespace millrace::api {

class RpcMeter {
  public:
    static constexpr std::size_t kStatuses = 17;  // OK to UNAUTHENTICATED

    struct Method {
        std::string name;
        std::array<SharedCounter, kStatuses> by_status;
        SharedCounter begun;
        LatencyHistogram latency;
    };

    RpcMeter();

    Method* find(std::string_view path) const;  // "/package.Service/method"; null: not of this service
    std::vector<RpcStats> read() const;         // by name

  private:
    std::vector<std::unique_ptr<Method>> methods_;
    std::map<std::string, Method*, std::less<>> by_path_;
};

// For ServerBuilder; the meter outlives the server.
std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors(const RpcMeter& meter);

}  // namespace millrace::api
