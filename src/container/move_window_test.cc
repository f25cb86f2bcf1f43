#include "container/move_window.h"

#include <deque>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::container {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

// Byte at offset o of file f is f + o. Answers when the test says so.
class RecordingLog final : public wal::DurableLog {
  public:
    void append(wal::Frame, bool, runtime::Callback<Result<wal::Appended>>) override {}
    LogSequence next_sequence() const override { return LogSequence(1); }
    void truncate(LogSequence) override {}
    wal::LogSpace space() const override { return {}; }
    void on_space(runtime::Callback<SpaceEvent>) override {}
    void read(wal::LogAddress address, std::size_t size, runtime::Callback<Result<bytes::Slice>> done) override {
        reads.emplace_back(address.offset, size);
        std::vector<std::uint8_t> data(size);
        for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<std::uint8_t>(address.file + address.offset + i);
        answers.push_back([this, offset = address.offset, data = std::move(data), done = std::move(done)]() mutable {
            if (fails) return done(fail(Errc::kIo, "planted"));
            for (const wal::DamagedFrame& frame : damaged) {
                if (frame.begin < offset + data.size() && frame.end > offset)
                    return done(fail(wal::damaged_frame_error(frame, "planted damage")));
            }
            done(bytes::Slice::copy_of(data));
        });
    }
    void answer_all() {
        while (!answers.empty()) {
            for (auto& answer : std::exchange(answers, {})) answer();
        }
    }

    bool fails = false;
    std::vector<wal::DamagedFrame> damaged;                    // rising
    std::vector<std::pair<std::uint64_t, std::size_t>> reads;  // offset, size
    std::deque<runtime::Task> answers;
};

Extent in_log(std::uint64_t file, std::uint64_t offset, std::uint32_t size) {
    return {.size = size, .address = {file, offset}};
}

std::vector<std::uint8_t> content(const bytes::Slice& slice) { return {slice.span().begin(), slice.span().end()}; }

class MoveWindowTest : public testing::Test {
  protected:
    // How often a load was answered, and whether without an error.
    runtime::Callback<Result<>> note() {
        return [this](Result<> loaded) { outcomes.push_back(loaded.has_value()); };
    }
    RecordingLog log;
    MoveWindow window;
    std::vector<bool> outcomes;
};

TEST_F(MoveWindowTest, NeighboursAreReadOnceForAllSegments) {
    // Two segments in turn in the log, planned one after the other; then something far away, and another file.
    const Extent a1 = in_log(7, 1000, 10), b1 = in_log(7, 1020, 10), a2 = in_log(7, 1100, 5), b2 = in_log(7, 1200, 5);
    const Extent far = in_log(7, 10'000'000, 4), other = in_log(8, 1100, 4);
    for (const Extent& extent : {a1, a2, far, b1, b2, other}) window.add(extent, {});
    EXPECT_TRUE(window.covers(b1));
    EXPECT_TRUE(window.find(a1).empty());
    window.load(log, a1, note());
    window.load(log, b2, note());
    EXPECT_THAT(log.reads, ElementsAre(Pair(1000, 205), Pair(10'000'000, 4), Pair(1100, 4)));
    log.answer_all();
    EXPECT_THAT(outcomes, ElementsAre(true, true));
    EXPECT_THAT(content(window.find(a2)), ElementsAre(83, 84, 85, 86, 87));  // 7 + 1100 and on, as bytes
    EXPECT_THAT(content(window.find(other)), ElementsAre(84, 85, 86, 87));
    EXPECT_FALSE(window.covers(in_log(7, 1201, 5))) << "not all of it was planned";
    EXPECT_FALSE(window.covers(in_log(9, 1100, 4)));
}

TEST_F(MoveWindowTest, FramesInMemoryAreHeldForTheRound) {
    bytes::SlabRef slab = bytes::Slab::allocate(4096);
    slab->data()[100] = 42;
    Extent extent{.size = 1, .slab_offset = 100, .slab = 12, .address = {7, 500}};
    Extent older = extent;
    older.slab = 9;
    window.add(extent, slab);
    window.add(older, slab);
    EXPECT_THAT(content(window.find(extent)), ElementsAre(42));
    EXPECT_THAT(content(window.find(older)), ElementsAre(42));
    older.slab = 10;
    older.address = {7, 900};
    EXPECT_TRUE(window.find(older).empty()) << "this frame was not planned";
    EXPECT_FALSE(slab.unique());
    window.clear();
    EXPECT_TRUE(slab.unique());
    EXPECT_TRUE(window.find(extent).empty());
    EXPECT_THAT(log.reads, IsEmpty());
}

TEST_F(MoveWindowTest, AnErrorIsToldAndTheReadTriedAgain) {
    const Extent extent = in_log(7, 1000, 10);
    window.add(extent, {});
    log.fails = true;
    window.load(log, extent, note());
    log.answer_all();
    EXPECT_THAT(outcomes, ElementsAre(false));
    log.fails = false;
    window.load(log, extent, note());
    log.answer_all();
    EXPECT_THAT(outcomes, ElementsAre(false, true));
    EXPECT_FALSE(window.find(extent).empty());
}

TEST_F(MoveWindowTest, ADamagedFrameIsLeftOutOfItsRange) {
    // Five frames of a page; the second and the last are damaged. Two extents lie in the second.
    auto extent_at = [](std::uint64_t page, std::uint64_t inner) { return in_log(7, page * 4096 + 64 + inner, 10); };
    const Extent one = extent_at(1, 0), two = extent_at(2, 0), beside = extent_at(2, 500), three = extent_at(3, 0),
                 four = extent_at(4, 0), five = extent_at(5, 0);
    const Extent all[] = {one, two, beside, three, four, five};
    for (const Extent& extent : all) window.add(extent, {});
    log.damaged = {{8192, 12'288}, {20'480, 24'576}};
    for (const Extent& extent : all) window.load(log, extent, note());
    log.answer_all();
    EXPECT_THAT(outcomes, ElementsAre(true, true, true, true, true, true));
    for (const Extent& extent : {one, three, four}) {
        EXPECT_EQ(window.damage(extent), nullptr);
        ASSERT_EQ(window.find(extent).size(), 10u);
        EXPECT_EQ(content(window.find(extent))[0], static_cast<std::uint8_t>(7 + extent.address.offset));
    }
    for (const Extent& extent : {two, beside, five}) {
        EXPECT_TRUE(window.find(extent).empty());
        ASSERT_NE(window.damage(extent), nullptr);
        EXPECT_EQ(window.damage(extent)->code(), Errc::kCorrupt);
    }
    EXPECT_EQ(wal::damaged_frame(*window.damage(five))->begin, 20'480u);
    std::size_t reads = log.reads.size();
    EXPECT_LE(reads, 6u);
    window.clear();
    EXPECT_EQ(window.damage(two), nullptr);
}

TEST_F(MoveWindowTest, WhatComesAfterTheRoundIsDropped) {
    const Extent extent = in_log(7, 1000, 10);
    window.add(extent, {});
    window.load(log, extent, note());
    window.clear();
    window.add(in_log(7, 5000, 10), {});
    log.answer_all();
    EXPECT_THAT(outcomes, IsEmpty());
    EXPECT_TRUE(window.find(in_log(7, 5000, 10)).empty());
}

}  // namespace
}  // namespace millrace::container
