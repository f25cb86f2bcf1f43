// The container's harness with requests to table segments, and a store that takes its time.
#pragma once

#include "container/container_harness.h"
#include "container/table_segments.h"

namespace millrace::container {

using Versions = std::vector<std::int64_t>;

inline TableUpdate item(std::string key, std::string value, std::int64_t version = kAnyVersion) {
    return {std::move(key), std::move(value), version};
}
inline TableUpdate removal(std::string key, std::int64_t version = kAnyVersion) {
    return {std::move(key), std::nullopt, version};
}

class TableHarness : public Harness {
  public:
    using Harness::Harness;

    Result<> create_table(const std::string& name, std::int32_t key_length = 0) {
        CreateOptions options;
        options.table = true;
        options.key_length = key_length;
        return create(name, options);
    }
    Result<Versions> update(const std::string& name, std::vector<TableUpdate> updates,
                            std::int64_t length = kAnyTableLength) {
        std::optional<Result<Versions>> result;
        container->tables().update(name, {std::move(updates), length},
                                   [&](Result<Versions> r) { result = std::move(r); });
        return wait(result);
    }
    Result<> remove_table(const std::string& name, bool must_be_empty) {
        std::optional<Result<>> result;
        container->tables().remove(name, must_be_empty, [&](Result<> r) { result = std::move(r); });
        return wait(result);
    }
    Result<TableSegmentInfo> table_info(const std::string& name) {
        std::optional<Result<TableSegmentInfo>> result;
        container->tables().info(name, [&](Result<TableSegmentInfo> r) { result = std::move(r); });
        return wait(result);
    }
    Result<std::vector<TableEntry>> get(const std::string& name, std::vector<std::string> keys) {
        std::optional<Result<std::vector<TableEntry>>> result;
        container->tables().get(name, std::move(keys),
                                [&](Result<std::vector<TableEntry>> r) { result = std::move(r); });
        return wait(result);
    }
    Result<TablePage> iterate(const std::string& name, TableIteration iteration) {
        std::optional<Result<TablePage>> result;
        container->tables().iterate(name, std::move(iteration), [&](Result<TablePage> r) { result = std::move(r); });
        return wait(result);
    }
    Result<TableDelta> delta(const std::string& name, std::int64_t position, std::int32_t count) {
        std::optional<Result<TableDelta>> result;
        container->tables().delta(name, position, count, [&](Result<TableDelta> r) { result = std::move(r); });
        return wait(result);
    }
    // "a=1@0 b=2@19"
    std::string all(const std::string& name) {
        std::string text;
        std::string token;
        std::string from;
        for (;;) {
            auto page = iterate(name, {token, from, "", 3, true});
            if (!page || page->entries.empty()) return text;
            text += print(page->entries, text.empty());
            if (table_info(name)->key_length == 0) {
                token = page->token;
                continue;
            }
            from = page->entries.back().key;
            std::size_t last = from.size() - 1;
            from[last] = static_cast<char>(from[last] + 1);
        }
    }
    static std::string print(const std::vector<TableEntry>& entries, bool first = true) {
        std::string text;
        for (const TableEntry& entry : entries) {
            if (!std::exchange(first, false)) text += ' ';
            text += entry.key + "=" + entry.value + "@" + std::to_string(entry.version);
        }
        return text;
    }
};

// Answers with what was true when it was asked, later. Its readings are answered when the test says so.
class SlowStateStore final : public state::StateStore {
  public:
    SlowStateStore(std::unique_ptr<state::StateStore> inner, runtime::Executor& executor)
        : inner_(std::move(inner)), executor_(executor) {}

    LogSequence applied() const override { return inner_->applied(); }
    Result<> load(const state::KeyRange& range, const Visit& visit) override { return inner_->load(range, visit); }
    void apply(state::StateBatch batch, LogSequence through, Done<> done) override {
        if (!hold_batches) return inner_->apply(std::move(batch), through, std::move(done));
        held_batches_.push_back([this, batch = std::move(batch), through, done = std::move(done)]() mutable {
            inner_->apply(std::move(batch), through, std::move(done));
        });
    }
    void flush(Done<LogSequence> done) override { inner_->flush(std::move(done)); }
    void get(std::string key, Done<state::StateValue> done) override {
        inner_->get(std::move(key), later(std::move(done)));
    }
    void multi_get(std::vector<std::string> keys, Done<state::StateValues> done) override {
        inner_->multi_get(std::move(keys), later(std::move(done)));
    }
    void scan(state::ScanRequest request, Done<state::ScanPage> done) override {
        inner_->scan(std::move(request), later(std::move(done)));
    }
    state::StateStats stats() const override { return inner_->stats(); }
    void close(runtime::Task closed) override { inner_->close(std::move(closed)); }

    // The test's side: answers wait for release() while `hold` is set.
    void release() {
        hold = false;
        for (runtime::Task& task : std::exchange(held_, {})) executor_.post(std::move(task));
    }
    bool hold = false;
    // The same for batches: the oldest one goes on its way.
    void release_batch() {
        runtime::Task task = std::move(held_batches_.front());
        held_batches_.pop_front();
        task();
    }
    std::size_t held_batches() const { return held_batches_.size(); }
    bool hold_batches = false;

  private:
    template <typename T>
    Done<T> later(Done<T> done) {
        return [this, done = std::move(done)](Result<T> result) mutable {
            runtime::Task task = [done = std::move(done), result = std::move(result)]() mutable {
                done(std::move(result));
            };
            if (hold)
                held_.push_back(std::move(task));
            else
                executor_.post(std::move(task));
        };
    }

    std::unique_ptr<state::StateStore> inner_;
    runtime::Executor& executor_;
    std::vector<runtime::Task> held_;
    std::deque<runtime::Task> held_batches_;
};

// A table "t" whose state answers when it is told to.
struct SlowTable : testing::Test {
    explicit SlowTable(ContainerOptions options = {}) : h(std::move(options)) {
        h.make_state = [this, memory = h.make_state] {
            auto made = std::make_unique<SlowStateStore>(memory(), h.executor);
            store = made.get();
            return made;
        };
        h.crash();
        EXPECT_TRUE(h.create_table("t"));
    }
    TableHarness h;
    SlowStateStore* store = nullptr;
};

}  // namespace millrace::container
