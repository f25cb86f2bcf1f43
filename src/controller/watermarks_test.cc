// Times of writers and the watermarks made of them: a controller's rounds on manual time, over a store in memory.
#include "controller/watermarks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/controller_harness.h"

namespace millrace::controller {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

const StreamName kX{"s", "x"};
const auto k0 = segment_id(0, 0), k1 = segment_id(1, 0);

std::int64_t be64(std::string_view bytes, std::size_t at) {
    std::uint64_t v = 0;
    for (std::size_t i = 0; i < 8; ++i) v = v << 8 | static_cast<std::uint8_t>(bytes[at + i]);
    return static_cast<std::int64_t>(v);
}

class WatermarksTest : public testing::Test {
  protected:
    WatermarksTest() {
        EXPECT_EQ(t.create_scope("s"), CreateScopeStatus::kSuccess);
        EXPECT_EQ(t.create(kX, fixed(2)), CreateStreamStatus::kSuccess);
    }
    ~WatermarksTest() override { EXPECT_THAT(t.garbage(), IsEmpty()); }

    Result<NoteTimeStatus> note(const std::string& writer, std::int64_t time, StreamCut position,
                                const StreamName& stream = kX) {
        return t.call<NoteTimeStatus>(
            [&](auto done) { t.controller->note_time(stream, writer, time, position, std::move(done)); });
    }
    Result<RemoveWriterStatus> remove(const std::string& writer, const StreamName& stream = kX) {
        return t.call<RemoveWriterStatus>(
            [&](auto done) { t.controller->remove_writer(stream, writer, std::move(done)); });
    }
    void round() { t.executor->advance(10s); }

    struct Mark {
        std::int64_t lower = 0;
        std::int64_t upper = 0;
        StreamCut cut;
        bool operator==(const Mark&) const = default;
    };
    // As a client would read them.
    std::vector<Mark> marks() {
        std::vector<Mark> all;
        std::int64_t end = 0;
        const auto& segment = t.api.segments.at("s/_MARKx/0.#epoch.0");
        for (const auto& [offset, event] : segment.appended) {
            EXPECT_EQ(offset, end) << "one after the other";
            end += static_cast<std::int64_t>(event.size());
            Mark mark{be64(event, 16), be64(event, 24), {}};
            auto count = static_cast<std::size_t>(event[32]);
            for (std::size_t i = 0; i < count; ++i) {
                mark.cut[StreamSegmentId(be64(event, 41 + i * 40))] = be64(event, 65 + i * 40);
            }
            EXPECT_EQ(event.size(), 33 + count * 40);
            all.push_back(std::move(mark));
        }
        EXPECT_EQ(segment.length, end);
        return all;
    }

