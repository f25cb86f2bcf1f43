// Writers: set-ups, appends on their way to the containers, and their outcomes on the way back.
#include <utility>

#include <fmt/format.h>

#include "store/connection.h"

namespace millrace::store {

namespace {

std::uint64_t tag_of(Session* session) { return reinterpret_cast<std::uintptr_t>(session); }
Session& session_of(std::uint64_t tag) { return *reinterpret_cast<Session*>(static_cast<std::uintptr_t>(tag)); }

}  // namespace

void StoreConnection::take_append(Result<wire::AssembledAppend> append, const bytes::Slice& window) {
    if (!append) return break_off(append.error().message());
    Session& session = session_of(append->target);
    bytes::Slice block = std::exchange(block_memory_, {});
    if (session.state == Session::State::kFailed) {
        loop_.counters.dropped_appends.add(1);
        return;
    }
    Lane& lane = *session.lane;
    if (!lane.window_held) {
        lane.window_held = true;
        lane.batch.memory.push_back(window);
        lane.batch.requests.reserve(lane.usual_requests);
        if (!std::exchange(lane.dirty, true)) dirty_lanes_.push_back(&lane);
    }
    if (!block.empty()) lane.batch.memory.push_back(std::move(block));
    container::AppendRequest& request = lane.batch.requests.emplace_back();
    request.session = &session;
    request.event_number = append->event_number;
    request.event_count = append->num_events;
    request.expected_offset = append->expected_offset;
    request.request_id = append->request_id;
    request.conditional = append->conditional;
    request.pieces = append->piece_storage;
    ++session.outstanding;
    ++window_appends_;
    window_append_bytes_ += request.size();
}

void StoreConnection::take_outcomes(std::span<const container::AppendOutcome> outcomes, std::uint64_t dropped_bytes) {
    std::size_t before = out_.size();
    AppendReplies::Verdict verdict = append_replies_.encode(outcomes, writer_);
    if (open_) {
        loop_.counters.acknowledgements.add(verdict.frames);
        if (!verdict.close.empty())
            break_off(verdict.close);
        else
            flush_replies();
    } else {
        out_.resize(before);
    }
    give_credit(verdict.bytes + dropped_bytes + verdict.appends * kAppendOverhead);
}

// ---- set-up ----

void StoreConnection::setup_append(wire::SetupAppend request) {
    if (!take_standing("SETUP_APPEND", request.segment)) return;
    Lane& lane = lane_of(request.segment);
    auto made = std::make_unique<Session>();
    Session& session = *made;
    session.writer_id = request.writer_id;
    session.segment_name = std::move(request.segment);
    session.sink = &lane;
    session.lane = &lane;

    auto replaced = assembler_.target_of(request.writer_id);
    if (auto legal = assembler_.on_setup_append(request, tag_of(&session)); !legal) {
        give_standing(session.segment_name);
        return break_off(legal.error().message());
    }
    session.position = sessions_.size();
    sessions_.push_back(std::move(made));
    loop_.counters.writers_begun.add(1);
    // Appends that the writer sent before are carried out before the new set-up, which acknowledges them all.
    if (replaced) close_session(session_of(*replaced));
    ask<std::int64_t>(
        lane, [&session](container::SegmentContainer& c, auto done) { c.setup_append(session, std::move(done)); },
        [this, &session, id = request.request_id](Result<std::int64_t> last) {
            setup_done(session, id, std::move(last));
        });
}

void StoreConnection::setup_done(Session& session, std::int64_t request_id, Result<std::int64_t> last) {
    if (last) {
        session.state = Session::State::kReady;
        return reply(wire::AppendSetup{request_id, session.segment_name, session.writer_id, *last});
    }
    // What was queued behind the set-up is dropped by the container, which gives the bytes back.
    session.state = Session::State::kSetUpFailed;
    give_credit(std::exchange(session.outstanding, 0) * kAppendOverhead);
    reply_error({wire::CommandType::kSetupAppend, request_id, session.segment_name, -1}, last.error());
    // Nothing of it stays: what the client sends for this writer from now on is an append without a set-up.
    if (session.superseded) return;
    assembler_.forget(session.writer_id);
    close_session(session);
}

void StoreConnection::close_session(Session& session) {
    session.superseded = true;
    Lane& lane = *session.lane;
    flush_lane(lane);
    ++pending_;
    lane.on_container([this, &lane, &session](container::SegmentContainer& container) {
        container.close_append(session,
                               [this, &lane, &session] { lane.on_connection([this, &session] { forget(session); }); });
    });
}

void StoreConnection::forget(Session& session) {
    give_credit(session.outstanding * kAppendOverhead);
    give_standing(session.segment_name);
    std::size_t position = session.position;
    std::swap(sessions_[position], sessions_.back());
    sessions_[position]->position = position;
    sessions_.pop_back();
    loop_.counters.writers_ended.add(1);
    operation_done();
}

}  // namespace millrace::store
