// Transactions.
#include <algorithm>
#include <limits>

#include "api/grpc/service.h"

namespace millrace::api {

using controller::TransactionId;
using controller::TransactionOutcome;

namespace {

constexpr std::int64_t kNoTime = std::numeric_limits<std::int64_t>::min();  // what clients send without one
constexpr std::size_t kCompletedListed = 500;

TransactionId transaction_id(const v1::TxnId& id) {
    return {static_cast<std::uint64_t>(id.highbits()), static_cast<std::uint64_t>(id.lowbits())};
}

void fill(const TransactionId& id, v1::TxnId* out) {
    out->set_highbits(static_cast<std::int64_t>(id.high));
    out->set_lowbits(static_cast<std::int64_t>(id.low));
}

auto fill_outcome(v1::TxnStatus* reply) {
    return [reply](TransactionOutcome outcome) {
        reply->set_status(outcome == TransactionOutcome::kSuccess ? v1::TxnStatus::SUCCESS : v1::TxnStatus::FAILURE);
    };
}

}  // namespace

grpc::ServerUnaryReactor* ControllerRpcs::createTransaction(Context* context, const v1::CreateTxnRequest* request,
                                                            v1::CreateTxnResponse* reply) {
    auto* reactor = context->DefaultReactor();
    controller::StreamName name = stream_name(request->streaminfo());
    auto fill_reply = [name, reply](const controller::BegunTransaction& begun) {
        fill(begun.id, reply->mutable_txnid());
        for (const controller::SegmentRange& range : begun.segments) fill(name, range, reply->add_activesegments());
    };
    controller_.begin_transaction(name, request->lease(),
                                  answer<controller::BegunTransaction>(reactor, std::move(fill_reply)));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::commitTransaction(Context* context, const v1::TxnRequest* request,
                                                            v1::TxnStatus* reply) {
    auto* reactor = context->DefaultReactor();
    controller::CommitRequest commit;
    commit.writer = request->writerid();
    if (request->timestamp() != kNoTime) commit.time = request->timestamp();
    controller_.commit_transaction(stream_name(request->streaminfo()), transaction_id(request->txnid()),
                                   std::move(commit), answer<TransactionOutcome>(reactor, fill_outcome(reply)));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::abortTransaction(Context* context, const v1::TxnRequest* request,
                                                           v1::TxnStatus* reply) {
    auto* reactor = context->DefaultReactor();
    controller_.abort_transaction(stream_name(request->streaminfo()), transaction_id(request->txnid()),
                                  answer<TransactionOutcome>(reactor, fill_outcome(reply)));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::pingTransaction(Context* context, const v1::PingTxnRequest* request,
                                                          v1::PingTxnStatus* reply) {
    auto* reactor = context->DefaultReactor();
    auto fill_reply = [reply](controller::PingStatus status) {
        reply->set_status(static_cast<v1::PingTxnStatus::Status>(status));
    };
    controller_.ping_transaction(stream_name(request->streaminfo()), transaction_id(request->txnid()), request->lease(),
                                 answer<controller::PingStatus>(reactor, std::move(fill_reply)));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::checkTransactionState(Context* context, const v1::TxnRequest* request,
                                                                v1::TxnState* reply) {
    auto* reactor = context->DefaultReactor();
    auto fill_reply = [reply](controller::TransactionState state) {
        reply->set_state(static_cast<v1::TxnState::State>(state));
    };
    controller_.transaction_state(stream_name(request->streaminfo()), transaction_id(request->txnid()),
                                  answer<controller::TransactionState>(reactor, std::move(fill_reply)));
    return reactor;
}

grpc::ServerUnaryReactor* ControllerRpcs::listCompletedTransactions(Context* context,
                                                                    const v1::ListCompletedTxnRequest* request,
                                                                    v1::ListCompletedTxnResponse* reply) {
    auto* reactor = context->DefaultReactor();
    using Listed = std::vector<controller::CompletedTransaction>;
    auto fill_reply = [reply](Listed listed) {
        // The last ones, as they were begun. Release 0.13 answers in the order of a hash of the ids, which is this one
        // for those of one epoch; programs that look at the first two have come to rely on it.
        std::ranges::sort(listed, {},
                          [](const controller::CompletedTransaction& completed) { return completed.id.low; });
        for (const controller::CompletedTransaction& completed : listed) {
            auto* out = reply->add_response();
            fill(completed.id, out->mutable_txnid());
            out->set_status(completed.committed ? v1::TxnResponse::COMMITTED : v1::TxnResponse::ABORTED);
        }
    };
    controller_.completed_transactions(stream_name(request->streaminfo()), kCompletedListed,
                                       answer<Listed>(reactor, std::move(fill_reply)));
    return reactor;
}

}  // namespace millrace::api
