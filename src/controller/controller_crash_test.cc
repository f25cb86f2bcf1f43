// The process dies at each change that an operation makes, before and after it, and each change fails once. Whatever
// was under way, the next process finds it and ends it: no intent stays, no segment is unknown or missing, and what was
// told to have succeeded is there.
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/controller_harness.h"

namespace millrace::controller {
namespace {

using testing::IsEmpty;

const StreamName kX{"s", "x"};
const StreamName kElsewhere{"other", "z"};

struct Operation {
    const char* name;
    std::function<void(Harness&)> prepare;
    std::function<bool(Harness&)> act;    // true: it was told to have succeeded
    std::function<bool(Harness&)> holds;  // what success means
    std::function<bool(Harness&)> not_begun;
};

void with_stream(Harness& t) {
    ASSERT_EQ(t.create_scope("s"), CreateScopeStatus::kSuccess);
    ASSERT_EQ(t.create_scope("other"), CreateScopeStatus::kSuccess);
    ASSERT_EQ(t.create(kX, fixed(2, {"red"})), CreateStreamStatus::kSuccess);
    ASSERT_EQ(t.create(kElsewhere, fixed(1)), CreateStreamStatus::kSuccess);
}

void with_history(Harness& t) {
    with_stream(t);
    ASSERT_EQ(t.update(kX, fixed(1)), UpdateStreamStatus::kSuccess);
    ASSERT_EQ(t.update(kX, fixed(3)), UpdateStreamStatus::kSuccess);
    t.api.segments["s/x/3.#epoch.2"].length = 50;
}

// So many epochs that a truncation makes it forget some. Made once: it takes long.
void with_long_history(Harness& t) {
    static Harness made;
    if (made.api.tables.empty() || made.exists(kX) != true) {
        with_stream(made);
        ASSERT_EQ(made.update(kX, fixed(1)), UpdateStreamStatus::kSuccess);
        for (std::int32_t epoch = 1; epoch < 104; ++epoch) {
            ASSERT_EQ(made.scale(kX, {segment_id(epoch + 1, epoch)}, {{0, 1}})->status, ScaleStatus::kStarted);
        }
    }
    t.api.tables = made.api.tables;
    t.api.segments = made.api.segments;
    t.api.ever_created = made.api.ever_created;
    t.restart();
}

void with_group(Harness& t) {
    with_stream(t);
    ASSERT_EQ(t.create_group("s", "g", group_over({kX}, ReaderGroupRetention::kManual))->status,
              CreateReaderGroupStatus::kSuccess);
}

const StreamCut kSampled = {{segment_id(3, 2), 50}, {segment_id(4, 2), 0}, {segment_id(5, 2), 0}};

// The next round cuts it off where it ended after two epochs.
void with_samples(Harness& t) {
    with_history(t);
    StreamConfig config = fixed(3);
    config.retention = RetentionPolicy{RetentionType::kSize, 100, 0};
    ASSERT_EQ(t.update(kX, config), UpdateStreamStatus::kSuccess);
    t.executor->advance(std::chrono::seconds(10));
    t.api.segments["s/x/3.#epoch.2"].length = 200;
}

std::size_t segments_of(Harness& t) {
    auto current = t.current(kX);
    return current ? current->size() : 0;
}

bool has_group(Harness& t) {
    auto group = t.group("s", "g");
    return group && group->has_value();
}

void with_table(Harness& t) {
    with_stream(t);
    ASSERT_EQ(t.create_table("s", "t", {2, 4, 0, 0}), CreateTableStatus::kSuccess);
}

bool has_table(Harness& t) {
    auto table = t.table("s", "t");
    return table && table->has_value();
}

const StreamCut kCut = {{segment_id(3, 2), 40}, {segment_id(4, 2), 0}, {segment_id(5, 2), 0}};

std::vector<Operation> operations() {
    std::vector<Operation> all;
    all.push_back({"create scope", [](Harness&) {},
                   [](Harness& t) { return t.create_scope("s") == CreateScopeStatus::kSuccess; },
                   [](Harness& t) { return t.streams("s").empty(); },
                   [](Harness& t) { return t.streams("s") == std::vector<std::string>{"(no scope)"}; }});
    all.push_back(
        {"create stream", [](Harness& t) { ASSERT_EQ(t.create_scope("s"), CreateScopeStatus::kSuccess); },
         [](Harness& t) { return t.create(kX, fixed(3, {"red", "blue"})) == CreateStreamStatus::kSuccess; },
         [](Harness& t) { return segments_of(t) == 3 && t.keys("tag/").size() == 2 && t.streams("s").size() == 2; },
         [](Harness& t) { return t.streams("s").empty(); }});
    all.push_back({"update configuration", with_stream,
                   [](Harness& t) { return t.update(kX, fixed(2, {"blue"})) == UpdateStreamStatus::kSuccess; },
                   [](Harness& t) { return t.keys("tag/") == std::vector<std::string>{"tag/s/blue/x"}; },
                   [](Harness& t) { return t.keys("tag/") == std::vector<std::string>{"tag/s/red/x"}; }});
    all.push_back({"update number of segments", with_stream,
                   [](Harness& t) { return t.update(kX, fixed(3)) == UpdateStreamStatus::kSuccess; },
                   [](Harness& t) { return segments_of(t) == 3 && t.keys("epoch/s/x/").size() == 2; },
                   [](Harness& t) { return segments_of(t) == 2 && t.keys("epoch/s/x/").size() == 1; }});
    auto ranges_of = [](Harness& t) {
        std::vector<std::pair<double, double>> ranges;
        auto current = t.current(kX);
        if (current) {
            for (const SegmentRange& segment : *current) ranges.emplace_back(segment.min_key, segment.max_key);
        }
        return ranges;
    };
    using Ranges = std::vector<std::pair<double, double>>;
    all.push_back({"split", with_history,
                   [](Harness& t) {
                       auto scaled = t.scale(kX, {segment_id(3, 2)}, {{0, 0.125}, {0.125, 0.25}, {0.25, 1.0 / 3}});
                       return scaled && scaled->status == ScaleStatus::kStarted && t.check_scale(kX, 2);
                   },
                   [=](Harness& t) {
                       return ranges_of(t).size() == 5 && t.keys("epoch/s/x/").size() == 4 &&
                              t.check_scale(kX, 2) == ScaleProgress::kSuccess;
                   },
                   [=](Harness& t) { return ranges_of(t).size() == 3 && t.keys("epoch/s/x/").size() == 3; }});
    all.push_back({"merge", with_stream,
                   [](Harness& t) {
                       if (t.update(kX, by_events(100, 1)) != UpdateStreamStatus::kSuccess) return false;
                       auto scaled = t.scale(kX, {segment_id(0, 0), segment_id(1, 0)}, {{0, 1}});
                       return scaled && scaled->status == ScaleStatus::kStarted && t.check_scale(kX, 0);
                   },
                   [=](Harness& t) { return ranges_of(t) == Ranges{{0, 1}} && t.keys("sealed/s/x/").size() == 2; },
                   [=](Harness& t) { return ranges_of(t).size() == 2 && t.keys("sealed/s/x/").empty(); }});
    all.push_back({"truncate", with_history,
                   [](Harness& t) { return t.truncate(kX, kCut) == UpdateStreamStatus::kSuccess; },
                   [](Harness& t) { return t.head(kX) == kCut && t.api.segments["s/x/3.#epoch.2"].start == 40; },
                   [](Harness& t) { return t.head(kX)->begin()->first == segment_id(0, 0); }});
    all.push_back(
        {"truncate and forget", with_long_history,
         [](Harness& t) { return t.truncate(kX, {{segment_id(105, 104), 0}}) == UpdateStreamStatus::kSuccess; },
         [](Harness& t) {
             return t.head(kX)->begin()->first == segment_id(105, 104) && t.keys("epoch/s/x/").size() == 101 &&
                    t.keys("sealed/s/x/").size() == 100;
         },
         [](Harness& t) { return t.keys("epoch/s/x/").size() == 105 && t.keys("sealed/s/x/").size() == 105; }});
    all.push_back({"seal", with_history, [](Harness& t) { return t.seal(kX) == UpdateStreamStatus::kSuccess; },
                   [](Harness& t) { return t.current(kX)->empty(); }, [](Harness& t) { return segments_of(t) == 3; }});
    all.push_back({"delete stream",
                   [](Harness& t) {
                       with_history(t);
                       ASSERT_EQ(t.seal(kX), UpdateStreamStatus::kSuccess);
                   },
                   [](Harness& t) { return t.remove(kX) == DeleteStreamStatus::kSuccess; },
                   [](Harness& t) { return t.exists(kX) == false && t.keys("epoch/s/").empty(); },
                   [](Harness& t) { return t.exists(kX) == true && t.keys("epoch/s/x/").size() == 3; }});
    all.push_back(
        {"create group", with_stream,
         [](Harness& t) {
             auto made = t.create_group("s", "g", group_over({kX, kElsewhere}, ReaderGroupRetention::kManual));
             return made && made->status == CreateReaderGroupStatus::kSuccess;
         },
         [](Harness& t) {
             return has_group(t) && t.subscribers(kX).size() == 1 && t.subscribers(kElsewhere).size() == 1 &&
                    t.exists({"s", "_RGg"}) == true;
         },
         [](Harness& t) { return !has_group(t) && t.subscribers(kX).empty() && t.exists({"s", "_RGg"}) == false; }});
    all.push_back({"update group", with_group,
                   [](Harness& t) {
                       auto updated = t.update_group("s", "g", group_over({kElsewhere}, ReaderGroupRetention::kManual));
                       return updated && updated->status == UpdateReaderGroupStatus::kSuccess;
                   },
                   [](Harness& t) {
                       return (*t.group("s", "g"))->generation == 1 && t.subscribers(kX).empty() &&
                              t.subscribers(kElsewhere).size() == 1;
                   },
                   [](Harness& t) {
                       return (*t.group("s", "g"))->generation == 0 && t.subscribers(kX).size() == 1 &&
                              t.subscribers(kElsewhere).empty();
                   }});
    all.push_back(
        {"delete group", with_group,
         [](Harness& t) { return t.delete_group("s", "g") == DeleteReaderGroupStatus::kSuccess; },
         [](Harness& t) { return !has_group(t) && t.subscribers(kX).empty() && t.exists({"s", "_RGg"}) == false; },
         [](Harness& t) { return has_group(t) && t.subscribers(kX).size() == 1; }});
    all.push_back({"cut off by retention", with_samples,
                   [](Harness& t) {
                       t.executor->advance(std::chrono::seconds(10));
                       return t.api.segments["s/x/3.#epoch.2"].start == 50 && t.head(kX) == kSampled;
                   },
                   [](Harness& t) { return t.head(kX) == kSampled && t.api.segments["s/x/3.#epoch.2"].start == 50; },
                   [](Harness& t) { return t.head(kX)->begin()->first == segment_id(0, 0); }});
    all.push_back({"create table", with_stream,
                   [](Harness& t) { return t.create_table("s", "t", {3, 4, 2, 0}) == CreateTableStatus::kSuccess; },
                   [](Harness& t) { return has_table(t) && t.table_segments("s", "t")->size() == 3; },
                   [](Harness& t) { return !has_table(t) && t.tables("s").empty(); }});
    all.push_back({"delete table", with_table,
                   [](Harness& t) { return t.delete_table("s", "t") == DeleteTableStatus::kSuccess; },
                   [](Harness& t) { return !has_table(t) && t.tables("s").empty(); },
                   [](Harness& t) { return has_table(t) && t.table_segments("s", "t")->size() == 2; }});
    all.push_back({"delete scope", [](Harness& t) { ASSERT_EQ(t.create_scope("s"), CreateScopeStatus::kSuccess); },
                   [](Harness& t) { return t.delete_scope("s") == DeleteScopeStatus::kSuccess; },
                   [](Harness& t) { return t.streams("s") == std::vector<std::string>{"(no scope)"}; },
                   [](Harness& t) { return t.streams("s").empty(); }});
    all.push_back({"delete scope recursively",
                   [](Harness& t) {
                       with_group(t);
                       ASSERT_EQ(t.create_table("s", "t", {2, 4, 0, 0}), CreateTableStatus::kSuccess);
                   },
                   [](Harness& t) { return t.delete_scope_recursive("s") == DeleteScopeStatus::kSuccess; },
                   [](Harness& t) {
                       return t.streams("s") == std::vector<std::string>{"(no scope)"} && t.keys("stream/s/").empty() &&
                              t.keys("table/s/").empty();
                   },
                   [](Harness& t) { return has_group(t) && segments_of(t) == 2 && has_table(t); }});
    return all;
}

// The world after the fault and the next start: all of it or nothing of it, and all of it when success was told.
void expect_whole(const Operation& operation, Harness& t, bool succeeded) {
    EXPECT_THAT(t.garbage(), IsEmpty());
    bool holds = operation.holds(t);
    EXPECT_TRUE(holds || operation.not_begun(t)) << "half done";
    EXPECT_TRUE(holds || !succeeded) << "a success is gone";
}

std::size_t changes_of(const Operation& operation) {
    Harness t;
    operation.prepare(t);
    t.api.arm(FakeSegmentApi::Fault::kNone, 0);
    EXPECT_TRUE(operation.act(t)) << operation.name;
    std::size_t changes = t.api.changes();
    EXPECT_TRUE(operation.holds(t)) << operation.name;
    EXPECT_THAT(t.garbage(), IsEmpty()) << operation.name;
    return changes;
}

class Crash : public testing::TestWithParam<std::size_t> {};

TEST_P(Crash, TheNextProcessEndsIt) {
    Operation operation = operations()[GetParam()];
    std::size_t changes = changes_of(operation);
    ASSERT_GT(changes, 0u);
    for (auto fault : {FakeSegmentApi::Fault::kDieBefore, FakeSegmentApi::Fault::kDieAfter}) {
        for (std::size_t at = 0; at < changes; ++at) {
            SCOPED_TRACE(testing::Message() << operation.name << ", change " << at << " of " << changes << ", fault "
                                            << static_cast<int>(fault));
            Harness t;
            operation.prepare(t);
            t.api.arm(fault, at);
            EXPECT_FALSE(operation.act(t));
            t.restart();
            expect_whole(operation, t, false);
            t.restart();
            expect_whole(operation, t, false);
        }
    }
}

TEST_P(Crash, AndTheProcessAfterThat) {
    Operation operation = operations()[GetParam()];
    std::size_t changes = changes_of(operation);
    for (std::size_t at = 0; at < changes; ++at) {
        for (std::size_t again = 0; again < changes; again += 2) {
            SCOPED_TRACE(testing::Message() << operation.name << ", changes " << at << " and " << again);
            Harness t;
            operation.prepare(t);
            t.api.arm(FakeSegmentApi::Fault::kDieAfter, at);
            EXPECT_FALSE(operation.act(t));
            t.stop();
            t.api.revive();
            t.api.arm(FakeSegmentApi::Fault::kDieAfter, again);
            t.make();
            t.try_call<void>(
                [&](auto done) { t.controller->start(std::move(done)); });  // dies again, when it does so much
            t.restart();
            expect_whole(operation, t, false);
        }
    }
}

TEST_P(Crash, TroubleDelaysIt) {
    Operation operation = operations()[GetParam()];
    std::size_t changes = changes_of(operation);
    for (auto fault : {FakeSegmentApi::Fault::kFailBefore, FakeSegmentApi::Fault::kFailAfter}) {
        for (std::size_t at = 0; at < changes; ++at) {
            SCOPED_TRACE(testing::Message() << operation.name << ", change " << at << " of " << changes << ", fault "
                                            << static_cast<int>(fault));
            Harness t;
            operation.prepare(t);
            t.api.arm(fault, at);
            bool succeeded = operation.act(t);
            t.executor->advance(std::chrono::seconds(10));
            expect_whole(operation, t, succeeded);
            t.restart();
            expect_whole(operation, t, succeeded);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Operations, Crash, testing::Range(std::size_t{0}, operations().size()), [](const auto& info) {
    std::string name = operations()[info.param].name;
    for (char& c : name) c = c == ' ' ? '_' : c;
    return name;
});

}  // namespace
}  // namespace millrace::controller
