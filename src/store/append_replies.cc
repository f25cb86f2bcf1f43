#include "store/append_replies.h"

#include <utility>

#include <fmt/format.h>

#include "wire/codec.h"

namespace millrace::store {

using container::AppendOutcome;
using container::AppendStatus;

AppendReplies::Verdict AppendReplies::encode(std::span<const AppendOutcome> outcomes, bytes::Writer& out) {
    Verdict verdict;
    for (const AppendOutcome& outcome : outcomes) {
        Session& session = static_cast<Session&>(*outcome.session);
        verdict.bytes += outcome.bytes;
        // After a refusal its count was given back as a whole.
        auto answered = std::min<std::uint64_t>(session.outstanding, outcome.requests);
        session.outstanding -= answered;
        verdict.appends += answered;
        if (session.state == Session::State::kFailed || session.state == Session::State::kSetUpFailed) continue;
        if (outcome.status != AppendStatus::kAppended) {
            refuse(session, outcome, out, verdict);
        } else if (outcome.conditional) {
            write_gathered(session, out, verdict);
            wire::encode(wire::DataAppended{session.writer_id, outcome.event_number, outcome.previous_event_number,
                                            outcome.request_id, outcome.end_offset},
                         out);
            ++verdict.frames;
        } else if (!session.superseded) {
            gather(session, outcome);
        }
    }
    for (Session* session : gathered_) write_gathered(*session, out, verdict);
    gathered_.clear();
    return verdict;
}

void AppendReplies::gather(Session& session, const AppendOutcome& outcome) {
    if (!session.ack_gathered) {
        session.ack_gathered = true;
        session.ack_previous = outcome.previous_event_number;
        gathered_.push_back(&session);
    }
    session.ack_event = outcome.event_number;
    session.ack_request = outcome.request_id;
    session.ack_offset = outcome.end_offset;
}

void AppendReplies::write_gathered(Session& session, bytes::Writer& out, Verdict& verdict) {
    if (!std::exchange(session.ack_gathered, false)) return;
    wire::encode(wire::DataAppended{session.writer_id, session.ack_event, session.ack_previous, session.ack_request,
                                    session.ack_offset},
                 out);
    ++verdict.frames;
}

void AppendReplies::refuse(Session& session, const AppendOutcome& outcome, bytes::Writer& out, Verdict& verdict) {
    write_gathered(session, out, verdict);
    bool heard = !session.superseded || outcome.conditional;
    if (outcome.status == AppendStatus::kBadOffset) {  // the writer goes on
        wire::encode(wire::ConditionalCheckFailed{session.writer_id, outcome.event_number, outcome.request_id}, out);
        ++verdict.frames;
        return;
    }
    session.state = Session::State::kFailed;
    verdict.appends += std::exchange(session.outstanding, 0);
    if (outcome.status == AppendStatus::kFatal) {
        verdict.close = fmt::format("event {} for {}: its number is below the one before, or the container has failed",
                                    outcome.event_number, session.segment_name);
        return;
    }
    if (!heard) return;
    ++verdict.frames;
    switch (outcome.status) {
        case AppendStatus::kSealed:
            wire::encode(wire::SegmentIsSealed{outcome.request_id, session.segment_name, "", outcome.event_number},
                         out);
            break;
        case AppendStatus::kNoSuchSegment:
            wire::encode(wire::NoSuchSegment{outcome.request_id, session.segment_name, "", -1}, out);
            break;
        default:
            wire::encode(wire::InvalidEventNumber{session.writer_id, outcome.request_id, "", outcome.event_number},
                         out);
            verdict.close = fmt::format("event {} for {}: it does not build on the writer's stored event number",
                                        outcome.event_number, session.segment_name);
            break;
    }
}

}  // namespace millrace::store
