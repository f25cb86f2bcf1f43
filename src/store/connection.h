// StoreConnection: one client's connection to the segment store. Takes frames from what was received, in order, and
// starts what they ask for; replies go out as things complete.
//
// Life cycle: made on accept with its transport, lives in its LoopState until the transport has reported the close and
// every container has given back what it held of this connection (sessions, reads, requests). Thread rule: everything
// on the connection's loop, except the members of Lane that say otherwise. A container on the same loop is called
// directly, one on another loop by one posted task for what one window of received bytes holds for it. Ordering:
// appends, set-ups and requests of a connection reach each container in the order of their arrival. Bad input closes
// this connection with a line in the log that says who, what and why, and touches nothing else.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include "container/container.h"
#include "net/transport.h"
#include "store/append_replies.h"
#include "store/error_replies.h"
#include "store/loop_state.h"
#include "wire/append_assembler.h"
#include "wire/codec.h"
#include "wire/frame.h"

namespace millrace::store {

// A connection's way to one container.
struct Lane final : container::AppendSink {
    Lane(StoreConnection& owner, const ContainerHandle& target, bool on_same_core)
        : connection(owner), to(target), same_core(on_same_core) {}

    void on_outcomes(std::span<const container::AppendOutcome> outcomes, std::uint64_t dropped_bytes) override;

    // Run there, and back here: at once on the same core, else posted, in order.
    template <typename F>
    void on_container(F work);
    template <typename F>
    void on_connection(F work);

    StoreConnection& connection;
    const ContainerHandle to;
    const bool same_core;

    // Appends of the window that is being taken apart.
    container::AppendBatch batch;
    bool window_held = false;
    bool dirty = false;
    std::size_t usual_requests = 0;

    // On the container's core.
    absl::flat_hash_map<std::uint64_t, container::ReadId> waiting_reads;
};

class StoreConnection final : public net::Handler {
  public:
    // A request's own bytes are not all that it costs to keep it.
    static constexpr std::uint64_t kAppendOverhead = 128;
    static constexpr std::uint64_t kRequestOverhead = 512;
    // Beside its name, of a writer, a read or a transient segment.
    static constexpr std::uint64_t kStandingOverhead = 512;

    StoreConnection(LoopState& loop, net::Transport& transport);
    ~StoreConnection() override;

    std::size_t on_data(const bytes::Slice& window) override;
    void on_eof() override { shut(); }
    void on_closed(net::CloseReason reason, std::string_view detail) override;
    void on_sent() override;
    void on_send_low() override;

    void shut();        // sends what is queued, then closes; nothing more is started
    void cut();         // closes now
    void reconsider();  // whether the socket is to be read
    void sweep(std::chrono::steady_clock::time_point now);  // has it stalled within a frame?
    runtime::Executor& executor() { return loop_.executor; }

    // From lanes, on this core.
    void take_outcomes(std::span<const container::AppendOutcome> outcomes, std::uint64_t dropped_bytes);
    void operation_done();

  private:
    struct Read {
        std::string segment;
        std::int64_t offset = 0;
        std::size_t length = 0;
        std::int64_t request_id = 0;
        std::uint64_t token = 0;
        std::size_t granted = 0;  // of the length
    };
    class ReadTicket;

    // ---- connection.cc
    void take_frame(const wire::Frame& frame, const bytes::Slice& window);
    void take_request(const wire::Frame& frame);
    void break_off(std::string_view reason);
    void drain();
    void maybe_retire();
    Lane& lane_of(std::string_view segment);
    void flush_lane(Lane& lane);
    void flush_replies();
    void take_credit(std::uint64_t bytes);
    void give_credit(std::uint64_t bytes);
    bool take_standing(std::string_view command, std::string_view name);  // false: the connection was broken off
    void give_standing(std::string_view name);
    bool must_wait() const;
    void pause();
    bool holds_append_back(bytes::ByteSpan rest);
    void check_send_queue();
    template <wire::Command C>
    void reply(const C& command);
    void reply_error(const RequestContext& context, const Error& error);
    // `start(container, done)` in order on the lane's container, then `finish(result)` here. `finish` runs also when
    // the connection was closed meanwhile (replies are lost then).
    template <typename T, typename Start, typename Finish>
    void ask(Lane& lane, Start start, Finish finish);
    // The same for requests whose success is one reply and whose failure is in the table.
    template <typename T, typename Start, typename Success>
    void serve(wire::CommandType command, std::int64_t request_id, std::string segment, std::int64_t offset,
               Start start, Success success);

    // ---- connection_appends.cc
    void take_append(Result<wire::AssembledAppend> append, const bytes::Slice& window);
    void setup_append(wire::SetupAppend request);
    void setup_done(Session& session, std::int64_t request_id, Result<std::int64_t> last);
    void close_session(Session& session);
    void forget(Session& session);

    // ---- connection_reads.cc
    void handle(wire::ReadSegment& request);
    void begin_read(std::unique_ptr<Read> read);
    void start_read(container::SegmentContainer& container, Lane& lane, std::unique_ptr<Read> read);
    void finish_read(std::unique_ptr<Read> read, bool waited, Result<container::ReadResult> result);
    bool must_postpone(const container::ReadResult& result) const;
    void resume_reads();
    void send_read(const Read& read, const container::ReadResult& result);
    void take_read_bytes(std::uint64_t bytes);
    void give_read_bytes(std::uint64_t bytes);
    void settle_sent();

