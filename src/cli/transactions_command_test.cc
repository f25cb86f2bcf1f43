#include "cli/transactions_command.h"

#include <map>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kOne = "00000001-0000-0000-0000-000000000007";
constexpr const char* kTwo = "00000001-0000-0000-0000-000000000008";
constexpr const char* kBase = "http://h:1/v1/scopes/s/streams/x/transactions";

class Server final : public HttpClient {
  public:
    Result<HttpAnswer> get(const std::string& url) override { return answer("GET " + url); }
    Result<HttpAnswer> put(const std::string& url, const std::string&) override { return answer("PUT " + url); }
    Result<HttpAnswer> post(const std::string& url) override { return answer("POST " + url); }
    Result<HttpAnswer> remove(const std::string& url) override { return answer("DELETE " + url); }

    std::map<std::string, HttpAnswer> answers;
    std::vector<std::string> asked;

  private:
    Result<HttpAnswer> answer(const std::string& request) {
        asked.push_back(request);
        auto found = answers.find(request);
        if (found == answers.end()) return fail(Errc::kUnavailable, "nobody there");
        return found->second;
    }
};

TransactionsRequest request(TransactionsAction action, std::vector<std::string> ids = {}) {
    return {action, "s/x", std::move(ids), "http://h:1"};
}

TEST(TransactionsCommand, ListsPageAfterPage) {
    Server server;
    server.answers[fmt::format("GET {}", kBase)] = {
        200, fmt::format(R"({{"transactions":[{{"transactionId":"{}","state":"PREPARED","begunAt":0,"lease":10000,)"
                         R"("preparedAt":1700000000000,"preparedBytes":7}}]}})",
                         kOne)};
    server.answers[fmt::format("GET {}?after={}", kBase, kOne)] = {
        200, fmt::format(R"({{"transactions":[{{"transactionId":"{}","state":"OPEN","begunAt":1500,"lease":10000,)"
                         R"("leaseLeft":9001}}]}})",
                         kTwo)};
    server.answers[fmt::format("GET {}?after={}", kBase, kTwo)] = {200, R"({"transactions":[]})"};
    CommandOutcome outcome = run_transactions(server, request(TransactionsAction::kList));
    EXPECT_EQ(outcome.status, 0);
    EXPECT_EQ(outcome.output,
              fmt::format("{}  PREPARED    begun 1970-01-01T00:00:00Z, prepared 2023-11-14T22:13:20Z, 7 bytes\n"
                          "{}  OPEN        begun 1970-01-01T00:00:01Z, 10 s left of its lease\n",
                          kOne, kTwo));
    EXPECT_THAT(outcome.trouble, IsEmpty());
}

TEST(TransactionsCommand, EndsThem) {
    Server server;
    server.answers[fmt::format("POST {}/{}/commit", kBase, kOne)] = {204, ""};
    server.answers[fmt::format("POST {}/{}/commit", kBase, kTwo)] = {409, R"({"error":"the transaction is ABORTED"})"};
    server.answers[fmt::format("DELETE {}/{}", kBase, kTwo)] = {204, ""};
    CommandOutcome outcome = run_transactions(server, request(TransactionsAction::kCommit, {kTwo, kOne}));
    EXPECT_EQ(outcome.status, 1);
    EXPECT_EQ(outcome.output, fmt::format("{} committed\n", kOne));
    EXPECT_EQ(outcome.trouble, fmt::format("millrace: {}: the transaction is ABORTED\n", kTwo));
    outcome = run_transactions(server, request(TransactionsAction::kAbort, {kTwo}));
    EXPECT_EQ(outcome.status, 0);
    EXPECT_EQ(outcome.output, fmt::format("{} aborted\n", kTwo));
    outcome = run_transactions(server, request(TransactionsAction::kAbort, {kOne}));
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.trouble, HasSubstr("nobody there"));
}

TEST(TransactionsCommand, AsksNothingThatCannotBeMeant) {
    Server server;
    for (const char* stream : {"", "s", "s/", "/x", "s/x/y", "s/x?y", "s/ x"}) {
        TransactionsRequest odd = request(TransactionsAction::kList);
        odd.stream = stream;
        EXPECT_EQ(run_transactions(server, odd).status, 2) << stream;
    }
    EXPECT_EQ(run_transactions(server, request(TransactionsAction::kAbort, {kOne, "all"})).status, 2);
    EXPECT_THAT(server.asked, IsEmpty());
}

TEST(TransactionsCommand, RefusesOtherAnswers) {
    for (const char* bad : {"", "{}", "[]", "not json", R"({"transactions":1})", R"({"transactions":[{}]})",
                            R"({"transactions":[{"transactionId":"x","state":"OPEN","begunAt":0}]})"}) {
        EXPECT_EQ(transactions_page(bad).error(), Errc::kCorrupt) << bad;
    }
    Server server;
    server.answers[fmt::format("GET {}", kBase)] = {404, ""};
    EXPECT_THAT(run_transactions(server, request(TransactionsAction::kList)).trouble, HasSubstr("no stream s/x"));
    server.answers[fmt::format("GET {}", kBase)] = {503, R"({"error":"later"})"};
    EXPECT_THAT(run_transactions(server, request(TransactionsAction::kList)).trouble, HasSubstr("answers later"));
}

}  // namespace
}  // namespace millrace::cli
