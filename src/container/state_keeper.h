// StateKeeper: brings a container's durable state into its StateStore, behind publication and in the log's order.
//
// What changed is gathered in one batch. Small changes are put into it when they are published (`changes()`: entries of
// tables, manifests, removals). What changes with every append (a segment's length, a writer's number) is only marked,
// and encoded once when a batch goes out: so the append path pays a flag, and a writer that sent a million events costs
// one record. The batch is the state at a place of the log when nothing is marked any more; what is marked is encoded
// in slices, so that the loop is not held.
//
// A batch goes out when enough has changed, and before a checkpoint, which is a flush of the store. While the store
// does not keep up, behind() says that nothing new should be admitted. No call waits.
//
// Thread rule: on the container's executor. Failure: the first error of a batch or a flush is given to the host, once;
// the container must be recovered.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "container/state/state_store.h"
#include "container/state_options.h"
#include "runtime/executor.h"

namespace millrace::container {

class StateHost {
  public:
    virtual ~StateHost() = default;
    // Encodes at most `most` of what is marked, from durable state; true when nothing is left.
    virtual bool encode_marked(state::StateBatch& out, std::size_t most) = 0;
    // A batch goes out; `number` counts them. saved() comes for each, in order, when readings of the store see it.
    virtual void sealed(std::uint64_t number) = 0;
    virtual void saved(std::uint64_t number) = 0;
    virtual void state_failed(const Error& error) = 0;
};

class StateKeeper {
  public:
    using Flushed = runtime::Callback<LogSequence>;

    StateKeeper(std::unique_ptr<state::StateStore> store, runtime::Executor& executor, StateHost& host,
                StateOptions options)
        : store_(std::move(store)), executor_(executor), host_(host), options_(options), applied_(store_->applied()) {
        published_ = queued_ = applied_;
    }

    state::StateStore& store() { return *store_; }
    const state::StateStore& store() const { return *store_; }

    // Of the frame that is being published (or replayed).
    state::StateBatch& changes() { return changes_; }
    std::uint64_t next_batch() const { return batches_ + 1; }  // that they go out with
    void marked() { ++marked_; }
    void published(LogSequence sequence);  // all its changes are there. In replay too
    LogSequence published() const { return published_; }

    // Replay is over: batches may go out.
    void start() {
        started_ = true;
        maybe_save();
    }
    // Something waits for the next batch: it goes out soon, though little has changed.
    void want_save();
    // Flushes the state as it is now; `done` has the sequence that is then on stable storage, and does not come when
    // that fails.
    void checkpoint(Flushed done);
    bool wants_flush() const { return bytes_since_flush_ >= options_.flush_bytes; }
    bool behind() const {
        return under_way_ >= kUnderWayMax &&
               (marked_ >= 2 * options_.marked_max || changes_.size_bytes() >= 4 * options_.batch_bytes);
    }
    std::size_t waiting_bytes() const { return changes_.size_bytes(); }

    // Saves and flushes what is there, unless it has failed, then closes the store. Or only closes it.
    void finish(bool flush, runtime::Task done);
    // Nothing is saved any more.
    void abandon() { failed_ = true; }
    bool failed() const { return failed_; }

  private:
    static constexpr std::size_t kUnderWayMax = 2;
    static constexpr std::size_t kSlice = 512;  // the first one; each that follows is twice as long

    void maybe_save();
    void encode_slice(std::size_t most);
    void send();
    void flush();
    void fail(const Error& error);
    void close(runtime::Task done);

    std::unique_ptr<state::StateStore> store_;
    runtime::Executor& executor_;
    StateHost& host_;
    const StateOptions options_;
    state::StateBatch changes_;
    std::size_t marked_ = 0;
    LogSequence published_;
    LogSequence queued_;   // of the last batch that went out
    LogSequence applied_;  // what the store was opened with
    std::uint64_t batches_ = 0;
    std::size_t under_way_ = 0;
    std::size_t bytes_since_flush_ = 0;
    bool started_ = false;
    bool encoding_ = false;
    bool flush_wanted_ = false;
    bool save_wanted_ = false;
    std::chrono::steady_clock::time_point wanted_before_;
    std::vector<Flushed> flushed_;
    runtime::Task finishing_;
    bool failed_ = false;
    bool closed_ = false;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace millrace::container
