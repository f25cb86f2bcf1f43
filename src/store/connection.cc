#include "store/connection.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"

namespace millrace::store {

using wire::CommandType;

StoreConnection::StoreConnection(LoopState& loop, net::Transport& transport)
    : loop_(loop), transport_(&transport), peer_(transport.peer()), lanes_(loop.router.container_count()) {}

// Everything came back, or the loops were stopped for good.
StoreConnection::~StoreConnection() {
    if (outstanding_bytes_ > 0) loop_.credits.give_back(outstanding_bytes_);
    if (read_bytes_ > 0) loop_.reads.give_back(read_bytes_);
    loop_.standing.give_back(standing_bytes_);
}

// ---- receiving ----

std::size_t StoreConnection::on_data(const bytes::Slice& window) {
    wire::FrameParser frames(window.span());
    bool complete = false;
    while (open_ && !reading_paused_) {
        if (holds_append_back(window.span().subspan(frames.consumed()))) break;
        auto frame = frames.next();
        if (!frame) {
            break_off(frame.error().message());
            break;
        }
        if (!*frame) {
            complete = true;
            break;
        }
        take_frame(**frame, window);
    }
    for (Lane* lane : dirty_lanes_) {
        flush_lane(*lane);
        lane->dirty = false;
    }
    dirty_lanes_.clear();
    if (block_in_window_) {
        if (assembler_.block_open()) block_memory_ = window;
        block_in_window_ = false;
    }
    flush_replies();
    reconsider();
    within_frame_ = complete && frames.consumed() < window.size();
    if (!open_) return window.size();
    if (within_frame_) transport_->need(window.size() - frames.consumed() + frames.missing());
    return frames.consumed();
}

// While all credits are out, by the first bytes of the frame: an append that could not be taken need not be received.
bool StoreConnection::holds_append_back(bytes::ByteSpan rest) {
    if (!loop_.credits.full() || rest.size() < sizeof(std::int32_t)) return false;
    switch (static_cast<CommandType>(bytes::load_be<std::int32_t>(rest.data()))) {
        case CommandType::kAppendBlock:
        case CommandType::kAppendBlockEnd:
        case CommandType::kConditionalAppend:
        case CommandType::kConditionalBlockEnd:
            append_held_ = true;
            pause();
            return true;
        default:
            return false;
    }
}

void StoreConnection::take_frame(const wire::Frame& frame, const bytes::Slice& window) {
    switch (frame.type) {
        case CommandType::kAppendBlockEnd: {
            auto end = wire::decode<wire::AppendBlockEnd>(frame.payload);
            if (!end) return break_off(end.error().message());
            return take_append(assembler_.on_append_block_end(*end), window);
        }
        case CommandType::kAppendBlock: {
            auto block = wire::decode<wire::AppendBlock>(frame.payload);
            if (!block) return break_off(block.error().message());
            if (auto taken = assembler_.on_append_block(*block); !taken) return break_off(taken.error().message());
            block_in_window_ = true;
            return;
        }
        case CommandType::kConditionalAppend: {
            auto append = wire::decode<wire::ConditionalAppend>(frame.payload);
            if (!append) return break_off(append.error().message());
            return take_append(assembler_.on_conditional_append(*append), window);
        }
        case CommandType::kConditionalBlockEnd: {
            auto append = wire::decode<wire::ConditionalBlockEnd>(frame.payload);
            if (!append) return break_off(append.error().message());
            return take_append(assembler_.on_conditional_block_end(*append), window);
        }
        default:
            break;
    }
    take_request(frame);
    check_send_queue();
    reconsider();
}

void StoreConnection::take_request(const wire::Frame& frame) {
    if (!wire::served_on_data_port(frame.type)) {
        return break_off(fmt::format("{} is not a request that is served here", wire::to_string(frame.type)));
    }
    if (frame.type == CommandType::kSetupAppend) {
        auto request = wire::decode<wire::SetupAppend>(frame.payload);
        if (!request) return break_off(request.error().message());
        request_charge_ = frame.payload.size();
        return setup_append(std::move(*request));
    }
    if (auto legal = assembler_.on_other(frame.type); !legal) return break_off(legal.error().message());
    if (frame.type == CommandType::kPadding) return;
    if (frame.type == CommandType::kKeepAlive) return reply(wire::KeepAlive{});
    auto request = wire::decode_request(frame.type, frame.payload);
    if (!request) return break_off(request.error().message());
    loop_.counters.requests.add(1);
    request_charge_ = frame.payload.size();
    dispatch(*request);
}

// ---- lanes ----

Lane& StoreConnection::lane_of(std::string_view segment) {
    ContainerId container = loop_.router.container_for(segment);
    auto& lane = lanes_[container.value()];
    if (lane == nullptr) {
        const ContainerHandle& handle = loop_.router.handle(container);
        lane = std::make_unique<Lane>(*this, handle, handle.executor == &loop_.executor);
    }
    return *lane;
}

void StoreConnection::flush_lane(Lane& lane) {
    if (lane.batch.requests.empty()) return;
    std::uint64_t count = lane.batch.requests.size();
    lane.usual_requests = count;
    lane.window_held = false;
    lane.on_container([batch = std::exchange(lane.batch, {})](container::SegmentContainer& container) mutable {
        container.append(std::move(batch));
    });
    // Taken once for all lanes: what other lanes still hold follows at once.
    if (window_appends_ == 0) return;
    loop_.counters.appends.add(window_appends_);
    loop_.counters.append_bytes.add(window_append_bytes_);
    take_credit(std::exchange(window_append_bytes_, 0) + std::exchange(window_appends_, 0) * kAppendOverhead);
}

void Lane::on_outcomes(std::span<const container::AppendOutcome> outcomes, std::uint64_t dropped_bytes) {
    if (same_core) return connection.take_outcomes(outcomes, dropped_bytes);
    connection.executor().post([this, copy = std::vector(outcomes.begin(), outcomes.end()), dropped_bytes] {
        connection.take_outcomes(copy, dropped_bytes);
    });
}

// ---- sending ----

void StoreConnection::flush_replies() {
    constexpr std::size_t kKeptCapacity = 256 * 1024;
    if (out_.empty()) return;
    if (transport_ != nullptr) transport_->send(bytes::ByteSpan(out_));
    out_.clear();
    if (out_.capacity() > kKeptCapacity) out_.shrink_to_fit();
}

void StoreConnection::reply_error(const RequestContext& context, const Error& error) {
    if (!open_ || encode_error(context, error, writer_)) return;
    break_off(fmt::format("{} of {}: {}", wire::to_string(context.command), context.segment, error.to_string()));
}

// Replies of this turn may have made the queue long; it is looked at again when they had their chance to be written.
void StoreConnection::check_send_queue() {
    if (!open_ || send_blocked_) return;
    if (transport_->unsent_bytes() + out_.size() <= loop_.options.send_queue_bytes_max) return;
    send_blocked_ = true;
    flush_replies();
    ++pending_;
    loop_.executor.defer([this] {
        if (transport_ != nullptr && transport_->unsent_bytes() <= loop_.options.send_queue_bytes_max) on_send_low();
        operation_done();
    });
}

void StoreConnection::on_sent() {
    settle_sent();
    reconsider();
}

void StoreConnection::on_send_low() {
    send_blocked_ = false;
    reconsider();
}

// ---- flow ----

void StoreConnection::take_credit(std::uint64_t bytes) {
    outstanding_bytes_ += bytes;
    loop_.credits.take(bytes);
}

void StoreConnection::give_credit(std::uint64_t bytes) {
    bytes = std::min(bytes, outstanding_bytes_);
    outstanding_bytes_ -= bytes;
    if (loop_.credits.give_back(bytes) && loop_.on_total_fell) loop_.on_total_fell();
    reconsider();
}

bool StoreConnection::take_standing(std::string_view command, std::string_view name) {
    std::uint64_t bytes = name.size() + kStandingOverhead;
    if (!loop_.standing.take(standing_bytes_, bytes)) {
        break_off(
            fmt::format("{}: writers, waiting reads and transient segments hold {} bytes on this connection, {} "
                        "on all of them",
                        command, standing_bytes_, loop_.standing.total()));
        return false;
    }
    standing_bytes_ += bytes;
    return true;
}

void StoreConnection::give_standing(std::string_view name) {
    std::uint64_t bytes = name.size() + kStandingOverhead;
    MILLRACE_ASSERT(bytes <= standing_bytes_);
    standing_bytes_ -= bytes;
    loop_.standing.give_back(bytes);
}

bool StoreConnection::must_wait() const {
    return send_blocked_ || loading_read_bytes_ > loop_.options.loading_read_bytes_max ||
           !loop_.credits.may_read(outstanding_bytes_) || (append_held_ && loop_.credits.full()) ||
           !loop_.reads.may_start(read_bytes_);
}

void StoreConnection::reconsider() {
    if (!open_) return;
    bool wait = must_wait();
    if (!wait && !postponed_reads_.empty() && !std::exchange(resume_posted_, true)) {
        ++pending_;
        loop_.executor.post([this] {
            resume_reads();
            operation_done();
        });
    }
    if (wait == reading_paused_) return;
    if (wait) return pause();
    reading_paused_ = append_held_ = false;
    loop_.feed(*this);
    transport_->resume_reading();
}

void StoreConnection::pause() {
    reading_paused_ = true;
    transport_->pause_reading();
    if (append_held_ || !loop_.credits.may_read(outstanding_bytes_) || !loop_.reads.may_start(read_bytes_)) {
        loop_.counters.pauses.add(1);
    }
    loop_.starve(*this);
}

void StoreConnection::sweep(std::chrono::steady_clock::time_point now) {
    if (!open_ || !within_frame_ || reading_paused_) return;
    if (now - transport_->last_activity() < loop_.options.partial_frame_timeout) return;
    break_off(fmt::format("it sent a part of a frame and then nothing for {} s",
                          loop_.options.partial_frame_timeout.count()));
}

// ---- closing ----

void StoreConnection::break_off(std::string_view reason) {
    if (!open_) return;
    loop_.counters.broken.add(1);
    loop_.reasons.write(peer_, reason);
    shut();
}

void StoreConnection::shut() {
    if (!open_) return;
    flush_replies();
    open_ = false;
    loop_.feed(*this);
    postponed_reads_.clear();
    if (transport_ != nullptr) transport_->close_after_flush();
    // Not here: this may be a call from within a container.
    ++pending_;
    loop_.executor.post([this] {
        drain();
        operation_done();
    });
}

void StoreConnection::cut() {
    if (transport_ != nullptr) transport_->close();
}

void StoreConnection::on_closed(net::CloseReason reason, std::string_view detail) {
    if (open_ && reason != net::CloseReason::kPeerReset && reason != net::CloseReason::kPeerClosed) {
        loop_.counters.broken.add(1);
        loop_.reasons.write(peer_, fmt::format("{}: {}", net::to_string(reason), detail));
    }
    transport_ = nullptr;
    out_.clear();
    settle_sent();
    shut();
    maybe_retire();
}

// Takes back what containers hold: waiting reads, sessions, and the transient segments that were made here.
void StoreConnection::drain() {
    for (const std::string& name : transient_segments_) {
        give_standing(name);
        remove_transient(name);
    }
    transient_segments_.clear();
    for (const auto& owned : lanes_) {
        if (owned == nullptr) continue;
        Lane& lane = *owned;
        std::vector<Session*> closing;
        for (const auto& session : sessions_) {
            if (session->lane == &lane && !std::exchange(session->superseded, true)) closing.push_back(session.get());
        }
        pending_ += closing.size() + 1;
        lane.on_container([this, &lane, closing = std::move(closing)](container::SegmentContainer& container) {
            // One that waits no longer is on its way, and finds here that it has waited.
            absl::erase_if(lane.waiting_reads,
                           [&](const auto& waiting) { return container.cancel_read(waiting.second); });
            for (Session* session : closing) {
                container.close_append(
                    *session, [this, &lane, session] { lane.on_connection([this, session] { forget(*session); }); });
            }
            lane.on_connection([this] { operation_done(); });
        });
    }
    drained_ = true;
}

void StoreConnection::operation_done() {
    --pending_;
    maybe_retire();
}

void StoreConnection::maybe_retire() {
    if (transport_ == nullptr && drained_ && pending_ == 0) loop_.retire(*this);
}

}  // namespace millrace::store
