// metadata-load: how fast a controller makes, lists, looks up and deletes streams. Speaks the controller's gRPC
// protocol, so it measures any server of it.
//
//   metadata-load HOST:PORT [--streams 1000] [--segments 1] [--in-flight 100] [--scopes 1]
//
// One line for each step: how many, how many a second, latencies as the client saw them. Ends with status 1 when a
// call fails or a listing is not what was made. Everything is deleted at the end.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include "controller.grpc.pb.h"
#include "histogram.h"

namespace v1 = io::pravega::controller::stream::api::grpc::v1;
using Clock = std::chrono::steady_clock;

namespace {

struct Settings {
    std::string target;
    int streams = 1000;
    int segments = 1;
    int in_flight = 100;
    int scopes = 1;
    std::string run = fmt::format("load-{:x}", Clock::now().time_since_epoch().count() & 0xffffffff);

    std::string scope(int i) const { return fmt::format("{}-{}", run, i % scopes); }
    static std::string stream(int i) { return fmt::format("stream-{}", i); }
};

struct Result {
    double seconds = 0;
    int failed = 0;
    std::string first_failure;
    millrace::bench::Histogram latency_us;
};

// Makes `count` calls, at most `in_flight` at a time: the next begins where one ends.
class Calls {
  public:
    using Finished = std::function<void(std::string failure)>;  // empty: it went well
    using Start = std::function<void(int i, Finished finished)>;

    Calls(int count, int in_flight, Start start) : count_(count), in_flight_(in_flight), start_(std::move(start)) {}

    Result run() {
        auto begun = Clock::now();
        for (int i = 0; i < in_flight_; ++i) begin_one();
        std::unique_lock lock(mutex_);
        done_.wait(lock, [&] { return ended_ == count_; });
        result_.seconds = std::chrono::duration<double>(Clock::now() - begun).count();
        return result_;
    }

  private:
    void begin_one() {
        int i = next_.fetch_add(1);
        if (i >= count_) return;
        auto begun = Clock::now();
        start_(i, [this, begun](std::string failure) {
            auto took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begun).count();
            begin_one();
            std::lock_guard lock(mutex_);
            result_.latency_us.record(static_cast<std::uint64_t>(took));
            if (!failure.empty() && result_.failed++ == 0) result_.first_failure = std::move(failure);
            if (++ended_ == count_) done_.notify_all();
        });
    }

    const int count_;
    const int in_flight_;
    const Start start_;
    std::atomic<int> next_ = 0;
    std::mutex mutex_;
    std::condition_variable done_;
    int ended_ = 0;
    Result result_;
};

bool show(std::string_view what, int count, const Result& result) {
    fmt::print("{:<8} {:>7} in {:>6.2f} s  {:>8.0f}/s  p50 {:.1f} ms  p99 {:.1f} ms  max {:.1f} ms{}\n", what, count,
               result.seconds, count / result.seconds, static_cast<double>(result.latency_us.percentile(50)) / 1000,
               static_cast<double>(result.latency_us.percentile(99)) / 1000,
               static_cast<double>(result.latency_us.max()) / 1000,
               result.failed == 0 ? "" : fmt::format("  {} FAILED: {}", result.failed, result.first_failure));
    std::fflush(stdout);
    return result.failed == 0;
}

template <typename Request, typename Reply>
struct Pending {
    grpc::ClientContext context;
    Request request;
    Reply reply;
};

class Load {
  public:
    explicit Load(Settings settings) : settings_(std::move(settings)) {
        auto channel = grpc::CreateChannel(settings_.target, grpc::InsecureChannelCredentials());
        stub_ = v1::ControllerService::NewStub(channel);
    }

    bool run() {
        if (!make_scopes()) return false;
        bool good = create() && lookup() && list() && seal() && remove();
        return remove_scopes() && good;
    }

  private:
    template <typename Request, typename Reply>
    using Method = void (v1::ControllerService::Stub::async::*)(grpc::ClientContext*, const Request*, Reply*,
                                                                std::function<void(grpc::Status)>);

    // One call for each stream; `fill` makes the request, `good` judges the reply.
    template <typename Request, typename Reply, typename Fill, typename Good>
    bool step(std::string_view what, Method<Request, Reply> method, Fill fill, Good good) {
        auto start = [&](int i, Calls::Finished finished) {
            auto call = std::make_shared<Pending<Request, Reply>>();
            fill(i, call->request);
            auto ended = [call, good, finished = std::move(finished)](const grpc::Status& status) {
                if (!status.ok()) return finished(fmt::format("{}", status.error_message()));
                finished(good(call->reply) ? "" : call->reply.ShortDebugString());
            };
            (stub_->async()->*method)(&call->context, &call->request, &call->reply, ended);
        };
        return show(what, settings_.streams, Calls(settings_.streams, settings_.in_flight, start).run());
    }
    void name(int i, v1::StreamInfo* info) const {
        info->set_scope(settings_.scope(i));
        info->set_stream(Settings::stream(i));
    }

