// StateStore: a container's state on disk, a sorted map of small records (docs/formats/container-state.md) that says
// which prefix of the container's log it includes. It has no log of its own: after a crash it holds what it held after
// some batch, at least the last one that a flush acknowledged, and applied() says which. The container applies its log
// from there on.
//
// Life cycle: an implementation opens it (blocking); load() what is needed at the start (blocking); then apply, flush
// and read; close(). Closing flushes nothing.
//
// Thread rule: everything but load() on the executor that it was opened with; callbacks run there, never within the
// call. No call waits: batches and reads run on a pool. The order of apply() and flush() is kept. Destroy it on the
// executor, after close() (its callback may do so, no other one may); if it is destroyed before that, callbacks that
// have not run never do.
//
// What a reading sees: some state of the map, the same one for all that one call returns, with all batches up to
// `includes` in it and perhaps later ones. `includes` is at least the sequence of the last apply() whose callback ran
// before the call.
//
// Errors. Of every call: kCorrupt (bytes on disk are not what was written; names the file and what to do), kIo,
// kClosed.
// - Batches wait, and flushes behind them, while the disk has less space than an implementation keeps in reserve.
// - A batch or a flush that fails fails the store (kNoSpace: the disk is full): it and all later ones get that error,
//   readings go on. What is on disk is the state at some batch, at least the last one whose flush was acknowledged; the
//   store is opened again, when there is space, and what is missing is applied again from the log.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "container/state/state_batch.h"
#include "runtime/executor.h"

namespace millrace::container::state {

struct StateValue {
    std::optional<std::string> value;  // none: no such key
    LogSequence includes;
};

struct StateValues {
    std::vector<std::optional<std::string>> values;  // in the order of the keys that were asked for
    LogSequence includes;
};

struct ScanRequest {
    KeyRange range;
    std::size_t max_entries = 1000;                // at least 1
    std::size_t max_bytes = std::size_t{1} << 20;  // of keys and values; one entry is given whatever its size
    bool descending = false;                       // from the range's end
};

struct ScanPage {
    std::vector<std::pair<std::string, std::string>> entries;  // key, value
    std::optional<KeyRange> rest;                              // what to ask for next; none: that was all
    LogSequence includes;
};

struct StateStats {
    LogSequence applied;
    LogSequence flushed;             // of the last flush() that succeeded; the disk may have more
    std::size_t queued_batches = 0;  // apply() was called, the callback has not run
    std::size_t queued_bytes = 0;
    std::uint64_t flushes = 0;
    std::uint64_t disk_bytes = 0;          // of the map's files. This and the next two are up to a second old
    std::uint64_t write_buffer_bytes = 0;  // memory of what is not on disk yet
    std::uint64_t reader_bytes = 0;        // memory of open files, outside of the shared cache
    std::optional<Error> trouble;          // why the store failed
};

class StateStore {
  public:
    template <typename T = void>
    using Done = runtime::Callback<Result<T>>;
    using Visit = std::function<Result<>(std::string_view key, std::string_view value)>;

    virtual ~StateStore() = default;

    // Sequence of the last batch whose callback ran, or what the store was opened with. 0: nothing.
    virtual LogSequence applied() const = 0;

    // All records of `range` in the order of keys, on the calling thread, which may be any: for recovery. An error of
    // `visit` ends it and is returned. The views are valid during the call only.
    virtual Result<> load(const KeyRange& range, const Visit& visit) = 0;

    // The state after all frames of the log up to `through`, which grows with every batch. An empty batch moves the
    // sequence only.
    virtual void apply(StateBatch batch, LogSequence through, Done<> done) = 0;

    // Everything applied before this call is on stable storage when `done` comes with a sequence; the sequence is that
    // of the last batch before the call, or a later one.
    virtual void flush(Done<LogSequence> done) = 0;

    virtual void get(std::string key, Done<StateValue> done) = 0;
    virtual void multi_get(std::vector<std::string> keys, Done<StateValues> done) = 0;
    virtual void scan(ScanRequest request, Done<ScanPage> done) = 0;

    virtual StateStats stats() const = 0;

    // Batches that wait for space on the disk are tried now, and what finds none fails (kNoSpace): for the end, which
    // must not wait for somebody to make room.
    virtual void end_waiting() {}

    // Lets what is under way end, answers kClosed to batches and flushes that are only queued, and frees the directory.
    virtual void close(runtime::Task closed) = 0;
};

}  // namespace millrace::container::state
