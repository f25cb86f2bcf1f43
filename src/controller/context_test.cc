// What joins a scope while another commit of it is under way goes in one commit, and none of it suffers from another's
// fault.
#include "controller/context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/controller_harness.h"
#include "runtime/async.h"

namespace millrace::controller {
namespace {

using testing::IsEmpty;

class JoiningTest : public testing::Test {
  protected:
    JoiningTest() {
        context.retry_later = [](const PendingEntry&, const Error&) {};
        put(ScopeRecord::key("s"), ScopeRecord{ScopeRecord::State::kActive, 1}.encode());
    }
    void put(std::string key, std::string value) {
        Batch batch;
        batch.put(std::move(key), std::move(value));
        runtime::spawn(executor, "put", commit(std::move(batch)));
        executor.run_until_idle();
    }
    boost::asio::awaitable<void> commit(Batch batch) { co_await context.metadata.commit("s", std::move(batch)); }

    void join(Batch batch, Context::Joining joining = Context::Joining::kNew, std::string scope = "s") {
        results.emplace_back();
        runtime::spawn(executor, "join", join_as(results.size() - 1, std::move(scope), std::move(batch), joining));
    }
    boost::asio::awaitable<void> join_as(std::size_t i, std::string scope, Batch batch, Context::Joining joining) {
        auto joined = co_await context.commit_in_scope(std::move(scope), std::move(batch), joining);
        results[i] = joined ? (*joined ? "in" : "out") : std::string(to_string(joined.error().code()));
    }
    static Batch entry(const std::string& key, std::int64_t expected = container::kNotExists) {
        Batch batch;
        batch.put(key, "v", expected);
        return batch;
    }
    bool has(const std::string& key) {
        for (const auto& [where, table] : api.tables) {
            if (table.contains(key)) return true;
        }
        return false;
    }

    FakeSegmentApi api;
    runtime::ManualExecutor executor{1};
    Context context{executor, api, {}};
    std::vector<std::string> results;
};

TEST_F(JoiningTest, ManyGoInFewCommits) {
    api.arm(FakeSegmentApi::Fault::kNone, 0);
    for (int i = 0; i < 300; ++i) join(entry("a/" + std::to_string(i)));
    executor.run_until_idle();
    EXPECT_THAT(results, testing::Each("in"));
    for (int i = 0; i < 300; ++i) EXPECT_TRUE(has("a/" + std::to_string(i)));
    EXPECT_LE(api.changes(), 4u);
}

TEST_F(JoiningTest, OneThatConflictsFailsAlone) {
    put("taken", "v");
    join(entry("a"));
    join(entry("b"));
    join(entry("taken"));
    join(entry("c"));
    executor.run_until_idle();
    EXPECT_THAT(results, testing::ElementsAre("in", "in", to_string(Errc::kConflict), "in"));
    EXPECT_TRUE(has("a") && has("b") && has("c"));
}

TEST_F(JoiningTest, TroubleIsToldToAll) {
    api.arm(FakeSegmentApi::Fault::kFailBefore, 1);
    for (const char* key : {"a", "b", "c"}) join(entry(key));
    executor.run_until_idle();
    std::string unavailable(to_string(Errc::kUnavailable));
    EXPECT_THAT(results, testing::ElementsAre("in", unavailable, unavailable));
    EXPECT_TRUE(has("a") && !has("b") && !has("c"));
}

TEST_F(JoiningTest, ADyingScopeTakesNothingNew) {
    join(entry("a"));
    executor.run_until_idle();
    put(ScopeRecord::key("s"), ScopeRecord{ScopeRecord::State::kDeleting, 1}.encode());
    join(entry("first"));
    join(entry("new"));
    join(entry("old"), Context::Joining::kExisting);
    join(entry("elsewhere"), Context::Joining::kExisting, "none");
    executor.run_until_idle();
    EXPECT_THAT(results, testing::ElementsAre("in", "out", "out", "in", "out"));
    EXPECT_TRUE(has("old"));
    EXPECT_FALSE(has("new") || has("first") || has("elsewhere"));
    EXPECT_EQ(context.locks.held(), 0u);
}

// The executor ends between a grant and what it is for: whoever waits goes too, the lock is not left behind.
TEST_F(JoiningTest, ALockIsPassedOnByWhoNeverTookIt) {
    std::vector<int> had;
    auto hold = [](KeyedMutex& locks, std::vector<int>& list, int number) -> boost::asio::awaitable<void> {
        KeyedMutex::Lock lock = co_await locks.acquire("name");
        list.push_back(number);
    };
    KeyedMutex locks;
    auto held = std::make_unique<KeyedMutex::Lock>();
    auto take = [](KeyedMutex& of, KeyedMutex::Lock& into) -> boost::asio::awaitable<void> {
        into = co_await of.acquire("name");
    };
    runtime::spawn(executor, "holder", take(locks, *held));
    executor.run_until_idle();
    for (int i = 1; i <= 3; ++i) runtime::spawn(executor, "waiter", hold(locks, had, i));
    executor.run_until_idle();
    EXPECT_THAT(had, IsEmpty());
    EXPECT_EQ(locks.held(), 1u);
    held.reset();         // grants it to the first
    executor.drop_all();  // which never hears of it
    EXPECT_THAT(had, IsEmpty());
    EXPECT_EQ(locks.held(), 0u);
}

}  // namespace
}  // namespace millrace::controller
