// Mailbox, gate, abort source, units: the parts without a thread of their own.
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/abort_source.h"
#include "runtime/gate.h"
#include "runtime/mailbox.h"
#include "runtime/manual_executor.h"
#include "runtime/units.h"

namespace millrace::runtime {
namespace {

using testing::ElementsAre;

TEST(Mailbox, KeepsOrderAndTellsTheFirstOfABurst) {
    Mailbox<std::unique_ptr<int>> mailbox;
    EXPECT_TRUE(mailbox.empty());
    EXPECT_TRUE(mailbox.push(std::make_unique<int>(1)));
    EXPECT_FALSE(mailbox.push(std::make_unique<int>(2)));
    EXPECT_FALSE(mailbox.push(std::make_unique<int>(3)));
    std::vector<int> seen;
    auto note = [&](std::unique_ptr<int> item) {
        seen.push_back(*item);
        if (*item == 1) mailbox.push(std::make_unique<int>(9));  // waits for the next drain
    };
    EXPECT_EQ(mailbox.drain(note), 3u);
    EXPECT_THAT(seen, ElementsAre(1, 2, 3));
    EXPECT_EQ(mailbox.drain(note), 1u);
    EXPECT_EQ(mailbox.drain(note), 0u);
    mailbox.push(std::make_unique<int>(4));  // freed with the mailbox
}

TEST(Mailbox, LosesNothingBetweenThreads) {
    constexpr int kThreads = 3;
    constexpr int kItems = 30'000;
    Mailbox<std::pair<int, int>> mailbox;
    std::vector<std::jthread> producers;
    for (int t = 0; t < kThreads; ++t) {
        producers.emplace_back([&mailbox, t] {
            for (int i = 0; i < kItems; ++i) mailbox.push({t, i});
        });
    }
    std::vector<int> next(kThreads, 0);
    int seen = 0;
    while (seen < kThreads * kItems) {
        mailbox.drain([&](std::pair<int, int> item) {
            EXPECT_EQ(item.second, next[static_cast<std::size_t>(item.first)]++);
            ++seen;
        });
        std::this_thread::yield();
    }
}

TEST(Gate, CloseWaitsForTheLastToLeave) {
    Gate gate;
    bool closed = false;
    Gate::Pass first = gate.enter();
    Gate::Pass second = gate.enter();
    EXPECT_TRUE(first && second);
    gate.close([&] { closed = true; });
    EXPECT_TRUE(gate.closed());
    EXPECT_FALSE(gate.enter());
    first = Gate::Pass();
    EXPECT_FALSE(closed);
    Gate::Pass moved = std::move(second);
    EXPECT_EQ(gate.inside(), 1u);
    moved.give_back();
    moved.give_back();
    EXPECT_TRUE(closed);
}

TEST(Gate, ClosesAtOnceWhenNobodyIsInside) {
    Gate gate;
    {
        Gate::Pass pass = gate.enter();
    }
    bool closed = false;
    gate.close([&] { closed = true; });
    EXPECT_TRUE(closed);
}

TEST(Gate, MayBeDestroyedByItsLastVisitor) {
    auto gate = std::make_unique<Gate>();
    Gate::Pass pass = gate->enter();
    gate->close([&] { gate.reset(); });
    pass.give_back();
    EXPECT_EQ(gate, nullptr);
}

TEST(AbortSource, CallsEverySubscriberOnceInOrder) {
    AbortSource abort;
    std::vector<int> seen;
    auto first = abort.subscribe([&] { seen.push_back(1); });
    auto second = abort.subscribe([&] { seen.push_back(2); });
    auto third = abort.subscribe([&] { seen.push_back(3); });
    EXPECT_TRUE(first && second && third);
    second.end();
    abort.request_abort();
    abort.request_abort();
    EXPECT_THAT(seen, ElementsAre(1, 3));
    EXPECT_TRUE(abort.abort_requested());
    EXPECT_FALSE(first);
    EXPECT_FALSE(abort.subscribe([&] { seen.push_back(4); }));
}

TEST(AbortSource, CallbacksMayEndSubscriptionsAndDestroyTheSource) {
    auto abort = std::make_unique<AbortSource>();
    std::vector<int> seen;
    AbortSource::Subscription first;
    AbortSource::Subscription second;
    AbortSource::Subscription third;
    first = abort->subscribe([&] {
        seen.push_back(1);
        first.end();
        second.end();
        abort.reset();
    });
    second = abort->subscribe([&] { seen.push_back(2); });
    third = abort->subscribe([&] { seen.push_back(3); });
    abort->request_abort();
    EXPECT_THAT(seen, ElementsAre(1, 3));
}

TEST(AbortSource, MayDieBeforeItsSubscriptions) {
    AbortSource::Subscription kept;
    {
        AbortSource abort;
        kept = abort.subscribe([] { FAIL(); });
    }
    EXPECT_FALSE(kept);
}

struct UnitsTest : testing::Test {
    ManualExecutor executor;
    Semaphore semaphore{executor, 100};
    std::vector<std::string> granted;
    std::vector<SemaphoreUnits> held;

