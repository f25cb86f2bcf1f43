// Transactions: begun, pinged, committed or aborted by clients, ended by the controller when nobody cares for them any
// more. Executor thread only.
//
// A transaction under way has a record, and a copy of it here. What happens to it is one conditional update of the
// record at a time: open -> committing or aborting. From there two workers for each stream carry it on, as many
// transactions at once as there are: commits in the order of their requests, one merge for each segment; aborts by
// deleting the segments. Each step may be repeated; the last replaces the record by that of a completed transaction. So
// whoever finds a committing or aborting record, this process or the next, ends it. Commits across a scale make epochs,
// which is an intent in the stream's record (RollIntent) like any other.
//
// Leases are kept here alone: a ping writes nothing, unless it asks for more than any before. After a restart each open
// transaction has its longest lease again.
//
// Locks: a transaction's ("txn/...") for changes of an open one; the stream's for merges; never the stream's within a
// transaction's.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "controller/context.h"
#include "controller/records/transaction_record.h"
#include "controller/streams.h"
#include "controller/transaction_leases.h"
#include "controller/transaction_types.h"

namespace millrace::controller {

// How many each may keep so that all together keep no more than `limit`: those that have few keep them.
std::size_t fair_share(std::vector<std::size_t> counts, std::size_t limit);

class Transactions {
  public:
    static constexpr std::size_t kCommitBatch = 500;  // transactions of one merge
    static constexpr std::size_t kAbortBatch = 50;
    static constexpr std::size_t kEndBatch = 200;  // open ones that end with one update

    Transactions(Context& context, Streams& streams) : context_(context), streams_(streams) {}

    Async<> load();  // what is under way; before any other call
    void resume();   // takes it up, once the streams are as they should be
    void stop();     // no timer fires any more

    Async<BegunTransaction> begin(StreamName name, std::int64_t lease_ms);
    Async<TransactionOutcome> commit(StreamName name, TransactionId id, CommitRequest request);
    Async<TransactionOutcome> abort(StreamName name, TransactionId id);
    Async<PingStatus> ping(StreamName name, TransactionId id, std::int64_t lease_ms);
    Async<TransactionState> state(StreamName name, TransactionId id);
    // The last ones, newest first.
    Async<std::vector<CompletedTransaction>> completed(StreamName name, std::size_t limit);
    // Under way, by id, with an id > `after`. No value: no such stream.
    Async<std::optional<std::vector<TransactionStatus>>> list(StreamName name, std::optional<TransactionId> after,
                                                              std::size_t limit);

    // ---- with the stream's lock held ----
    // Commits what waits, so that an epoch that ends now need not come back for it. The stream's record may change.
    Async<> commit_waiting(StreamName name);
    // Of a stream that is being sealed: none is begun any more, open ones are aborted, commits carried out. False: the
    // stream's record changed; look at it and call again.
    Async<bool> end_all(StreamName name, Stored<StreamRecord> stream);
    Async<> carry_on_rolling(StreamName name, Stored<StreamRecord> stream);
    // That of the oldest one under way; the newest there can be when there is none. None: one is just beginning.
    std::optional<std::int32_t> oldest_epoch(const StreamName& name) const;
    Async<> forget(StreamName name);  // removes what is kept of completed ones; the stream is being deleted

  private:
    struct OfStream;
    struct Due {
        std::shared_ptr<OfStream> stream;
        TransactionId id;
    };
    struct Live {
        TransactionId id;
        TransactionRecord record;
        std::int64_t version = container::kNotExists;
        bool unknown = false;    // an update failed that may have been made: look before anything else
        bool abandoned = false;  // could not be made whole
        Leases<Due>::Handle lease;
    };
    struct OfStream {
        StreamName name;
        std::map<TransactionId, std::unique_ptr<Live>> live;
        std::map<std::int64_t, TransactionId> waiting;  // committing, by order
        std::set<TransactionId> aborting;
        std::int64_t last_order = 0;
        std::size_t beginning = 0;  // calls under way
        bool sealing = false;
        std::vector<runtime::Callback<>> when_none_begins;
        bool commits_run = false;
        bool aborts_run = false;
        std::size_t kept = 0;
        std::int64_t kept_bytes = 0;
    };
    using Stream = std::shared_ptr<OfStream>;
    struct Ids {
        std::int64_t next = 0;
        std::int64_t end = 0;
    };
    class Beginning;

