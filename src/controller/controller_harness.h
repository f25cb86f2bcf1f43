// A controller over FakeSegmentApi on manual time, for its tests: operations as plain calls.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/log.h"
#include "controller/controller.h"
#include "controller/fake_segment_api.h"
#include "controller/names.h"
#include "controller/records/stream_record.h"
#include "runtime/manual_executor.h"

namespace millrace::controller {

inline StreamConfig fixed(std::int32_t segments, std::vector<std::string> tags = {}) {
    StreamConfig config;
    config.scaling.min_segments = segments;
    config.tags = std::move(tags);
    return config;
}

inline StreamConfig by_events(std::int32_t per_second, std::int32_t min_segments, std::int32_t factor = 2) {
    StreamConfig config;
    config.scaling = {ScalingType::kByEvents, per_second, factor, min_segments};
    return config;
}

inline ReaderGroupConfig group_over(std::vector<StreamName> streams, ReaderGroupRetention retention,
                                    std::uint64_t id = 1) {
    ReaderGroupConfig config;
    config.refresh_ms = 3000;
    config.retention = retention;
    config.id = Uuid{id, id};
    for (StreamName& name : streams) {
        config.start.push_back({name, {}});
        config.end.push_back({name, {}});
    }
    return config;
}

class Harness {
  public:
    explicit Harness(std::size_t page_items = 1000) : page_items_(page_items) {
        log::set_level(log::Level::kError);
        restart();
    }
    ~Harness() { stop(); }

    // The process ends, whatever it was doing, and another begins over the same store.
    void restart() {
        stop();
        api.revive();
        make();
        auto started = call<void>([&](auto done) { controller->start(std::move(done)); });
        EXPECT_TRUE(started) << started.error().to_string();
    }
    void make() {
        ControllerOptions options;
        options.controller = {"127.0.0.1", 9090};
        options.store = {"127.0.0.1", 12345};
        options.page_items = page_items_;
        options.transactions = transaction_options;
        controller = std::make_unique<Controller>(*executor, api, options);
    }
    void stop() {
        if (controller == nullptr) return;
        executor->run_until_idle();
        // Coroutines that wait for ever go with the store's callbacks and the executor's tasks; then nobody needs the
        // controller.
        executor = std::make_unique<runtime::ManualExecutor>(++seed_);
        controller.reset();
    }

    // The result, or nothing when there is none (the store died).
    template <typename T, typename Start>
    std::optional<Result<T>> try_call(Start start) {
        auto result = std::make_shared<std::optional<Result<T>>>();
        start([result](Result<T> r) { *result = std::move(r); });
        executor->run_until_idle();
        return std::move(*result);
    }
    template <typename T, typename Start>
    Result<T> call(Start start) {
        auto result = try_call<T>(std::move(start));
        if (!result) return fail(Errc::kClosed, "no answer");
        return std::move(*result);
    }

