// Scaling: scale and checkScale.
#include "api/grpc/service.h"

namespace millrace::api {

grpc::ServerUnaryReactor* ControllerRpcs::scale(Context* context, const v1::ScaleRequest* request,
                                                v1::ScaleResponse* reply) {
    auto* reactor = context->DefaultReactor();
    controller::StreamName name = stream_name(request->streaminfo());
    controller::ScaleRequest wanted;
    for (std::int64_t segment : request->sealedsegments()) wanted.sealed.emplace_back(segment);
    for (const auto& range : request->newkeyranges()) wanted.ranges.push_back({range.start(), range.end()});
    wanted.creation_ms = request->scaletimestamp();
    auto fill_reply = [name, reply](const controller::ScaleResult& result) {
        reply->set_status(static_cast<v1::ScaleResponse::ScaleStreamStatus>(result.status));
        reply->set_epoch(result.epoch);
        for (const controller::SegmentRange& segment : result.segments) fill(name, segment, reply->add_segments());
    };
    controller_.scale_stream(name, std::move(wanted), answer<controller::ScaleResult>(reactor, fill_reply));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::checkScale(Context* context, const v1::ScaleStatusRequest* request,
                                                     v1::ScaleStatusResponse* reply) {
    auto* reactor = context->DefaultReactor();
    auto fill_reply = [reply](controller::ScaleProgress progress) {
        reply->set_status(static_cast<v1::ScaleStatusResponse::ScaleStatus>(progress));
    };
    controller_.check_scale(stream_name(request->streaminfo()), request->epoch(),
                            answer<controller::ScaleProgress>(reactor, fill_reply));
    return reactor;
}

}  // namespace millrace::api
