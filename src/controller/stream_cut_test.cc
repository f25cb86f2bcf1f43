#include "controller/stream_cut.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::controller {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// 0: one segment. 1: halves. 2: the upper half in quarters. 3: the middle two merged with each other's halves, see
// below.
//
//   epoch 0   [0                               ]
//   epoch 1   [1             ][2               ]
//   epoch 2   [1             ][3      ][4      ]
//   epoch 3   [5                      ][4      ]
const auto s0 = segment_id(0, 0), s1 = segment_id(1, 1), s2 = segment_id(2, 1), s3 = segment_id(3, 2),
           s4 = segment_id(4, 2), s5 = segment_id(5, 3);

std::vector<Epoch> history() {
    std::vector<Epoch> epochs;
    epochs.push_back(first_epoch({{s0, 0, 1}}, 100));
    epochs.push_back(next_epoch(epochs.back(), {{s1, 0, 0.5}, {s2, 0.5, 1}}, 200));
    epochs.push_back(next_epoch(epochs.back(), {{s1, 0, 0.5}, {s3, 0.5, 0.75}, {s4, 0.75, 1}}, 300));
    epochs.push_back(next_epoch(epochs.back(), {{s5, 0, 0.75}, {s4, 0.75, 1}}, 400));
    return epochs;
}

std::span<const Epoch> needed(const StreamCut& cut, const std::vector<Epoch>& epochs) {
    EpochSpan span = epochs_of(cut);
    return std::span(epochs).subspan(static_cast<std::size_t>(span.first),
                                     static_cast<std::size_t>(span.last - span.first) + 1);
}

bool valid(const StreamCut& cut) {
    auto epochs = history();
    auto line = line_of(cut, needed(cut, epochs));
    return line && is_valid(*line, cut, needed(cut, epochs));
}

CutLine line(const StreamCut& cut) {
    auto made = line_of(cut, history());
    EXPECT_TRUE(made) << made.error().to_string();
    return *made;
}

std::vector<StreamSegmentId> between(const StreamCut& from, const StreamCut& to) {
    std::vector<StreamSegmentId> ids;
    for (const SegmentRange& s : segments_between(line(from), line(to), history())) ids.push_back(s.id);
    return ids;
}

TEST(StreamCut, Ids) {
    EXPECT_EQ(segment_id(7, 3).value(), (3LL << 32) + 7);
    EXPECT_EQ(number_of(segment_id(7, 3)), 7);
    EXPECT_EQ(epoch_of(segment_id(7, 3)), 3);
}

TEST(StreamCut, ValidOnes) {
    EXPECT_TRUE(valid({{s0, 0}}));
    EXPECT_TRUE(valid({{s0, 1'000'000}}));
    EXPECT_TRUE(valid({{s1, 0}, {s2, 0}}));
    EXPECT_TRUE(valid({{s1, 9}, {s3, 0}, {s4, 5}}));
    EXPECT_TRUE(valid({{s5, 0}, {s4, 0}}));
    EXPECT_TRUE(valid({{s0, 0}, {s2, kNotReached}}));           // named although it is not reached
    EXPECT_TRUE(valid({{s1, 3}, {s4, 0}, {s5, kNotReached}}));  // 3 read to its end, 5 waits for 1
    EXPECT_TRUE(valid({{s1, 3}, {s3, 0}, {s4, 0}, {s5, kNotReached}}));
}

TEST(StreamCut, InvalidOnes) {
    EXPECT_FALSE(valid({{s1, 0}}));           // half of the keys
    EXPECT_FALSE(valid({{s1, 0}, {s4, 0}}));  // a gap in the middle
    EXPECT_FALSE(valid({{s0, 0}, {s1, 0}}));  // both at once
    EXPECT_FALSE(valid({{s1, 0}, {s2, 0}, {s3, 0}}));
    EXPECT_FALSE(valid({{s1, 0}, {s2, 0}, {s0, kNotReached}}));  // not reached, but what follows was
    EXPECT_FALSE(valid({{segment_id(9, 0), 0}}));                // unknown
    EXPECT_FALSE(valid({{segment_id(0, 1), 0}}));                // another epoch's number
    EXPECT_FALSE(valid({{s1, 0}, {s5, kNotReached}}));           // what 5 does not cover is missing
    // 5 holds the events after 3 and after 1: it cannot be read to its end above and not be begun below.
    std::vector<Epoch> epochs = history();
    const auto s6 = segment_id(6, 4), s7 = segment_id(7, 4);
    epochs.push_back(next_epoch(epochs.back(), {{s6, 0, 0.5}, {s7, 0.5, 0.75}, {s4, 0.75, 1}}, 500));
    StreamCut across = {{s1, 0}, {s7, 0}, {s4, 0}};
    auto drawn = line_of(across, epochs);
    ASSERT_TRUE(drawn);
    EXPECT_FALSE(is_valid(*drawn, across, epochs));
}