    bool make_scopes() {
        for (int i = 0; i < settings_.scopes; ++i) {
            grpc::ClientContext context;
            v1::ScopeInfo scope;
            v1::CreateScopeStatus reply;
            scope.set_scope(settings_.scope(i));
            auto status = stub_->createScope(&context, scope, &reply);
            if (status.ok() && reply.status() == v1::CreateScopeStatus::SUCCESS) continue;
            fmt::print("createScope: {} {}\n", status.error_message(), reply.ShortDebugString());
            return false;
        }
        return true;
    }
    bool create() {
        auto fill = [this](int i, v1::StreamConfig& config) {
            name(i, config.mutable_streaminfo());
            config.mutable_scalingpolicy()->set_minnumsegments(settings_.segments);
        };
        auto good = [](const v1::CreateStreamStatus& reply) {
            return reply.status() == v1::CreateStreamStatus::SUCCESS;
        };
        return step<v1::StreamConfig, v1::CreateStreamStatus>(
            "create", &v1::ControllerService::Stub::async::createStream, fill, good);
    }
    bool lookup() {
        auto fill = [this](int i, v1::StreamInfo& info) { name(i, &info); };
        auto good = [this](const v1::SegmentRanges& reply) { return reply.segmentranges_size() == settings_.segments; };
        return step<v1::StreamInfo, v1::SegmentRanges>(
            "look up", &v1::ControllerService::Stub::async::getCurrentSegments, fill, good);
    }
    bool list() {
        Result result;
        auto begun = Clock::now();
        int found = 0;
        for (int i = 0; i < settings_.scopes; ++i) {
            std::string token;
            while (true) {
                grpc::ClientContext context;
                v1::StreamsInScopeRequest request;
                v1::StreamsInScopeResponse page;
                request.mutable_scope()->set_scope(settings_.scope(i));
                request.mutable_continuationtoken()->set_token(token);
                auto page_begun = Clock::now();
                auto status = stub_->listStreamsInScope(&context, request, &page);
                auto took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - page_begun).count();
                result.latency_us.record(static_cast<std::uint64_t>(took));
                if (!status.ok()) {
                    ++result.failed;
                    result.first_failure = status.error_message();
                }
                if (page.streams().empty()) break;
                for (const v1::StreamInfo& info : page.streams()) found += info.stream().starts_with('_') ? 0 : 1;
                token = page.continuationtoken().token();
            }
        }
        result.seconds = std::chrono::duration<double>(Clock::now() - begun).count();
        if (found != settings_.streams) {
            ++result.failed;
            result.first_failure = fmt::format("{} streams are listed", found);
        }
        return show("list", found, result);
    }
    bool seal() {
        auto fill = [this](int i, v1::StreamInfo& info) { name(i, &info); };
        auto good = [](const v1::UpdateStreamStatus& reply) {
            return reply.status() == v1::UpdateStreamStatus::SUCCESS;
        };
        return step<v1::StreamInfo, v1::UpdateStreamStatus>("seal", &v1::ControllerService::Stub::async::sealStream,
                                                            fill, good);
    }
    bool remove() {
        auto fill = [this](int i, v1::StreamInfo& info) { name(i, &info); };
        auto good = [](const v1::DeleteStreamStatus& reply) {
            return reply.status() == v1::DeleteStreamStatus::SUCCESS;
        };
        return step<v1::StreamInfo, v1::DeleteStreamStatus>("delete", &v1::ControllerService::Stub::async::deleteStream,
                                                            fill, good);
    }
    bool remove_scopes() {
        bool good = true;
        for (int i = 0; i < settings_.scopes; ++i) {
            grpc::ClientContext context;
            v1::ScopeInfo scope;
            v1::DeleteScopeStatus reply;
            scope.set_scope(settings_.scope(i));
            auto status = stub_->deleteScopeRecursive(&context, scope, &reply);
            if (status.ok() && reply.status() == v1::DeleteScopeStatus::SUCCESS) continue;
            fmt::print("deleteScopeRecursive: {} {}\n", status.error_message(), reply.ShortDebugString());
            good = false;
        }
        return good;
    }

    const Settings settings_;
    std::unique_ptr<v1::ControllerService::Stub> stub_;
};

bool parse(int argc, char** argv, Settings& settings) {
    if (argc < 2 || argc % 2 != 0) return false;
    settings.target = argv[1];
    for (int i = 2; i + 1 < argc; i += 2) {
        std::string_view option = argv[i];
        int value = std::atoi(argv[i + 1]);
        if (value < 1) return false;
        if (option == "--streams")
            settings.streams = value;
        else if (option == "--segments")
            settings.segments = value;
        else if (option == "--in-flight")
            settings.in_flight = value;
        else if (option == "--scopes")
            settings.scopes = value;
        else
            return false;
    }
    return true;
}

}  // namespace

int main(int argc, char** argv) {
    Settings settings;
    if (!parse(argc, argv, settings)) {
        fmt::print(stderr,
                   "usage: metadata-load HOST:PORT [--streams N] [--segments N] [--in-flight N] [--scopes N]\n");
        return 2;
    }
    return Load(settings).run() ? 0 : 1;
}
