#include "controller/cut_bounds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "controller/history_gen.h"

namespace millrace::controller {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Halves, of which the upper is split.
const auto a = segment_id(0, 0), b = segment_id(1, 0), c = segment_id(2, 1), d = segment_id(3, 1);

std::vector<Epoch> halves_and_quarters() {
    std::vector<Epoch> epochs;
    epochs.push_back(first_epoch({{a, 0, 0.5}, {b, 0.5, 1}}, 1));
    epochs.push_back(next_epoch(epochs.back(), {{a, 0, 0.5}, {c, 0.5, 0.75}, {d, 0.75, 1}}, 2));
    return epochs;
}

CutLine line(const StreamCut& cut) { return *line_of(cut, halves_and_quarters()); }

TEST(CutBounds, Order) {
    EXPECT_EQ(order_of(line({{a, 1}, {b, 1}}), line({{a, 1}, {b, 1}})), CutOrder::kEqual);
    EXPECT_EQ(order_of(line({{a, 1}, {b, 1}}), line({{a, 1}, {b, 2}})), CutOrder::kBefore);
    EXPECT_EQ(order_of(line({{a, 1}, {c, 0}, {d, 0}}), line({{a, 1}, {b, 2}})), CutOrder::kAfter);
    EXPECT_EQ(order_of(line({{a, 1}, {c, 0}, {d, 0}}), line({{a, 2}, {b, 2}})), CutOrder::kOverlaps);
}

TEST(CutBounds, BoundsOfTwo) {
    auto left = line({{a, 5}, {b, 2}});
    auto right = line({{a, 3}, {c, 1}, {d, 0}});
    EXPECT_EQ(earlier_of(left, right), (StreamCut{{a, 3}, {b, 2}}));
    EXPECT_EQ(later_of(left, right), (StreamCut{{a, 5}, {c, 1}, {d, 0}}));
}

TEST(CutBounds, Stretches) {
    auto epochs = halves_and_quarters();
    EXPECT_THAT(*stretches_between({{a, 5}, {b, 2}}, {{a, 7}, {c, 1}, {d, 0}}, epochs),
                ElementsAre(Stretch{a, 5, 7}, Stretch{b, 2, Stretch::kToItsEnd}, Stretch{c, 0, 1}, Stretch{d, 0, 0}));
    EXPECT_THAT(*stretches_between({{a, 5}, {b, 2}}, {{a, 5}, {b, 2}}, epochs),
                ElementsAre(Stretch{a, 5, 5}, Stretch{b, 2, 2}));
    EXPECT_EQ(stretches_between({{segment_id(9, 0), 0}}, {{a, 5}, {b, 2}}, epochs).error(), Errc::kNotFound);
}

std::span<const Epoch> needed(const StreamCut& cut, const History& history) {
    EpochSpan span = epochs_of(cut);
    return std::span(history.epochs)
        .subspan(static_cast<std::size_t>(span.first), static_cast<std::size_t>(span.last - span.first) + 1);
}

bool is_valid_cut(const StreamCut& cut, const History& history) {
    auto made = line_of(cut, needed(cut, history));
    return made && is_valid(*made, cut, needed(cut, history));
}

RC_GTEST_PROP(CutBoundsProperty, BoundsOfValidCutsAreValidAndBounds, ()) {
    History history = random_history();
    StreamCut x = random_cut(history);
    StreamCut y = random_cut(history);
    RC_ASSERT(is_valid_cut(x, history));
    auto x_line = line_of(x, history.epochs);
    auto y_line = line_of(y, history.epochs);
    StreamCut low = earlier_of(*x_line, *y_line);
    StreamCut high = later_of(*x_line, *y_line);
    RC_ASSERT(is_valid_cut(low, history));
    RC_ASSERT(is_valid_cut(high, history));
    auto low_line = line_of(low, history.epochs);
    auto high_line = line_of(high, history.epochs);
    for (const auto* one : {&*x_line, &*y_line}) {
        RC_ASSERT(one->is_at_or_after(*low_line));
        RC_ASSERT(high_line->is_at_or_after(*one));
    }
    CutOrder order = order_of(*x_line, *y_line);
    RC_CLASSIFY(order == CutOrder::kOverlaps, "overlapping");
    RC_ASSERT((order == CutOrder::kEqual || order == CutOrder::kBefore) == y_line->is_at_or_after(*x_line));
    RC_ASSERT((order == CutOrder::kEqual || order == CutOrder::kAfter) == x_line->is_at_or_after(*y_line));
}

// From x to y and from y to z is from x to z, in bytes.
RC_GTEST_PROP(CutBoundsProperty, StretchesAddUp, ()) {
    History history = random_history();
    StreamCut x = random_cut(history);
    StreamCut y = later_of(*line_of(x, history.epochs), *line_of(random_cut(history), history.epochs));
    StreamCut z = later_of(*line_of(y, history.epochs), *line_of(random_cut(history), history.epochs));
    auto bytes = [&](const StreamCut& from, const StreamCut& to) {
        std::int64_t sum = 0;
        auto stretches = stretches_between(from, to, history.epochs);
        RC_ASSERT(stretches.has_value());
        for (const Stretch& s : *stretches) {
            std::int64_t end = s.end == Stretch::kToItsEnd ? history.lengths.at(s.segment) : s.end;
            RC_ASSERT(end >= s.begin);
            sum += end - s.begin;
        }
        return sum;
    };
    RC_ASSERT(bytes(x, y) + bytes(y, z) == bytes(x, z));
    RC_ASSERT(bytes(x, x) == 0);
}

}  // namespace
}  // namespace millrace::controller
