#include "controller/controller.h"

#include <set>

#include "base/log.h"
#include "controller/auto_scaler.h"
#include "controller/names.h"
#include "controller/periodic.h"
#include "controller/queries.h"
#include "controller/retention.h"
#include "controller/scaling.h"
#include "controller/scopes.h"
#include "controller/transactions.h"
#include "controller/watermarks.h"
#include "runtime/async.h"
#include "runtime/gate.h"

namespace millrace::controller {

namespace {

// Whether time can help; otherwise a person has to.
bool is_passing(const Error& error) {
    return error.code() != Errc::kCorrupt && error.code() != Errc::kNewerFormat && error.code() != Errc::kLimit;
}

}  // namespace

class Controller::Impl {
  public:
    Impl(runtime::Executor& executor, store::SegmentApi& api, ControllerOptions options, store::TrafficApi* traffic)
        : context(executor, api, std::move(options)), segment_api(api) {
        if (traffic != nullptr) auto_scaler.emplace(context, scaling, *traffic, context.options.scaling);
        context.transactions = &transactions;
        context.watermarks = &watermarks;
        context.in_background = [this](std::string name, Async<> work) {
            runtime::spawn(context.executor, std::move(name), carry_on(std::move(work)));
        };
        context.retry_later = [this](PendingEntry entry, const Error& why) { retry_later(std::move(entry), why); };
    }

    // Runs an operation on the controller's executor and hands its result to `done`.
    template <typename T>
    void run(Async<T> operation, Done<T> done) {
        runtime::spawn(context.executor, "controller", carry_out<T>(std::move(operation), std::move(done)));
    }

    Async<> start();
    void stop(runtime::Task stopped);

    Context context;
    store::SegmentApi& segment_api;
    Streams streams{context};
    Transactions transactions{context, streams};
    Scaling scaling{context, streams};
    std::optional<AutoScaler> auto_scaler;
    Groups groups{context, streams};
    KeyValueTables tables{context};
    Scopes scopes{context, streams, groups, tables};
    Queries queries{context};
    Retention retention{context, streams};
    Watermarks watermarks{context, streams};
    runtime::Gate gate;

  private:
    template <typename T>
    boost::asio::awaitable<void> carry_out(Async<T> operation, Done<T> done) {
        runtime::Gate::Pass pass = gate.enter();
        if (!pass) {
            done(fail(Errc::kClosed, "the controller is stopping"));
            co_return;
        }
        Result<T> result = co_await std::move(operation);
        done(std::move(result));
    }

    Async<> recover();
    boost::asio::awaitable<void> carry_on(Async<> work) {
        runtime::Gate::Pass pass = gate.enter();
        if (!pass) co_return;
        Result<> result = co_await std::move(work);
        if (!result) log::warn("controller: {}", result.error().to_string());
    }

    void retry_later(PendingEntry entry, const Error& why);
    boost::asio::awaitable<void> retry();
    Async<> finish(PendingEntry entry);
    Async<> make_system_scope();

