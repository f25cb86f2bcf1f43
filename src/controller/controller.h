// Controller: scopes, streams, reader groups and key-value tables of one node, kept in the containers' internal tables
// and carried out on segments.
//
// Life cycle: make, start() (finishes what was under way when the last process ended), serve, stop() (lets what is
// under way end). Thread rule: every operation may be called from any thread; `done` runs on the controller's executor.
// The object and the SegmentApi outlive stop()'s callback. Durability: a success was written to the container's log
// before it is told. An operation of several steps (creating, updating, scaling, truncating, sealing or deleting a
// stream, a group or a table, deleting a scope) writes its intent first; whatever interrupts it, the intent is carried
// to its end later, by this process or the next, so nothing stays half-made. Order: changes of one stream run one after
// the other, in the order of their calls; queries do not wait for them. Periodic work (retention, watermarks) begins
// with start().
//
// Errors beside the statuses: kInvalidArgument (the request can never succeed; the text says why), kNotFound, kCorrupt
// (a damaged record), kUnavailable, kClosed and other failures of the segment store
// (retry).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "controller/retention_report.h"
#include "controller/scaling_policy.h"
#include "controller/transaction_types.h"
#include "controller/types.h"
#include "runtime/executor.h"
#include "store/segment_api.h"
#include "store/traffic_api.h"

