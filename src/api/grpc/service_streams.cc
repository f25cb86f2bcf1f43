// Scopes and streams.
#include "api/grpc/service.h"

namespace millrace::api {

using controller::StreamName;

namespace {

// The controller's statuses have the protocol's numbers.
template <typename Message, typename Status>
auto fill_status(Message* reply) {
    return [reply](Status status) { reply->set_status(static_cast<decltype(reply->status())>(status)); };
}

}  // namespace

// ---- scopes ----

grpc::ServerUnaryReactor* ControllerRpcs::createScope(Context* context, const v1::ScopeInfo* request,
                                                      v1::CreateScopeStatus* reply) {
    auto* reactor = context->DefaultReactor();
    auto fill_reply = fill_status<v1::CreateScopeStatus, controller::CreateScopeStatus>(reply);
    controller_.create_scope(request->scope(), answer<controller::CreateScopeStatus>(reactor, fill_reply));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::listScopes(Context* context, const v1::ScopesRequest* request,
                                                     v1::ScopesResponse* reply) {
    auto* reactor = context->DefaultReactor();
    controller_.list_scopes(request->continuationtoken().token(),
                            answer<controller::Page<std::string>>(reactor, [reply](controller::Page<std::string> page) {
                                for (std::string& scope : page.items) reply->add_scopes(std::move(scope));
                                reply->mutable_continuationtoken()->set_token(page.token);
                            }));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::checkScopeExists(Context* context, const v1::ScopeInfo* request,
                                                           v1::ExistsResponse* reply) {
    auto* reactor = context->DefaultReactor();
    controller_.scope_exists(request->scope(),
                             answer<bool>(reactor, [reply](bool exists) { reply->set_exists(exists); }));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::deleteScope(Context* context, const v1::ScopeInfo* request,
                                                      v1::DeleteScopeStatus* reply) {
    auto* reactor = context->DefaultReactor();
    auto fill_reply = fill_status<v1::DeleteScopeStatus, controller::DeleteScopeStatus>(reply);
    controller_.delete_scope(request->scope(), answer<controller::DeleteScopeStatus>(reactor, fill_reply));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::deleteScopeRecursive(Context* context, const v1::ScopeInfo* request,
                                                               v1::DeleteScopeStatus* reply) {
    auto* reactor = context->DefaultReactor();
    auto fill_reply = fill_status<v1::DeleteScopeStatus, controller::DeleteScopeStatus>(reply);
    controller_.delete_scope_recursive(request->scope(), answer<controller::DeleteScopeStatus>(reactor, fill_reply));
    return reactor;
}

// ---- streams ----

grpc::ServerUnaryReactor* ControllerRpcs::createStream(Context* context, const v1::StreamConfig* request,
                                                       v1::CreateStreamStatus* reply) {
    auto config = stream_config(*request);
    if (!config) return refuse(context, config.error());
    auto* reactor = context->DefaultReactor();
    auto fill_reply = fill_status<v1::CreateStreamStatus, controller::CreateStreamStatus>(reply);
    controller_.create_stream(stream_name(request->streaminfo()), std::move(*config),
                              answer<controller::CreateStreamStatus>(reactor, fill_reply));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::updateStream(Context* context, const v1::StreamConfig* request,
                                                       v1::UpdateStreamStatus* reply) {
    auto config = stream_config(*request);
    if (!config) return refuse(context, config.error());
    auto* reactor = context->DefaultReactor();
    auto fill_reply = fill_status<v1::UpdateStreamStatus, controller::UpdateStreamStatus>(reply);
    controller_.update_stream(stream_name(request->streaminfo()), std::move(*config),
                              answer<controller::UpdateStreamStatus>(reactor, fill_reply));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::truncateStream(Context* context, const v1::StreamCut* request,
                                                         v1::UpdateStreamStatus* reply) {
    auto* reactor = context->DefaultReactor();
    auto fill_reply = fill_status<v1::UpdateStreamStatus, controller::UpdateStreamStatus>(reply);
    controller_.truncate_stream(stream_name(request->streaminfo()), stream_cut(request->cut()),
                                answer<controller::UpdateStreamStatus>(reactor, fill_reply));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::sealStream(Context* context, const v1::StreamInfo* request,
                                                     v1::UpdateStreamStatus* reply) {
    auto* reactor = context->DefaultReactor();
    auto fill_reply = fill_status<v1::UpdateStreamStatus, controller::UpdateStreamStatus>(reply);
    controller_.seal_stream(stream_name(*request), answer<controller::UpdateStreamStatus>(reactor, fill_reply));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::deleteStream(Context* context, const v1::StreamInfo* request,
                                                       v1::DeleteStreamStatus* reply) {
    auto* reactor = context->DefaultReactor();
    auto fill_reply = fill_status<v1::DeleteStreamStatus, controller::DeleteStreamStatus>(reply);
    controller_.delete_stream(stream_name(*request), answer<controller::DeleteStreamStatus>(reactor, fill_reply));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::checkStreamExists(Context* context, const v1::StreamInfo* request,
                                                            v1::ExistsResponse* reply) {
    auto* reactor = context->DefaultReactor();
    controller_.stream_exists(stream_name(*request),
                              answer<bool>(reactor, [reply](bool exists) { reply->set_exists(exists); }));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::getStreamConfiguration(Context* context, const v1::StreamInfo* request,
                                                                 v1::StreamConfig* reply) {
    auto* reactor = context->DefaultReactor();
    StreamName name = stream_name(*request);
    controller_.stream_config(
        name, answer<controller::StreamConfig>(
                  reactor, [name, reply](const controller::StreamConfig& config) { fill(name, config, reply); }));
    return reactor;
}

namespace {

using StreamPage = std::optional<controller::Page<std::string>>;

auto fill_streams(const std::string& scope, v1::StreamsInScopeResponse* reply) {
    return [scope, reply](StreamPage page) {
        if (!page) return reply->set_status(v1::StreamsInScopeResponse::SCOPE_NOT_FOUND);
        for (std::string& stream : page->items) fill(StreamName{scope, std::move(stream)}, reply->add_streams());
        reply->mutable_continuationtoken()->set_token(page->token);
    };
}

}  // namespace

grpc::ServerUnaryReactor* ControllerRpcs::listStreamsInScope(Context* context, const v1::StreamsInScopeRequest* request,
                                                             v1::StreamsInScopeResponse* reply) {
    auto* reactor = context->DefaultReactor();
    const std::string& scope = request->scope().scope();
    controller_.list_streams(scope, request->continuationtoken().token(),
                             answer<StreamPage>(reactor, fill_streams(scope, reply)));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::listStreamsInScopeForTag(Context* context,
                                                                   const v1::StreamsInScopeWithTagRequest* request,
                                                                   v1::StreamsInScopeResponse* reply) {
    auto* reactor = context->DefaultReactor();
    const std::string& scope = request->scope().scope();
    controller_.list_streams_by_tag(scope, request->tag(), request->continuationtoken().token(),
                                    answer<StreamPage>(reactor, fill_streams(scope, reply)));
    return reactor;
}

}  // namespace millrace::api
