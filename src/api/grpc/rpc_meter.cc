#include "api/grpc/rpc_meter.h"

#include <algorithm>
#include <chrono>

#include <google/protobuf/descriptor.h>
#include <grpcpp/support/interceptor.h>

#include "api/grpc/service.h"

namespace millrace::api {
namespace {

using grpc::experimental::InterceptionHookPoints;
using Now = std::chrono::steady_clock;

constexpr std::array<std::string_view, RpcMeter::kStatuses> kStatusNames{
    "OK",        "CANCELLED",       "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS",  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",    "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED",
};

// One call, from its arrival until its status goes out.
class Meter final : public grpc::experimental::Interceptor {
  public:
    explicit Meter(RpcMeter::Method& method) : method_(method) { method_.begun.add(); }

    void Intercept(grpc::experimental::InterceptorBatchMethods* batch) override {
        if (batch->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
            auto code = static_cast<std::size_t>(batch->GetSendStatus().error_code());
            if (code >= RpcMeter::kStatuses) code = static_cast<std::size_t>(grpc::StatusCode::UNKNOWN);
            method_.by_status[code].add();
            method_.latency.record(Now::now() - begun_);
        }
        batch->Proceed();
    }

  private:
    RpcMeter::Method& method_;
    const Now::time_point begun_ = Now::now();
};

class Meters final : public grpc::experimental::ServerInterceptorFactoryInterface {
  public:
    explicit Meters(const RpcMeter& meter) : meter_(meter) {}

    grpc::experimental::Interceptor* CreateServerInterceptor(grpc::experimental::ServerRpcInfo* info) override {
        RpcMeter::Method* method = meter_.find(info->method());
        return method == nullptr ? nullptr : new Meter(*method);  // gRPC owns it
    }

  private:
    const RpcMeter& meter_;
};

}  // namespace

RpcMeter::RpcMeter() {
    const auto* service = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(
        v1::ControllerService::service_full_name());
    for (int i = 0; service != nullptr && i < service->method_count(); ++i) {
        auto method = std::make_unique<Method>();
        method->name = service->method(i)->name();
        by_path_.emplace("/" + service->full_name() + "/" + method->name, method.get());
        methods_.push_back(std::move(method));
    }
    std::ranges::sort(methods_, {}, [](const auto& method) -> const std::string& { return method->name; });
}

RpcMeter::Method* RpcMeter::find(std::string_view path) const {
    auto found = by_path_.find(path);
    return found == by_path_.end() ? nullptr : found->second;
}

std::vector<RpcStats> RpcMeter::read() const {
    std::vector<RpcStats> all;
    for (const auto& method : methods_) {
        RpcStats& stats = all.emplace_back();
        stats.method = method->name;
        std::uint64_t ended = 0;
        for (std::size_t code = 0; code < kStatuses; ++code) {
            std::uint64_t count = method->by_status[code].get();
            ended += count;
            if (count > 0) stats.by_status.emplace_back(kStatusNames[code], count);
        }
        std::uint64_t begun = method->begun.get();
        stats.under_way = begun > ended ? begun - ended : 0;
        stats.latency = method->latency.read();
    }
    return all;
}

std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors(
    const RpcMeter& meter) {
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> creators;
    creators.push_back(std::make_unique<Meters>(meter));
    return creators;
}

}  // namespace millrace::api
