// Each workflow of the controller over real containers and a real journal, once for each write to the disk that it
// makes: there the node dies, and what comes after finds all of it done or nothing of it, all of it when success was
// told, and no garbage: no segment, intent or entry of nothing. Then the same with further deaths while the next node
// begins.
#include <algorithm>
#include <functional>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "base/uuid.h"
#include "controller/names.h"
#include "sim/controller_node.h"
#include "sim/controller_world.h"

namespace millrace::sim {
namespace {

using namespace controller;  // NOLINT: all of it is the controller's vocabulary

const StreamName kX{"s", "x"};
const ObjectName kStream{Kind::kStream, "s", "x"};
const ObjectName kGroup{Kind::kGroup, "s", "g"};
const ObjectName kTable{Kind::kTable, "s", "t"};
const std::string kEvent = "0123456789";
constexpr std::size_t kTransactions = 3;

StreamConfig config_of(std::int32_t segments) {
    StreamConfig config;
    config.scaling.min_segments = segments;
    return config;
}

ReaderGroupConfig group_config() {
    ReaderGroupConfig config;
    config.id = Uuid{7, 7};
    config.retention = ReaderGroupRetention::kManual;
    config.start = {{kX, {}}};
    config.end = config.start;
    return config;
}

// A node, and what its client is told.
struct Stage {
    explicit Stage(const ControllerNodeOptions& options) : random(options.seed), node(random, options) {
        if (node.boot()) node.settle();
    }

    // The answer; nothing, when the node dies before it.
    template <typename T, typename Start>
    std::optional<Result<T>> call(Start start) {
        auto answer = std::make_shared<std::optional<Result<T>>>();
        start(node.controller(), [answer](Result<T> result) { *answer = std::move(result); });
        node.executor().run_until_idle();
        for (int i = 0; i < 4000 && !*answer && !node.must_die(); ++i) node.advance(std::chrono::milliseconds(5));
        return std::move(*answer);
    }
    template <typename Status, typename Start>
    bool good(Start start) {
        auto answer = call<Status>(std::move(start));
        return answer && *answer && **answer == Status::kSuccess;
    }
    bool create_scope() {
        return good<CreateScopeStatus>([](Controller& c, auto done) { c.create_scope("s", std::move(done)); });
    }
    bool create() {
        return good<CreateStreamStatus>(
            [](Controller& c, auto done) { c.create_stream(kX, config_of(2), std::move(done)); });
    }
    bool update(std::int32_t segments) {
        return good<UpdateStreamStatus>(
            [=](Controller& c, auto done) { c.update_stream(kX, config_of(segments), std::move(done)); });
    }
    bool truncate(const StreamCut& cut) {
        return good<UpdateStreamStatus>([&](Controller& c, auto done) { c.truncate_stream(kX, cut, std::move(done)); });
    }
    bool seal() {
        return good<UpdateStreamStatus>([](Controller& c, auto done) { c.seal_stream(kX, std::move(done)); });
    }
    bool remove() {
        return good<DeleteStreamStatus>([](Controller& c, auto done) { c.delete_stream(kX, std::move(done)); });
    }
    // Told when it has begun; the end of it is asked for.
    bool scale(StreamSegmentId segment, double middle, double from, double to) {
        ScaleRequest request;
        request.sealed = {segment};
        request.ranges = {{from, middle}, {middle, to}};
        auto started =
            call<ScaleResult>([&](Controller& c, auto done) { c.scale_stream(kX, request, std::move(done)); });
        if (!started || !*started || (*started)->status != ScaleStatus::kStarted) return false;
        for (int i = 0; i < 1000 && !node.must_die(); ++i) {
            auto progress = call<ScaleProgress>(
                [&](Controller& c, auto done) { c.check_scale(kX, (*started)->epoch, std::move(done)); });
            if (progress && *progress && **progress == ScaleProgress::kSuccess) return true;
            node.advance(std::chrono::milliseconds(5));
        }
        return false;
    }
    bool create_group() {
        auto made = call<CreateReaderGroupResult>(
            [](Controller& c, auto done) { c.create_reader_group("s", "g", group_config(), std::move(done)); });
        return made && *made && (*made)->status == CreateReaderGroupStatus::kSuccess;
    }
    bool create_table() {
        return good<CreateTableStatus>(
            [](Controller& c, auto done) { c.create_table("s", "t", {2, 4, 0, 0}, std::move(done)); });
    }
    bool write(const std::string& segment) {
        auto written = std::make_shared<bool>(false);
        node.segments().append_at(segment, 0, kEvent, node.executor(),
                                  [written](const Result<std::int64_t>& end) { *written = end.has_value(); });
        for (int i = 0; i < 1000 && !*written && !node.must_die(); ++i) node.advance(std::chrono::milliseconds(5));
        return *written;
    }
    bool begin(std::int64_t lease_ms = 600'000) {
        auto txn = call<BegunTransaction>(
            [=](Controller& c, auto done) { c.begin_transaction(kX, lease_ms, std::move(done)); });
        if (!txn || !*txn) return false;
        begun.push_back(**txn);
        bool all = true;
        for (const SegmentRange& part : begun.back().segments)
            all = write(transaction_segment_name(kX, part.id, begun.back().id)) && all;
        return all;
    }
    bool end(std::size_t txn, bool commits) {
        bool told = good<TransactionOutcome>([&](Controller& c, auto done) {
            if (commits)
                c.commit_transaction(kX, begun[txn].id, {}, std::move(done));
            else
                c.abort_transaction(kX, begun[txn].id, std::move(done));
        });
        // What was promised is carried out.
        for (int i = 0; i < 200 && told && !node.must_die(); ++i) node.advance(std::chrono::milliseconds(5));
        return told;
    }
    TransactionState state(std::size_t txn) {
        auto state = call<TransactionState>(
            [&](Controller& c, auto done) { c.transaction_state(kX, begun[txn].id, std::move(done)); });
        return state && *state ? **state : TransactionState::kUnknown;
    }
    ObjectView view(const ObjectName& name) { return Observer(node).view(name); }
    bool has_scope() { return Observer(node).has_scope("s"); }