TEST(StreamCut, Order) {
    auto at_or_after = [](const StreamCut& a, const StreamCut& b) { return line(a).is_at_or_after(line(b)); };
    EXPECT_TRUE(at_or_after({{s0, 5}}, {{s0, 5}}));
    EXPECT_TRUE(at_or_after({{s0, 6}}, {{s0, 5}}));
    EXPECT_FALSE(at_or_after({{s0, 4}}, {{s0, 5}}));
    EXPECT_TRUE(at_or_after({{s1, 0}, {s2, 0}}, {{s0, 5}}));
    EXPECT_FALSE(at_or_after({{s0, 5}}, {{s1, 0}, {s2, 0}}));
    EXPECT_FALSE(at_or_after({{s1, 4}, {s4, 0}, {s5, kNotReached}}, {{s1, 5}, {s2, 0}}));
    EXPECT_TRUE(at_or_after({{s1, 5}, {s4, 0}, {s5, kNotReached}}, {{s1, 5}, {s2, 0}}));
    EXPECT_TRUE(at_or_after({{s1, 6}, {s4, 0}, {s5, kNotReached}}, {{s1, 5}, {s4, 0}, {s5, kNotReached}}));
    EXPECT_FALSE(at_or_after({{s1, 6}, {s3, 0}, {s4, 0}}, {{s1, 5}, {s4, 0}, {s5, kNotReached}}));
    EXPECT_TRUE(at_or_after({{s5, 0}, {s4, 0}}, {{s1, 5}, {s4, 0}, {s5, kNotReached}}));
}

TEST(StreamCut, Between) {
    EXPECT_THAT(between({{s0, 0}}, {{s5, 1}, {s4, 1}}), ElementsAre(s0, s1, s2, s3, s4, s5));
    EXPECT_THAT(between({{s0, 0}}, {{s0, 5}}), ElementsAre(s0));
    EXPECT_THAT(between({{s1, 0}, {s2, 0}}, {{s1, 1}, {s3, 0}, {s4, 0}}), ElementsAre(s1, s2, s3, s4));
    EXPECT_THAT(between({{s5, 0}, {s4, 0}}, {{s5, 1}, {s4, 1}}), ElementsAre(s4, s5));
    // In 1 still, 3 done: 1 is read from, 3 is not.
    EXPECT_THAT(between({{s1, 3}, {s4, 0}, {s5, kNotReached}}, {{s5, 0}, {s4, 0}}), ElementsAre(s1, s4, s5));
    EXPECT_THAT(between({{s0, 0}}, {{s1, 3}, {s4, 0}, {s5, kNotReached}}), ElementsAre(s0, s1, s2, s3, s4));
    // A reader group names only what its readers are in.
    EXPECT_THAT(between({{s1, 3}, {s4, 0}}, {{s5, 0}, {s4, 0}}), ElementsAre(s1, s3, s4, s5));
}

TEST(StreamCut, LeftBehind) {
    auto left = [](const StreamCut& from, const StreamCut& to) {
        return segments_left_behind(line(from), line(to), to, history());
    };
    EXPECT_THAT(left({{s0, 0}}, {{s0, 9}}), IsEmpty());
    EXPECT_THAT(left({{s0, 0}}, {{s1, 0}, {s2, 0}}), ElementsAre(s0));
    EXPECT_THAT(left({{s0, 0}}, {{s5, 0}, {s4, 0}}), ElementsAre(s0, s1, s2, s3));
    EXPECT_THAT(left({{s1, 0}, {s2, 0}}, {{s5, 0}, {s4, 0}}), ElementsAre(s1, s2, s3));
    EXPECT_THAT(left({{s1, 0}, {s2, 0}}, {{s1, 5}, {s4, 0}, {s5, kNotReached}}), ElementsAre(s2, s3));
    EXPECT_THAT(left({{s1, 5}, {s4, 0}, {s5, kNotReached}}, {{s5, 0}, {s4, 0}}), ElementsAre(s1));
}

