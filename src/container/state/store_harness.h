// For tests of state stores: a store driven from the test's thread, and a model to compare it with.
#pragma once

#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/clock.h"
#include "container/state/rocksdb_state_store.h"
#include "container/state/state_store.h"
#include "runtime/core_loop.h"

namespace millrace::container::state {

// A loop's thread and a pool, and calls that wait for their answers.
class StoreThread {
  public:
    explicit StoreThread(runtime::BlockingPoolOptions pool = {"state", 2, 64}) : loop_("state", 1), pool_(pool) {
        loop_.start();
    }
    ~StoreThread() {
        pool_.stop();
        loop_.stop();
    }
    runtime::CoreLoop& loop() { return loop_; }
    runtime::BlockingPool& pool() { return pool_; }

    // Runs start(done) on the loop and gives what `done` was called with.
    template <typename T, typename Start>
    T wait(Start start) {
        std::promise<T> promise;
        auto future = promise.get_future();
        loop_.post([&] { start([&promise](T value) { promise.set_value(std::move(value)); }); });
        return future.get();
    }
    void run(std::function<void()> work) {
        wait<bool>([&](runtime::Callback<bool> done) {
            work();
            done(true);
        });
    }

    Result<> apply(StateStore& store, StateBatch batch, LogSequence through) {
        return wait<Result<>>([&](auto done) { store.apply(std::move(batch), through, std::move(done)); });
    }
    Result<LogSequence> flush(StateStore& store) {
        return wait<Result<LogSequence>>([&](auto done) { store.flush(std::move(done)); });
    }
    Result<StateValue> get(StateStore& store, std::string key) {
        return wait<Result<StateValue>>([&](auto done) { store.get(std::move(key), std::move(done)); });
    }
    Result<StateValues> multi_get(StateStore& store, std::vector<std::string> keys) {
        return wait<Result<StateValues>>([&](auto done) { store.multi_get(std::move(keys), std::move(done)); });
    }
    Result<ScanPage> scan(StateStore& store, ScanRequest request) {
        return wait<Result<ScanPage>>([&](auto done) { store.scan(std::move(request), std::move(done)); });
    }
    StateStats stats(StateStore& store) {
        StateStats stats;
        run([&] { stats = store.stats(); });
        return stats;
    }
    void close(std::unique_ptr<StateStore>& store) {
        wait<bool>([&](runtime::Callback<bool> done) {
            store->close([&store, done = std::move(done)]() mutable {
                store.reset();
                done(true);
            });
        });
    }

  private:
    runtime::CoreLoop loop_;
    runtime::BlockingPool pool_;
};

// What the store must hold.
struct StateModel {
    using Entries = std::map<std::string, std::string, std::less<>>;
    Entries entries;

    void put(std::string_view key, std::string_view value) { entries.insert_or_assign(std::string(key), value); }
    void remove(std::string_view key) {
        if (auto found = entries.find(key); found != entries.end()) entries.erase(found);
    }
    void remove_range(std::string_view begin, std::string_view end) {
        entries.erase(entries.lower_bound(begin), entries.lower_bound(end));
    }
    void apply(const StateBatch& batch) { batch.for_each(*this); }
};

inline const KeyRange kContainersKeys{std::string(1, '\x03'), ""};  // all but the store's own

inline Result<StateModel::Entries> contents(StateStore& store) {
    StateModel::Entries entries;
    auto loaded = store.load(kContainersKeys, [&](std::string_view key, std::string_view value) -> Result<> {
        if (!entries.empty() && key <= entries.rbegin()->first) return fail(Errc::kCorrupt, "not in order");
        entries.emplace_hint(entries.end(), key, value);
        return {};
    });
    if (!loaded) return fail(loaded.error());
    return entries;
}

// The batch that a seed and a sequence make: the same wherever it is made.
inline StateBatch random_batch(std::uint64_t seed, LogSequence sequence) {
    SeededRandom random(seed * 1'000'003 + sequence.value());
    StateBatch batch;
    auto key = [&] { return fmt::format("K{:03}", random.below(400)); };
    for (std::uint64_t i = random.below(12); i > 0; --i) {
        std::uint64_t dice = random.below(20);
        if (dice == 0) {
            std::uint64_t from = random.below(400);
            std::uint64_t size = random.below(4) == 0 ? 200 : 10;
            batch.remove_range({fmt::format("K{:03}", from), fmt::format("K{:03}", from + random.below(size))});
        } else if (dice < 4) {
            batch.remove(key());
        } else {
            std::string value = fmt::format("{} ", sequence.value());
            value.append(random.below(10) == 0 ? random.below(20'000) : random.below(200),
                         static_cast<char>('a' + dice));
            batch.put(key(), value);
        }
    }
    return batch;
}

class ScratchDirectory {
  public:
    ScratchDirectory() {
        std::string pattern = testing::TempDir() + "millrace-state-XXXXXX";
        path_ = ::mkdtemp(pattern.data());
    }
    ~ScratchDirectory() { std::filesystem::remove_all(path_); }
    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

}  // namespace millrace::container::state
