#include "api/grpc/calls.h"

#include <vector>

namespace millrace::api {

namespace {

// The text travels in a header, which clients take only so long; names in it come from requests.
std::string fitting(std::string text) {
    constexpr std::size_t kTextMax = 1000;
    constexpr std::string_view kCut = "...";
    if (text.size() <= kTextMax) return text;
    std::size_t end = kTextMax - kCut.size();
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // no half characters
    text.resize(end);
    return text.append(kCut);
}

}  // namespace

grpc::Status status_of(const Error& error) {
    auto code = [&] {
        switch (error.code()) {
            case Errc::kInvalidArgument:
            case Errc::kLimit:
                return grpc::StatusCode::INVALID_ARGUMENT;
            case Errc::kNotFound:
                return grpc::StatusCode::NOT_FOUND;
            case Errc::kExists:
                return grpc::StatusCode::ALREADY_EXISTS;
            case Errc::kUnsupported:
                return grpc::StatusCode::UNIMPLEMENTED;
            case Errc::kNoSpace:
                return grpc::StatusCode::RESOURCE_EXHAUSTED;
            case Errc::kConflict:
                return grpc::StatusCode::ABORTED;
            case Errc::kUnavailable:
            case Errc::kClosed:
                return grpc::StatusCode::UNAVAILABLE;
            case Errc::kSealed:
            case Errc::kTruncated:
            case Errc::kBadOffset:
            case Errc::kBadAttribute:
            case Errc::kBadVersion:
            case Errc::kNoKey:
            case Errc::kMerged:
            case Errc::kIo:
            case Errc::kCorrupt:
            case Errc::kNewerFormat:
            case Errc::kLocked:
                return grpc::StatusCode::INTERNAL;
        }
        return grpc::StatusCode::INTERNAL;
    }();
    return {code, fitting(error.message().empty() ? error.to_string() : error.message())};
}

grpc::Status stopping() { return {grpc::StatusCode::UNAVAILABLE, "the server is stopping"}; }

void Call::finished(grpc::ServerUnaryReactor* reactor, const grpc::Status& status) {
    reactor->Finish(status);
    calls_->ended(this);
}

std::shared_ptr<Call> Calls::begin(grpc::ServerUnaryReactor* reactor) {
    auto call = std::make_shared<Call>(shared_from_this(), reactor);
    bool refused = false;
    {
        std::lock_guard lock(mutex_);
        refused = cut_off_;
        if (!refused) under_way_.emplace(call.get(), call);
    }
    if (refused) call->finish(stopping(), [] {});
    return call;
}

void Calls::ended(Call* call) {
    std::lock_guard lock(mutex_);
    under_way_.erase(call);
    if (under_way_.empty()) none_.notify_all();
}

bool Calls::wait_for_none(std::chrono::milliseconds within) {
    std::unique_lock lock(mutex_);
    return none_.wait_for(lock, within, [&] { return under_way_.empty(); });
}

void Calls::cut_off() {
    std::vector<std::shared_ptr<Call>> calls;
    {
        std::lock_guard lock(mutex_);
        cut_off_ = true;
        for (const auto& [key, call] : under_way_) calls.push_back(call);
    }
    for (const auto& call : calls) call->finish(stopping(), [] {});
}

}  // namespace millrace::api