namespace millrace::controller {

struct ControllerOptions {
    Endpoint controller;                                 // where clients find this controller
    Endpoint store;                                      // where clients find the segment store
    std::size_t page_items = 1000;                       // of one page of a listing
    std::chrono::milliseconds retry_delay{2'000};        // before an interrupted operation is taken up again
    std::chrono::milliseconds retention_period{10'000};  // between two looks at streams with a retention policy
    std::chrono::milliseconds watermark_period{10'000};  // between two watermarks of a stream
    TransactionOptions transactions;
    ScalingProfile scaling = ScalingProfile::kFast;
};

class Controller {
  public:
    template <typename T = void>
    using Done = runtime::Callback<Result<T>>;

    // Without `traffic`, which outlives stop()'s callback too, nothing scales by load.
    Controller(runtime::Executor& executor, store::SegmentApi& segments, ControllerOptions options,
               store::TrafficApi* traffic = nullptr);
    ~Controller();
    Controller(const Controller&) = delete;
    Controller& operator=(const Controller&) = delete;

    void start(Done<> done);  // once; operations called before its end may be answered before the recovery of others
    void stop(runtime::Task stopped);

    // ---- scopes ----
    void create_scope(std::string scope, Done<CreateScopeStatus> done);
    void scope_exists(std::string scope, Done<bool> done);
    void list_scopes(std::string token, Done<Page<std::string>> done);
    void delete_scope(std::string scope, Done<DeleteScopeStatus> done);
    void delete_scope_recursive(std::string scope, Done<DeleteScopeStatus> done);

    // ---- streams ----
    void create_stream(StreamName name, StreamConfig config, Done<CreateStreamStatus> done);
    void update_stream(StreamName name, StreamConfig config, Done<UpdateStreamStatus> done);
    void truncate_stream(StreamName name, StreamCut cut, Done<UpdateStreamStatus> done);
    void seal_stream(StreamName name, Done<UpdateStreamStatus> done);
    // Segments become others of the same keys. kFailure: sealed, missing, or ranges that are not those of the segments;
    // kPreconditionFailed: segments that are not current, or fewer would be left than the policy's least. After
    // kStarted it will happen, whatever happens; the same request meanwhile gets the same answer.
    void scale_stream(StreamName name, ScaleRequest request, Done<ScaleResult> done);
    void check_scale(StreamName name, std::int32_t epoch, Done<ScaleProgress> done);  // has the epoch been replaced
    AutoScalingStats auto_scaling() const;                                            // the executor's thread
    void delete_stream(StreamName name, Done<DeleteStreamStatus> done);
    void stream_exists(StreamName name, Done<bool> done);
    void stream_config(StreamName name, Done<StreamConfig> done);
    // Internal streams (_RG..., _MARK...) are in the list. No value: no such scope.
    void list_streams(std::string scope, std::string token, Done<std::optional<Page<std::string>>> done);
    void list_streams_by_tag(std::string scope, std::string tag, std::string token,
                             Done<std::optional<Page<std::string>>> done);

    void retention_report(StreamName name, Done<RetentionReport> done);  // what would go now; nothing does

    // ---- times of writers ----
    void note_time(StreamName name, std::string writer, std::int64_t time, StreamCut position,
                   Done<NoteTimeStatus> done);
    void remove_writer(StreamName name, std::string writer, Done<RemoveWriterStatus> done);

    // ---- segments ----
    void current_segments(StreamName name, Done<std::vector<SegmentRange>> done);  // by key; none when sealed
    void epoch_segments(StreamName name, std::int32_t epoch, Done<std::vector<SegmentRange>> done);
    void list_epochs(StreamName name, std::int32_t first, std::size_t limit, Done<std::vector<Epoch>> done);
    void head(StreamName name, Done<StreamCut> done);  // where the stream begins: of its start, or of its truncation
    void successors(StreamName name, StreamSegmentId segment, Done<std::vector<Successor>> done);
    void segments_between(StreamName name, StreamCut from, StreamCut to, Done<std::vector<StreamSegmentId>> done);
    void is_segment_valid(StreamName name, StreamSegmentId segment, Done<bool> done);  // is it open for writing
    void is_cut_valid(StreamName name, StreamCut cut, Done<bool> done);
    Result<Endpoint> segment_location(const StreamName& name,
                                      StreamSegmentId segment) const;  // existence does not matter
    std::vector<Endpoint> servers() const;

    // ---- transactions ----
    // On the current segments, with as many of its own, which clients write to; kInvalidArgument: the lease, or the
    // stream is sealed. kNoSpace: too many are under way. A transaction that nobody pings is aborted when its lease is
    // over, unless its stream keeps prepared ones (docs/adr/0005-prepared-transactions.md).
    void begin_transaction(StreamName name, std::int64_t lease_ms, Done<BegunTransaction> done);
    // After kSuccess it will be committed, behind those that were before; again, it is kSuccess again.
    void commit_transaction(StreamName name, TransactionId id, CommitRequest request, Done<TransactionOutcome> done);
    void abort_transaction(StreamName name, TransactionId id, Done<TransactionOutcome> done);
    void ping_transaction(StreamName name, TransactionId id, std::int64_t lease_ms, Done<PingStatus> done);
    void transaction_state(StreamName name, TransactionId id, Done<TransactionState> done);
    // The last ones, newest first; none of a missing stream.
    void completed_transactions(StreamName name, std::size_t limit, Done<std::vector<CompletedTransaction>> done);
    // Under way, by id, those behind `after`. No value: no such stream.
    void list_transactions(StreamName name, std::optional<TransactionId> after, std::size_t limit,
                           Done<std::optional<std::vector<TransactionStatus>>> done);

    // ---- reader groups and subscribers ----
    void create_reader_group(std::string scope, std::string group, ReaderGroupConfig config,
                             Done<CreateReaderGroupResult> done);
    void reader_group_config(std::string scope, std::string group, Done<std::optional<ReaderGroupConfig>> done);
    // Their ids, sorted, as the group's clients noted them in its stream; none of a missing group, or of one that no
    // client has set up yet. kCorrupt, kLimit: what stands there is not what clients write.
    void online_readers(std::string scope, std::string group, Done<std::vector<std::string>> done);
    void update_reader_group(std::string scope, std::string group, ReaderGroupConfig config,
                             Done<UpdateReaderGroupResult> done);
    void delete_reader_group(std::string scope, std::string group, Uuid id, Done<DeleteReaderGroupStatus> done);
    void list_reader_groups(std::string scope, std::string token, Done<std::optional<Page<std::string>>> done);
    void list_subscribers(StreamName name, Done<std::optional<std::vector<std::string>>> done);  // no value: no stream
    void update_subscriber(SubscriberCut cut, Done<UpdateSubscriberStatus> done);

    // ---- key-value tables ----
    void create_table(std::string scope, std::string table, KeyValueTableConfig config, Done<CreateTableStatus> done);
    void table_config(std::string scope, std::string table, Done<std::optional<KeyValueTableConfig>> done);
    void table_segments(std::string scope, std::string table, Done<std::vector<SegmentRange>> done);  // by key
    void delete_table(std::string scope, std::string table, Done<DeleteTableStatus> done);
    void list_tables(std::string scope, std::string token, Done<std::optional<Page<std::string>>> done);

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::controller