TEST(StreamCut, EqualRanges) {
    auto one = equal_ranges(1, 5, 2);
    ASSERT_EQ(one.size(), 1u);
    EXPECT_EQ(one[0], (SegmentRange{segment_id(5, 2), 0, 1}));
    auto three = equal_ranges(3, 0, 0);
    EXPECT_EQ(three[0].max_key, 0.3333333333333333);
    EXPECT_EQ(three[1].max_key, 0.6666666666666666);
    EXPECT_EQ(three[2].max_key, 1.0);
    for (int n : {2, 7, 49, 1000, 10'000}) {
        auto ranges = equal_ranges(n, 0, 0);
        double end = 0;
        for (const SegmentRange& range : ranges) {
            ASSERT_EQ(range.min_key, end) << n;
            ASSERT_LT(range.min_key, range.max_key) << n;
            end = range.max_key;
        }
        EXPECT_EQ(end, 1.0);
    }
}

TEST(StreamCut, Epochs) {
    auto epochs = history();
    EXPECT_EQ(epochs[0].splits, 0);
    EXPECT_EQ(epochs[1].splits, 1);
    EXPECT_EQ(epochs[2].splits, 2);
    EXPECT_EQ(epochs[2].merges, 0);
    EXPECT_EQ(epochs[3].splits, 2);
    EXPECT_EQ(epochs[3].merges, 1);
    EXPECT_EQ(epochs[3].reference, 3);
    EXPECT_EQ(next_epoch(epochs[0], {{s1, 0, 1}}, 5).creation_ms, 101);  // a clock that went back
}

TEST(StreamCut, Successors) {
    auto epochs = history();
    auto after_split = successors_of(s2, epochs[1], epochs[2]);
    ASSERT_EQ(after_split.size(), 2u);
    EXPECT_EQ(after_split[0].segment.id, s3);
    EXPECT_THAT(after_split[0].predecessors, ElementsAre(s2));
    EXPECT_EQ(after_split[1].segment.id, s4);
    auto after_merge = successors_of(s3, epochs[2], epochs[3]);
    ASSERT_EQ(after_merge.size(), 1u);
    EXPECT_EQ(after_merge[0].segment, (SegmentRange{s5, 0, 0.75}));
    EXPECT_THAT(after_merge[0].predecessors, ElementsAre(s1, s3));
    EXPECT_THAT(successors_of(s0, epochs[2], epochs[3]), IsEmpty());
}

// Truncating step by step along a random history leaves behind exactly the segments that lie before the last cut.
TEST(StreamCut, RandomHistories) {
    for (unsigned seed = 0; seed < 200; ++seed) {
        std::mt19937 random(seed);
        std::vector<Epoch> epochs = {first_epoch(equal_ranges(1 + static_cast<int>(random() % 4), 0, 0), 0)};
        std::int32_t number = static_cast<std::int32_t>(epochs[0].segments.size());
        for (int i = 1; i < 12; ++i) {
            auto ranges = equal_ranges(1 + static_cast<int>(random() % 5), number, i);
            number += static_cast<std::int32_t>(ranges.size());
            epochs.push_back(next_epoch(epochs.back(), std::move(ranges), i));
        }
        std::set<StreamSegmentId> left;
        CutLine head = CutLine::at_start_of(epochs[0]);
        for (std::size_t e = 0; e < epochs.size(); e += 1 + random() % 3) {
            StreamCut cut;
            for (const SegmentRange& s : epochs[e].segments) cut[s.id] = static_cast<std::int64_t>(random() % 100);
            auto next = line_of(cut, epochs);
            ASSERT_TRUE(next && is_valid(*next, cut, epochs));
            ASSERT_TRUE(next->is_at_or_after(head) || e == 0);
            for (StreamSegmentId id : segments_left_behind(head, *next, cut, epochs))
                ASSERT_TRUE(left.insert(id).second);
            std::set<StreamSegmentId> before;
            for (std::size_t i = 0; i < e; ++i) {
                for (const SegmentRange& s : epochs[i].segments) before.insert(s.id);
            }
            ASSERT_EQ(left, before) << "seed " << seed << ", epoch " << e;
            head = *next;
        }
    }
}

}  // namespace
}  // namespace millrace::controller
