// Key-value tables.
#include "api/grpc/service.h"

namespace millrace::api {

using controller::KeyValueTableConfig;
using controller::SegmentRange;
using controller::StreamName;

grpc::ServerUnaryReactor* ControllerRpcs::createKeyValueTable(Context* context, const v1::KeyValueTableConfig* request,
                                                              v1::CreateKeyValueTableStatus* reply) {
    auto* reactor = context->DefaultReactor();
    KeyValueTableConfig config{request->partitioncount(), request->primarykeylength(), request->secondarykeylength(),
                               request->rolloversizebytes()};
    controller_.create_table(
        request->scope(), request->kvtname(), config,
        answer<controller::CreateTableStatus>(reactor, [reply](controller::CreateTableStatus status) {
            reply->set_status(static_cast<v1::CreateKeyValueTableStatus::Status>(status));
        }));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::getCurrentSegmentsKeyValueTable(Context* context,
                                                                          const v1::KeyValueTableInfo* request,
                                                                          v1::SegmentRanges* reply) {
    auto* reactor = context->DefaultReactor();
    // Under the table's own name: clients add the suffix of its segments' names themselves.
    StreamName name{request->scope(), request->kvtname()};
    auto fill_reply = [name, reply](const std::vector<SegmentRange>& ranges) {
        for (const SegmentRange& range : ranges) fill(name, range, reply->add_segmentranges());
    };
    controller_.table_segments(request->scope(), request->kvtname(),
                               answer<std::vector<SegmentRange>>(reactor, fill_reply));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::getKeyValueTableConfiguration(Context* context,
                                                                        const v1::KeyValueTableInfo* request,
                                                                        v1::KeyValueTableConfigResponse* reply) {
    auto* reactor = context->DefaultReactor();
    auto fill_reply = [name = StreamName{request->scope(), request->kvtname()},
                       reply](const std::optional<KeyValueTableConfig>& config) {
        if (!config) return reply->set_status(v1::KeyValueTableConfigResponse::TABLE_NOT_FOUND);
        v1::KeyValueTableConfig* out = reply->mutable_config();
        out->set_scope(name.scope);
        out->set_kvtname(name.stream);
        out->set_partitioncount(config->partitions);
        out->set_primarykeylength(config->primary_key_length);
        out->set_secondarykeylength(config->secondary_key_length);
        out->set_rolloversizebytes(config->rollover_bytes);
    };
    controller_.table_config(request->scope(), request->kvtname(),
                             answer<std::optional<KeyValueTableConfig>>(reactor, fill_reply));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::deleteKeyValueTable(Context* context, const v1::KeyValueTableInfo* request,
                                                              v1::DeleteKVTableStatus* reply) {
    auto* reactor = context->DefaultReactor();
    controller_.delete_table(
        request->scope(), request->kvtname(),
        answer<controller::DeleteTableStatus>(reactor, [reply](controller::DeleteTableStatus status) {
            reply->set_status(static_cast<v1::DeleteKVTableStatus::Status>(status));
        }));
    return reactor;
}

namespace {
using Names = std::optional<controller::Page<std::string>>;
}

grpc::ServerUnaryReactor* ControllerRpcs::listKeyValueTablesInScope(Context* context,
                                                                    const v1::KVTablesInScopeRequest* request,
                                                                    v1::KVTablesInScopeResponse* reply) {
    auto* reactor = context->DefaultReactor();
    const std::string& scope = request->scope().scope();
    controller_.list_tables(scope, request->continuationtoken().token(),
                            answer<Names>(reactor, [scope, reply](Names page) {
                                if (!page) return reply->set_status(v1::KVTablesInScopeResponse::SCOPE_NOT_FOUND);
                                for (std::string& table : page->items) {
                                    v1::KeyValueTableInfo* info = reply->add_kvtables();
                                    info->set_scope(scope);
                                    info->set_kvtname(std::move(table));
                                }
                                reply->mutable_continuationtoken()->set_token(page->token);
                            }));
    return reactor;
}

}  // namespace millrace::api
