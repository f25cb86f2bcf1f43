// The routes over a controller on a segment store in memory.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/rest/routes.h"
#include "base/uuid.h"
#include "controller/controller_harness.h"

namespace millrace::rest {
namespace {

using controller::StreamName;
using controller::TransactionState;
using testing::HasSubstr;

const StreamName kX{"s", "x"};

class TransactionRoutes : public testing::Test {
  protected:
    TransactionRoutes() {
        EXPECT_EQ(t.create_scope("s"), controller::CreateScopeStatus::kSuccess);
        std::string tag(controller::kKeepPreparedTag);
        EXPECT_EQ(t.create(kX, controller::fixed(1, {tag})), controller::CreateStreamStatus::kSuccess);
        add_transaction_routes(router, *t.controller);
    }
    std::string ask(Method method, std::string_view target) {
        HttpRequest request;
        request.method = method;
        EXPECT_TRUE(parse_target(target, request));
        std::string answer;
        router.dispatch(std::move(request),
                        [&answer](const HttpResponse& got) { answer = fmt::format("{} {}", got.status, got.body); });
        t.executor->run_until_idle();
        return answer;
    }
    static std::string path(const controller::BegunTransaction& txn, std::string_view more = "") {
        return fmt::format("/v1/scopes/s/streams/x/transactions/{}{}", to_string(txn.id), more);
    }

    controller::Harness t;
    Router router;
};

TEST_F(TransactionRoutes, ListOnesWithALeaseAndPreparedOnes) {
    const std::string list = "/v1/scopes/s/streams/x/transactions";
    EXPECT_EQ(ask(Method::kGet, list), R"(200 {"transactions":[]})");
    auto prepared = *t.begin(kX);
    t.write(kX, prepared, 0, 7);
    t.executor->advance(std::chrono::minutes(1));
    auto open = *t.begin(kX, 20'000);
    std::string listed = ask(Method::kGet, list);
    EXPECT_THAT(listed, HasSubstr(fmt::format(R"({{"transactionId":"{}","state":"PREPARED")", to_string(prepared.id))));
    EXPECT_THAT(listed, HasSubstr(R"("preparedBytes":7})"));
    EXPECT_THAT(listed, HasSubstr(fmt::format(R"({{"transactionId":"{}","state":"OPEN")", to_string(open.id))));
    EXPECT_THAT(listed, HasSubstr(R"("lease":20000,"leaseLeft":20000)"));
    EXPECT_THAT(ask(Method::kGet, list + "?after=" + to_string(prepared.id)),
                testing::Not(HasSubstr(to_string(prepared.id))));
    EXPECT_EQ(ask(Method::kGet, "/v1/scopes/s/streams/none/transactions"), R"(404 {"error":"no such stream"})");
    EXPECT_THAT(ask(Method::kGet, list + "?after=x"), HasSubstr("400"));
}

TEST_F(TransactionRoutes, EndThem) {
    auto one = *t.begin(kX);
    auto two = *t.begin(kX);
    EXPECT_THAT(ask(Method::kGet, path(one)), HasSubstr(R"("state":"OPEN")"));
    EXPECT_EQ(ask(Method::kPost, path(one, "/commit")), "204 ");
    EXPECT_EQ(t.state(kX, one.id), TransactionState::kCommitted);
    EXPECT_EQ(ask(Method::kDelete, path(one)), R"(409 {"error":"the transaction is COMMITTED"})");
    EXPECT_EQ(ask(Method::kDelete, path(two)), "204 ");
    EXPECT_EQ(t.state(kX, two.id), TransactionState::kAborted);
    EXPECT_EQ(ask(Method::kPost, path(two, "/commit")), R"(409 {"error":"the transaction is ABORTED"})");
    controller::BegunTransaction unknown;
    unknown.id.low = 77;
    EXPECT_THAT(ask(Method::kDelete, path(unknown)), HasSubstr("404"));
    EXPECT_THAT(ask(Method::kDelete, "/v1/scopes/s/streams/x/transactions/nothing"), HasSubstr("400"));
}

}  // namespace
}  // namespace millrace::rest