    SeededRandom random;
    ControllerNode node;
    std::vector<BegunTransaction> begun;
};

struct Workflow {
    const char* name;
    std::function<bool(Stage&)> prepare;
    std::function<bool(Stage&)> act;     // true: it was told to have succeeded
    std::function<bool(Stage&)> done;    // what success means
    std::function<bool(Stage&)> undone;  // nothing of it
};

bool with_scope(Stage& s) { return s.create_scope(); }
bool with_stream(Stage& s) { return s.create_scope() && s.create(); }
bool with_history(Stage& s) {
    return with_stream(s) && s.write("s/x/0.#epoch.0") && s.update(3) && s.write("s/x/3.#epoch.1");
}
bool with_sealed(Stage& s) { return with_history(s) && s.seal(); }
bool with_transactions(Stage& s) {
    bool all = with_stream(s);
    for (std::size_t i = 0; i < kTransactions; ++i) all = s.begin() && all;
    return all;
}
bool with_old_transactions(Stage& s) { return with_transactions(s) && s.scale(segment_id(1, 0), 0.75, 0.5, 1); }
bool with_all(Stage& s) {
    return with_old_transactions(s) && s.end(0, true) && s.end(1, false) && s.create_group() && s.create_table();
}

std::size_t segments_in(Stage& s) {
    ObjectView view = s.view(kStream);
    return view.epochs.empty() ? 0 : view.current().size();
}

bool all_in(Stage& s, std::initializer_list<TransactionState> states) {
    for (std::size_t i = 0; i < s.begun.size(); ++i) {
        if (s.state(i) != states.begin()[i]) return false;
    }
    return true;
}

std::vector<Workflow> workflows() {
    using enum TransactionState;
    const StreamCut cut = {{segment_id(2, 1), 0}, {segment_id(3, 1), 10}, {segment_id(4, 1), 0}};
    const StreamCut within = {{segment_id(0, 0), 10}, {segment_id(1, 0), 0}};
    return {
        {"create_scope", [](Stage&) { return true; }, [](Stage& s) { return s.create_scope(); },
         [](Stage& s) { return s.has_scope(); }, [](Stage& s) { return !s.has_scope(); }},
        {"create_stream", with_scope, [](Stage& s) { return s.create(); },
         [](Stage& s) { return s.view(kStream).exists && segments_in(s) == 2; },
         [](Stage& s) { return !s.view(kStream).exists; }},
        {"update_stream", with_stream, [](Stage& s) { return s.update(3); },
         [](Stage& s) { return segments_in(s) == 3 && s.view(kStream).config == config_of(3); },
         [](Stage& s) { return s.view(kStream).epochs.size() == 1 && s.view(kStream).config == config_of(2); }},
        {"scale", with_history, [](Stage& s) { return s.scale(segment_id(4, 1), 0.75, 2.0 / 3, 1); },
         [](Stage& s) { return segments_in(s) == 4 && s.view(kStream).epochs.size() == 3; },
         [](Stage& s) { return s.view(kStream).epochs.size() == 2; }},
        {"truncate", with_history, [=](Stage& s) { return s.truncate(cut); },
         [=](Stage& s) { return s.view(kStream).head == cut; },
         [](Stage& s) { return s.view(kStream).head.contains(segment_id(0, 0)); }},
        {"truncate_within", with_history, [=](Stage& s) { return s.truncate(within); },
         [=](Stage& s) { return s.view(kStream).head == within; },
         [=](Stage& s) { return s.view(kStream).head != within; }},
        {"seal", with_history, [](Stage& s) { return s.seal(); }, [](Stage& s) { return s.view(kStream).sealed; },
         [](Stage& s) { return s.view(kStream).exists && !s.view(kStream).sealed; }},
        {"delete_stream", with_sealed, [](Stage& s) { return s.remove(); },
         [](Stage& s) { return !s.view(kStream).exists; }, [](Stage& s) { return s.view(kStream).sealed; }},
        {"begin", with_stream, [](Stage& s) { return s.begin(); },
         [](Stage& s) { return s.begun.size() == 1 && s.state(0) == kOpen; },
         [](Stage& s) { return s.begun.empty() || s.state(0) == kOpen; }},
        {"commit", with_transactions, [](Stage& s) { return s.end(1, true); },
         [](Stage& s) { return all_in(s, {kOpen, kCommitted, kOpen}); },
         [](Stage& s) { return all_in(s, {kOpen, kOpen, kOpen}); }},
        {"commit_across_a_scale", with_old_transactions, [](Stage& s) { return s.end(1, true); },
         [](Stage& s) { return all_in(s, {kOpen, kCommitted, kOpen}) && s.view(kStream).epochs.size() == 4; },
         [](Stage& s) { return all_in(s, {kOpen, kOpen, kOpen}) && s.view(kStream).epochs.size() == 2; }},
        {"abort", with_transactions, [](Stage& s) { return s.end(1, false); },
         [](Stage& s) { return all_in(s, {kOpen, kAborted, kOpen}); },
         [](Stage& s) { return all_in(s, {kOpen, kOpen, kOpen}); }},
        {"seal_with_transactions", with_old_transactions, [](Stage& s) { return s.end(2, true) && s.seal(); },
         [](Stage& s) { return s.view(kStream).sealed && all_in(s, {kAborted, kAborted, kCommitted}); },
         [](Stage& s) {
             return !s.view(kStream).sealed &&
                    (all_in(s, {kOpen, kOpen, kOpen}) || all_in(s, {kOpen, kOpen, kCommitted}));
         }},
        {"create_group", with_stream, [](Stage& s) { return s.create_group(); },
         [](Stage& s) { return s.view(kGroup).exists; }, [](Stage& s) { return !s.view(kGroup).exists; }},
        {"create_table", with_stream, [](Stage& s) { return s.create_table(); },
         [](Stage& s) { return s.view(kTable).exists; }, [](Stage& s) { return !s.view(kTable).exists; }},
        {"delete_scope_recursively", with_all,
         [](Stage& s) {
             return s.good<DeleteScopeStatus>(
                 [](Controller& c, auto done) { c.delete_scope_recursive("s", std::move(done)); });
         },
         [](Stage& s) { return !s.has_scope() && !s.view(kStream).exists && !s.view(kGroup).exists; },
         [](Stage& s) { return s.has_scope() && s.view(kStream).exists && s.view(kTable).exists; }},
    };
}

std::optional<std::string> garbage_of(Stage& s) {
    Observer observer(s.node);
    Observer::Segments parts;
    std::set<std::string> perhaps;
    std::int64_t committed = 0;
    for (std::size_t i = 0; i < s.begun.size(); ++i) {
        TransactionState state = s.state(i);
        if (state == TransactionState::kCommitted) committed += static_cast<std::int64_t>(s.begun[i].segments.size());
        if (state != TransactionState::kOpen) continue;
        for (const SegmentRange& part : s.begun[i].segments)
            parts[transaction_segment_name(kX, part.id, s.begun[i].id)] = true;
    }
    // What was begun and told to nobody stays until its lease ends.
    for (const std::string& segment : s.node.made()) {
        bool told = std::ranges::any_of(s.begun,
                                        [&](const BegunTransaction& txn) { return segment.ends_with(to_hex(txn.id)); });
        if (segment.contains("#transaction.") && !told) perhaps.insert(segment);
    }
    if (auto wrong = observer.check({kStream, kGroup, kTable}, parts, perhaps)) return wrong;
    if (s.begun.empty() || !s.view(kStream).exists) return std::nullopt;
    // A committed transaction's bytes are there once; those of others are not.
    std::int64_t bytes = 0;
    for (const std::string& segment : s.node.made()) {
        if (!segment.starts_with("s/x/") || segment.contains("#transaction.")) continue;
        auto info = observer.info(segment);
        if (info) bytes += info->length;
    }
    if (bytes != committed * static_cast<std::int64_t>(kEvent.size()))
        return fmt::format("{} bytes of {} parts that were committed", bytes, committed);
    // And when nobody cares for what is open, nothing is left of it.
    s.node.advance(std::chrono::minutes(12));
    for (const std::string& segment : s.node.made()) {
        if (segment.contains("#transaction.") && observer.info(segment)) return segment + " is left";
    }
    return std::nullopt;
}

struct Verdict {
    bool died = false;  // the workflow makes so many writes
    std::optional<std::string> wrong;
};

Verdict die_at(const Workflow& workflow, std::uint64_t write, const ControllerNodeOptions& options) {
    Verdict verdict;
    Stage s(options);
    if (!workflow.prepare(s)) return {false, "it cannot be prepared"};
    s.node.settle();
    s.node.plan_death_at(write);
    bool told = workflow.act(s);
    verdict.died = s.node.must_die();
    if (!s.node.settle()) return {verdict.died, s.node.trouble()};
    s.node.spare();
    bool done = workflow.done(s);
    if (!done && !workflow.undone(s)) verdict.wrong = "it is half done";
    if (!done && (told || !verdict.died)) verdict.wrong = "it is not done";
    if (!verdict.wrong) verdict.wrong = garbage_of(s);
    return verdict;
}

class WorkflowDeaths : public testing::TestWithParam<std::size_t> {
  protected:
    void SetUp() override { log::set_level(log::Level::kOff); }
    void TearDown() override { log::set_level(log::Level::kError); }

