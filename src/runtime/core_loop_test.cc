#include "runtime/core_loop.h"

#include <atomic>
#include <future>
#include <latch>
#include <thread>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::runtime {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

// Runs `work` on the loop and waits for it.
template <typename F>
auto on_loop(CoreLoop& loop, F work) {
    std::packaged_task<decltype(work())()> task(std::move(work));
    auto done = task.get_future();
    loop.post(std::move(task));
    return done.get();
}

TEST(CoreLoop, RunsPostedTasksInTheOrderOfEachThread) {
    constexpr int kThreads = 4;
    constexpr int kTasks = 20'000;
    CoreLoop loop("order", 1);
    loop.start();
    std::vector<int> last(kThreads, -1);
    int wrong = 0;
    std::latch finished(kThreads);
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < kTasks; ++i) {
                loop.post([&, t, i] {
                    if (last[t] != i - 1 || !loop.on_this_thread()) ++wrong;
                    last[t] = i;
                    if (i == kTasks - 1) finished.count_down();
                });
                // Pauses of some producers let the loop fall asleep, so that wake-ups are exercised too.
                if (i % 4096 == 0 && t % 2 == 0) std::this_thread::yield();
            }
        });
    }
    finished.wait();
    EXPECT_EQ(wrong, 0);
    EXPECT_FALSE(loop.on_this_thread());
}

TEST(CoreLoop, WakesForEveryBurst) {
    CoreLoop loop("burst", 1);
    loop.start();
    for (int i = 0; i < 2'000; ++i) {
        // Half of the rounds find the loop at the end of a turn, half asleep: a lost wake-up would hang here.
        while (i % 2 == 0 && loop.held_for() != 0ns) std::this_thread::yield();
        ASSERT_EQ(on_loop(loop, [i] { return i; }), i);
    }
}

TEST(CoreLoop, OwnPostsRunAfterTheCurrentTask) {
    CoreLoop loop("own", 1);
    std::vector<std::string> seen;
    loop.post([&] {
        loop.post([&] { seen.emplace_back("second"); });
        seen.emplace_back("first");
        loop.post([&] {
            seen.emplace_back("third");
            loop.stop();
        });
    });
    loop.run();
    EXPECT_THAT(seen, ElementsAre("first", "second", "third"));
}

TEST(CoreLoop, DeferRunsAfterEverythingThatIsReady) {
    CoreLoop loop("defer", 1);
    std::vector<std::string> seen;
    loop.post([&] {
        loop.defer([&] {
            seen.emplace_back("flush");
            loop.defer([&] {
                seen.emplace_back("flush again");
                loop.stop();
            });
            loop.post([&] { seen.emplace_back("posted by flush"); });
        });
        loop.post([&] {
            seen.emplace_back("a");
            loop.post([&] { seen.emplace_back("b"); });
        });
    });
    loop.run();
    EXPECT_THAT(seen, ElementsAre("a", "b", "flush", "posted by flush", "flush again"));
}

TEST(CoreLoop, DeferCollectsFromHandlersOfAsio) {
    CoreLoop loop("defer-asio", 1);
    std::vector<int> seen;
    for (int i = 0; i < 3; ++i) {
        boost::asio::post(loop.context(), [&, i] {
            seen.push_back(i);
            loop.post([&, i] { seen.push_back(10 + i); });
            if (i == 0) {
                loop.defer([&] {
                    seen.push_back(100);
                    loop.stop();
                });
            }
        });
    }
    loop.run();
    EXPECT_THAT(seen, ElementsAre(0, 1, 2, 10, 11, 12, 100));
}

// A queue that never ends must starve neither deferred tasks nor timers nor handlers of Asio.
TEST(CoreLoop, EndlessPostingStarvesNothing) {
    CoreLoop loop("endless", 1);
    bool flushed = false;
    bool timed = false;
    bool handled = false;
    std::function<void()> again = [&] {
        if (flushed && timed && handled) return loop.stop();
        loop.post(again);
    };
    loop.post([&] {
        again();
        loop.defer([&] { flushed = true; });
        loop.call_after(5ms, [&] {
            timed = true;
            boost::asio::post(loop.context(), [&] { handled = true; });
        });
    });
    loop.run();
    EXPECT_TRUE(flushed && timed && handled);
}