    std::set<std::string> unfinished_;  // keys of pending entries
    runtime::TimerId retry_timer_;
    Periodic retention_rounds_{context.executor, gate, "retention", context.options.retention_period,
                               [this] { return retention.round(gate); }};
    Periodic watermark_rounds_{context.executor, gate, "watermarks", context.options.watermark_period,
                               [this] { return watermarks.round(gate); }};
};

Async<> Controller::Impl::start() {
    auto recovered = co_await recover();
    if (!recovered) co_return recovered;
    auto retained = co_await retention.load();
    if (!retained) co_return retained;
    auto timed = co_await watermarks.load();
    if (!timed) co_return timed;
    retention_rounds_.start();
    watermark_rounds_.start();
    co_return Result<>();
}

void Controller::Impl::stop(runtime::Task stopped) {
    context.executor.cancel(retry_timer_);
    retention_rounds_.stop();
    watermark_rounds_.stop();
    transactions.stop();
    if (auto_scaler) auto_scaler->stop();
    gate.close(std::move(stopped));
}

Async<> Controller::Impl::finish(PendingEntry entry) {
    switch (entry.kind) {
        case PendingEntry::Kind::kStream: {
            StreamName name{entry.scope, entry.name};
            return streams.finish(std::move(name));
        }
        case PendingEntry::Kind::kGroup:
            return groups.finish(std::move(entry.scope), std::move(entry.name));
        case PendingEntry::Kind::kTable:
            return tables.finish(std::move(entry.scope), std::move(entry.name));
        default:
            return scopes.finish(std::move(entry.scope));
    }
}

void Controller::Impl::retry_later(PendingEntry entry, const Error& why) {
    if (!is_passing(why)) {
        log::error("controller: {} cannot be finished: {}", entry.key(), why.to_string());
        return;
    }
    bool first = unfinished_.empty();
    unfinished_.insert(entry.key());
    if (!first || gate.closed()) return;
    retry_timer_ = context.executor.call_after(
        context.options.retry_delay, [this] { runtime::spawn(context.executor, "controller retry", retry()); });
}

boost::asio::awaitable<void> Controller::Impl::retry() {
    runtime::Gate::Pass pass = gate.enter();
    if (!pass) co_return;
    std::set<std::string> keys = std::exchange(unfinished_, {});
    for (const std::string& key : keys) {
        auto entry = PendingEntry::parse(key);
        if (!entry) continue;
        PendingEntry unfinished = *entry;
        auto finished = co_await finish(std::move(unfinished));
        if (finished) continue;
        log::warn("controller: {} is still unfinished: {}", key, finished.error().to_string());
        retry_later(std::move(*entry), finished.error());
    }
}

// Carries every intent to its end. One that cannot be now is tried again later: it keeps nothing else from being
// served.
Async<> Controller::Impl::recover() {
    auto made = co_await make_system_scope();
    if (!made) co_return made;
    auto loaded = co_await transactions.load();
    if (!loaded) co_return loaded;
    for (std::uint32_t i = 0; i < context.metadata.containers(); ++i) {
        std::string after;
        while (true) {
            std::string prefix(PendingEntry::kPrefix);
            auto page = co_await context.metadata.scan_container(ContainerId(i), std::move(prefix), after);
            if (!page) co_return fail(page.error());
            if (page->empty()) break;
            for (const container::TableEntry& found : *page) {
                auto entry = PendingEntry::parse(found.key);
                if (!entry) {
                    log::error("controller: {}", entry.error().to_string());
                    continue;
                }
                PendingEntry unfinished = *entry;
                auto finished = co_await finish(std::move(unfinished));
                log::info("controller: taken up {}: {}", found.key, finished ? "done" : finished.error().to_string());
                if (!finished) retry_later(std::move(*entry), finished.error());
            }
            after = page->back().key;
        }
    }
    transactions.resume();
    if (auto_scaler) auto_scaler->start();
    co_return Result<>();
}

Async<> Controller::Impl::make_system_scope() {
    std::string system(kSystemScope);
    auto made = co_await scopes.create(std::move(system));
    if (!made) co_return fail(made.error());
    co_return Result<>();
}

Controller::Controller(runtime::Executor& executor, store::SegmentApi& segments, ControllerOptions options,
                       store::TrafficApi* traffic)
    : impl_(std::make_unique<Impl>(executor, segments, std::move(options), traffic)) {}

Controller::~Controller() = default;

void Controller::start(Done<> done) { impl_->run<void>(impl_->start(), std::move(done)); }

void Controller::stop(runtime::Task stopped) {
    impl_->context.executor.post([this, stopped = std::move(stopped)]() mutable { impl_->stop(std::move(stopped)); });
}

// ---- scopes ----

void Controller::create_scope(std::string scope, Done<CreateScopeStatus> done) {
    impl_->run<CreateScopeStatus>(impl_->scopes.create(std::move(scope)), std::move(done));
}
void Controller::scope_exists(std::string scope, Done<bool> done) {
    impl_->run<bool>(impl_->queries.scope_exists(std::move(scope)), std::move(done));
}
void Controller::list_scopes(std::string token, Done<Page<std::string>> done) {
    impl_->run<Page<std::string>>(impl_->queries.scopes(std::move(token)), std::move(done));
}
void Controller::delete_scope(std::string scope, Done<DeleteScopeStatus> done) {
    impl_->run<DeleteScopeStatus>(impl_->scopes.remove(std::move(scope)), std::move(done));
}
void Controller::delete_scope_recursive(std::string scope, Done<DeleteScopeStatus> done) {
    impl_->run<DeleteScopeStatus>(impl_->scopes.remove_recursively(std::move(scope)), std::move(done));
}

// ---- streams ----

void Controller::create_stream(StreamName name, StreamConfig config, Done<CreateStreamStatus> done) {
    impl_->run<CreateStreamStatus>(impl_->streams.create(std::move(name), std::move(config)), std::move(done));
}
void Controller::update_stream(StreamName name, StreamConfig config, Done<UpdateStreamStatus> done) {
    impl_->run<UpdateStreamStatus>(impl_->streams.update(std::move(name), std::move(config)), std::move(done));
}
void Controller::truncate_stream(StreamName name, StreamCut cut, Done<UpdateStreamStatus> done) {
    impl_->run<UpdateStreamStatus>(impl_->streams.truncate(std::move(name), std::move(cut)), std::move(done));
}
void Controller::seal_stream(StreamName name, Done<UpdateStreamStatus> done) {
    impl_->run<UpdateStreamStatus>(impl_->streams.seal(std::move(name)), std::move(done));
}
void Controller::scale_stream(StreamName name, ScaleRequest request, Done<ScaleResult> done) {
    impl_->run<ScaleResult>(impl_->scaling.scale(std::move(name), std::move(request)), std::move(done));
}
void Controller::check_scale(StreamName name, std::int32_t epoch, Done<ScaleProgress> done) {
    impl_->run<ScaleProgress>(impl_->scaling.progress(std::move(name), epoch), std::move(done));
}
AutoScalingStats Controller::auto_scaling() const {
    return impl_->auto_scaler ? impl_->auto_scaler->stats() : AutoScalingStats();
}
void Controller::delete_stream(StreamName name, Done<DeleteStreamStatus> done) {
    impl_->run<DeleteStreamStatus>(impl_->streams.remove(std::move(name)), std::move(done));
}
void Controller::stream_exists(StreamName name, Done<bool> done) {
    impl_->run<bool>(impl_->queries.stream_exists(std::move(name)), std::move(done));
}
void Controller::stream_config(StreamName name, Done<StreamConfig> done) {
    impl_->run<StreamConfig>(impl_->queries.stream_config(std::move(name)), std::move(done));
}
void Controller::list_streams(std::string scope, std::string token, Done<std::optional<Page<std::string>>> done) {
    impl_->run<Queries::Listing>(impl_->queries.streams(std::move(scope), std::move(token)), std::move(done));
}
void Controller::list_streams_by_tag(std::string scope, std::string tag, std::string token,
                                     Done<std::optional<Page<std::string>>> done) {
    impl_->run<Queries::Listing>(impl_->queries.streams_by_tag(std::move(scope), std::move(tag), std::move(token)),
                                 std::move(done));
}

void Controller::retention_report(StreamName name, Done<RetentionReport> done) {
    impl_->run<RetentionReport>(impl_->retention.report(std::move(name)), std::move(done));
}

// ---- times of writers ----

void Controller::note_time(StreamName name, std::string writer, std::int64_t time, StreamCut position,
                           Done<NoteTimeStatus> done) {
    WriterNote note{std::move(writer), time, std::move(position)};
    impl_->run<NoteTimeStatus>(impl_->watermarks.note(std::move(name), std::move(note)), std::move(done));
}
void Controller::remove_writer(StreamName name, std::string writer, Done<RemoveWriterStatus> done) {
    impl_->run<RemoveWriterStatus>(impl_->watermarks.remove_writer(std::move(name), std::move(writer)),
                                   std::move(done));
}

// ---- segments ----

void Controller::current_segments(StreamName name, Done<std::vector<SegmentRange>> done) {
    impl_->run<std::vector<SegmentRange>>(impl_->queries.current_segments(std::move(name)), std::move(done));
}
void Controller::epoch_segments(StreamName name, std::int32_t epoch, Done<std::vector<SegmentRange>> done) {
    impl_->run<std::vector<SegmentRange>>(impl_->queries.epoch_segments(std::move(name), epoch), std::move(done));
}
void Controller::list_epochs(StreamName name, std::int32_t first, std::size_t limit, Done<std::vector<Epoch>> done) {
    impl_->run<std::vector<Epoch>>(impl_->queries.epochs(std::move(name), first, limit), std::move(done));
}
void Controller::head(StreamName name, Done<StreamCut> done) {
    impl_->run<StreamCut>(impl_->queries.head(std::move(name)), std::move(done));
}
void Controller::successors(StreamName name, StreamSegmentId segment, Done<std::vector<Successor>> done) {
    impl_->run<std::vector<Successor>>(impl_->queries.successors(std::move(name), segment), std::move(done));
}
void Controller::segments_between(StreamName name, StreamCut from, StreamCut to,
                                  Done<std::vector<StreamSegmentId>> done) {
    impl_->run<std::vector<StreamSegmentId>>(impl_->queries.between(std::move(name), std::move(from), std::move(to)),
                                             std::move(done));
}
void Controller::is_segment_valid(StreamName name, StreamSegmentId segment, Done<bool> done) {
    impl_->run<bool>(impl_->queries.is_segment_valid(std::move(name), segment), std::move(done));
}
void Controller::is_cut_valid(StreamName name, StreamCut cut, Done<bool> done) {
    impl_->run<bool>(impl_->queries.is_cut_valid(std::move(name), std::move(cut)), std::move(done));
}

// One node owns every container, so far.
Result<Endpoint> Controller::segment_location(const StreamName& name, StreamSegmentId) const {
    // Any name has a place, also one that no stream can have: programs ask where tables lie that they make themselves.
    if (name.scope.empty() || name.stream.empty())
        return fail(Errc::kInvalidArgument, "a segment's place needs the names of its scope and stream");
    return impl_->context.options.store;
}
std::vector<Endpoint> Controller::servers() const { return {impl_->context.options.controller}; }

// ---- transactions ----

void Controller::begin_transaction(StreamName name, std::int64_t lease_ms, Done<BegunTransaction> done) {
    impl_->run<BegunTransaction>(impl_->transactions.begin(std::move(name), lease_ms), std::move(done));
}
void Controller::commit_transaction(StreamName name, TransactionId id, CommitRequest request,
                                    Done<TransactionOutcome> done) {
    impl_->run<TransactionOutcome>(impl_->transactions.commit(std::move(name), id, std::move(request)),
                                   std::move(done));
}
void Controller::abort_transaction(StreamName name, TransactionId id, Done<TransactionOutcome> done) {
    impl_->run<TransactionOutcome>(impl_->transactions.abort(std::move(name), id), std::move(done));
}
void Controller::ping_transaction(StreamName name, TransactionId id, std::int64_t lease_ms, Done<PingStatus> done) {
    impl_->run<PingStatus>(impl_->transactions.ping(std::move(name), id, lease_ms), std::move(done));
}
void Controller::transaction_state(StreamName name, TransactionId id, Done<TransactionState> done) {
    impl_->run<TransactionState>(impl_->transactions.state(std::move(name), id), std::move(done));
}
void Controller::completed_transactions(StreamName name, std::size_t limit,
                                        Done<std::vector<CompletedTransaction>> done) {
    impl_->run<std::vector<CompletedTransaction>>(impl_->transactions.completed(std::move(name), limit),
                                                  std::move(done));
}
void Controller::list_transactions(StreamName name, std::optional<TransactionId> after, std::size_t limit,
                                   Done<std::optional<std::vector<TransactionStatus>>> done) {
    impl_->run<std::optional<std::vector<TransactionStatus>>>(impl_->transactions.list(std::move(name), after, limit),
                                                              std::move(done));
}

// ---- reader groups and subscribers ----

void Controller::create_reader_group(std::string scope, std::string group, ReaderGroupConfig config,
                                     Done<CreateReaderGroupResult> done) {
    impl_->run<CreateReaderGroupResult>(impl_->groups.create(std::move(scope), std::move(group), std::move(config)),
                                        std::move(done));
}
void Controller::reader_group_config(std::string scope, std::string group,
                                     Done<std::optional<ReaderGroupConfig>> done) {
    impl_->run<std::optional<ReaderGroupConfig>>(impl_->queries.group_config(std::move(scope), std::move(group)),
                                                 std::move(done));
}
void Controller::online_readers(std::string scope, std::string group, Done<std::vector<std::string>> done) {
    impl_->run<std::vector<std::string>>(impl_->queries.online_readers(std::move(scope), std::move(group)),
                                         std::move(done));
}
void Controller::update_reader_group(std::string scope, std::string group, ReaderGroupConfig config,
                                     Done<UpdateReaderGroupResult> done) {
    impl_->run<UpdateReaderGroupResult>(impl_->groups.update(std::move(scope), std::move(group), std::move(config)),
                                        std::move(done));
}
void Controller::delete_reader_group(std::string scope, std::string group, Uuid id,
                                     Done<DeleteReaderGroupStatus> done) {
    impl_->run<DeleteReaderGroupStatus>(impl_->groups.remove(std::move(scope), std::move(group), id), std::move(done));
}
void Controller::list_reader_groups(std::string scope, std::string token, Done<std::optional<Page<std::string>>> done) {
    impl_->run<Queries::Listing>(impl_->queries.groups(std::move(scope), std::move(token)), std::move(done));
}
void Controller::list_subscribers(StreamName name, Done<std::optional<std::vector<std::string>>> done) {
    impl_->run<std::optional<std::vector<std::string>>>(impl_->queries.subscribers(std::move(name)), std::move(done));
}
void Controller::update_subscriber(SubscriberCut cut, Done<UpdateSubscriberStatus> done) {
    impl_->run<UpdateSubscriberStatus>(impl_->groups.report(std::move(cut)), std::move(done));
}

// ---- key-value tables ----

void Controller::create_table(std::string scope, std::string table, KeyValueTableConfig config,
                              Done<CreateTableStatus> done) {
    impl_->run<CreateTableStatus>(impl_->tables.create(std::move(scope), std::move(table), config), std::move(done));
}
void Controller::table_config(std::string scope, std::string table, Done<std::optional<KeyValueTableConfig>> done) {
    impl_->run<std::optional<KeyValueTableConfig>>(impl_->tables.config(std::move(scope), std::move(table)),
                                                   std::move(done));
}
void Controller::table_segments(std::string scope, std::string table, Done<std::vector<SegmentRange>> done) {
    impl_->run<std::vector<SegmentRange>>(impl_->tables.segments(std::move(scope), std::move(table)), std::move(done));
}
void Controller::delete_table(std::string scope, std::string table, Done<DeleteTableStatus> done) {
    impl_->run<DeleteTableStatus>(impl_->tables.remove(std::move(scope), std::move(table)), std::move(done));
}
void Controller::list_tables(std::string scope, std::string token, Done<std::optional<Page<std::string>>> done) {
    impl_->run<Queries::Listing>(impl_->queries.tables(std::move(scope), std::move(token)), std::move(done));
}

}  // namespace millrace::controller
