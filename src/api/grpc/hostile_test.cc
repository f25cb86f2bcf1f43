// Every RPC with every hostile value: an answer that says what is wrong, nothing that ends the process, nothing left
// behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/grpc/rpc_driver.h"

namespace millrace::api {
namespace {

using testing::IsEmpty;

bool is_fitting(const grpc::Status& status) {
    switch (status.error_code()) {
        case grpc::StatusCode::OK:
            return true;
        case grpc::StatusCode::INVALID_ARGUMENT:
        case grpc::StatusCode::NOT_FOUND:
        case grpc::StatusCode::UNIMPLEMENTED:
            return status.error_message().size() > 5 && status.error_message().size() <= 1000;
        default:
            return false;
    }
}

TEST(Hostile, TheDriverKnowsEveryRpc) {
    RpcDriver driver;
    for (int i = 0; i < controller_service().method_count(); ++i)
        EXPECT_TRUE(driver.knows(controller_service().method(i)->name())) << controller_service().method(i)->name();
}

class HostileRpc : public testing::TestWithParam<int> {};

TEST_P(HostileRpc, IsAnsweredFittingly) {
    const auto& rpc = *controller_service().method(GetParam());
    RpcDriver driver;
    int reached = 0;
    for (const std::string& request : hostile_requests(rpc, 1)) {
        driver.prepare();
        auto outcome = driver.call(rpc.name(), request);
        if (!outcome) continue;
        ++reached;
        auto shown = new_message(*rpc.input_type());
        ASSERT_TRUE(shown->ParseFromString(request));
        EXPECT_TRUE(is_fitting(outcome->status))
            << outcome->status.error_code() << " " << outcome->status.error_message() << "\n"
            << shown->ShortDebugString().substr(0, 400);
    }
    EXPECT_GT(reached, 0);
    // Whatever was made or broken off: all of it is whole, also for the next process.
    driver.t.executor->advance(std::chrono::minutes(1));
    EXPECT_THAT(driver.t.garbage(), IsEmpty());
    driver.t.restart();
    EXPECT_THAT(driver.t.garbage(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Rpcs, HostileRpc, testing::Range(0, controller_service().method_count()),
                         [](const auto& info) { return controller_service().method(info.param)->name(); });

}  // namespace
}  // namespace millrace::api