    // ---- transactions.cc ----
    Stream of(const StreamName& name);
    Stream find(const StreamName& name) const;
    void drop_if_idle(const Stream& stream);
    boost::asio::awaitable<KeyedMutex::Lock> lock_transaction(const StreamName& name, const TransactionId& id);
    Async<Live*> look(Stream stream, TransactionId id);  // null: not under way; with its lock held
    Async<> reload(Stream stream, Live* live);
    Async<> write(Stream stream, Live* live, TransactionRecord next);
    void adopt(const Stream& stream, Live& live, TransactionRecord record, std::int64_t version);
    void count_kept(OfStream& stream, const Live& live, int sign);
    void drop(const Stream& stream, TransactionId id);
    Async<TransactionState> state_of_completed(StreamName name, TransactionId id);
    // Commits, or aborts when there is no request to. What has that end already is a success, too.
    Async<TransactionOutcome> end(StreamName name, TransactionId id, std::optional<CommitRequest> commit);
    Async<TransactionId> next_id(std::string scope, std::int32_t epoch);
    Async<> make(Stream stream, TransactionId id, std::vector<SegmentRange> segments, StreamConfig config,
                 std::int64_t lease_ms);
    Result<> check_room(const OfStream& stream) const;

    // ---- transaction_expiry.cc ----
    void set_lease(const Stream& stream, Live& live, std::chrono::milliseconds until_end);
    void arm_timer();
    Async<> expire_due();
    Async<> expire_all(Stream stream, std::vector<TransactionId> ids);
    Async<> expire_one(Stream stream, TransactionId id);
    bool is_due(const Live* live) const;
    Async<> expire_kept(Stream stream, Live* live);
    bool keeps_prepared(const StreamConfig& config) const;
    Async<bool> keeps_prepared_of(StreamName name);

    // ---- transaction_cleaning.cc ----
    void arm_cleaning();
    Async<> clean_all();
    Async<> clean(StreamName name, std::size_t limit);
    void count_completed(const StreamName& name, std::size_t more);
    void set_completed(const StreamName& name, std::size_t count);
    Async<> shrink_completed();

    // ---- transaction_commits.cc ----
    void run_commits(const Stream& stream);
    void run_aborts(const Stream& stream);
    Async<> commit_all(Stream stream);
    Async<> abort_all(Stream stream);
    void retry_later(const Stream& stream, const Error& why);
    Async<> commit_waiting_once(Stream stream);
    std::vector<TransactionId> next_batch(const OfStream& stream) const;
    // False: nothing waits, or the record has an intent now.
    Async<bool> commit_batch(Stream stream, Stored<StreamRecord> record);
    Async<> begin_rolling(Stream stream, Stored<StreamRecord> record, std::vector<TransactionId> ids);
    Async<> merge(Stream stream, std::vector<TransactionId> ids, std::vector<SegmentRange> into);
    Async<> note_times(Stream stream, const std::vector<TransactionId>& ids, const std::vector<SegmentRange>& into,
                       const std::vector<std::vector<std::int64_t>>& ends);
    Async<bool> abort_batch(Stream stream);  // false: nothing to abort
    Async<> abort_open(Stream stream);
    enum class Ending { kAtEndOfLease, kWhateverItsLease };
    Async<> abort_together(Stream stream, std::vector<TransactionId> ids, Ending ending);
    Async<bool> end_all_of(Stream stream, Stored<StreamRecord> record);
    Async<> look_at_unknown(Stream stream, const std::vector<TransactionId>& ids);
    Async<> complete(Stream stream, std::vector<TransactionId> ids, bool committed, Batch batch);
    Async<std::vector<std::string>> segments_of(Stream stream, TransactionId id);

    Context& context_;
    Streams& streams_;
    absl::flat_hash_map<std::string, Stream> streams_by_name_;
    absl::flat_hash_map<std::string, Ids> ids_;  // by scope
    Leases<Due> leases_;
    runtime::TimerId lease_timer_;
    std::chrono::steady_clock::time_point lease_timer_due_;
    bool lease_timer_set_ = false;
    bool expiring_ = false;
    struct Completed {
        StreamName name;
        std::size_t count = 0;
    };
    absl::flat_hash_map<std::string, Completed> completed_;  // how many are kept of each stream that has any
    std::size_t completed_total_ = 0;
    std::set<std::string> cleaned_;  // streams whose limit is being seen to
    bool shrinking_ = false;
    std::set<Stream> retries_;
    runtime::TimerId retry_timer_;
    runtime::TimerId cleaning_timer_;
    bool stopped_ = false;
};

}  // namespace millrace::controller
