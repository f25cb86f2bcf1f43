// What the workflows share.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>

#include "controller/controller.h"
#include "controller/keyed_mutex.h"
#include "controller/metadata.h"
#include "controller/records/marker_entries.h"
#include "controller/segments.h"
#include "controller/stream_cut.h"

namespace millrace::controller {

class Transactions;
class Watermarks;

// A cut that is one of the stream, with what comparing it takes.
struct KnownCut {
    std::vector<Epoch> epochs;  // consecutive: what this cut needs, what the other one does, and all between
    CutLine line;
};

struct Context {
    Context(runtime::Executor& on, store::SegmentApi& api, ControllerOptions o)
        : executor(on), options(std::move(o)), metadata(on, api), segments(on, api) {}

    std::int64_t now_ms() const { return executor.clock().wall_millis(); }

    // Order of taking them: deletion of a scope, group, stream, scope; or deletion, table, scope.
    auto lock_deletion(const std::string& scope) { return locks.acquire("deletion/" + scope); }
    auto lock_group(const std::string& scope, const std::string& group) {
        return locks.acquire("group/" + scope + "/" + group);
    }
    auto lock_table(const std::string& scope, const std::string& table) {
        return locks.acquire("table/" + scope + "/" + table);
    }
    boost::asio::awaitable<KeyedMutex::Lock> lock_stream(const StreamName& name);  // with its companion

    // Commits together with a rewrite of the scope's record. False: there is no such scope, or, when children are not
    // welcome any more, it is being deleted. What comes while a commit of the scope is under way goes in one with it
    // afterwards: a scope takes many at once, and not one per round of the log.
    enum class Joining { kNew, kExisting };
    Async<bool> commit_in_scope(std::string scope, Batch batch, Joining joining);
    // Commits an intent with its pending entry. When that fails it may have been written all the same, so it is looked
    // for later.
    Async<> commit_intent(PendingEntry entry, Batch batch);
    Async<bool> commit_new_intent(PendingEntry entry, Batch batch);  // of something that joins the scope

    // Nothing: it is empty, not valid, ahead of the stream's current epoch, or of epochs that are not kept any more.
    // `other`: the epochs of the cut that it will be compared with.
    Async<std::optional<KnownCut>> known_cut(StreamName name, std::int32_t current_epoch, StreamCut cut,
                                             std::optional<EpochSpan> other);

    runtime::Executor& executor;
    ControllerOptions options;
    Metadata metadata;
    Segments segments;
    KeyedMutex locks;
    std::set<StreamName> retained;  // streams with a retention policy, and perhaps some that had one
    std::function<void(PendingEntry, Error)>
        retry_later;  // an intent that could not be carried to its end now, and why
    std::function<void(std::string, Async<>)> in_background;  // what nobody waits for; stopping does
    Transactions* transactions = nullptr;
    Watermarks* watermarks = nullptr;
    // Streams that scale by load and may have more segments than their least: at least those that this process made so.
    std::set<StreamName> wide_streams;

  private:
    // A batch on its way into a scope; whoever has the scope's lock carries it along.
    struct Join {
        Batch batch;
        Joining joining;
        std::optional<Result<bool>> result;
    };
    using Joins = std::vector<std::shared_ptr<Join>>;
    boost::asio::awaitable<void> carry_joins(std::string scope);
    Async<bool> commit_joins(std::string scope, Joins joins);

    absl::flat_hash_map<std::string, Joins> joins_;  // by scope
};

}  // namespace millrace::controller
