// Any bytes as the request of any RPC: the first byte says which, further requests may follow, each behind two bytes
// with its length. Every call is answered, and what is stored stays whole.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "api/grpc/rpc_driver.h"

using namespace millrace::api;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr int kRequests = 20;
    std::string_view rest(reinterpret_cast<const char*>(data), size);
    auto byte = [&rest] {
        if (rest.empty()) return 0U;
        auto value = static_cast<unsigned char>(rest.front());
        rest.remove_prefix(1);
        return static_cast<unsigned>(value);
    };
    RpcDriver driver;
    for (int i = 0; i < kRequests && !rest.empty(); ++i) {
        unsigned which = byte() % static_cast<unsigned>(controller_service().method_count());
        std::size_t length = byte();
        length = length << 8 | byte();
        std::string request(rest.substr(0, length));
        rest.remove_prefix(request.size());
        auto outcome = driver.call(controller_service().method(static_cast<int>(which))->name(), request);
        if (!outcome) continue;
        bool answered = outcome->status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED &&
                        outcome->status.error_code() != grpc::StatusCode::INTERNAL &&
                        outcome->status.error_code() != grpc::StatusCode::UNKNOWN;
        if (!answered) std::abort();
    }
    driver.t.executor->advance(std::chrono::minutes(1));
    if (!driver.t.garbage().empty()) std::abort();
    return 0;
}
