#include "api/grpc/grpc_server.h"

#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/support/server_interceptor.h>

#include "api/grpc/rpc_meter.h"
#include "api/grpc/service.h"
#include "base/log.h"

namespace millrace::api {
namespace {

constexpr int kMaxMessageBytes = 4 << 20;
constexpr int kMaxThreads = 8;
constexpr std::size_t kMaxMemoryBytes = 64 << 20;
constexpr int kMaxCallsOfConnection = 1000;
constexpr int kLeastPingIntervalMs = 1000;

// gRPC has its own log; what matters of it comes back as results.
void log_of_grpc(gpr_log_func_args* line) { log::debug("grpc: {}", line->message); }

// Text that is no UTF-8 is its sender's business.
void log_of_protobuf(google::protobuf::LogLevel, const char*, int, const std::string& message) {
    log::debug("protobuf: {}", message);
}

// A request that cannot be decoded never comes to an RPC. gRPC answers it as if there were no such RPC, without a word.
class DamagedRequests final : public grpc::experimental::Interceptor {
  public:
    void Intercept(grpc::experimental::InterceptorBatchMethods* call) override {
        using Hook = grpc::experimental::InterceptionHookPoints;
        if (call->QueryInterceptionHookPoint(Hook::PRE_SEND_STATUS)) {
            grpc::Status status = call->GetSendStatus();
            bool unread = status.error_code() == grpc::StatusCode::UNIMPLEMENTED && status.error_message().empty();
            if (unread) call->ModifySendStatus(refusal());
        }
        call->Proceed();
    }

  private:
    static grpc::Status refusal() {
        return {grpc::StatusCode::INVALID_ARGUMENT,
                "the request is damaged: it is not a message of this call, or has text that is no UTF-8"};
    }
};

class DamagedRequestsFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
  public:
    grpc::experimental::Interceptor* CreateServerInterceptor(grpc::experimental::ServerRpcInfo* call) override {
        std::string_view path = call->method();
        const auto* service = v1::ScopeInfo::descriptor()->file()->FindServiceByName("ControllerService");
        std::string name(path.substr(path.rfind('/') + 1));
        bool known = service != nullptr && service->FindMethodByName(name) != nullptr;
        return known ? new DamagedRequests : nullptr;
    }
};

}  // namespace

class GrpcServer::Impl {
  public:
    explicit Impl(controller::Controller& controller) : rpcs_(controller) {}

    Result<> start(const std::string& host, std::uint16_t port) {
        std::string address =
            host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
        gpr_set_log_function(log_of_grpc);
        google::protobuf::SetLogHandler(log_of_protobuf);
        grpc::ResourceQuota quota("controller");
        quota.SetMaxThreads(kMaxThreads).Resize(kMaxMemoryBytes);
        grpc::ServerBuilder builder;
        int bound = 0;
        // The meter sees what is sent in the end.
        auto watching = interceptors(meter_);
        watching.insert(watching.begin(), std::make_unique<DamagedRequestsFactory>());
        builder.experimental().SetInterceptorCreators(std::move(watching));
        builder.SetResourceQuota(quota)
            .SetMaxReceiveMessageSize(kMaxMessageBytes)
            // A second server on the port is an error, not a silent share of its calls.
            .AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0)
            // Clients ping every six minutes, also without calls; none is sent away for that.
            .AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1)
            .AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kLeastPingIntervalMs)
            .AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxCallsOfConnection)
            .AddListeningPort(address, grpc::InsecureServerCredentials(), &bound)
            .RegisterService(&rpcs_);
        server_ = builder.BuildAndStart();
        if (server_ == nullptr || bound == 0) {
            return fail(Errc::kExists,
                        fmt::format("cannot listen on {} for the controller: the address is in use or not ours; "
                                    "another server runs there, or choose another with --controller-port",
                                    address));
        }
        port_ = static_cast<std::uint16_t>(bound);
        return {};
    }
    void stop(std::chrono::milliseconds grace) {
        if (server_ == nullptr) return;
        rpcs_.calls().wait_for_none(grace);
        rpcs_.calls().cut_off();
        server_->Shutdown(std::chrono::system_clock::now());
        server_->Wait();
        server_.reset();
    }
    std::uint16_t port() const { return port_; }
    std::vector<RpcStats> stats() const { return meter_.read(); }

  private:
    RpcMeter meter_;
    ControllerRpcs rpcs_;
    std::unique_ptr<grpc::Server> server_;
    std::uint16_t port_ = 0;
};

GrpcServer::GrpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GrpcServer::~GrpcServer() { stop(std::chrono::milliseconds(0)); }

Result<std::unique_ptr<GrpcServer>> GrpcServer::start(const std::string& host, std::uint16_t port,
                                                      controller::Controller& controller) {
    auto impl = std::make_unique<Impl>(controller);
    if (auto started = impl->start(host, port); !started) return std::unexpected(started.error());
    return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(impl)));
}

std::uint16_t GrpcServer::port() const { return impl_->port(); }
std::vector<RpcStats> GrpcServer::stats() const { return impl_->stats(); }
void GrpcServer::stop(std::chrono::milliseconds grace) { impl_->stop(grace); }

}  // namespace millrace::api
