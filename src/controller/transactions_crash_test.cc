// The process dies at each change that a transaction makes, before and after it, and each change fails once. What was
// told stays true, every transaction is there wholly or not at all, exactly once and in order, and in the end nothing
// is left: no segment, no record, no intent.
#include <algorithm>
#include <functional>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/uuid.h"
#include "controller/controller_harness.h"

namespace millrace::controller {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::IsEmpty;

const StreamName kX{"s", "x"};
constexpr std::size_t kSegments = 2;
using Fault = FakeSegmentApi::Fault;

// What a client knows.
struct World {
    Harness t;
    std::vector<BegunTransaction> begun;
    std::vector<std::size_t> committed;  // told so, in this order
    std::vector<std::size_t> aborted;

    void scale_to(std::int32_t segments) { (void)t.scale_to(kX, segments); }
    void begin() {
        auto txn = t.begin(kX);
        if (!txn) return;
        for (std::size_t segment = 0; segment < txn->segments.size(); ++segment) t.write(kX, *txn, segment, 5);
        begun.push_back(*txn);
    }
    void commit(std::size_t i) {
        if (i < begun.size() && t.commit(kX, begun[i].id) == TransactionOutcome::kSuccess) committed.push_back(i);
    }
    void abort(std::size_t i) {
        if (i < begun.size() && t.abort(kX, begun[i].id) == TransactionOutcome::kSuccess) aborted.push_back(i);
    }
    // Over all segments, in the order in which readers see them.
    std::vector<std::string> merged(const BegunTransaction& txn) {
        std::vector<std::string> where;
        for (const auto& [name, segment] : t.api.segments) {
            for (const std::string& source : segment.merged) {
                if (source.ends_with(to_hex(txn.id))) where.push_back(name);
            }
        }
        return where;
    }
};

struct Operation {
    const char* name;
    std::function<void(World&)> prepare;
    std::function<void(World&)> act;
};

void with_stream(World& w) {
    ASSERT_EQ(w.t.create_scope("s"), CreateScopeStatus::kSuccess);
    ASSERT_EQ(w.t.create(kX, fixed(kSegments)), CreateStreamStatus::kSuccess);
}

void with_open(World& w) {
    with_stream(w);
    for (int i = 0; i < 3; ++i) w.begin();
}

// Two epochs, a transaction of each, another that stays open.
void with_old(World& w) {
    with_open(w);
    w.scale_to(3);
    w.begin();
    w.begin();
}

// Sealed, with transactions that ended one way or the other.
void with_ended(World& w) {
    with_old(w);
    w.commit(3);
    w.commit(0);
    w.abort(1);
    ASSERT_EQ(w.t.seal(kX), UpdateStreamStatus::kSuccess);
}

std::vector<Operation> operations() {
    return {
        {"begin", with_stream, [](World& w) { w.begin(); }},
        {"commit", with_open, [](World& w) { w.commit(1); }},
        {"commits together", with_open,
         [](World& w) {
             for (std::size_t i : {2u, 0u, 1u}) {
                 w.t.controller->commit_transaction(kX, w.begun[i].id, {}, [&w, i](auto outcome) {
                     if (outcome == TransactionOutcome::kSuccess) w.committed.push_back(i);
                 });
             }
             w.t.executor->run_until_idle();
         }},
        {"abort", with_open, [](World& w) { w.abort(1); }},
        {"rolling commit", with_old, [](World& w) { w.commit(0); }},
        {"rolling commits and others", with_old,
         [](World& w) {
             for (std::size_t i : {3u, 1u, 0u, 4u}) w.commit(i);
         }},
        {"commit and scale", with_open,
         [](World& w) {
             w.t.controller->commit_transaction(kX, w.begun[0].id, {}, [](auto) {});
             w.scale_to(1);
         }},
        {"seal", with_old,
         [](World& w) {
             w.t.controller->commit_transaction(kX, w.begun[3].id, {}, [](auto) {});
             w.t.controller->commit_transaction(kX, w.begun[0].id, {}, [](auto) {});
             (void)w.t.seal(kX);
         }},
        {"expiry", with_open, [](World& w) { w.t.executor->advance(seconds(20)); }},
        {"ping for longer", with_open, [](World& w) { (void)w.t.ping(kX, w.begun[0].id, 60'000); }},
        {"commits and update", with_old,
         [](World& w) {
             w.t.controller->commit_transaction(kX, w.begun[3].id, {}, [](auto) {});
             w.t.controller->commit_transaction(kX, w.begun[0].id, {}, [](auto) {});
             (void)w.t.update(kX, fixed(1));
         }},
        {"delete stream", with_ended, [](World& w) { (void)w.t.remove(kX); }},
        {"delete scope recursively", with_old,
         [](World& w) {
             w.commit(3);
             w.abort(1);
             w.t.controller->commit_transaction(kX, w.begun[0].id, {}, [](auto) {});
             (void)w.t.delete_scope_recursive("s");
         }},
    };
}

// One that was never told to anybody may lack segments until its lease is over.
std::vector<std::string> garbage(World& w) {
    std::vector<std::string> all = w.t.garbage();
    std::erase_if(all, [&](const std::string& what) {
        bool of_transaction = what.starts_with("missing segment") && what.contains("#transaction.");
        auto is_of = [&](const BegunTransaction& txn) { return what.ends_with(to_hex(txn.id)); };
        return of_transaction && std::ranges::none_of(w.begun, is_of);
    });
    return all;
}

// Each transaction is committed, aborted or (where nothing ended it) open; and its bytes say the same.
void expect_whole(World& w) {
    if (w.t.exists(kX) == false) {
        for (const char* kind : {"txn/", "txndone/", "stream/", "pending/"}) EXPECT_THAT(w.t.keys(kind), IsEmpty());
        EXPECT_THAT(w.t.garbage(), IsEmpty());
        return;
    }
    std::set<std::size_t> told(w.committed.begin(), w.committed.end());
    for (std::size_t i = 0; i < w.begun.size(); ++i) {
        auto state = w.t.state(kX, w.begun[i].id);
        ASSERT_TRUE(state);
        bool settled = *state == TransactionState::kCommitted || *state == TransactionState::kAborted ||
                       *state == TransactionState::kOpen;
        EXPECT_TRUE(settled) << "transaction " << i << " is in between: " << static_cast<int>(*state);
        std::size_t parts = w.merged(w.begun[i]).size();
        std::size_t all = w.begun[i].segments.size();
        EXPECT_EQ(parts, *state == TransactionState::kCommitted ? all : 0) << "transaction " << i;
        if (told.contains(i)) EXPECT_EQ(*state, TransactionState::kCommitted) << "a commit is gone: " << i;
    }
    for (std::size_t i : w.aborted) EXPECT_EQ(w.t.state(kX, w.begun[i].id), TransactionState::kAborted);
    // Order within each segment that took several.
    for (const auto& [name, segment] : w.t.api.segments) {
        std::vector<std::size_t> order;
        for (std::size_t i : w.committed) {
            for (std::size_t at = 0; at < segment.merged.size(); ++at) {
                if (segment.merged[at].ends_with(to_hex(w.begun[i].id))) order.push_back(at);
            }
        }
        EXPECT_TRUE(std::ranges::is_sorted(order)) << "order of commits in " << name;
    }
    EXPECT_THAT(garbage(w), IsEmpty());
}

// And when nobody cares for what is open, nothing is left.
void expect_clean_end(World& w) {
    w.t.executor->advance(minutes(2));
    EXPECT_THAT(w.t.keys("txn/"), IsEmpty());
    EXPECT_THAT(w.t.garbage(), IsEmpty());
    std::size_t transaction_segments = 0;
    for (const auto& [name, segment] : w.t.api.segments) transaction_segments += name.contains("#transaction");
    EXPECT_EQ(transaction_segments, 0u);
}

std::size_t changes_of(const Operation& operation) {
    World w;
    operation.prepare(w);
    w.t.api.arm(Fault::kNone, 0);
    operation.act(w);
    std::size_t changes = w.t.api.changes();
    expect_whole(w);
    expect_clean_end(w);
    return changes;
}

class TransactionCrash : public testing::TestWithParam<std::size_t> {};

TEST_P(TransactionCrash, TheNextProcessEndsIt) {
    Operation operation = operations()[GetParam()];
    std::size_t changes = changes_of(operation);
    ASSERT_GT(changes, 0u);
    for (auto fault : {Fault::kDieBefore, Fault::kDieAfter}) {
        for (std::size_t at = 0; at < changes; ++at) {
            SCOPED_TRACE(testing::Message() << operation.name << ", change " << at << " of " << changes << ", fault "
                                            << static_cast<int>(fault));
            World w;
            operation.prepare(w);
            w.t.api.arm(fault, at);
            operation.act(w);
            w.t.restart();
            expect_whole(w);
            w.t.restart();
            expect_whole(w);
            // The client asks again for what it was not told.
            std::vector<std::size_t> left;
            for (std::size_t i = 0; i < w.begun.size(); ++i) {
                if (w.t.state(kX, w.begun[i].id) == TransactionState::kOpen) left.push_back(i);
            }
            for (std::size_t i : left) EXPECT_EQ(w.t.commit(kX, w.begun[i].id), TransactionOutcome::kSuccess);
            for (std::size_t i : left) EXPECT_EQ(w.t.state(kX, w.begun[i].id), TransactionState::kCommitted);
            expect_whole(w);
            expect_clean_end(w);
        }
    }
}

TEST_P(TransactionCrash, AndTheProcessAfterThat) {
    Operation operation = operations()[GetParam()];
    std::size_t changes = changes_of(operation);
    for (std::size_t at = 0; at < changes; ++at) {
        for (std::size_t again = 0; again < changes; again += 2) {
            SCOPED_TRACE(testing::Message() << operation.name << ", changes " << at << " and " << again);
            World w;
            operation.prepare(w);
            w.t.api.arm(Fault::kDieAfter, at);
            operation.act(w);
            w.t.stop();
            w.t.api.revive();
            w.t.api.arm(Fault::kDieAfter, again);
            w.t.make();
            w.t.try_call<void>([&](auto done) { w.t.controller->start(std::move(done)); });
            w.t.restart();
            expect_whole(w);
            expect_clean_end(w);
        }
    }
}

TEST_P(TransactionCrash, TroubleDelaysIt) {
    Operation operation = operations()[GetParam()];
    std::size_t changes = changes_of(operation);
    for (auto fault : {Fault::kFailBefore, Fault::kFailAfter}) {
        for (std::size_t at = 0; at < changes; ++at) {
            SCOPED_TRACE(testing::Message() << operation.name << ", change " << at << " of " << changes << ", fault "
                                            << static_cast<int>(fault));
            World w;
            operation.prepare(w);
            w.t.api.arm(fault, at);
            operation.act(w);
            w.t.executor->advance(seconds(7));
            expect_whole(w);
            expect_clean_end(w);
            w.t.restart();
            expect_clean_end(w);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Operations, TransactionCrash, testing::Range(std::size_t{0}, operations().size()),
                         [](const auto& info) {
                             std::string name = operations()[info.param].name;
                             for (char& c : name) c = c == ' ' ? '_' : c;
                             return name;
                         });

}  // namespace
}  // namespace millrace::controller
