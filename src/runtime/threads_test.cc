// Stall detector and blocking pool: the parts that have threads.
#include <atomic>
#include <future>
#include <thread>

#include <gtest/gtest.h>

#include "runtime/blocking_pool.h"
#include "runtime/core_loop.h"
#include "runtime/stall_detector.h"

namespace millrace::runtime {
namespace {

using namespace std::chrono_literals;

template <typename Condition>
bool eventually(Condition condition) {
    auto until = std::chrono::steady_clock::now() + 20s;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > until) return false;
        std::this_thread::sleep_for(1ms);
    }
    return true;
}

TEST(StallDetector, CountsALoopThatIsHeldOnce) {
    CoreLoop loop("stalled", 1);
    CoreLoop idle("idle", 1);
    StallDetector detector({.limit = 20ms, .poll_interval = 1ms, .report_interval = 1ms});
    detector.watch(loop);
    detector.watch(idle);
    loop.start();
    idle.start();
    detector.start();
    std::promise<void> go_on;
    loop.post([&] { go_on.get_future().wait(); });
    EXPECT_TRUE(eventually([&] { return detector.longest_stall() >= 40ms; }));
    go_on.set_value();
    EXPECT_TRUE(eventually([&] { return loop.held_for() == 0ns; }));
    EXPECT_EQ(detector.stalls(), 1u);

    std::promise<void> go_on_again;
    loop.post([&] { go_on_again.get_future().wait(); });
    EXPECT_TRUE(eventually([&] { return detector.stalls() == 2; }));
    go_on_again.set_value();
    detector.stop();
}

TEST(BlockingPool, RunsOnItsThreadsAndPostsBack) {
    CoreLoop loop("home", 1);
    loop.start();
    BlockingPool pool({.threads = 2});
    std::promise<int> result;
    std::promise<bool> finished;
    ASSERT_TRUE(pool.submit(
        [&] {
            EXPECT_FALSE(loop.on_this_thread());
            return std::make_unique<int>(42);
        },
        loop,
        [&](std::unique_ptr<int> value) {
            EXPECT_TRUE(loop.on_this_thread());
            result.set_value(*value);
        }));
    ASSERT_TRUE(pool.submit([] {}, loop, [&] { finished.set_value(loop.on_this_thread()); }));
    EXPECT_EQ(result.get_future().get(), 42);
    EXPECT_TRUE(finished.get_future().get());
}

TEST(BlockingPool, RefusesWhenFullAndRunsWhatItAccepted) {
    std::atomic<int> ran{0};
    std::promise<void> entered;
    std::promise<void> go_on;
    BlockingPool pool({.threads = 1, .queue_limit = 2});
    ASSERT_TRUE(pool.submit([&] {
        entered.set_value();
        go_on.get_future().wait();
        ++ran;
    }));
    entered.get_future().wait();
    EXPECT_TRUE(pool.submit([&] { ++ran; }));
    EXPECT_TRUE(pool.submit([&] { ++ran; }));
    EXPECT_EQ(pool.queued(), 2u);
    auto token = std::make_shared<int>(0);
    EXPECT_FALSE(pool.submit([token] {}));
    EXPECT_EQ(token.use_count(), 1);
    go_on.set_value();
    pool.stop();
    EXPECT_EQ(ran.load(), 3);
    EXPECT_FALSE(pool.submit([] {}));
}

}  // namespace
}  // namespace millrace::runtime
