// hostile-client HOST:PORT: sends every RPC every hostile request, to a server that runs. Prints a line for each RPC,
// `ok NAME: N requests` or `FAILED NAME: ...`; status 1 when an answer does not fit, or the server is gone.
#include <chrono>
#include <cstdio>

#include <fmt/format.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include "api/grpc/hostile_requests.h"
#include "controller.grpc.pb.h"

namespace v1 = io::pravega::controller::stream::api::grpc::v1;
using google::protobuf::MethodDescriptor;

namespace {

constexpr auto kPatience = std::chrono::seconds(60);

class Client {
  public:
    explicit Client(const std::string& target)
        : channel_(grpc::CreateChannel(target, grpc::InsecureChannelCredentials())),
          stub_(v1::ControllerService::NewStub(channel_)),
          any_(channel_) {}

    // What plausible requests are about; what is there stays.
    bool prepare() {
        v1::ScopeInfo scope;
        scope.set_scope(millrace::api::kHostileScope);
        v1::CreateScopeStatus made_scope;
        if (!ask(&v1::ControllerService::Stub::createScope, scope, made_scope)) return false;
        v1::StreamConfig stream;
        stream.mutable_streaminfo()->set_scope(millrace::api::kHostileScope);
        stream.mutable_streaminfo()->set_stream(millrace::api::kHostileStream);
        stream.mutable_scalingpolicy()->set_minnumsegments(2);
        v1::CreateStreamStatus made_stream;
        if (!ask(&v1::ControllerService::Stub::createStream, stream, made_stream)) return false;
        v1::KeyValueTableConfig table;
        table.set_scope(millrace::api::kHostileScope);
        table.set_kvtname(millrace::api::kHostileTable);
        table.set_partitioncount(1);
        table.set_primarykeylength(4);
        v1::CreateKeyValueTableStatus made_table;
        return ask(&v1::ControllerService::Stub::createKeyValueTable, table, made_table);
    }

    // Sends all of them, some at a time, and judges the answers.
    bool try_all(const MethodDescriptor& rpc) {
        auto requests = millrace::api::hostile_requests(rpc, 2);
        for (std::size_t i = 0; i < requests.size(); ++i) {
            grpc::Status status = send(rpc, requests[i]);
            if (std::string wrong = fault_of(rpc, status, requests[i]); !wrong.empty()) {
                fmt::print("FAILED {}: request {}: {}\n", rpc.name(), i, wrong);
                return false;
            }
        }
        fmt::print("ok {}: {} requests\n", rpc.name(), requests.size());
        return true;
    }

  private:
    template <typename Request, typename Reply>
    bool ask(grpc::Status (v1::ControllerService::Stub::*rpc)(grpc::ClientContext*, const Request&, Reply*),
             const Request& request, Reply& reply) {
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + kPatience);
        auto status = (stub_.get()->*rpc)(&context, request, &reply);
        if (!status.ok()) fmt::print("preparation: {}\n", status.error_message());
        return status.ok();
    }
    grpc::Status send(const MethodDescriptor& rpc, const std::string& request) {
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + kPatience);
        grpc::Slice slice(request);
        grpc::ByteBuffer out(&slice, 1);
        grpc::ByteBuffer in;
        grpc::CompletionQueue queue;
        std::string path = "/" + controller_service_name() + "/" + rpc.name();
        auto call = any_.PrepareUnaryCall(&context, path, out, &queue);
        grpc::Status status;
        call->StartCall();
        call->Finish(&in, &status, this);
        void* tag = nullptr;
        bool ok = false;
        queue.Next(&tag, &ok);
        return status;
    }
    static std::string controller_service_name() { return millrace::api::controller_service().full_name(); }

    static std::string fault_of(const MethodDescriptor& rpc, const grpc::Status& status, const std::string& request) {
        auto shown = millrace::api::new_message(*rpc.input_type());
        bool possible = shown->ParseFromString(request);
        bool explained = status.error_message().size() > 5;
        bool fits = false;
        switch (status.error_code()) {
            case grpc::StatusCode::OK:
                fits = possible;
                break;
            case grpc::StatusCode::INVALID_ARGUMENT:
                fits = explained;
                break;
            case grpc::StatusCode::NOT_FOUND:
            case grpc::StatusCode::UNIMPLEMENTED:
                fits = possible && explained;
                break;
            default:
                break;
        }
        if (fits) return "";
        return fmt::format("status {} \"{}\" for {}", static_cast<int>(status.error_code()), status.error_message(),
                           possible ? shown->ShortDebugString().substr(0, 400) : "what is no message");
    }

    std::shared_ptr<grpc::Channel> channel_;
    std::unique_ptr<v1::ControllerService::Stub> stub_;
    grpc::GenericStub any_;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        fmt::print(stderr, "usage: hostile-client HOST:PORT\n");
        return 2;
    }
    Client client(argv[1]);
    bool good = true;
    const auto& service = millrace::api::controller_service();
    for (int i = 0; i < service.method_count(); ++i) {
        if (!client.prepare()) {
            fmt::print("FAILED {}: the server does not serve any more\n", service.method(i)->name());
            return 1;
        }
        good = client.try_all(*service.method(i)) && good;
        std::fflush(stdout);
    }
    return good ? 0 : 1;
}