    Harness t;
};

TEST_F(WatermarksTest, NotesAreJudgedByTheOneBefore) {
    EXPECT_EQ(note("w", 1000, {{k0, 10}}), NoteTimeStatus::kSuccess);
    EXPECT_EQ(note("w", 1000, {{k0, 10}}), NoteTimeStatus::kSuccess);
    EXPECT_EQ(note("w", 2000, {{k0, 20}}), NoteTimeStatus::kSuccess);
    EXPECT_EQ(note("w", 1500, {{k0, 30}}), NoteTimeStatus::kInvalidTime);
    EXPECT_EQ(note("w", 3000, {{k0, 5}}), NoteTimeStatus::kInvalidPosition);
    EXPECT_EQ(note("w", 3000, {{k1, 5}}), NoteTimeStatus::kSuccess) << "of other segments nothing can be said";
    EXPECT_EQ(note("v", 500, {{k0, 5}}), NoteTimeStatus::kSuccess) << "writers are independent";
    EXPECT_EQ(note("u", 500, {}), NoteTimeStatus::kSuccess);
    EXPECT_EQ(note("u", 500, {{segment_id(9, 9), 1}}), NoteTimeStatus::kSuccess);
    EXPECT_EQ(note("", 500, {}).error(), Errc::kInvalidArgument);
    EXPECT_EQ(note(std::string(2000, 'w'), 500, {}).error(), Errc::kInvalidArgument);
    EXPECT_EQ(note("w", 1, {}, {"s", "none"}).error(), Errc::kNotFound);
    EXPECT_EQ(note("w", 1, {}, {"", ""}).error(), Errc::kInvalidArgument);
    EXPECT_EQ(note("w", 1, {}, {"bad/name", "x"}).error(), Errc::kNotFound);
}

TEST_F(WatermarksTest, NoTimeIsNoNote) {
    EXPECT_EQ(note("w", Watermarks::kNoTime, {{k0, 10}}), NoteTimeStatus::kSuccess);
    EXPECT_THAT(t.keys("writer/"), IsEmpty());
}

TEST_F(WatermarksTest, WritersOfAnyName) {
    for (const char* name : {"a/b", "%2f", "\xff\x01", "w", "w w"}) {
        EXPECT_EQ(note(name, 1, {{k0, 1}}), NoteTimeStatus::kSuccess);
    }
    EXPECT_THAT(t.keys("writer/s/x/"), SizeIs(5));
    EXPECT_EQ(remove("a/b"), RemoveWriterStatus::kSuccess);
    EXPECT_EQ(remove("a"), RemoveWriterStatus::kUnknownWriter);
    EXPECT_EQ(remove(""), RemoveWriterStatus::kUnknownWriter);
    EXPECT_EQ(remove("a/b", {"s", "none"}), RemoveWriterStatus::kUnknownWriter);
}

TEST_F(WatermarksTest, NotesThatComeTogetherAreKeptTogether) {
    std::vector<NoteTimeStatus> statuses;
    t.api.arm(FakeSegmentApi::Fault::kNone, 0);
    for (int i = 0; i < 100; ++i) {
        t.controller->note_time(kX, "w" + std::to_string(i % 50), i, {{k0, i}}, [&](Result<NoteTimeStatus> status) {
            ASSERT_TRUE(status);
            statuses.push_back(*status);
        });
    }
    t.executor->run_until_idle();
    EXPECT_THAT(statuses, SizeIs(100));
    EXPECT_THAT(statuses, testing::Each(NoteTimeStatus::kSuccess));
    EXPECT_THAT(t.keys("writer/"), SizeIs(50));
    EXPECT_LE(t.api.changes(), 2u);
}

TEST_F(WatermarksTest, TroubleIsToldToEverybody) {
    int failed = 0;
    t.api.arm(FakeSegmentApi::Fault::kFailBefore, 1);  // of the first nothing waits yet, the others are kept together
    for (int i = 0; i < 4; ++i) {
        t.controller->note_time(kX, "w" + std::to_string(i), i, {{k0, i}}, [&](Result<NoteTimeStatus> status) {
            if (!status) ++failed;
        });
    }
    t.executor->run_until_idle();
    EXPECT_EQ(failed, 3);
    EXPECT_EQ(note("w", 1, {{k0, 1}}), NoteTimeStatus::kSuccess);
}

TEST_F(WatermarksTest, StreamsWithoutNotesCostNothing) {
    t.api.arm(FakeSegmentApi::Fault::kNone, 0);
    for (int i = 0; i < 5; ++i) round();
    EXPECT_EQ(t.api.changes(), 0u);
    EXPECT_THAT(marks(), IsEmpty());
}

TEST_F(WatermarksTest, TheSlowestWriterLeads) {
    note("fast", 2000, {{k0, 100}, {k1, 50}});
    note("slow", 1000, {{k0, 80}, {k1, 70}});
    EXPECT_THAT(marks(), IsEmpty()) << "not before the round";
    round();
    EXPECT_THAT(marks(), ElementsAre(Mark{1000, 2000, {{k0, 100}, {k1, 70}}}));
    note("fast", 3000, {{k0, 200}});
    note("slow", 1500, {{k0, 180}});
    round();
    EXPECT_THAT(marks(), ElementsAre(testing::_, Mark{1500, 3000, {{k0, 200}, {k1, 70}}})) << "never behind the last";
}

TEST_F(WatermarksTest, WritersThatFallSilentAreForgotten) {
    note("w", 1000, {{k0, 10}});
    round();
    EXPECT_THAT(marks(), SizeIs(1));
    round();
    EXPECT_THAT(marks(), SizeIs(1));
    EXPECT_THAT(t.keys("writer/"), IsEmpty());
    t.api.arm(FakeSegmentApi::Fault::kNone, 0);
    round();
    EXPECT_EQ(t.api.changes(), 0u);
    note("w", 900, {{k0, 20}});
    round();
    EXPECT_THAT(marks(), SizeIs(1)) << "time does not go back";
    note("w", 1100, {{k0, 20}});
    round();
    EXPECT_THAT(marks(), SizeIs(2));
}

TEST_F(WatermarksTest, OrWaitedForAsLongAsTheStreamSays) {
    StreamConfig config = fixed(2);
    config.timestamp_aggregation_ms = 25'000;
    ASSERT_EQ(t.update(kX, config), UpdateStreamStatus::kSuccess);
    note("fast", 2000, {{k0, 10}});
    note("slow", 1000, {{k1, 10}});
    round();
    note("fast", 3000, {{k0, 20}});
    for (int i = 0; i < 3; ++i) {
        round();
        EXPECT_THAT(marks(), SizeIs(1)) << i;
    }
    round();
    EXPECT_THAT(marks(), SizeIs(2));
    EXPECT_EQ(marks().back().lower, 3000);
}

TEST_F(WatermarksTest, WritersThatEndAreNotWaitedFor) {
    StreamConfig config = fixed(2);
    config.timestamp_aggregation_ms = 1'000'000;
    ASSERT_EQ(t.update(kX, config), UpdateStreamStatus::kSuccess);
    note("stays", 2000, {{k0, 10}});
    note("ends", 1000, {{k1, 10}});
    round();
    note("stays", 3000, {{k0, 20}});
    EXPECT_EQ(remove("ends"), RemoveWriterStatus::kSuccess);
    round();
    ASSERT_THAT(marks(), SizeIs(2));
    EXPECT_EQ(marks().back().lower, 3000);
    EXPECT_EQ(remove("ends"), RemoveWriterStatus::kUnknownWriter);
}

TEST_F(WatermarksTest, AcrossEpochs) {
    note("w", 1000, {{k0, 10}});
    ASSERT_EQ(t.update(kX, fixed(1)), UpdateStreamStatus::kSuccess);
    note("v", 1100, {{segment_id(2, 1), 5}});
    round();
    EXPECT_THAT(marks(), ElementsAre(Mark{1000, 1100, {{segment_id(2, 1), 5}}}));
}

TEST_F(WatermarksTest, PositionsInSegmentsThatDoNotExist) {
    note("w", 1000, {{segment_id(7, 3), 10}, {StreamSegmentId(-5), 1}});
    round();
    EXPECT_THAT(marks(), IsEmpty());
    note("v", 1000, {{k0, 10}});
    round();
    EXPECT_THAT(marks(), ElementsAre(Mark{1000, 1000, {{k0, 10}, {k1, 0}}}));
}

TEST_F(WatermarksTest, TransactionsBringTheirWritersTimes) {
    std::vector<TransactionId> ids;
    for (std::int64_t bytes : {30, 40, 50}) {
        auto txn = t.begin(kX);
        ASSERT_TRUE(txn) << txn.error().to_string();
        ids.push_back(txn->id);
        t.api.segments.at(transaction_segment_name(kX, k0, ids.back())).length = bytes;
    }
    EXPECT_EQ(t.commit(kX, ids[0], {"w", 1000}), TransactionOutcome::kSuccess);
    EXPECT_EQ(t.commit(kX, ids[1], {"w", 1500}), TransactionOutcome::kSuccess);
    EXPECT_EQ(t.commit(kX, ids[2], {"v", std::nullopt}), TransactionOutcome::kSuccess);
    EXPECT_THAT(t.keys("writer/"), SizeIs(1));
    round();
    EXPECT_THAT(marks(), ElementsAre(Mark{1500, 1500, {{k0, 70}, {k1, 0}}}));
}

TEST_F(WatermarksTest, AcrossAScale) {
    note("w", 1000, {{k0, 10}, {k1, 20}});
    t.api.segments.at("s/x/0.#epoch.0").length = 10;
    ASSERT_EQ(t.scale(kX, {k0}, {{0, 0.25}, {0.25, 0.5}})->status, ScaleStatus::kStarted);
    note("v", 1100, {{segment_id(2, 1), 5}});
    round();
    EXPECT_THAT(marks(), ElementsAre(Mark{1000, 1100, {{k1, 20}, {segment_id(2, 1), 5}, {segment_id(3, 1), 0}}}));
}

TEST_F(WatermarksTest, SomebodyElseWroteToTheCompanion) {
    note("w", 1000, {{k0, 10}});
    t.api.segments.at("s/_MARKx/0.#epoch.0").length = 7;
    round();
    ASSERT_THAT(t.api.segments.at("s/_MARKx/0.#epoch.0").appended, SizeIs(1));
    EXPECT_EQ(t.api.segments.at("s/_MARKx/0.#epoch.0").appended.front().first, 7);
}

TEST_F(WatermarksTest, SealedStreamsAndSealedCompanions) {
    ASSERT_EQ(t.seal(kX), UpdateStreamStatus::kSuccess);
    EXPECT_EQ(note("w", 1000, {{k0, 10}}), NoteTimeStatus::kSuccess);
    round();
    EXPECT_THAT(marks(), SizeIs(1));
    ASSERT_EQ(t.seal({"s", "_MARKx"}), UpdateStreamStatus::kSuccess);
    note("w", 2000, {{k0, 20}});
    round();
    round();
    EXPECT_THAT(marks(), SizeIs(1));
    ASSERT_EQ(t.remove(kX), DeleteStreamStatus::kSuccess);
    EXPECT_THAT(t.keys("writer/"), IsEmpty());
    EXPECT_THAT(t.keys("watermark/"), IsEmpty());
    round();
}

TEST_F(WatermarksTest, WatermarksBehindTheHeadGo) {
    StreamConfig config = fixed(2);
    config.retention = RetentionPolicy{RetentionType::kSize, 100, 0};
    ASSERT_EQ(t.update(kX, config), UpdateStreamStatus::kSuccess);
    for (int i = 1; i <= 10; ++i) {
        t.api.segments.at("s/x/0.#epoch.0").length = i * 100;
        note("w", i * 1000, {{k0, i * 100}});
        round();
    }
    EXPECT_GE(t.head(kX)->at(k0), 700);
    std::int64_t start = t.api.segments.at("s/_MARKx/0.#epoch.0").start;
    EXPECT_GE(start, 3 * 113);
    EXPECT_EQ(start % 113, 0) << "at an event";
    // Who begins to read at the head still finds the last watermark that is not behind it.
    EXPECT_LE(marks()[static_cast<std::size_t>(start / 113)].cut.at(k0), t.head(kX)->at(k0));
}

// Whatever dies or fails in between: every watermark once, none older than the one before.
TEST(WatermarksCrash, EachIsAppendedOnce) {
    using Fault = FakeSegmentApi::Fault;
    for (auto fault : {Fault::kDieBefore, Fault::kDieAfter, Fault::kFailBefore, Fault::kFailAfter}) {
        for (std::size_t at = 0; at < 6; ++at) {
            SCOPED_TRACE(testing::Message() << "fault " << static_cast<int>(fault) << " at change " << at);
            Harness t;
            ASSERT_EQ(t.create_scope("s"), CreateScopeStatus::kSuccess);
            ASSERT_EQ(t.create(kX, fixed(1)), CreateStreamStatus::kSuccess);
            auto note = [&](std::int64_t time) {
                return t.try_call<NoteTimeStatus>(
                    [&](auto done) { t.controller->note_time(kX, "w", time, {{k0, time}}, std::move(done)); });
            };
            note(1000);
            t.executor->advance(10s);
            t.api.arm(fault, at);
            note(2000);
            t.executor->advance(10s);
            note(3000);
            t.executor->advance(10s);
            if (t.api.dead()) t.restart();
            t.executor->advance(10s);
            auto noted = note(4000);
            ASSERT_TRUE(noted && *noted);
            t.executor->advance(10s);
            t.executor->advance(10s);
            const auto& segment = t.api.segments.at("s/_MARKx/0.#epoch.0");
            std::int64_t end = 0;
            std::int64_t last = 0;
            for (const auto& [offset, event] : segment.appended) {
                EXPECT_EQ(offset, end);
                end += static_cast<std::int64_t>(event.size());
                EXPECT_GT(be64(event, 16), last);
                last = be64(event, 16);
            }
            EXPECT_EQ(segment.length, end);
            EXPECT_EQ(last, 4000);
            EXPECT_THAT(t.garbage(), IsEmpty());
        }
    }
}

}  // namespace
}  // namespace millrace::controller
