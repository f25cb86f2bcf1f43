// Segments and cuts, reader groups and subscribers, and what this version does not offer.
#include "api/grpc/service.h"
#include "base/uuid.h"

namespace millrace::api {

using controller::SegmentRange;
using controller::StreamName;
using controller::StreamSegmentId;

// ---- segments ----

namespace {

auto fill_ranges(const StreamName& name, v1::SegmentRanges* reply) {
    return [name, reply](const std::vector<SegmentRange>& ranges) {
        for (const SegmentRange& range : ranges) fill(name, range, reply->add_segmentranges());
    };
}

}  // namespace

grpc::ServerUnaryReactor* ControllerRpcs::getCurrentSegments(Context* context, const v1::StreamInfo* request,
                                                             v1::SegmentRanges* reply) {
    auto* reactor = context->DefaultReactor();
    StreamName name = stream_name(*request);
    controller_.current_segments(name, answer<std::vector<SegmentRange>>(reactor, fill_ranges(name, reply)));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::getEpochSegments(Context* context, const v1::GetEpochSegmentsRequest* request,
                                                           v1::SegmentRanges* reply) {
    auto* reactor = context->DefaultReactor();
    StreamName name = stream_name(request->streaminfo());
    controller_.epoch_segments(name, request->epoch(),
                               answer<std::vector<SegmentRange>>(reactor, fill_ranges(name, reply)));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::getSegments(Context* context, const v1::GetSegmentsRequest* request,
                                                      v1::SegmentsAtTime* reply) {
    auto* reactor = context->DefaultReactor();
    StreamName name = stream_name(request->streaminfo());
    controller_.head(name, answer<controller::StreamCut>(reactor, [name, reply](const controller::StreamCut& head) {
                         for (const auto& [segment, offset] : head) {
                             auto* location = reply->add_segments();
                             fill(name, segment, location->mutable_segmentid());
                             location->set_offset(offset);
                         }
                     }));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::getSegmentsImmediatelyFollowing(Context* context,
                                                                          const v1::SegmentId* request,
                                                                          v1::SuccessorResponse* reply) {
    auto* reactor = context->DefaultReactor();
    StreamName name = stream_name(request->streaminfo());
    auto fill_reply = [name, reply](const std::vector<controller::Successor>& successors) {
        for (const controller::Successor& successor : successors) {
            auto* entry = reply->add_segments();
            fill(name, successor.segment, entry->mutable_segment());
            for (StreamSegmentId predecessor : successor.predecessors) entry->add_value(predecessor.value());
        }
    };
    controller_.successors(name, StreamSegmentId(request->segmentid()),
                           answer<std::vector<controller::Successor>>(reactor, fill_reply));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::getSegmentsImmediatlyFollowing(Context* context, const v1::SegmentId* request,
                                                                         v1::SuccessorResponse* reply) {
    return getSegmentsImmediatelyFollowing(context, request, reply);
}

grpc::ServerUnaryReactor* ControllerRpcs::getSegmentsBetween(Context* context, const v1::StreamCutRange* request,
                                                             v1::StreamCutRangeResponse* reply) {
    auto* reactor = context->DefaultReactor();
    StreamName name = stream_name(request->streaminfo());
    controller_.segments_between(
        name, stream_cut(request->from()), stream_cut(request->to()),
        answer<std::vector<StreamSegmentId>>(reactor, [name, reply](const std::vector<StreamSegmentId>& segments) {
            for (StreamSegmentId segment : segments) fill(name, segment, reply->add_segments());
        }));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::getURI(Context* context, const v1::SegmentId* request, v1::NodeUri* reply) {
    auto* reactor = context->DefaultReactor();
    auto endpoint =
        controller_.segment_location(stream_name(request->streaminfo()), StreamSegmentId(request->segmentid()));
    if (endpoint) fill(*endpoint, reply);
    reactor->Finish(endpoint ? grpc::Status::OK : status_of(endpoint.error()));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::isSegmentValid(Context* context, const v1::SegmentId* request,
                                                         v1::SegmentValidityResponse* reply) {
    auto* reactor = context->DefaultReactor();
    controller_.is_segment_valid(stream_name(request->streaminfo()), StreamSegmentId(request->segmentid()),
                                 answer<bool>(reactor, [reply](bool valid) { reply->set_response(valid); }));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::isStreamCutValid(Context* context, const v1::StreamCut* request,
                                                           v1::StreamCutValidityResponse* reply) {
    auto* reactor = context->DefaultReactor();
    controller_.is_cut_valid(stream_name(request->streaminfo()), stream_cut(request->cut()),
                             answer<bool>(reactor, [reply](bool valid) { reply->set_response(valid); }));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::getControllerServerList(Context* context, const v1::ServerRequest*,
                                                                  v1::ServerResponse* reply) {
    auto* reactor = context->DefaultReactor();
    for (const controller::Endpoint& server : controller_.servers()) fill(server, reply->add_nodeuri());
    reactor->Finish(grpc::Status::OK);
    return reactor;
}

// Empty while authorisation is off.
grpc::ServerUnaryReactor* ControllerRpcs::getDelegationToken(Context* context, const v1::StreamInfo* request,
                                                             v1::DelegationToken*) {
    if (!v1::StreamInfo::AccessOperation_IsValid(request->accessoperation())) {
        return refuse(context, Error(Errc::kInvalidArgument, "accessOperation is unknown"));
    }
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
}

// ---- reader groups and subscribers ----

grpc::ServerUnaryReactor* ControllerRpcs::createReaderGroup(Context* context,
                                                            const v1::ReaderGroupConfiguration* request,
                                                            v1::CreateReaderGroupResponse* reply) {
    auto config = reader_group_config(*request);
    if (!config) return refuse(context, config.error());
    auto* reactor = context->DefaultReactor();
    auto fill_reply = [request, reply](const controller::CreateReaderGroupResult& result) {
        reply->set_status(static_cast<v1::CreateReaderGroupResponse::Status>(result.status));
        if (result.status != controller::CreateReaderGroupStatus::kSuccess) return;
        fill(request->scope(), request->readergroupname(), result.config, reply->mutable_config());
    };
    controller_.create_reader_group(request->scope(), request->readergroupname(), std::move(*config),
                                    answer<controller::CreateReaderGroupResult>(reactor, fill_reply));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::getReaderGroupConfig(Context* context, const v1::ReaderGroupInfo* request,
                                                               v1::ReaderGroupConfigResponse* reply) {
    auto* reactor = context->DefaultReactor();
    using Config = std::optional<controller::ReaderGroupConfig>;
    auto fill_reply = [request, reply](const Config& config) {
        v1::ReaderGroupConfiguration* out = reply->mutable_config();
        if (config)
            fill(request->scope(), request->readergroup(), *config, out);
        else
            reply->set_status(v1::ReaderGroupConfigResponse::RG_NOT_FOUND);
    };
    controller_.reader_group_config(request->scope(), request->readergroup(), answer<Config>(reactor, fill_reply));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::updateReaderGroup(Context* context,
                                                            const v1::ReaderGroupConfiguration* request,
                                                            v1::UpdateReaderGroupResponse* reply) {
    auto config = reader_group_config(*request);
    if (!config) return refuse(context, config.error());
    auto* reactor = context->DefaultReactor();
    auto fill_reply = [reply](const controller::UpdateReaderGroupResult& result) {
        reply->set_status(static_cast<v1::UpdateReaderGroupResponse::Status>(result.status));
        reply->set_generation(result.generation);
    };
    controller_.update_reader_group(request->scope(), request->readergroupname(), std::move(*config),
                                    answer<controller::UpdateReaderGroupResult>(reactor, fill_reply));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::deleteReaderGroup(Context* context, const v1::ReaderGroupInfo* request,
                                                            v1::DeleteReaderGroupStatus* reply) {
    auto id = parse_uuid(request->readergroupid());
    if (!id) return refuse(context, Error(Errc::kInvalidArgument, "readerGroupId is not a UUID"));
    auto* reactor = context->DefaultReactor();
    controller_.delete_reader_group(
        request->scope(), request->readergroup(), *id,
        answer<controller::DeleteReaderGroupStatus>(reactor, [reply](controller::DeleteReaderGroupStatus status) {
            reply->set_status(static_cast<v1::DeleteReaderGroupStatus::Status>(status));
        }));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::listSubscribers(Context* context, const v1::StreamInfo* request,
                                                          v1::SubscribersResponse* reply) {
    auto* reactor = context->DefaultReactor();
    using Names = std::optional<std::vector<std::string>>;
    controller_.list_subscribers(stream_name(*request), answer<Names>(reactor, [reply](Names names) {
                                     if (!names) return reply->set_status(v1::SubscribersResponse::STREAM_NOT_FOUND);
                                     for (std::string& name : *names) reply->add_subscribers(std::move(name));
                                 }));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::updateSubscriberStreamCut(Context* context,
                                                                    const v1::SubscriberStreamCut* request,
                                                                    v1::UpdateSubscriberStatus* reply) {
    auto cut = subscriber_cut(*request);
    if (!cut) return refuse(context, cut.error());
    auto* reactor = context->DefaultReactor();
    controller_.update_subscriber(
        std::move(*cut),
        answer<controller::UpdateSubscriberStatus>(reactor, [reply](controller::UpdateSubscriberStatus status) {
            reply->set_status(static_cast<v1::UpdateSubscriberStatus::Status>(status));
        }));
    return reactor;
}

}  // namespace millrace::api
