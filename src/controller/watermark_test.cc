#include "controller/watermark.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "controller/history_gen.h"

namespace millrace::controller {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string hex(std::string_view bytes) {
    std::string text;
    for (unsigned char c : bytes) text += fmt::format("{:02x}", c);
    return text;
}

// ---- the event ----

TEST(Watermark, EventAsClientsReadIt) {
    Watermark mark{1000, 2000, {{{segment_id(0, 0), 0, 1}, 42}}};
    EXPECT_EQ(hex(event_of(mark)),
              "0000000000000041"
              "0000010000000039"
              "00000000000003e8"
              "00000000000007d0"
              "01"
              "0000010000000018"
              "0000000000000000"
              "0000000000000000"
              "3ff0000000000000"
              "000000000000002a");
}

TEST(Watermark, CountsOfEveryLength) {
    auto event = [](std::int32_t count) {
        Watermark mark{-1, -1, {}};
        for (const SegmentRange& s : equal_ranges(count, 0, 0)) mark.cut.push_back({s, 7});
        return event_of(mark);
    };
    EXPECT_EQ(hex(event(127).substr(32, 1)), "7f");
    EXPECT_EQ(hex(event(128).substr(32, 2)), "8080");
    EXPECT_EQ(event(128).size(), 32u + 2 + 128 * 40);
    EXPECT_EQ(hex(event(20'000).substr(32, 4)), "c0004e20");
}

// ---- writers ----

TEST(Writers, TheSlowestAndTheFastestMakeTheBounds) {
    std::vector<WriterTime> writers = {{500, true, {}}, {300, true, {}}, {900, false, {}}};
    auto verdict = judge(writers, 299, 0, 0);
    EXPECT_TRUE(verdict.advances);
    EXPECT_EQ(verdict.lower, 300);
    EXPECT_EQ(verdict.upper, 900) << "one that ended counts until it is passed";
    EXPECT_THAT(verdict.inactive, IsEmpty());
    EXPECT_TRUE(judge(writers, std::nullopt, 0, 0).advances);
}

TEST(Writers, OneThatDoesNotAdvanceIsForgotten) {
    std::vector<WriterTime> writers = {{500, true, {}}, {300, true, {}}};
    auto verdict = judge(writers, 300, 0, 0);
    EXPECT_THAT(verdict.inactive, ElementsAre(1u));
    EXPECT_TRUE(verdict.advances);
    EXPECT_EQ(verdict.lower, 500);
}

TEST(Writers, OrWaitedForAsLongAsTheStreamSays) {
    std::vector<WriterTime> writers = {{500, true, {}}, {300, true, {}}};
    auto verdict = judge(writers, 300, 1000, 5000);
    EXPECT_FALSE(verdict.advances);
    EXPECT_THAT(verdict.lagging, ElementsAre(1u));
    EXPECT_THAT(verdict.inactive, IsEmpty());
    writers[1].lagging_since_ms = 4001;
    EXPECT_FALSE(judge(writers, 300, 1000, 5000).advances);
    writers[1].lagging_since_ms = 4000;
    EXPECT_TRUE(judge(writers, 300, 1000, 5000).advances);
    EXPECT_THAT(judge(writers, 300, 1000, 5000).inactive, ElementsAre(1u));
}

TEST(Writers, OneThatEndedIsNotWaitedFor) {
    std::vector<WriterTime> writers = {{500, true, {}}, {300, false, {}}};
    EXPECT_TRUE(judge(writers, 300, 1000, 0).advances);
    EXPECT_FALSE(judge({}, 300, 1000, 0).advances);
    EXPECT_FALSE(judge(std::span(writers).subspan(1), 300, 1000, 0).advances);
    EXPECT_THAT(judge(std::span(writers).subspan(1), 300, 1000, 0).active, IsEmpty());
}

RC_GTEST_PROP(WritersProperty, WatermarksOnlyGoForward, ()) {
    std::vector<WriterTime> writers(*rc::gen::inRange<std::size_t>(0, 6));
    for (WriterTime& writer : writers) {
        writer.time = *rc::gen::inRange(0, 10);
        writer.alive = *rc::gen::arbitrary<bool>();
        if (*rc::gen::arbitrary<bool>()) writer.lagging_since_ms = *rc::gen::inRange(0, 10);
    }
    std::int64_t previous = *rc::gen::inRange(0, 10);
    auto verdict = judge(writers, previous, *rc::gen::inRange(0, 10), 10);
    RC_ASSERT(verdict.active.size() + verdict.inactive.size() == writers.size());
    if (!verdict.advances) return;
    RC_ASSERT(verdict.lower > previous);
    RC_ASSERT(verdict.upper >= verdict.lower);
    for (std::size_t i : verdict.active) RC_ASSERT(writers[i].time >= verdict.lower);
}

// ---- the cut ----

const auto a = segment_id(0, 0), b = segment_id(1, 0), c = segment_id(2, 1), d = segment_id(3, 1);
const SegmentRange kA{a, 0, 0.5}, kB{b, 0.5, 1}, kC{c, 0.5, 0.75}, kD{d, 0.75, 1};

StreamCut bound(std::vector<CutEntry> entries, std::vector<SegmentRange> newest) {
    Epoch epoch;
    epoch.segments = std::move(newest);
    StreamCut cut;
    for (const CutEntry& entry : upper_bound_of(std::move(entries), epoch)) cut[entry.segment.id] = entry.offset;
    return cut;
}

TEST(WatermarkCut, TheFurthestOfEachSegment) {
    EXPECT_EQ(bound({{kA, 5}, {kB, 1}, {kA, 3}, {kB, 9}}, {kA, kB}), (StreamCut{{a, 5}, {b, 9}}));
}

TEST(WatermarkCut, KeysThatNobodyWroteToAreFilledIn) {
    EXPECT_EQ(bound({{kA, 5}}, {kA, kB}), (StreamCut{{a, 5}, {b, 0}}));
    EXPECT_EQ(bound({{kA, 5}, {kC, 2}}, {kA, kC, kD}), (StreamCut{{a, 5}, {c, 2}, {d, 0}}));
}

TEST(WatermarkCut, LaterSegmentsTakeTheirKeysOver) {
    EXPECT_EQ(bound({{kA, 5}, {kB, 9}, {kC, 2}}, {kA, kC, kD}), (StreamCut{{a, 5}, {c, 2}, {d, 0}}));
    SegmentRange all{segment_id(4, 2), 0, 1};
    EXPECT_EQ(bound({{kA, 5}, {kD, 9}, {all, 0}}, {all}), (StreamCut{{all.id, 0}}));
}

RC_GTEST_PROP(WatermarkCutProperty, CoversAllKeysAtOrBeyondEveryEntry, ()) {
    History history = random_history();
    std::vector<CutEntry> entries;
    auto count = *rc::gen::inRange(1, 6);
    for (int i = 0; i < count; ++i) {
        auto which = history.segments.begin();
        std::advance(which, *rc::gen::inRange<std::size_t>(0, history.segments.size()));
        entries.push_back({which->second, *rc::gen::inRange<std::int64_t>(0, 100)});
    }
    auto latest = std::ranges::max_element(entries, {}, [](const CutEntry& e) { return e.segment.id; });
    const Epoch& newest = history.epochs[static_cast<std::size_t>(epoch_of(latest->segment.id))];
    auto cut = upper_bound_of(entries, newest);
    for (std::size_t i = 1; i < cut.size(); ++i) RC_ASSERT(cut[i - 1].segment.id < cut[i].segment.id);
    std::ranges::sort(cut, {}, [](const CutEntry& e) { return e.segment.min_key; });
    double end = 0;
    for (const CutEntry& entry : cut) {
        RC_ASSERT(entry.segment.min_key == end);
        end = entry.segment.max_key;
        for (const CutEntry& noted : entries) {
            if (!noted.segment.overlaps(entry.segment)) continue;
            RC_ASSERT(std::pair(entry.segment.id, entry.offset) >= std::pair(noted.segment.id, noted.offset));
        }
    }
    RC_ASSERT(end == 1.0);
    // As tight as it can be: with a single epoch's entries nothing is moved.
    RC_ASSERT(upper_bound_of(cut, newest).size() == cut.size());
}

}  // namespace
}  // namespace millrace::controller
