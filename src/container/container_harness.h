// One container over a log and a state in memory, driven step by step: what the container's tests share.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "container/container.h"
#include "container/memory_chunk_store.h"
#include "container/memory_log.h"
#include "container/state/memory_state_store.h"
#include "runtime/manual_executor.h"

namespace millrace::container {

class CollectingSink final : public AppendSink {
  public:
    void on_outcomes(std::span<const AppendOutcome> outcomes, std::uint64_t dropped) override {
        for (const AppendOutcome& outcome : outcomes) all.push_back(outcome);
        dropped_bytes += dropped;
        ++calls;
    }
    std::vector<AppendOutcome> all;
    std::uint64_t dropped_bytes = 0;
    int calls = 0;
};

class Harness {
  public:
    explicit Harness(ContainerOptions options = {}, std::shared_ptr<MemoryObjects> tier = {},
                     std::shared_ptr<MemoryLogDisk> log_disk = std::make_shared<MemoryLogDisk>())
        : objects(std::move(tier)), disk(std::move(log_disk)), options_(options) {
        boot();
    }

    void boot() {
        failure.reset();
        container = std::make_unique<SegmentContainer>(ContainerId(0), executor, options_, make_state());
        auto loaded = container->load();
        ASSERT_TRUE(loaded) << loaded.error().to_string();
        for (const auto& frame : disk->frames) {
            auto replayed = container->replay(frame.where, frame.payload);
            ASSERT_TRUE(replayed) << replayed.error().to_string();
        }
        auto finished = container->finish_recovery();
        ASSERT_TRUE(finished) << finished.error().to_string();
        auto made = std::make_unique<MemoryLog>(disk, executor);
        log = made.get();
        std::unique_ptr<lts::ChunkStore> tier;
        if (objects) tier = std::make_unique<MemoryChunkStore>(objects, executor);
        container->start(std::move(made), [this](Error error) { failure = std::move(error); }, std::move(tier), "test");
        executor.run_until_idle();
    }
    // Everything in memory is lost; `kept` of the frames under way are on disk nevertheless.
    void crash(std::size_t kept = 0) {
        log->crash(kept);
        if (objects) objects->held.clear();
        container.reset();
        executor.drop_all();
        sessions.clear();
        boot();
    }

    template <typename T>
    Result<T> wait(std::optional<Result<T>>& result) {
        executor.run_until_idle();
        if (!result) return fail(Errc::kUnavailable, "no answer");
        return std::move(*result);
    }
    Result<> create(const std::string& name, CreateOptions options = {}) {
        std::optional<Result<>> result;
        container->create(name, options, [&](Result<> r) { result = std::move(r); });
        return wait(result);
    }
    Result<std::int64_t> seal(const std::string& name) {
        std::optional<Result<std::int64_t>> result;
        container->seal(name, [&](Result<std::int64_t> r) { result = std::move(r); });
        return wait(result);
    }
    Result<> truncate(const std::string& name, std::int64_t offset) {
        std::optional<Result<>> result;
        container->truncate(name, offset, [&](Result<> r) { result = std::move(r); });
        return wait(result);
    }
    Result<> remove(const std::string& name) {
        std::optional<Result<>> result;
        container->remove(name, [&](Result<> r) { result = std::move(r); });
        return wait(result);
    }
    Result<std::int64_t> merge(const std::string& target, const std::string& source,
                               std::vector<AttributeUpdate> updates = {}) {
        std::optional<Result<std::int64_t>> result;
        container->merge(target, source, std::move(updates), [&](Result<std::int64_t> r) { result = std::move(r); });
        return wait(result);
    }
    Result<> attributes(const std::string& name, std::vector<AttributeUpdate> updates) {
        std::optional<Result<>> result;
        container->update_attributes(name, std::move(updates), [&](Result<> r) { result = std::move(r); });
        return wait(result);
    }
    Result<std::vector<std::int64_t>> table(const std::string& name, std::vector<TableUpdate> updates) {
        std::optional<Result<std::vector<std::int64_t>>> result;
        container->update_table(name, std::move(updates), SpaceNeed::kOrdinary,
                                [&](Result<std::vector<std::int64_t>> r) { result = std::move(r); });
        return wait(result);
    }

