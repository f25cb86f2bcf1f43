// Times of writers.
#include "api/grpc/service.h"

namespace millrace::api {

using controller::NoteTimeStatus;
using controller::RemoveWriterStatus;

grpc::ServerUnaryReactor* ControllerRpcs::noteTimestampFromWriter(Context* context,
                                                                  const v1::TimestampFromWriter* request,
                                                                  v1::TimestampResponse* reply) {
    auto* reactor = context->DefaultReactor();
    auto fill_reply = [reply](NoteTimeStatus status) {
        reply->set_result(static_cast<v1::TimestampResponse::Status>(status));
    };
    controller_.note_time(stream_name(request->position().streaminfo()), request->writer(), request->timestamp(),
                          stream_cut(request->position().cut()), answer<NoteTimeStatus>(reactor, fill_reply));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::removeWriter(Context* context, const v1::RemoveWriterRequest* request,
                                                       v1::RemoveWriterResponse* reply) {
    auto* reactor = context->DefaultReactor();
    auto fill_reply = [reply](RemoveWriterStatus status) {
        reply->set_result(static_cast<v1::RemoveWriterResponse::Status>(status));
    };
    controller_.remove_writer(stream_name(request->stream()), request->writer(),
                              answer<RemoveWriterStatus>(reactor, fill_reply));
    return reactor;
}

}  // namespace millrace::api
