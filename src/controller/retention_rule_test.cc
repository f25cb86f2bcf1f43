#include "controller/retention_rule.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "controller/history_gen.h"

namespace millrace::controller {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Where = RetentionChoice::Where;
using Why = RetentionChoice::Why;

constexpr std::int64_t kNoMost = std::numeric_limits<std::int64_t>::max();

// Points of age 40, 30, 20, 10 which keep as many bytes; `orders`: to the bound.
RetentionView view(RetentionType type, std::int64_t param, std::int64_t max, std::vector<CutOrder> orders = {},
                   std::optional<std::int64_t> bound_keeps = {}) {
    RetentionView view;
    view.policy = {type, param, max};
    view.now_ms = 100;
    for (std::int64_t age : {40, 30, 20, 10}) view.points.push_back({100 - age, age, CutOrder::kBefore});
    for (std::size_t i = 0; i < orders.size(); ++i) view.points[i].to_bound = orders[i];
    view.bound_keeps = bound_keeps;
    return view;
}

std::string result(const RetentionView& view) {
    RetentionChoice choice = choose(view);
    if (choice.where == Where::kNowhere) return "nowhere";
    if (choice.where == Where::kBound) return "bound";
    return std::to_string(choice.point);
}

constexpr auto kB = CutOrder::kBefore, kE = CutOrder::kEqual, kA = CutOrder::kAfter, kO = CutOrder::kOverlaps;

TEST(RetentionRule, WithoutSubscribersTheLeastIsKept) {
    for (auto type : {RetentionType::kTime, RetentionType::kSize}) {
        EXPECT_EQ(result(view(type, 25, kNoMost)), "1");
        EXPECT_EQ(result(view(type, 30, kNoMost)), "1");
        EXPECT_EQ(result(view(type, 31, kNoMost)), "0");
        EXPECT_EQ(result(view(type, 41, kNoMost)), "nowhere");
        EXPECT_EQ(result(view(type, 0, kNoMost)), "3");
    }
}

TEST(RetentionRule, SizeWithSubscribers) {
    auto size = [](std::int64_t max, std::vector<CutOrder> orders, std::int64_t bound_keeps) {
        return result(view(RetentionType::kSize, 20, max, std::move(orders), bound_keeps));
    };
    EXPECT_EQ(size(kNoMost, {kB, kB, kB, kA}, 15), "2") << "subscribers are far enough";
    EXPECT_EQ(size(kNoMost, {kB, kB, kO, kA}, 15), "1") << "in one segment they are not";
    EXPECT_EQ(size(kNoMost, {kO, kO, kO, kA}, 15), "nowhere");
    EXPECT_EQ(size(kNoMost, {kB, kA, kA, kA}, 35), "bound") << "they are behind";
    EXPECT_EQ(size(36, {kB, kA, kA, kA}, 35), "bound");
    EXPECT_EQ(size(35, {kB, kA, kA, kA}, 35), "1") << "too far behind";
    EXPECT_EQ(size(25, {kA, kA, kA, kA}, 50), "2");
    EXPECT_EQ(size(1000, {kA, kA, kA, kA}, 2000), "0");
}

TEST(RetentionRule, TimeWithSubscribers) {
    auto time = [](std::int64_t max, std::vector<CutOrder> orders) {
        return result(view(RetentionType::kTime, 20, max, std::move(orders), 1));
    };
    EXPECT_EQ(time(kNoMost, {kB, kB, kB, kA}), "2");
    EXPECT_EQ(time(kNoMost, {kB, kB, kO, kA}), "1");
    EXPECT_EQ(time(kNoMost, {kO, kO, kO, kA}), "nowhere");
    EXPECT_EQ(time(kNoMost, {kB, kB, kE, kA}), "bound");
    EXPECT_EQ(time(kNoMost, {kB, kA, kA, kA}), "bound");
    EXPECT_EQ(time(40, {kB, kA, kA, kA}), "bound") << "what is too old is before the subscribers";
    EXPECT_EQ(time(40, {kE, kA, kA, kA}), "bound");
    EXPECT_EQ(time(40, {kA, kA, kA, kA}), "0") << "subscribers are in what is too old";
    EXPECT_EQ(time(30, {kA, kA, kA, kA}), "1") << "the oldest that may be kept";
    EXPECT_EQ(time(25, {kA, kA, kA, kA}), "2");
    EXPECT_EQ(time(30, {kO, kO, kA, kA}), "1");
}

TEST(RetentionRule, TheMostAsClientsMeanIt) {
    EXPECT_EQ(most_of({RetentionType::kSize, 10, 0}), kNoMost) << "clients that do not know of it";
    EXPECT_EQ(most_of({RetentionType::kSize, 10, 5}), 10);
    EXPECT_EQ(most_of({RetentionType::kSize, 10, 20}), 20);
}

TEST(RetentionRule, WhatIsWorthNoting) {
    RetentionPolicy size{RetentionType::kSize, 6400, 0};
    EXPECT_FALSE(is_worth_noting(size, 1'000'000, 99));
    EXPECT_TRUE(is_worth_noting(size, 1, 100));
    RetentionPolicy time{RetentionType::kTime, 6400, 0};
    EXPECT_FALSE(is_worth_noting(time, 99, 1'000'000));
    EXPECT_TRUE(is_worth_noting(time, 100, 1));
    EXPECT_FALSE(is_worth_noting(time, 1'000'000, 0)) << "nothing was written";
}

TEST(RetentionRule, EveryOtherOneIsSuperfluous) {
    EXPECT_THAT(superfluous(8, 8), IsEmpty());
    EXPECT_THAT(superfluous(9, 8), ElementsAre(1u, 3u, 5u, 7u));
    EXPECT_THAT(superfluous(10, 8), ElementsAre(1u, 3u, 5u, 7u));
    EXPECT_THAT(superfluous(3, 2), ElementsAre(1u));
    for (std::size_t count = 3; count < 40; ++count) EXPECT_LE(count - superfluous(count, count - 1).size(), count - 1);
}

// ---- properties, over histories with readers in them ----

std::int64_t bytes_between(const History& history, const StreamCut& from, const StreamCut& to) {
    std::int64_t sum = 0;
    auto stretches = stretches_between(from, to, history.epochs);
    for (const Stretch& s : *stretches) {
        sum += (s.end == Stretch::kToItsEnd ? history.lengths.at(s.segment) : s.end) - s.begin;
    }
    return sum;
}

struct Case {
    History history;
    std::vector<StreamCut> cuts;  // each at or after the one before
    StreamCut tail;
    std::optional<StreamCut> bound;
    RetentionView view;
};

Case random_case() {
    Case made;
    made.history = random_history();
    const auto& epochs = made.history.epochs;
    for (const SegmentRange& s : epochs.back().segments) made.tail[s.id] = made.history.lengths.at(s.id);
    auto count = *rc::gen::inRange<std::size_t>(0, 6);
    StreamCut last = random_cut(made.history);
    for (std::size_t i = 0; i < count; ++i) {
        last = later_of(*line_of(last, epochs), *line_of(random_cut(made.history), epochs));
        made.cuts.push_back(last);
    }
    if (*rc::gen::inRange(0, 3) > 0) made.bound = random_cut(made.history);
    made.view.policy.type = *rc::gen::element(RetentionType::kTime, RetentionType::kSize);
    made.view.policy.param = *rc::gen::inRange(0, 200);
    made.view.policy.max = made.view.policy.param + *rc::gen::inRange(1, 200);
    made.view.now_ms = 1000;
    std::int64_t age = 0;
    for (std::size_t i = 0; i < count; ++i) age += *rc::gen::inRange(1, 80);
    for (std::size_t i = 0; i < count; ++i) {
        RetentionPoint point;
        point.time_ms = 1000 - age + static_cast<std::int64_t>(i) * age / static_cast<std::int64_t>(count);
        point.kept_bytes = bytes_between(made.history, made.cuts[i], made.tail);
        if (made.bound) point.to_bound = order_of(*line_of(made.cuts[i], epochs), *line_of(*made.bound, epochs));
        made.view.points.push_back(point);
    }
    if (made.bound) made.view.bound_keeps = bytes_between(made.history, *made.bound, made.tail);
    return made;
}

RC_GTEST_PROP(RetentionProperty, WhatThePolicyKeepsIsKept, ()) {
    Case c = random_case();
    RetentionChoice choice = choose(c.view);
    if (choice.where == Where::kNowhere) return;
    const StreamCut& cut = choice.where == Where::kBound ? *c.bound : c.cuts[choice.point];
    const RetentionPolicy& policy = c.view.policy;
    if (policy.type == RetentionType::kSize) {
        RC_ASSERT(bytes_between(c.history, cut, c.tail) >= policy.param);
        return;
    }
    // Not beyond a cut that is old enough.
    bool old_enough = false;
    for (std::size_t i = 0; i < c.cuts.size(); ++i) {
        if (c.view.now_ms - c.view.points[i].time_ms < policy.param) continue;
        CutOrder order = order_of(*line_of(cut, c.history.epochs), *line_of(c.cuts[i], c.history.epochs));
        old_enough = old_enough || order == CutOrder::kBefore || order == CutOrder::kEqual;
    }
    RC_ASSERT(old_enough);
}

RC_GTEST_PROP(RetentionProperty, SubscribersLoseOnlyBeyondTheMost, ()) {
    Case c = random_case();
    if (!c.bound) return;
    RetentionChoice choice = choose(c.view);
    if (choice.where != Where::kPoint) return;
    CutOrder order = c.view.points[choice.point].to_bound;
    bool loses = order == CutOrder::kAfter || order == CutOrder::kOverlaps;
    RC_CLASSIFY(loses, "loses");
    if (!loses) return;
    RC_ASSERT(choice.why == Why::kMost);
    std::int64_t most = most_of(c.view.policy);
    bool beyond = c.view.policy.type == RetentionType::kSize && *c.view.bound_keeps >= most;
    for (const RetentionPoint& point : c.view.points) {
        bool in_it = point.to_bound == CutOrder::kAfter || point.to_bound == CutOrder::kOverlaps;
        if (c.view.policy.type == RetentionType::kTime && c.view.now_ms - point.time_ms >= most && in_it) beyond = true;
    }
    RC_ASSERT(beyond);
}

RC_GTEST_PROP(RetentionProperty, NothingNewerWouldDoWithoutSubscribers, ()) {
    Case c = random_case();
    c.view.bound_keeps.reset();
    RetentionChoice choice = choose(c.view);
    std::size_t next = choice.where == Where::kPoint ? choice.point + 1 : 0;
    for (; next < c.view.points.size(); ++next) {
        const RetentionPoint& point = c.view.points[next];
        bool by_size = c.view.policy.type == RetentionType::kSize;
        std::int64_t kept = by_size ? point.kept_bytes : c.view.now_ms - point.time_ms;
        bool same = choice.where == Where::kPoint && by_size && kept == c.view.points[choice.point].kept_bytes;
        RC_ASSERT(kept < c.view.policy.param || same);
    }
}

}  // namespace
}  // namespace millrace::controller
