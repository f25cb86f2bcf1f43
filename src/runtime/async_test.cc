#include "runtime/async.h"

#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "runtime/core_loop.h"
#include "runtime/manual_executor.h"

namespace millrace::runtime {
namespace {

using namespace std::chrono_literals;
using boost::asio::awaitable;
using testing::ElementsAre;

// Counts its live objects: the bridge must neither lose nor double-free what it carries.
struct Counted {
    static inline int live = 0;
    explicit Counted(int v) : value(v) { ++live; }
    Counted(Counted&& other) noexcept : value(other.value) { ++live; }
    Counted(const Counted&) = delete;
    Counted& operator=(Counted&&) = default;
    ~Counted() { --live; }
    int value;
};

awaitable<int> add_later(ManualExecutor& executor, int a, int b) {
    auto captured = std::make_shared<Counted>(b);
    auto start = [&executor, a, captured](Callback<int> done) {
        executor.call_after(10ms, [done = std::move(done), a, captured]() mutable { done(a + captured->value); });
    };
    int sum = co_await await<int>(std::move(start));
    co_return sum;
}

awaitable<void> adder(ManualExecutor& executor, std::vector<int>& seen) {
    int first = co_await add_later(executor, 1, 2);
    seen.push_back(first);
    int second = co_await add_later(executor, first, 10);
    seen.push_back(second);
}

TEST(Async, CoroutinesRunOnManualTime) {
    ManualExecutor executor;
    std::vector<int> seen;
    spawn(executor, "adder", adder(executor, seen));
    executor.run_until_idle();
    EXPECT_TRUE(seen.empty());
    executor.advance(10ms);
    EXPECT_THAT(seen, ElementsAre(3));
    executor.advance(10ms);
    EXPECT_THAT(seen, ElementsAre(3, 13));
    EXPECT_EQ(Counted::live, 0);
}

awaitable<void> immediate(std::vector<int>& seen) {
    auto start = [](Callback<Result<Counted>> done) { done(Counted(7)); };
    for (int i = 0; i < 1000; ++i) {
        Result<Counted> result = co_await await<Result<Counted>>(start);
        if (result) seen.push_back(result->value);
    }
    auto refuse = [](Callback<Result<Counted>> done) { done(fail(Errc::kClosed)); };
    Result<Counted> refused = co_await await<Result<Counted>>(refuse);
    if (!refused && refused.error() == Errc::kClosed) seen.push_back(-1);
}

TEST(Async, CallbacksMayComeAtOnceAndCarryResults) {
    ManualExecutor executor;
    std::vector<int> seen;
    spawn(executor, "immediate", immediate(seen));
    executor.run_until_idle();
    ASSERT_EQ(seen.size(), 1001u);
    EXPECT_EQ(seen.front(), 7);
    EXPECT_EQ(seen.back(), -1);
    EXPECT_EQ(Counted::live, 0);
}

awaitable<void> hop(CoreLoop& loop, std::vector<std::jthread>& threads, std::promise<int>& result) {
    auto start = [&threads](Callback<int> done) {
        threads.emplace_back([done = std::move(done)]() mutable { done(5); });
    };
    int value = co_await await<int>(start);
    bool at_home = loop.on_this_thread();
    co_await sleep_for(loop, 1ms);
    result.set_value(at_home && loop.on_this_thread() ? value : -1);
}

TEST(Async, ResumesOnItsOwnLoop) {
    CoreLoop loop("async", 1);
    loop.start();
    std::vector<std::jthread> threads;
    std::promise<int> result;
    spawn(loop, "hop", hop(loop, threads, result));
    EXPECT_EQ(result.get_future().get(), 5);
    loop.stop();
}

awaitable<void> thrower(ManualExecutor& executor) {
    co_await sleep_for(executor, 1ms);
    throw std::runtime_error("on purpose");
}

TEST(Async, AnEscapedExceptionIsLogged) {
    ManualExecutor executor;
    testing::internal::CaptureStderr();
    spawn(executor, "thrower", thrower(executor));
    executor.advance(5ms);
    log::flush();
    EXPECT_THAT(testing::internal::GetCapturedStderr(),
                testing::HasSubstr("thrower ended by an exception: on purpose"));
}

awaitable<void> waiter(Callback<>& kept, bool& went_on) {
    Counted local(1);
    auto start = [&kept](Callback<> done) { kept = std::move(done); };
    co_await await<void>(start);
    went_on = true;
}

TEST(Async, ADestroyedCallbackDestroysTheCoroutine) {
    ManualExecutor executor;
    Callback<> kept;
    bool went_on = false;
    spawn(executor, "waiter", waiter(kept, went_on));
    executor.run_until_idle();
    EXPECT_EQ(Counted::live, 1);
    kept = nullptr;
    executor.run_until_idle();
    EXPECT_EQ(Counted::live, 0);
    EXPECT_FALSE(went_on);
}

}  // namespace
}  // namespace millrace::runtime
