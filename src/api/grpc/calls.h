// Calls: what is under way between gRPC and the controller. gRPC waits for ever for a call that nobody finishes, so
// every one is kept until it is: by the controller's answer, by the answer's being dropped (an executor that stopped),
// or by cut_off(), whichever comes first. Thread-safe. Included only by this room's .cc files.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>

#include <absl/container/flat_hash_map.h>
#include <grpcpp/support/server_callback.h>
#include <grpcpp/support/status.h>

#include "base/error.h"

namespace millrace::api {

// The one table from errors to gRPC status codes. Clients retry UNAVAILABLE, RESOURCE_EXHAUSTED, ABORTED and INTERNAL;
// they give up at once on INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS and UNIMPLEMENTED.
grpc::Status status_of(const Error& error);

class Calls;

class Call {
  public:
    Call(std::shared_ptr<Calls> calls, grpc::ServerUnaryReactor* reactor)
        : calls_(std::move(calls)), reactor_(reactor) {}

    // The first one counts. `fill` runs only while the reply still belongs to the call.
    template <typename Fill>
    void finish(const grpc::Status& status, Fill fill) {
        grpc::ServerUnaryReactor* reactor = nullptr;
        {
            std::lock_guard lock(mutex_);
            reactor = std::exchange(reactor_, nullptr);
            if (reactor == nullptr) return;
            fill();
        }
        finished(reactor, status);
    }

  private:
    void finished(grpc::ServerUnaryReactor* reactor, const grpc::Status& status);

    std::shared_ptr<Calls> calls_;
    std::mutex mutex_;
    grpc::ServerUnaryReactor* reactor_;
};

class Calls : public std::enable_shared_from_this<Calls> {
  public:
    std::shared_ptr<Call> begin(grpc::ServerUnaryReactor* reactor);
    bool wait_for_none(std::chrono::milliseconds within);
    void cut_off();  // finishes all calls, and from now on each at its beginning, with UNAVAILABLE

  private:
    friend class Call;
    void ended(Call* call);

    std::mutex mutex_;
    std::condition_variable none_;
    absl::flat_hash_map<Call*, std::shared_ptr<Call>> under_way_;
    bool cut_off_ = false;
};

grpc::Status stopping();

// The callback that a controller's operation gets.
template <typename T, typename Fill>
class Answer {
  public:
    Answer(std::shared_ptr<Call> call, Fill fill) : call_(std::move(call)), fill_(std::move(fill)) {}
    Answer(Answer&&) noexcept = default;
    Answer& operator=(Answer&&) = delete;
    ~Answer() {
        if (call_ != nullptr) call_->finish(stopping(), [] {});
    }

    void operator()(Result<T> result) {
        auto call = std::exchange(call_, nullptr);
        if (!result) return call->finish(status_of(result.error()), [] {});
        call->finish(grpc::Status::OK, [&] { fill_(std::move(*result)); });
    }

  private:
    std::shared_ptr<Call> call_;
    Fill fill_;
};

}  // namespace millrace::api
