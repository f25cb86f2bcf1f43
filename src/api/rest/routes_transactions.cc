// Transactions under way, for administrators: which there are, and an end for those that nobody ends. Not part of
// Pravega's API.
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "api/rest/routes.h"
#include "base/uuid.h"

namespace millrace::rest {

namespace json = boost::json;
using controller::Controller;
using controller::StreamName;
using controller::TransactionId;
using controller::TransactionOutcome;
using controller::TransactionState;
using controller::TransactionStatus;

namespace {

constexpr std::size_t kListed = 1'000;

const char* name_of(TransactionState state) {
    switch (state) {
        case TransactionState::kOpen:
            return "OPEN";
        case TransactionState::kCommitting:
            return "COMMITTING";
        case TransactionState::kCommitted:
            return "COMMITTED";
        case TransactionState::kAborting:
            return "ABORTING";
        case TransactionState::kAborted:
            return "ABORTED";
        case TransactionState::kUnknown:
            break;
    }
    return "UNKNOWN";
}

json::object transaction_json(const TransactionStatus& status) {
    json::object object;
    object["transactionId"] = to_string(status.id);
    object["state"] = status.kept_ms ? "PREPARED" : name_of(status.state);
    object["begunAt"] = status.begun_ms;
    object["lease"] = status.lease_ms;
    if (status.kept_ms) {
        object["preparedAt"] = *status.kept_ms;
        object["preparedBytes"] = status.kept_bytes;
    } else if (status.state == TransactionState::kOpen) {
        object["leaseLeft"] = status.lease_left_ms;
    }
    return object;
}

StreamName stream_of(const HttpRequest& request) { return {request.captures[0], request.captures[1]}; }

HttpResponse bad_id() { return HttpResponse::error(400, "a transaction's id is a UUID"); }

// ?after=ID continues a list that had as many as one answer has.
void list_transactions(Controller& controller, const HttpRequest& request, Respond respond) {
    std::optional<TransactionId> after;
    if (auto text = request.parameter("after")) {
        after = parse_uuid(*text);
        if (!after) return respond(bad_id());
    }
    using Listed = std::optional<std::vector<TransactionStatus>>;
    auto done = [respond = std::move(respond)](Result<Listed> listed) mutable {
        if (!listed) return respond(answer_for(listed.error()));
        if (!*listed) return respond(HttpResponse::error(404, "no such stream"));
        json::array list;
        for (const TransactionStatus& status : **listed) list.emplace_back(transaction_json(status));
        json::object object;
        object["transactions"] = std::move(list);
        respond(HttpResponse::json(200, json::serialize(object)));
    };
    controller.list_transactions(stream_of(request), after, kListed, std::move(done));
}

void get_transaction(Controller& controller, const HttpRequest& request, Respond respond) {
    auto id = parse_uuid(request.captures[2]);
    if (!id) return respond(bad_id());
    auto done = [id = *id, respond = std::move(respond)](Result<TransactionState> state) mutable {
        if (!state) return respond(answer_for(state.error()));
        if (*state == TransactionState::kUnknown) return respond(HttpResponse::error(404, "no such transaction"));
        json::object object;
        object["transactionId"] = to_string(id);
        object["state"] = name_of(*state);
        respond(HttpResponse::json(200, json::serialize(object)));
    };
    controller.transaction_state(stream_of(request), *id, std::move(done));
}

// Says why a transaction could not be ended so.
void explain(Controller& controller, const StreamName& stream, TransactionId id, Respond respond) {
    auto done = [respond = std::move(respond)](Result<TransactionState> state) mutable {
        if (!state) return respond(answer_for(state.error()));
        if (*state == TransactionState::kUnknown) return respond(HttpResponse::error(404, "no such transaction"));
        respond(HttpResponse::error(409, std::string("the transaction is ") + name_of(*state)));
    };
    controller.transaction_state(stream, id, std::move(done));
}

auto ended(Controller& controller, const StreamName& stream, TransactionId id, Respond respond) {
    return [&controller, stream, id, respond = std::move(respond)](Result<TransactionOutcome> outcome) mutable {
        if (!outcome) return respond(answer_for(outcome.error()));
        if (*outcome == TransactionOutcome::kSuccess) return respond(HttpResponse::empty(204));
        explain(controller, stream, id, std::move(respond));
    };
}

void abort_transaction(Controller& controller, const HttpRequest& request, Respond respond) {
    auto id = parse_uuid(request.captures[2]);
    if (!id) return respond(bad_id());
    StreamName stream = stream_of(request);
    controller.abort_transaction(stream, *id, ended(controller, stream, *id, std::move(respond)));
}

void commit_transaction(Controller& controller, const HttpRequest& request, Respond respond) {
    auto id = parse_uuid(request.captures[2]);
    if (!id) return respond(bad_id());
    StreamName stream = stream_of(request);
    controller.commit_transaction(stream, *id, {}, ended(controller, stream, *id, std::move(respond)));
}

}  // namespace

void add_transaction_routes(Router& router, Controller& controller) {
    auto add = [&](Method method, std::string_view path, Serve serve) {
        add_route(router, method, path, controller, serve);
    };
    add(Method::kGet, "/v1/scopes/{scope}/streams/{stream}/transactions", list_transactions);
    add(Method::kGet, "/v1/scopes/{scope}/streams/{stream}/transactions/{id}", get_transaction);
    add(Method::kDelete, "/v1/scopes/{scope}/streams/{stream}/transactions/{id}", abort_transaction);
    add(Method::kPost, "/v1/scopes/{scope}/streams/{stream}/transactions/{id}/commit", commit_transaction);
}

}  // namespace millrace::rest