    // ---- connection_requests.cc
    void dispatch(wire::Request& request);
    void handle(wire::Hello& request);
    void handle(wire::GetStreamSegmentInfo& request);
    void handle(wire::CreateSegment& request);
    void handle(wire::CreateTransientSegment& request);
    void handle(wire::SealSegment& request);
    void handle(wire::DeleteSegment& request);
    void handle(wire::UpdateSegmentPolicy& request);
    void handle(wire::TruncateSegment& request);
    void handle(wire::GetSegmentAttribute& request);
    void handle(wire::UpdateSegmentAttribute& request);
    void handle(wire::MergeSegments& request);
    void handle(wire::MergeSegmentsBatch& request);
    template <wire::Command C>
    void handle(C& request);                            // what cannot arrive
    static bool can_be_named(const std::string& name);  // a reply must be able to say it as it is
    static Error too_long_a_name();
    void remove_transient(const std::string& name);
    void forget_transient(const std::string& name);

    // ---- connection_tables.cc
    void handle(wire::CreateTableSegment& request);
    void handle(wire::DeleteTableSegment& request);
    void handle(wire::GetTableSegmentInfo& request);
    void handle(wire::UpdateTableEntries& request);
    void handle(wire::RemoveTableKeys& request);
    void handle(wire::ReadTable& request);
    void handle(wire::ReadTableKeys& request);
    void handle(wire::ReadTableEntries& request);
    void handle(wire::ReadTableEntriesDelta& request);

    LoopState& loop_;
    net::Transport* transport_;  // until on_closed()
    const std::string peer_;
    bool open_ = true;  // frames are taken and replies are sent
    bool drained_ = false;
    std::uint64_t pending_ = 0;  // things under way that will come back here

    wire::AppendAssembler assembler_;
    bytes::Slice block_memory_;     // of the open append block, when it began in an earlier window
    bool block_in_window_ = false;  // it began in this one
    std::vector<std::unique_ptr<Session>> sessions_;
    std::vector<std::unique_ptr<Lane>> lanes_;  // by container id; null until used
    std::vector<Lane*> dirty_lanes_;
    std::uint64_t window_appends_ = 0;  // of the window that is being taken apart
    std::uint64_t window_append_bytes_ = 0;
    std::uint64_t request_charge_ = 0;  // of the request that is being started

    std::vector<std::uint8_t> out_;  // replies of this turn
    bytes::Writer writer_{out_};
    AppendReplies append_replies_;

    std::uint64_t outstanding_bytes_ = 0;  // credits held
    bool reading_paused_ = false;
    bool append_held_ = false;  // it stays in the socket while all credits are out
    bool send_blocked_ = false;
    std::uint64_t standing_bytes_ = 0;  // taken from the pool: sessions_, reads, transient_segments_
    std::size_t loading_read_bytes_ = 0;
    std::uint64_t queued_read_bytes_ = 0;  // sent, and not taken by the client
    std::uint64_t read_bytes_ = 0;         // taken from the pool: loading and queued
    std::size_t waiting_reads_ = 0;
    std::deque<std::unique_ptr<Read>> postponed_reads_;  // have waited and were woken, while no read bytes were free
    bool resume_posted_ = false;
    std::uint64_t last_read_ = 0;
    bool within_frame_ = false;

    absl::flat_hash_set<std::string> transient_segments_;  // made here, to be removed with the connection
};

// ---- templates ----

template <typename F>
void Lane::on_container(F work) {
    if (same_core) return work(*to.container);
    to.executor->post([container = to.container, work = std::move(work)]() mutable { work(*container); });
}

template <typename F>
void Lane::on_connection(F work) {
    if (same_core) return work();
    connection.executor().post(std::move(work));
}

template <wire::Command C>
void StoreConnection::reply(const C& command) {
    if (open_) wire::encode(command, writer_);
}

template <typename T, typename Start, typename Finish>
void StoreConnection::ask(Lane& lane, Start start, Finish finish) {
    flush_lane(lane);
    std::uint64_t charge = request_charge_ + kRequestOverhead;
    take_credit(charge);
    ++pending_;
    lane.on_container([this, &lane, charge, start = std::move(start),
                       finish = std::move(finish)](container::SegmentContainer& container) mutable {
        auto done = [this, &lane, charge, finish = std::move(finish)](Result<T> result) mutable {
            lane.on_connection([this, charge, finish = std::move(finish), result = std::move(result)]() mutable {
                finish(std::move(result));
                flush_replies();
                give_credit(charge);
                operation_done();
            });
        };
        start(container, std::move(done));
    });
}

template <typename T, typename Start, typename Success>
void StoreConnection::serve(wire::CommandType command, std::int64_t request_id, std::string segment,
                            std::int64_t offset, Start start, Success success) {
    Lane& lane = lane_of(segment);
    ask<T>(lane, std::move(start),
           [this, command, request_id, segment = std::move(segment), offset,
            success = std::move(success)](Result<T> result) mutable {
               if (!result) return reply_error({command, request_id, segment, offset}, result.error());
               if constexpr (std::is_void_v<T>)
                   success(std::move(segment));
               else
                   success(std::move(segment), std::move(*result));
           });
}

}  // namespace millrace::store