    // At once when the segment is in memory.
    Result<SegmentInfo> info(const std::string& name) {
        std::optional<Result<SegmentInfo>> result;
        container->info(name, [&](Result<SegmentInfo> r) { result = std::move(r); });
        return result ? std::move(*result) : wait(result);
    }
    Result<std::int64_t> attribute(const std::string& name, const Uuid& id) {
        std::optional<Result<std::int64_t>> result;
        container->attribute(name, id, [&](Result<std::int64_t> r) { result = std::move(r); });
        return result ? std::move(*result) : wait(result);
    }

    // A writer's session on a segment; the number is the writer's id.
    AppendSession& session(const std::string& segment, std::uint64_t writer) {
        AppendSession& made = sessions.emplace_back();
        made.writer_id = Uuid{1, writer};
        made.segment_name = segment;
        made.sink = &sink;
        return made;
    }
    Result<std::int64_t> setup(AppendSession& session) {
        std::optional<Result<std::int64_t>> result;
        container->setup_append(session, [&](Result<std::int64_t> r) { result = std::move(r); });
        return wait(result);
    }
    // Only queues; run the executor to have it durable.
    void append(AppendSession& session, std::int64_t number, const std::string& data,
                std::int64_t expected = kUnconditional, bool conditional = false) {
        AppendBatch batch;
        bytes::Slice copy = bytes::Slice::copy_of(bytes::as_bytes(data));
        AppendRequest request;
        request.session = &session;
        request.event_number = number;
        request.event_count = 1;
        request.expected_offset = expected;
        request.conditional = conditional;
        request.request_id = number * 10;
        request.pieces[0] = copy.span();
        batch.memory.push_back(std::move(copy));
        batch.requests.push_back(request);
        container->append(std::move(batch));
    }
    std::optional<Result<ReadResult>> read(const std::string& name, std::int64_t offset, std::size_t size = 1 << 20) {
        std::optional<Result<ReadResult>> result;
        ReadId id = container->read(name, offset, size, [&](Result<ReadResult> r) { result = std::move(r); });
        executor.run_until_idle();
        if (!result) container->cancel_read(id);
        return result;
    }
    std::string text(const std::string& name, std::int64_t offset = 0) {
        std::string all;
        for (;;) {
            auto result = read(name, offset + static_cast<std::int64_t>(all.size()));
            if (!result || !*result || (*result)->data.empty()) return all;
            auto data = (*result)->data.to_vector();
            all.append(data.begin(), data.end());
        }
    }

    runtime::ManualExecutor executor;
    std::shared_ptr<state::MemoryStateDisk> state_disk = std::make_shared<state::MemoryStateDisk>();
    state::MemoryStateStore* state = nullptr;
    std::function<std::unique_ptr<state::StateStore>()> make_state = [this] {  // from the next boot on
        auto made = std::make_unique<state::MemoryStateStore>(state_disk, executor);
        state = made.get();
        return made;
    };
    std::shared_ptr<MemoryObjects> objects;  // none: no long-term storage
    std::shared_ptr<MemoryLogDisk> disk;
    MemoryLog* log = nullptr;
    std::unique_ptr<SegmentContainer> container;
    CollectingSink sink;
    std::deque<AppendSession> sessions;
    std::optional<Error> failure;

  private:
    ContainerOptions options_;
};

// A container on an empty state.
inline std::unique_ptr<SegmentContainer> fresh_container(Harness& h) {
    auto state = std::make_unique<state::MemoryStateStore>(std::make_shared<state::MemoryStateDisk>(), h.executor);
    return std::make_unique<SegmentContainer>(ContainerId(1), h.executor, ContainerOptions{}, std::move(state));
}

}  // namespace millrace::container
