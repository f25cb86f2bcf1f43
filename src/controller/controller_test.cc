#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/controller_harness.h"
#include "controller/records/group_record.h"

namespace millrace::controller {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

const StreamName kX{"s", "x"};
const StreamName kY{"s", "y"};

std::vector<StreamSegmentId> ids(const Result<std::vector<SegmentRange>>& segments) {
    std::vector<StreamSegmentId> found;
    if (segments) {
        for (const SegmentRange& s : *segments) found.push_back(s.id);
    }
    return found;
}

class ControllerTest : public testing::Test {
  protected:
    ControllerTest() { EXPECT_EQ(t.create_scope("s"), CreateScopeStatus::kSuccess); }
    ~ControllerTest() override { EXPECT_THAT(t.garbage(), IsEmpty()); }
    void write(const StreamName& name, StreamSegmentId id, std::int64_t bytes) {
        t.api.segments.at(segment_name(name, id)).length += bytes;
    }
    Harness t;
};

// ---- scopes ----

TEST_F(ControllerTest, ScopesLife) {
    EXPECT_EQ(t.create_scope("s"), CreateScopeStatus::kScopeExists);
    EXPECT_EQ(t.create_scope("_system"), CreateScopeStatus::kScopeExists);
    EXPECT_EQ(t.create_scope("bad name"), CreateScopeStatus::kInvalidScopeName);
    EXPECT_EQ(t.create_scope("").error(), Errc::kInvalidArgument);
    ASSERT_EQ(t.create(kX, fixed(1)), CreateStreamStatus::kSuccess);
    EXPECT_EQ(t.delete_scope("s"), DeleteScopeStatus::kScopeNotEmpty);
    EXPECT_EQ(t.delete_scope("none"), DeleteScopeStatus::kScopeNotFound);
    EXPECT_EQ(t.delete_scope("a/b"), DeleteScopeStatus::kScopeNotFound);
    EXPECT_EQ(t.seal(kX), UpdateStreamStatus::kSuccess);
    EXPECT_EQ(t.remove(kX), DeleteStreamStatus::kSuccess);
    EXPECT_EQ(t.delete_scope("s"), DeleteScopeStatus::kSuccess);
    EXPECT_EQ(t.delete_scope("s"), DeleteScopeStatus::kScopeNotFound);
    EXPECT_EQ(t.delete_scope("_system"), DeleteScopeStatus::kScopeNotEmpty);
    EXPECT_EQ(t.delete_scope_recursive("_system"), DeleteScopeStatus::kFailure);
}

TEST_F(ControllerTest, ScopeIsDeletedWithAllThatIsInIt) {
    ASSERT_EQ(t.create_scope("other"), CreateScopeStatus::kSuccess);
    const StreamName elsewhere{"other", "z"};
    ASSERT_EQ(t.create(elsewhere, fixed(1)), CreateStreamStatus::kSuccess);
    ASSERT_EQ(t.create(kX, fixed(2)), CreateStreamStatus::kSuccess);
    ASSERT_EQ(t.create(kY, fixed(1)), CreateStreamStatus::kSuccess);
    ASSERT_EQ(t.create({"s", "_MARKalone"}, fixed(1)), CreateStreamStatus::kSuccess);
    ASSERT_EQ(t.seal(kY), UpdateStreamStatus::kSuccess);
    ASSERT_EQ(t.create_group("s", "g", group_over({kX, elsewhere}, ReaderGroupRetention::kManual))->status,
              CreateReaderGroupStatus::kSuccess);
    EXPECT_THAT(t.subscribers(elsewhere), ElementsAre("s/g"));
    EXPECT_EQ(t.delete_scope_recursive("s"), DeleteScopeStatus::kSuccess);
    EXPECT_EQ(t.delete_scope_recursive("s"), DeleteScopeStatus::kSuccess);
    EXPECT_EQ(t.exists(kX), false);
    EXPECT_THAT(t.subscribers(elsewhere), IsEmpty());
    EXPECT_THAT(t.api.segments, SizeIs(2));  // of other/z and its companion
    EXPECT_EQ(t.create(kX, fixed(1)), CreateStreamStatus::kScopeNotFound);
    EXPECT_EQ(t.create_scope("s"), CreateScopeStatus::kSuccess);
    ASSERT_EQ(t.create(kX, fixed(1)), CreateStreamStatus::kSuccess);
    EXPECT_THAT(ids(t.current(kX)), ElementsAre(segment_id(2, 0)));  // numbers go on
}

TEST_F(ControllerTest, NothingIsMadeInAScopeThatIsBeingDeleted) {
    ASSERT_EQ(t.create(kX, fixed(1)), CreateStreamStatus::kSuccess);
    std::optional<Result<CreateStreamStatus>> meanwhile;
    std::optional<Result<CreateReaderGroupResult>> group;
    t.api.on_seal = [&](const std::string&) {
        t.controller->create_stream(kY, fixed(1), [&](auto result) { meanwhile = result; });
        t.controller->create_reader_group("s", "g", group_over({kX}, ReaderGroupRetention::kNone),
                                          [&](auto result) { group = result; });
        t.api.on_seal = nullptr;
    };
    EXPECT_EQ(t.delete_scope_recursive("s"), DeleteScopeStatus::kSuccess);
    ASSERT_TRUE(meanwhile && group);
    EXPECT_EQ(*meanwhile, CreateStreamStatus::kScopeNotFound);
    EXPECT_EQ((*group)->status, CreateReaderGroupStatus::kScopeNotFound);
}

// ---- streams ----

TEST_F(ControllerTest, CreateMakesSegmentsAndTheCompanion) {
    StreamConfig config;
    config.scaling = {ScalingType::kByEvents, 77, 2, 2};
    config.rollover_bytes = 1 << 21;
    ASSERT_EQ(t.create(kX, config), CreateStreamStatus::kSuccess);
    auto segments = *t.current(kX);
    EXPECT_THAT(segments, ElementsAre(SegmentRange{segment_id(0, 0), 0, 0.5}, SegmentRange{segment_id(1, 0), 0.5, 1}));
    ASSERT_TRUE(t.api.segments.contains("s/x/1.#epoch.0"));
    const auto& options = t.api.segments["s/x/1.#epoch.0"].options;
    EXPECT_EQ(options.scale_type, 2);
    EXPECT_EQ(options.target_rate, 77);
    EXPECT_EQ(options.rollover_bytes, 1 << 21);
    EXPECT_TRUE(t.api.segments.contains("s/_MARKx/0.#epoch.0"));
    EXPECT_THAT(t.streams("s"), ElementsAre("_MARKx", "x"));
    EXPECT_EQ(t.create(kX, config), CreateStreamStatus::kStreamExists);
    EXPECT_EQ(t.create(kX, fixed(3)), CreateStreamStatus::kStreamExists);
}

TEST_F(ControllerTest, CreateRefusesAndLeavesNothing) {
    auto refused = [&](StreamConfig config) {
        return t.create(kX, std::move(config)).error() == Errc::kInvalidArgument;
    };
    EXPECT_TRUE(refused(fixed(0)));
    EXPECT_TRUE(refused(fixed(-1)));
    EXPECT_TRUE(refused(fixed(10'001)));
    StreamConfig negative = fixed(1);
    negative.rollover_bytes = -1;
    EXPECT_TRUE(refused(negative));
    std::vector<std::string> tags;
    tags.reserve(128);
    for (int i = 0; i < 128; ++i) tags.push_back("t" + std::to_string(i));
    EXPECT_TRUE(refused(fixed(1, tags)));
    EXPECT_TRUE(refused(fixed(1, {std::string(256, 't')})));
    EXPECT_EQ(t.create({"", "x"}, fixed(1)).error(), Errc::kInvalidArgument);
    EXPECT_EQ(t.create({"s", ""}, fixed(1)), CreateStreamStatus::kInvalidStreamName);
    EXPECT_EQ(t.create({"s", "a b"}, fixed(1)), CreateStreamStatus::kInvalidStreamName);
    EXPECT_EQ(t.create({"none", "x"}, fixed(1)), CreateStreamStatus::kScopeNotFound);
    EXPECT_EQ(t.create({"s/t", "x"}, fixed(1)), CreateStreamStatus::kScopeNotFound);
    EXPECT_EQ(t.exists(kX), false);
    EXPECT_THAT(t.api.segments, IsEmpty());
    tags.pop_back();
    EXPECT_EQ(t.create(kX, fixed(1, tags)), CreateStreamStatus::kSuccess);
    std::string long_tag;
    for (int i = 0; i < 255; ++i) long_tag += "ü";
    EXPECT_EQ(t.create(kY, fixed(1, {long_tag})), CreateStreamStatus::kSuccess);
}

TEST_F(ControllerTest, ConfigurationComesBack) {
    StreamConfig config;
    config.scaling = {ScalingType::kByKilobytes, 50, 2, 1};
    config.retention = RetentionPolicy{RetentionType::kTime, 60'000, 120'000};
    config.tags = {"two", "one", "two"};
    config.timestamp_aggregation_ms = 5000;
    ASSERT_EQ(t.create(kX, config), CreateStreamStatus::kSuccess);
    auto stored = t.call<StreamConfig>([&](auto done) { t.controller->stream_config(kX, std::move(done)); });
    config.tags = {"one", "two"};
    EXPECT_EQ(*stored, config);
    auto none = t.call<StreamConfig>([&](auto done) { t.controller->stream_config(kY, std::move(done)); });
    EXPECT_EQ(none.error(), Errc::kNotFound);
}

TEST_F(ControllerTest, TwoCreatorsAtOnce) {
    std::vector<CreateStreamStatus> statuses;
    for (int i = 0; i < 5; ++i) t.controller->create_stream(kX, fixed(2), [&](auto r) { statuses.push_back(*r); });
    t.executor->run_until_idle();
    EXPECT_THAT(statuses, ElementsAre(CreateStreamStatus::kSuccess, CreateStreamStatus::kStreamExists,
                                      CreateStreamStatus::kStreamExists, CreateStreamStatus::kStreamExists,
                                      CreateStreamStatus::kStreamExists));
}

TEST_F(ControllerTest, ManyStreamsOfAScopeAtOnce) {
    int made = 0;
    for (int i = 0; i < 50; ++i) {
        t.controller->create_stream({"s", "x" + std::to_string(i)}, fixed(1),
                                    [&](auto r) { made += r == CreateStreamStatus::kSuccess; });
    }
    t.executor->run_until_idle();
    EXPECT_EQ(made, 50);
}

TEST_F(ControllerTest, NumbersGoOnAfterDeletion) {
    ASSERT_EQ(t.create(kX, fixed(2)), CreateStreamStatus::kSuccess);
    EXPECT_EQ(t.remove(kX), DeleteStreamStatus::kStreamNotSealed);
    ASSERT_EQ(t.seal(kX), UpdateStreamStatus::kSuccess);
    ASSERT_EQ(t.remove(kX), DeleteStreamStatus::kSuccess);
    EXPECT_EQ(t.remove(kX), DeleteStreamStatus::kStreamNotFound);
    EXPECT_THAT(t.api.segments, IsEmpty());
    EXPECT_EQ(t.current(kX).error(), Errc::kNotFound);
    ASSERT_EQ(t.create(kX, fixed(2)), CreateStreamStatus::kSuccess);
    EXPECT_THAT(ids(t.current(kX)), ElementsAre(segment_id(2, 0), segment_id(3, 0)));
    EXPECT_THAT(*t.head(kX), ElementsAre(std::pair(segment_id(2, 0), 0), std::pair(segment_id(3, 0), 0)));
    EXPECT_TRUE(t.api.segments.contains("s/_MARKx/1.#epoch.0"));
}

TEST_F(ControllerTest, SealEndsTheStream) {
    ASSERT_EQ(t.create(kX, fixed(2)), CreateStreamStatus::kSuccess);
    EXPECT_EQ(t.seal(kX), UpdateStreamStatus::kSuccess);
    EXPECT_EQ(t.seal(kX), UpdateStreamStatus::kSuccess);
    EXPECT_EQ(t.seal(kY), UpdateStreamStatus::kStreamNotFound);
    EXPECT_EQ(t.seal({"a/b", "c"}), UpdateStreamStatus::kScopeNotFound);
    EXPECT_THAT(ids(t.current(kX)), IsEmpty());
    EXPECT_EQ(t.update(kX, fixed(1)), UpdateStreamStatus::kStreamSealed);
    EXPECT_EQ(t.truncate(kX, {{segment_id(0, 0), 0}, {segment_id(1, 0), 0}}), UpdateStreamStatus::kStreamSealed);
    auto epoch =
        t.call<std::vector<SegmentRange>>([&](auto done) { t.controller->epoch_segments(kX, 0, std::move(done)); });
    EXPECT_THAT(ids(epoch), ElementsAre(segment_id(0, 0), segment_id(1, 0)));
}

TEST_F(ControllerTest, CompanionDeletedBeforeItsStream) {
    ASSERT_EQ(t.create(kX, fixed(1)), CreateStreamStatus::kSuccess);
    const StreamName mark = mark_of(kX);
    EXPECT_EQ(t.seal(mark), UpdateStreamStatus::kSuccess);
    EXPECT_EQ(t.remove(mark), DeleteStreamStatus::kSuccess);
    EXPECT_EQ(t.exists(mark), false);
    EXPECT_EQ(t.exists(kX), true);
    EXPECT_EQ(t.seal(kX), UpdateStreamStatus::kSuccess);
    EXPECT_EQ(t.remove(kX), DeleteStreamStatus::kSuccess);
}

// ---- update ----

TEST_F(ControllerTest, UpdateReplacesTheConfiguration) {
    StreamConfig old = fixed(1, {"old"});
    old.retention = RetentionPolicy{RetentionType::kSize, 100, 200};
    ASSERT_EQ(t.create(kX, old), CreateStreamStatus::kSuccess);
    StreamConfig config;
    config.scaling = {ScalingType::kByEvents, 55, 2, 1};
    config.tags = {"new"};
    EXPECT_EQ(t.update(kX, config), UpdateStreamStatus::kSuccess);
    auto stored = t.call<StreamConfig>([&](auto done) { t.controller->stream_config(kX, std::move(done)); });
    EXPECT_EQ(*stored, config);
    EXPECT_EQ(t.api.segments["s/x/0.#epoch.0"].options.target_rate, 55);
    EXPECT_THAT(t.keys("tag/"), ElementsAre("tag/s/new/x"));
    EXPECT_EQ(t.update(kX, config), UpdateStreamStatus::kSuccess);
    EXPECT_EQ(t.update(kY, config), UpdateStreamStatus::kStreamNotFound);
    EXPECT_EQ(t.update({"none", "x"}, config), UpdateStreamStatus::kScopeNotFound);
    EXPECT_EQ(t.update(kX, fixed(0)).error(), Errc::kInvalidArgument);
}

TEST_F(ControllerTest, UpdateOfTheNumberOfSegmentsMakesAnEpoch) {
    ASSERT_EQ(t.create(kX, fixed(1)), CreateStreamStatus::kSuccess);
    write(kX, segment_id(0, 0), 10);
    auto successors = [&](StreamSegmentId id) {
        return *t.call<std::vector<Successor>>([&](auto done) { t.controller->successors(kX, id, std::move(done)); });
    };
    EXPECT_THAT(successors(segment_id(0, 0)), IsEmpty());
    // Who meets the seal learns the successors.
    std::size_t told = 0;
    t.api.on_seal = [&](const std::string& name) {
        EXPECT_EQ(name, "s/x/0.#epoch.0");
        t.controller->successors(kX, segment_id(0, 0), [&](auto r) { told = r->size(); });
    };
    EXPECT_EQ(t.update(kX, fixed(3)), UpdateStreamStatus::kSuccess);
    t.api.on_seal = nullptr;
    EXPECT_EQ(told, 3u);
    EXPECT_THAT(ids(t.current(kX)), ElementsAre(segment_id(1, 1), segment_id(2, 1), segment_id(3, 1)));
    EXPECT_TRUE(t.api.segments["s/x/0.#epoch.0"].sealed);
    ASSERT_THAT(successors(segment_id(0, 0)), SizeIs(3));
    EXPECT_THAT(successors(segment_id(0, 0))[2].predecessors, ElementsAre(segment_id(0, 0)));
    EXPECT_EQ(t.update(kX, fixed(2)), UpdateStreamStatus::kSuccess);
    EXPECT_THAT(ids(t.current(kX)), ElementsAre(segment_id(4, 2), segment_id(5, 2)));
    EXPECT_THAT(successors(segment_id(2, 1)), SizeIs(2));
    EXPECT_THAT(successors(segment_id(9, 1)), IsEmpty());

    // With a policy by rate only a larger minimum makes segments.
    StreamConfig by_rate;
    by_rate.scaling = {ScalingType::kByEvents, 10, 2, 1};
    EXPECT_EQ(t.update(kX, by_rate), UpdateStreamStatus::kSuccess);
    EXPECT_THAT(ids(t.current(kX)), SizeIs(2));
    by_rate.scaling.min_segments = 3;
    EXPECT_EQ(t.update(kX, by_rate), UpdateStreamStatus::kSuccess);
    EXPECT_THAT(ids(t.current(kX)), ElementsAre(segment_id(6, 3), segment_id(7, 3), segment_id(8, 3)));

    auto epochs = t.call<std::vector<Epoch>>([&](auto done) { t.controller->list_epochs(kX, 1, 2, std::move(done)); });
    ASSERT_THAT(*epochs, SizeIs(2));
    EXPECT_EQ((*epochs)[0].epoch, 1);
    auto missing =
        t.call<std::vector<SegmentRange>>([&](auto done) { t.controller->epoch_segments(kX, 4, std::move(done)); });
    EXPECT_EQ(missing.error(), Errc::kNotFound);
    auto negative =
        t.call<std::vector<SegmentRange>>([&](auto done) { t.controller->epoch_segments(kX, -1, std::move(done)); });
    EXPECT_EQ(negative.error(), Errc::kInvalidArgument);
}

// ---- truncation and cuts ----

TEST_F(ControllerTest, TruncationMovesTheHead) {
    ASSERT_EQ(t.create(kX, fixed(1)), CreateStreamStatus::kSuccess);
    write(kX, segment_id(0, 0), 10);
    EXPECT_EQ(t.truncate(kX, {{segment_id(0, 0), 4}}), UpdateStreamStatus::kSuccess);
    EXPECT_EQ(t.api.segments["s/x/0.#epoch.0"].start, 4);
    EXPECT_THAT(*t.head(kX), ElementsAre(std::pair(segment_id(0, 0), 4)));
    EXPECT_EQ(t.truncate(kX, {{segment_id(0, 0), 4}}), UpdateStreamStatus::kSuccess);
    EXPECT_EQ(t.truncate(kX, {{segment_id(0, 0), 2}}), UpdateStreamStatus::kFailure);   // backwards
    EXPECT_EQ(t.truncate(kX, {{segment_id(0, 0), 11}}), UpdateStreamStatus::kFailure);  // beyond the tail
    EXPECT_EQ(t.truncate(kX, {}), UpdateStreamStatus::kFailure);
    EXPECT_EQ(t.truncate(kX, {{segment_id(7, 0), 0}}), UpdateStreamStatus::kFailure);
    EXPECT_EQ(t.truncate(kX, {{segment_id(0, 7), 0}}), UpdateStreamStatus::kFailure);
    EXPECT_EQ(t.truncate(kX, {{StreamSegmentId(-1), 0}}), UpdateStreamStatus::kFailure);
    EXPECT_EQ(t.truncate(kY, {{segment_id(0, 0), 4}}), UpdateStreamStatus::kStreamNotFound);
    EXPECT_THAT(*t.head(kX), ElementsAre(std::pair(segment_id(0, 0), 4)));
}

TEST_F(ControllerTest, TruncationAcrossEpochsDeletesSegments) {
    ASSERT_EQ(t.create(kX, fixed(1)), CreateStreamStatus::kSuccess);
    ASSERT_EQ(t.update(kX, fixed(2)), UpdateStreamStatus::kSuccess);
    ASSERT_EQ(t.update(kX, fixed(1)), UpdateStreamStatus::kSuccess);
    // Above still in 2.#epoch.1, below behind 1.#epoch.1: the last segment is not reached.
    StreamCut waiting = {{segment_id(2, 1), 0}, {segment_id(3, 2), kNotReached}};
    EXPECT_EQ(t.truncate(kX, waiting), UpdateStreamStatus::kSuccess);
    EXPECT_FALSE(t.api.segments.contains("s/x/0.#epoch.0"));
    EXPECT_FALSE(t.api.segments.contains("s/x/1.#epoch.1"));
    EXPECT_TRUE(t.api.segments.contains("s/x/2.#epoch.1"));
    EXPECT_EQ(*t.head(kX), waiting);
    EXPECT_EQ(t.truncate(kX, {{segment_id(0, 0), 0}}), UpdateStreamStatus::kFailure);
    EXPECT_EQ(t.truncate(kX, {{segment_id(1, 1), 0}, {segment_id(2, 1), 0}}), UpdateStreamStatus::kFailure);
    EXPECT_EQ(t.truncate(kX, {{segment_id(3, 2), 0}}), UpdateStreamStatus::kSuccess);
    EXPECT_FALSE(t.api.segments.contains("s/x/2.#epoch.1"));
    auto epoch =
        t.call<std::vector<SegmentRange>>([&](auto done) { t.controller->epoch_segments(kX, 0, std::move(done)); });
    EXPECT_THAT(ids(epoch), ElementsAre(segment_id(0, 0)));
    EXPECT_EQ(t.seal(kX), UpdateStreamStatus::kSuccess);
    EXPECT_EQ(t.remove(kX), DeleteStreamStatus::kSuccess);
}

TEST_F(ControllerTest, QuestionsAboutCuts) {
    ASSERT_EQ(t.create(kX, fixed(1)), CreateStreamStatus::kSuccess);
    ASSERT_EQ(t.update(kX, fixed(2)), UpdateStreamStatus::kSuccess);
    auto valid = [&](StreamCut cut) {
        return t.call<bool>([&](auto done) { t.controller->is_cut_valid(kX, cut, std::move(done)); });
    };
    const auto s0 = segment_id(0, 0), s1 = segment_id(1, 1), s2 = segment_id(2, 1);
    EXPECT_EQ(valid({{s0, 0}}), true);
    EXPECT_EQ(valid({{s1, 0}, {s2, 0}}), true);
    EXPECT_EQ(valid({{s1, 0}}), false);
    EXPECT_EQ(valid({{s0, 0}, {s1, 0}}), false);
    EXPECT_EQ(valid({{s0, 0}, {s2, kNotReached}}), true);
    EXPECT_EQ(valid({{s0, 1'000'000}}), true);
    EXPECT_EQ(valid({{segment_id(9, 0), 0}}), false);
    EXPECT_EQ(valid({}), false);
    auto between = [&](StreamCut from, StreamCut to) {
        return t.call<std::vector<StreamSegmentId>>(
            [&](auto done) { t.controller->segments_between(kX, from, to, std::move(done)); });
    };
    EXPECT_THAT(*between({{s0, 0}}, {{s1, 10}, {s2, 10}}), ElementsAre(s0, s1, s2));
    EXPECT_THAT(*between({{s0, 0}}, {}), ElementsAre(s0, s1, s2));
    EXPECT_THAT(*between({}, {{s0, 5}}), ElementsAre(s0));
    EXPECT_THAT(*between({{s1, 0}, {s2, 0}}, {}), ElementsAre(s1, s2));
    EXPECT_EQ(between({}, {}).error(), Errc::kInvalidArgument);
    EXPECT_EQ(between({{s1, 0}, {s2, 0}}, {{s0, 5}}).error(), Errc::kInvalidArgument);
    EXPECT_EQ(between({{segment_id(9, 0), 0}}, {}).error(), Errc::kInvalidArgument);
    EXPECT_EQ(between({{segment_id(0, 900), 0}}, {}).error(), Errc::kInvalidArgument);
    auto open = [&](StreamSegmentId id) {
        return t.call<bool>([&](auto done) { t.controller->is_segment_valid(kX, id, std::move(done)); });
    };
    EXPECT_EQ(open(s0), false);
    EXPECT_EQ(open(s1), true);
    EXPECT_EQ(open(segment_id(9, 9)), false);
}

TEST_F(ControllerTest, PlacesNeedNoStream) {
    auto place = t.controller->segment_location({"none", "none"}, segment_id(7, 7));
    ASSERT_TRUE(place);
    EXPECT_EQ(place->port, 12345);
    // Programs with tables of their own name them as no stream is named.
    EXPECT_TRUE(t.controller->segment_location({"_registry", "1c4c96b3.#.metadata"}, segment_id(0, 0)));
    EXPECT_EQ(t.controller->segment_location({"", ""}, segment_id(0, 0)).error(), Errc::kInvalidArgument);
    EXPECT_EQ(t.controller->segment_location({"s", ""}, segment_id(0, 0)).error(), Errc::kInvalidArgument);
    ASSERT_THAT(t.controller->servers(), SizeIs(1));
    EXPECT_EQ(t.controller->servers()[0].port, 9090);
}

// ---- listings ----

TEST_F(ControllerTest, TagsFollowTheStreams) {
    ASSERT_EQ(t.create(kX, fixed(1, {"red", "blue"})), CreateStreamStatus::kSuccess);
    ASSERT_EQ(t.create(kY, fixed(1, {"red"})), CreateStreamStatus::kSuccess);
    ASSERT_EQ(t.create({"s", "_internal"}, fixed(1, {"red"})), CreateStreamStatus::kSuccess);
    auto tagged = [&](std::string tag) {
        auto page = t.call<std::optional<Page<std::string>>>(
            [&](auto done) { t.controller->list_streams_by_tag("s", tag, "", std::move(done)); });
        return page && *page ? (*page)->items : std::vector<std::string>{"(error)"};
    };
    EXPECT_THAT(tagged("red"), ElementsAre("x", "y"));
    EXPECT_THAT(tagged("blue"), ElementsAre("x"));
    EXPECT_THAT(tagged("green"), IsEmpty());
    EXPECT_THAT(tagged("re"), IsEmpty());
    EXPECT_THAT(tagged(""), ElementsAre("(error)"));
    EXPECT_EQ(t.update(kX, fixed(1, {"blue", "green"})), UpdateStreamStatus::kSuccess);
    EXPECT_THAT(tagged("red"), ElementsAre("y"));
    EXPECT_THAT(tagged("green"), ElementsAre("x"));
    EXPECT_EQ(t.seal(kX), UpdateStreamStatus::kSuccess);
    EXPECT_EQ(t.remove(kX), DeleteStreamStatus::kSuccess);
    EXPECT_THAT(tagged("blue"), IsEmpty());
}

TEST(Paging, EveryStreamOnceWhateverThePageSize) {
    Harness t(10);
    ASSERT_EQ(t.create_scope("s"), CreateScopeStatus::kSuccess);
    auto first = [&](std::string scope, std::string token) {
        return t.call<std::optional<Page<std::string>>>(
            [&](auto done) { t.controller->list_streams(scope, token, std::move(done)); });
    };
    auto empty = first("s", "");
    ASSERT_TRUE(empty && *empty);
    EXPECT_THAT((*empty)->items, IsEmpty());
    EXPECT_EQ((*empty)->token, "");
    EXPECT_FALSE(first("none", "")->has_value());
    EXPECT_EQ(first("s", "garbage").error(), Errc::kInvalidArgument);
    EXPECT_EQ(first("", "").error(), Errc::kInvalidArgument);
    for (std::size_t n : {1U, 4U, 5U, 6U, 10U, 11U}) {
        while (t.streams("s").size() < 2 * n) {
            std::string name = "x" + std::to_string(t.streams("s").size());
            ASSERT_EQ(t.create({"s", name}, fixed(1)), CreateStreamStatus::kSuccess);
        }
        auto all = t.streams("s");
        EXPECT_THAT(all, SizeIs(2 * n));
        EXPECT_TRUE(std::ranges::is_sorted(all));
        EXPECT_EQ(std::unique(all.begin(), all.end()), all.end());
        auto page = first("s", "");
        EXPECT_FALSE((*page)->token.empty());
        EXPECT_THAT((*page)->items, SizeIs(std::min<std::size_t>(10, 2 * n)));
    }
}

TEST(Paging, PagesOf1000) {
    for (std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{999}, std::size_t{1000}}) {  // and _system
        Harness t;
        for (std::size_t i = 0; i < n; ++i)
            ASSERT_EQ(t.create_scope("c" + std::to_string(i)), CreateScopeStatus::kSuccess);
        std::vector<std::size_t> sizes;
        std::set<std::string> all;
        std::string token;
        do {
            auto page =
                t.call<Page<std::string>>([&](auto done) { t.controller->list_scopes(token, std::move(done)); });
            ASSERT_TRUE(page);
            sizes.push_back(page->items.size());
            all.insert(page->items.begin(), page->items.end());
            if (!page->items.empty()) EXPECT_NE(page->token, token);
            EXPECT_FALSE(page->token.empty());
            token = page->token;
        } while (sizes.back() > 0);
        EXPECT_EQ(all.size(), n + 1);
        EXPECT_EQ(sizes.front(), std::min<std::size_t>(1000, n + 1));
        EXPECT_EQ(sizes.size(), n == 1000 ? 3u : 2u);
    }
}

// ---- reader groups ----

TEST_F(ControllerTest, GroupsLife) {
    ASSERT_EQ(t.create(kX, fixed(1)), CreateStreamStatus::kSuccess);
    ReaderGroupConfig config = group_over({kX}, ReaderGroupRetention::kNone);
    config.generation = 7;
    config.start[0].cut = {{segment_id(0, 0), 5}};
    auto made = t.create_group("s", "g", config);
    ASSERT_EQ(made->status, CreateReaderGroupStatus::kSuccess);
    config.generation = 0;
    EXPECT_EQ(made->config, config);
    EXPECT_EQ(**t.group("s", "g"), config);
    EXPECT_THAT(t.streams("s"), ElementsAre("_MARK_RGg", "_MARKx", "_RGg", "x"));
    auto own = t.call<StreamConfig>([&](auto done) { t.controller->stream_config({"s", "_RGg"}, std::move(done)); });
    EXPECT_EQ(own->rollover_bytes, 4 << 20);
    auto again = t.create_group("s", "g", group_over({kY}, ReaderGroupRetention::kManual, 2));
    EXPECT_EQ(again->status, CreateReaderGroupStatus::kSuccess);
    EXPECT_EQ(again->config, config);
    EXPECT_EQ(t.delete_scope("s"), DeleteScopeStatus::kScopeNotEmpty);
    EXPECT_EQ(t.delete_group("s", "g", 2), DeleteReaderGroupStatus::kNotFound);
    EXPECT_EQ(t.delete_group("s", "g"), DeleteReaderGroupStatus::kSuccess);
    EXPECT_EQ(t.delete_group("s", "g"), DeleteReaderGroupStatus::kNotFound);
    EXPECT_EQ(*t.group("s", "g"), std::nullopt);
    EXPECT_EQ(t.group("none", "g").error(), Errc::kNotFound);
    EXPECT_THAT(t.streams("s"), ElementsAre("_MARKx", "x"));
    auto chosen = t.create_group("s", "g", group_over({kX}, ReaderGroupRetention::kNone, 0));
    EXPECT_FALSE(chosen->config.id.is_nil());
}

TEST_F(ControllerTest, GroupsThatAreRefused) {
    ReaderGroupConfig none = group_over({kX}, ReaderGroupRetention::kNone);
    EXPECT_EQ(t.create_group("s", "a b", none)->status, CreateReaderGroupStatus::kInvalidName);
    EXPECT_EQ(t.create_group("s", "_g", none)->status, CreateReaderGroupStatus::kInvalidName);
    EXPECT_EQ(t.create_group("s", "", none)->status, CreateReaderGroupStatus::kInvalidName);
    EXPECT_EQ(t.create_group("none", "g", none)->status, CreateReaderGroupStatus::kScopeNotFound);
    EXPECT_EQ(t.create_group("", "g", none).error(), Errc::kInvalidArgument);
    // Only subscribing looks at the stream.
    EXPECT_EQ(t.create_group("s", "g", group_over({kX}, ReaderGroupRetention::kManual))->status,
              CreateReaderGroupStatus::kFailure);
    EXPECT_EQ(t.create_group("s", "g", none)->status, CreateReaderGroupStatus::kSuccess);
    EXPECT_EQ(t.create_group("s", "h", group_over({{"a/b", "c"}}, ReaderGroupRetention::kNone)).error(),
              Errc::kInvalidArgument);
}

TEST_F(ControllerTest, GroupOverAStreamItDeletedBefore) {
    ASSERT_EQ(t.create_group("s", "g", group_over({}, ReaderGroupRetention::kNone))->status,
              CreateReaderGroupStatus::kSuccess);
    EXPECT_EQ(t.seal({"s", "_RGg"}), UpdateStreamStatus::kSuccess);
    EXPECT_EQ(t.remove({"s", "_RGg"}), DeleteStreamStatus::kSuccess);
    EXPECT_TRUE(t.group("s", "g")->has_value());
    EXPECT_EQ(t.delete_group("s", "g"), DeleteReaderGroupStatus::kSuccess);
    // And one whose own stream an old client made.
    EXPECT_EQ(t.create({"s", "_RGg"}, fixed(1)), CreateStreamStatus::kSuccess);
    EXPECT_EQ(t.create_group("s", "g", group_over({}, ReaderGroupRetention::kNone))->status,
              CreateReaderGroupStatus::kSuccess);
    EXPECT_EQ(t.delete_group("s", "g"), DeleteReaderGroupStatus::kSuccess);
}

TEST_F(ControllerTest, SubscriptionsFollowTheGroup) {
    ASSERT_EQ(t.create(kX, fixed(1)), CreateStreamStatus::kSuccess);
    ASSERT_EQ(t.create(kY, fixed(1)), CreateStreamStatus::kSuccess);
    ASSERT_EQ(t.create_group("s", "g", group_over({kX}, ReaderGroupRetention::kNone))->status,
              CreateReaderGroupStatus::kSuccess);
    EXPECT_THAT(t.subscribers(kX), IsEmpty());
    ReaderGroupConfig config = group_over({kX, kY}, ReaderGroupRetention::kManual);
    auto updated = t.update_group("s", "g", config);
    EXPECT_EQ(updated->status, UpdateReaderGroupStatus::kSuccess);
    EXPECT_EQ(updated->generation, 1);
    EXPECT_THAT(t.subscribers(kX), ElementsAre("s/g"));
    EXPECT_THAT(t.subscribers(kY), ElementsAre("s/g"));
    auto stale = t.update_group("s", "g", config);
    EXPECT_EQ(stale->status, UpdateReaderGroupStatus::kInvalidConfig);
    EXPECT_EQ(stale->generation, 0);
    config = group_over({kY}, ReaderGroupRetention::kAutomatic);
    config.generation = 1;
    EXPECT_EQ(t.update_group("s", "g", config)->generation, 2);
    EXPECT_THAT(t.subscribers(kX), IsEmpty());
    EXPECT_EQ((*t.group("s", "g"))->generation, 2);
    auto other = group_over({kY}, ReaderGroupRetention::kAutomatic, 9);
    other.generation = 2;
    EXPECT_EQ(t.update_group("s", "g", other)->status, UpdateReaderGroupStatus::kInvalidConfig);
    EXPECT_EQ(t.update_group("s", "none", other)->status, UpdateReaderGroupStatus::kNotFound);
    config = group_over({{"s", "missing"}}, ReaderGroupRetention::kAutomatic);
    config.generation = 2;
    EXPECT_EQ(t.update_group("s", "g", config)->status, UpdateReaderGroupStatus::kFailure);
    EXPECT_THAT(t.subscribers(kY), ElementsAre("s/g"));
    EXPECT_EQ(t.delete_group("s", "g"), DeleteReaderGroupStatus::kSuccess);
    EXPECT_THAT(t.subscribers(kY), IsEmpty());
    EXPECT_THAT(t.subscribers({"s", "none"}), ElementsAre("(no stream)"));
}

TEST_F(ControllerTest, SubscribersReportCuts) {
    ASSERT_EQ(t.create(kX, fixed(2)), CreateStreamStatus::kSuccess);
    ASSERT_EQ(t.create_group("s", "g", group_over({kX}, ReaderGroupRetention::kManual))->status,
              CreateReaderGroupStatus::kSuccess);
    auto report = [&](std::string who, std::uint64_t id, std::int64_t generation, StreamName stream, StreamCut cut) {
        SubscriberCut report{who, generation, Uuid{id, id}, stream, cut};
        return *t.call<UpdateSubscriberStatus>(
            [&](auto done) { t.controller->update_subscriber(report, std::move(done)); });
    };
    const auto s0 = segment_id(0, 0), s1 = segment_id(1, 0);
    using enum UpdateSubscriberStatus;
    EXPECT_EQ(report("s/g", 1, 0, {"s", "none"}, {{s0, 0}, {s1, 0}}), kStreamNotFound);
    EXPECT_EQ(report("s/none", 1, 0, kX, {{s0, 0}, {s1, 0}}), kSubscriberNotFound);
    EXPECT_EQ(report("nonsense", 1, 0, kX, {{s0, 0}, {s1, 0}}), kSubscriberNotFound);
    EXPECT_EQ(report("s/g", 2, 0, kX, {{s0, 0}, {s1, 0}}), kSubscriberNotFound);
    EXPECT_EQ(report("s/g", 1, 3, kX, {{s0, 0}, {s1, 0}}), kGenerationMismatch);
    EXPECT_EQ(report("s/g", 1, 0, kX, {{s0, 0}}), kStreamCutNotValid);
    EXPECT_EQ(report("s/g", 1, 0, kX, {}), kStreamCutNotValid);
    EXPECT_EQ(report("s/g", 1, 0, kX, {{s0, 10}, {s1, 10}}), kSuccess);
    EXPECT_EQ(report("s/g", 1, 0, kX, {{s0, 10}, {s1, 10}}), kSuccess);
    EXPECT_EQ(report("s/g", 1, 0, kX, {{s0, 11}, {s1, 10}}), kSuccess);
    EXPECT_EQ(report("s/g", 1, 0, kX, {{s0, 11}, {s1, 9}}), kStreamCutNotValid);
}

// ---- trouble ----

TEST_F(ControllerTest, TroubleIsToldAndTheWorkIsDoneLater) {
    t.api.arm(FakeSegmentApi::Fault::kFailBefore, 1);  // the first segment
    auto failed = t.create(kX, fixed(2));
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error(), Errc::kUnavailable);
    EXPECT_EQ(t.exists(kX), true);
    EXPECT_EQ(t.current(kX).error(), Errc::kUnavailable);
    t.executor->advance(std::chrono::seconds(3));
    EXPECT_THAT(ids(t.current(kX)), SizeIs(2));
}

TEST_F(ControllerTest, TheSameRequestAgainFinishesTheFirst) {
    t.api.arm(FakeSegmentApi::Fault::kFailBefore, 1);
    ASSERT_FALSE(t.create(kX, fixed(2)));
    EXPECT_EQ(t.create(kX, fixed(2)), CreateStreamStatus::kSuccess);
    t.api.arm(FakeSegmentApi::Fault::kFailBefore, 1);
    ASSERT_FALSE(t.create(kY, fixed(2)));
    EXPECT_EQ(t.create(kY, fixed(1)), CreateStreamStatus::kStreamExists);
    EXPECT_THAT(ids(t.current(kY)), SizeIs(2));
}

TEST_F(ControllerTest, StoppingAnswersEverybody) {
    bool answered = false;
    bool refused = false;
    bool stopped = false;
    t.controller->create_stream(kX, fixed(1), [&](auto r) { answered = r == CreateStreamStatus::kSuccess; });
    t.controller->stop([&] {
        EXPECT_TRUE(answered);
        stopped = true;
    });
    t.controller->create_stream(kY, fixed(1), [&](auto r) { refused = !r && r.error() == Errc::kClosed; });
    t.executor->run_until_idle();
    EXPECT_TRUE(refused);
    EXPECT_TRUE(stopped);
}

}  // namespace
}  // namespace millrace::controller