    Semaphore::Ticket wait_for(std::uint64_t count, std::string name) {
        return semaphore.take(count, [this, name = std::move(name)](SemaphoreUnits units) {
            granted.push_back(name);
            held.push_back(std::move(units));
        });
    }
};

TEST_F(UnitsTest, TakesAndGivesBack) {
    {
        SemaphoreUnits units = semaphore.try_take(60);
        ASSERT_TRUE(units);
        EXPECT_EQ(semaphore.available(), 40u);
        EXPECT_FALSE(semaphore.try_take(41));
        units.give_back(10);
        EXPECT_EQ(units.count(), 50u);
        SemaphoreUnits part = units.split(20);
        EXPECT_EQ(semaphore.available(), 50u);
        part = SemaphoreUnits();
        EXPECT_EQ(semaphore.available(), 70u);
        SemaphoreUnits more = semaphore.try_take(70);
        units.merge(std::move(more));
        EXPECT_EQ(units.count(), 100u);
        EXPECT_EQ(semaphore.available(), 0u);
        EXPECT_TRUE(semaphore.try_take(0));
    }
    EXPECT_EQ(semaphore.available(), 100u);
}

TEST_F(UnitsTest, WaitersAreServedInOrder) {
    SemaphoreUnits all = semaphore.try_take(100);
    wait_for(80, "large");
    wait_for(10, "small");
    all.give_back(50);
    EXPECT_FALSE(semaphore.try_take(1));  // no overtaking
    executor.run_until_idle();
    EXPECT_TRUE(granted.empty());
    all.give_back(30);
    EXPECT_TRUE(granted.empty());  // never within the call
    executor.run_until_idle();
    EXPECT_THAT(granted, ElementsAre("large"));
    all.give_back(20);
    executor.run_until_idle();
    EXPECT_THAT(granted, ElementsAre("large", "small"));
    EXPECT_EQ(semaphore.available(), 10u);
    held.clear();
    EXPECT_EQ(semaphore.available(), 100u);
}

TEST_F(UnitsTest, MoreThanTheCapacityTakesAllOfIt) {
    SemaphoreUnits some = semaphore.try_take(1);
    wait_for(1'000'000, "huge");
    executor.run_until_idle();
    EXPECT_TRUE(granted.empty());
    some = SemaphoreUnits();
    executor.run_until_idle();
    EXPECT_THAT(granted, ElementsAre("huge"));
    EXPECT_EQ(held[0].count(), 100u);
    EXPECT_EQ(semaphore.available(), 0u);
}

TEST_F(UnitsTest, CancelLetsTheNextPass) {
    SemaphoreUnits some = semaphore.try_take(50);
    Semaphore::Ticket large = wait_for(80, "large");
    wait_for(50, "small");
    executor.run_until_idle();
    semaphore.cancel(large);
    executor.run_until_idle();
    EXPECT_THAT(granted, ElementsAre("small"));
    semaphore.cancel(large);
    EXPECT_EQ(semaphore.waiting(), 0u);
}

TEST(Units, MayOutliveTheSemaphore) {
    ManualExecutor executor;
    auto token = std::make_shared<int>(0);
    auto semaphore = std::make_unique<Semaphore>(executor, 10);
    SemaphoreUnits units = semaphore->try_take(10);
    semaphore->take(5, [token](SemaphoreUnits) { FAIL(); });
    units.give_back(5);  // a grant is under way
    semaphore.reset();
    EXPECT_EQ(token.use_count(), 1);
    executor.run_until_idle();
}

}  // namespace
}  // namespace millrace::runtime