    Result<CreateScopeStatus> create_scope(std::string scope) {
        return call<CreateScopeStatus>([&](auto done) { controller->create_scope(scope, std::move(done)); });
    }
    Result<DeleteScopeStatus> delete_scope(std::string scope) {
        return call<DeleteScopeStatus>([&](auto done) { controller->delete_scope(scope, std::move(done)); });
    }
    Result<DeleteScopeStatus> delete_scope_recursive(std::string scope) {
        return call<DeleteScopeStatus>([&](auto done) { controller->delete_scope_recursive(scope, std::move(done)); });
    }
    Result<CreateStreamStatus> create(StreamName name, StreamConfig config) {
        return call<CreateStreamStatus>([&](auto done) { controller->create_stream(name, config, std::move(done)); });
    }
    Result<UpdateStreamStatus> update(StreamName name, StreamConfig config) {
        return call<UpdateStreamStatus>([&](auto done) { controller->update_stream(name, config, std::move(done)); });
    }
    Result<UpdateStreamStatus> truncate(StreamName name, StreamCut cut) {
        return call<UpdateStreamStatus>([&](auto done) { controller->truncate_stream(name, cut, std::move(done)); });
    }
    Result<UpdateStreamStatus> seal(StreamName name) {
        return call<UpdateStreamStatus>([&](auto done) { controller->seal_stream(name, std::move(done)); });
    }
    Result<ScaleResult> scale(StreamName name, std::vector<StreamSegmentId> sealed, std::vector<KeyRange> ranges,
                              std::int64_t creation_ms = 0) {
        ScaleRequest request{std::move(sealed), std::move(ranges), creation_ms};
        return call<ScaleResult>([&](auto done) { controller->scale_stream(name, request, std::move(done)); });
    }
    Result<ScaleResult> scale_to(StreamName name, std::int32_t segments);  // everything, into equal ones
    Result<ScaleProgress> check_scale(StreamName name, std::int32_t epoch) {
        return call<ScaleProgress>([&](auto done) { controller->check_scale(name, epoch, std::move(done)); });
    }
    Result<DeleteStreamStatus> remove(StreamName name) {
        return call<DeleteStreamStatus>([&](auto done) { controller->delete_stream(name, std::move(done)); });
    }
    Result<bool> exists(StreamName name) {
        return call<bool>([&](auto done) { controller->stream_exists(name, std::move(done)); });
    }
    Result<std::vector<SegmentRange>> current(StreamName name) {
        return call<std::vector<SegmentRange>>([&](auto done) { controller->current_segments(name, std::move(done)); });
    }
    Result<StreamCut> head(StreamName name) {
        return call<StreamCut>([&](auto done) { controller->head(name, std::move(done)); });
    }
    Result<CreateReaderGroupResult> create_group(std::string scope, std::string group, ReaderGroupConfig config) {
        return call<CreateReaderGroupResult>(
            [&](auto done) { controller->create_reader_group(scope, group, config, std::move(done)); });
    }
    Result<UpdateReaderGroupResult> update_group(std::string scope, std::string group, ReaderGroupConfig config) {
        return call<UpdateReaderGroupResult>(
            [&](auto done) { controller->update_reader_group(scope, group, config, std::move(done)); });
    }
    Result<DeleteReaderGroupStatus> delete_group(std::string scope, std::string group, std::uint64_t id = 1) {
        return call<DeleteReaderGroupStatus>(
            [&](auto done) { controller->delete_reader_group(scope, group, Uuid{id, id}, std::move(done)); });
    }
    Result<std::optional<ReaderGroupConfig>> group(std::string scope, std::string group) {
        return call<std::optional<ReaderGroupConfig>>(
            [&](auto done) { controller->reader_group_config(scope, group, std::move(done)); });
    }
    Result<CreateTableStatus> create_table(std::string scope, std::string table, KeyValueTableConfig config) {
        return call<CreateTableStatus>(
            [&](auto done) { controller->create_table(scope, table, config, std::move(done)); });
    }
    Result<DeleteTableStatus> delete_table(std::string scope, std::string table) {
        return call<DeleteTableStatus>([&](auto done) { controller->delete_table(scope, table, std::move(done)); });
    }
    Result<std::optional<KeyValueTableConfig>> table(std::string scope, std::string table) {
        return call<std::optional<KeyValueTableConfig>>(
            [&](auto done) { controller->table_config(scope, table, std::move(done)); });
    }
    Result<std::vector<SegmentRange>> table_segments(std::string scope, std::string table) {
        return call<std::vector<SegmentRange>>(
            [&](auto done) { controller->table_segments(scope, table, std::move(done)); });
    }
    std::vector<std::string> subscribers(StreamName name) {
        auto found = call<std::optional<std::vector<std::string>>>(
            [&](auto done) { controller->list_subscribers(name, std::move(done)); });
        return found && *found ? **found : std::vector<std::string>{"(no stream)"};
    }
    // Over all pages.
    std::vector<std::string> streams(std::string scope) {
        return listed([&](std::string token, auto done) { controller->list_streams(scope, token, std::move(done)); });
    }
    std::vector<std::string> tables(std::string scope) {
        return listed([&](std::string token, auto done) { controller->list_tables(scope, token, std::move(done)); });
    }
    template <typename List>
    std::vector<std::string> listed(List list) {
        std::vector<std::string> all;
        std::string token;
        while (true) {
            auto page = call<std::optional<Page<std::string>>>([&](auto done) { list(token, std::move(done)); });
            if (!page || !*page) return {"(no scope)"};
            if ((*page)->items.empty()) return all;
            all.insert(all.end(), (*page)->items.begin(), (*page)->items.end());
            token = (*page)->token;
        }
    }

    Result<BegunTransaction> begin(StreamName name, std::int64_t lease_ms = 10'000) {
        return call<BegunTransaction>(
            [&](auto done) { controller->begin_transaction(name, lease_ms, std::move(done)); });
    }
    Result<TransactionOutcome> commit(StreamName name, TransactionId id, CommitRequest request = {}) {
        return call<TransactionOutcome>(
            [&](auto done) { controller->commit_transaction(name, id, request, std::move(done)); });
    }
    Result<TransactionOutcome> abort(StreamName name, TransactionId id) {
        return call<TransactionOutcome>([&](auto done) { controller->abort_transaction(name, id, std::move(done)); });
    }
    Result<PingStatus> ping(StreamName name, TransactionId id, std::int64_t lease_ms = 10'000) {
        return call<PingStatus>([&](auto done) { controller->ping_transaction(name, id, lease_ms, std::move(done)); });
    }
    Result<TransactionState> state(StreamName name, TransactionId id) {
        return call<TransactionState>([&](auto done) { controller->transaction_state(name, id, std::move(done)); });
    }
    std::vector<CompletedTransaction> completed(StreamName name, std::size_t limit = 500) {
        auto listed = call<std::vector<CompletedTransaction>>(
            [&](auto done) { controller->completed_transactions(name, limit, std::move(done)); });
        return listed ? *listed : std::vector<CompletedTransaction>();
    }
    std::vector<TransactionStatus> transactions(StreamName name) {
        auto listed = call<std::optional<std::vector<TransactionStatus>>>(
            [&](auto done) { controller->list_transactions(name, std::nullopt, 1000, std::move(done)); });
        return listed && *listed ? **listed : std::vector<TransactionStatus>();
    }
    // What a client's writes to one of its segments make of it.
    void write(StreamName name, const BegunTransaction& txn, std::size_t segment, std::int64_t bytes) {
        api.segments.at(transaction_segment_name(name, txn.segments.at(segment).id, txn.id)).length += bytes;
    }

    // All keys of all containers, and whatever is not whole: intents, segments that no record names, named ones that
    // are missing.
    std::vector<std::string> keys(std::string_view prefix = {}) const;
    std::vector<std::string> garbage() const;

    TransactionOptions transaction_options;  // from the next start on
    FakeSegmentApi api;
    std::unique_ptr<runtime::ManualExecutor> executor = std::make_unique<runtime::ManualExecutor>(1);
    std::unique_ptr<Controller> controller;

  private:
    std::size_t page_items_;
    std::uint64_t seed_ = 1;
};

}  // namespace millrace::controller