    // The first thing that is wrong, whichever write it dies at.
    static std::optional<std::string> die_at_each(bool dies_again, PlantedControl planted, std::uint64_t& writes) {
        ControllerNodeOptions options;
        options.dies_in_recovery = dies_again;
        options.planted = planted;
        options.transactions.lease_min = std::chrono::seconds(1);
        for (writes = 0;; ++writes) {
            options.seed = writes + 1;
            Verdict verdict = die_at(workflows()[GetParam()], writes, options);
            if (verdict.wrong) return fmt::format("write {}: {}", writes, *verdict.wrong);
            if (!verdict.died) return std::nullopt;
        }
    }
};

TEST_P(WorkflowDeaths, AtEveryWrite) {
    std::uint64_t writes = 0;
    auto wrong = die_at_each(false, PlantedControl::kNothing, writes);
    EXPECT_FALSE(wrong) << *wrong;
    EXPECT_GT(writes, 0u);
}

TEST_P(WorkflowDeaths, AtEveryWriteAndAgain) {
    std::uint64_t writes = 0;
    auto wrong = die_at_each(true, PlantedControl::kNothing, writes);
    EXPECT_FALSE(wrong) << *wrong;
}

// What has only one step needs nobody who takes it up.
TEST_P(WorkflowDeaths, ForgottenIntentsAreFound) {
    std::string name = workflows()[GetParam()].name;
    if (name == "create_scope") GTEST_SKIP();
    std::uint64_t writes = 0;
    EXPECT_TRUE(die_at_each(false, PlantedControl::kForgottenIntents, writes)) << "in " << writes << " writes";
}

INSTANTIATE_TEST_SUITE_P(Each, WorkflowDeaths, testing::Range(std::size_t{0}, workflows().size()),
                         [](const auto& info) { return std::string(workflows()[info.param].name); });

}  // namespace
}  // namespace millrace::sim