TEST(CoreLoop, TimersFireInOrderAndNotEarly) {
    CoreLoop loop("timers", 1);
    std::vector<int> seen;
    auto start = loop.clock().now();
    std::chrono::nanoseconds took{};
    loop.call_after(30ms, [&] {
        seen.push_back(30);
        took = loop.clock().now() - start;
        loop.stop();
    });
    loop.call_after(10ms, [&] { seen.push_back(10); });
    loop.call_after(10ms, [&] { seen.push_back(11); });
    loop.call_after(0ms, [&] {
        seen.push_back(0);
        loop.call_after(5ms, [&] { seen.push_back(5); });  // earlier than what the alarm is set for
    });
    loop.run();
    EXPECT_THAT(seen, ElementsAre(0, 5, 10, 11, 30));
    EXPECT_GE(took, 30ms);
}

TEST(CoreLoop, CancelledTimersDoNotFire) {
    CoreLoop loop("cancel", 1);
    std::vector<std::string> seen;
    TimerId fired = loop.call_after(1ms, [&] { seen.emplace_back("fired"); });
    TimerId victim = loop.call_after(2ms, [&] { seen.emplace_back("victim"); });
    TimerId same_round = loop.call_after(2ms, [&] { seen.emplace_back("same round"); });
    auto token = std::make_shared<int>(0);
    TimerId holder = loop.call_after(20ms, [token] {});
    loop.post([&] {
        loop.cancel(victim);
        loop.cancel(holder);
        EXPECT_EQ(token.use_count(), 1);  // the task dies with its timer
        for (auto until = loop.clock().now() + 5ms; loop.clock().now() < until;) std::this_thread::yield();
    });
    loop.call_after(1ms,
                    [&] { loop.cancel(same_round); });  // both are due at once by now; the earlier cancels the later
    loop.call_after(10ms, [&] {
        loop.cancel(fired);
        loop.cancel(victim);
        loop.cancel(TimerId{});
        loop.stop();
    });
    loop.run();
    EXPECT_THAT(seen, ElementsAre("fired"));
}

TEST(CoreLoop, StopDropsTasksAndTimers) {
    auto token = std::make_shared<int>(0);
    std::promise<void> entered;
    std::promise<void> go_on;
    CoreLoop loop("stop", 1);
    bool ran = false;
    loop.start();
    loop.post([&] {
        loop.call_after(1ms, [&ran, token] { ran = true; });
        loop.defer([&ran, token] { ran = true; });
        loop.post([&ran, token] { ran = true; });
        entered.set_value();
        go_on.get_future().wait();
    });
    entered.get_future().wait();
    loop.post([&ran, token] { ran = true; });
    EXPECT_GE(token.use_count(), 5);
    std::jthread stopper([&] { loop.stop(); });
    // A post that dies at once shows that the stop is under way.
    while (true) {
        auto probe = std::make_shared<int>(0);
        loop.post([probe] {});
        if (probe.use_count() == 1) break;
        std::this_thread::yield();
    }
    go_on.set_value();
    loop.stop();
    EXPECT_FALSE(ran);
    EXPECT_EQ(token.use_count(), 1);
    loop.stop();
}

TEST(CoreLoop, CanBeDestroyedWithoutHavingRun) {
    auto token = std::make_shared<int>(0);
    {
        CoreLoop loop("never", 1);
        loop.post([token] {});
        loop.defer([token] {});
        loop.call_after(1ms, [token] {});
        EXPECT_EQ(token.use_count(), 4);
    }
    EXPECT_EQ(token.use_count(), 1);
}

TEST(CoreLoop, DroppedTasksMayPostAndCancel) {
    struct Poster {
        CoreLoop& loop;
        ~Poster() {
            loop.post([] {});
            loop.cancel(TimerId(1));
        }
    };
    CoreLoop loop("dying", 1);
    auto poster = std::make_shared<Poster>(loop);
    loop.call_after(1h, [poster] {});
    loop.post([&loop, poster] { loop.stop(); });
    loop.post([poster] {});
    poster.reset();
    loop.run();
}

TEST(CoreLoop, HeldForIsZeroWhenTheLoopWaits) {
    CoreLoop loop("held", 1);
    EXPECT_EQ(loop.held_for(), 0ns);
    loop.start();
    std::promise<void> entered;
    std::promise<void> go_on;
    loop.post([&] {
        entered.set_value();
        go_on.get_future().wait();
    });
    entered.get_future().wait();
    auto first = loop.held_for();
    while (loop.held_for() <= first) std::this_thread::yield();
    go_on.set_value();
    while (loop.held_for() != 0ns) std::this_thread::yield();
}

}  // namespace
}  // namespace millrace::runtime
