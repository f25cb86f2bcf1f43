// One method for each RPC of proto/controller.proto, by gRPC's callback API. Included only by this room's .cc files.
#pragma once

#include <string>

#include <grpcpp/grpcpp.h>

#include "api/grpc/calls.h"
#include "api/grpc/convert.h"
#include "controller.grpc.pb.h"
#include "controller/controller.h"

namespace millrace::api {

class ControllerRpcs final : public v1::ControllerService::CallbackService {
  public:
    using Context = grpc::CallbackServerContext;
    using Reactor = grpc::ServerUnaryReactor;

    explicit ControllerRpcs(controller::Controller& controller) : controller_(controller) {}

    // scopes
    Reactor* createScope(Context*, const v1::ScopeInfo*, v1::CreateScopeStatus*) override;
    Reactor* listScopes(Context*, const v1::ScopesRequest*, v1::ScopesResponse*) override;
    Reactor* checkScopeExists(Context*, const v1::ScopeInfo*, v1::ExistsResponse*) override;
    Reactor* deleteScope(Context*, const v1::ScopeInfo*, v1::DeleteScopeStatus*) override;
    Reactor* deleteScopeRecursive(Context*, const v1::ScopeInfo*, v1::DeleteScopeStatus*) override;

    // streams
    Reactor* createStream(Context*, const v1::StreamConfig*, v1::CreateStreamStatus*) override;
    Reactor* updateStream(Context*, const v1::StreamConfig*, v1::UpdateStreamStatus*) override;
    Reactor* truncateStream(Context*, const v1::StreamCut*, v1::UpdateStreamStatus*) override;
    Reactor* sealStream(Context*, const v1::StreamInfo*, v1::UpdateStreamStatus*) override;
    Reactor* deleteStream(Context*, const v1::StreamInfo*, v1::DeleteStreamStatus*) override;
    Reactor* checkStreamExists(Context*, const v1::StreamInfo*, v1::ExistsResponse*) override;
    Reactor* getStreamConfiguration(Context*, const v1::StreamInfo*, v1::StreamConfig*) override;
    Reactor* listStreamsInScope(Context*, const v1::StreamsInScopeRequest*, v1::StreamsInScopeResponse*) override;
    Reactor* listStreamsInScopeForTag(Context*, const v1::StreamsInScopeWithTagRequest*,
                                      v1::StreamsInScopeResponse*) override;

    // scaling
    Reactor* scale(Context*, const v1::ScaleRequest*, v1::ScaleResponse*) override;
    Reactor* checkScale(Context*, const v1::ScaleStatusRequest*, v1::ScaleStatusResponse*) override;

    // segments
    Reactor* getCurrentSegments(Context*, const v1::StreamInfo*, v1::SegmentRanges*) override;
    Reactor* getEpochSegments(Context*, const v1::GetEpochSegmentsRequest*, v1::SegmentRanges*) override;
    Reactor* getSegments(Context*, const v1::GetSegmentsRequest*, v1::SegmentsAtTime*) override;
    Reactor* getSegmentsImmediatlyFollowing(Context*, const v1::SegmentId*, v1::SuccessorResponse*) override;
    Reactor* getSegmentsImmediatelyFollowing(Context*, const v1::SegmentId*, v1::SuccessorResponse*) override;
    Reactor* getSegmentsBetween(Context*, const v1::StreamCutRange*, v1::StreamCutRangeResponse*) override;
    Reactor* getURI(Context*, const v1::SegmentId*, v1::NodeUri*) override;
    Reactor* isSegmentValid(Context*, const v1::SegmentId*, v1::SegmentValidityResponse*) override;
    Reactor* isStreamCutValid(Context*, const v1::StreamCut*, v1::StreamCutValidityResponse*) override;
    Reactor* getControllerServerList(Context*, const v1::ServerRequest*, v1::ServerResponse*) override;
    Reactor* getDelegationToken(Context*, const v1::StreamInfo*, v1::DelegationToken*) override;

    // reader groups and subscribers
    Reactor* createReaderGroup(Context*, const v1::ReaderGroupConfiguration*, v1::CreateReaderGroupResponse*) override;
    Reactor* getReaderGroupConfig(Context*, const v1::ReaderGroupInfo*, v1::ReaderGroupConfigResponse*) override;
    Reactor* updateReaderGroup(Context*, const v1::ReaderGroupConfiguration*, v1::UpdateReaderGroupResponse*) override;
    Reactor* deleteReaderGroup(Context*, const v1::ReaderGroupInfo*, v1::DeleteReaderGroupStatus*) override;
    Reactor* listSubscribers(Context*, const v1::StreamInfo*, v1::SubscribersResponse*) override;
    Reactor* updateSubscriberStreamCut(Context*, const v1::SubscriberStreamCut*, v1::UpdateSubscriberStatus*) override;

    // times of writers
    Reactor* noteTimestampFromWriter(Context*, const v1::TimestampFromWriter*, v1::TimestampResponse*) override;
    Reactor* removeWriter(Context*, const v1::RemoveWriterRequest*, v1::RemoveWriterResponse*) override;

    // key-value tables
    Reactor* createKeyValueTable(Context*, const v1::KeyValueTableConfig*, v1::CreateKeyValueTableStatus*) override;
    Reactor* getCurrentSegmentsKeyValueTable(Context*, const v1::KeyValueTableInfo*, v1::SegmentRanges*) override;
    Reactor* getKeyValueTableConfiguration(Context*, const v1::KeyValueTableInfo*,
                                           v1::KeyValueTableConfigResponse*) override;
    Reactor* deleteKeyValueTable(Context*, const v1::KeyValueTableInfo*, v1::DeleteKVTableStatus*) override;
    Reactor* listKeyValueTablesInScope(Context*, const v1::KVTablesInScopeRequest*,
                                       v1::KVTablesInScopeResponse*) override;

    // transactions
    Reactor* createTransaction(Context*, const v1::CreateTxnRequest*, v1::CreateTxnResponse*) override;
    Reactor* commitTransaction(Context*, const v1::TxnRequest*, v1::TxnStatus*) override;
    Reactor* abortTransaction(Context*, const v1::TxnRequest*, v1::TxnStatus*) override;
    Reactor* pingTransaction(Context*, const v1::PingTxnRequest*, v1::PingTxnStatus*) override;
    Reactor* checkTransactionState(Context*, const v1::TxnRequest*, v1::TxnState*) override;
    Reactor* listCompletedTransactions(Context*, const v1::ListCompletedTxnRequest*,
                                       v1::ListCompletedTxnResponse*) override;

    Calls& calls() { return *calls_; }

  private:
    // Finishes a call with the controller's answer: `fill` writes the value into the reply.
    template <typename T, typename Fill>
    controller::Controller::Done<T> answer(Reactor* reactor, Fill fill) {
        return Answer<T, Fill>(calls_->begin(reactor), std::move(fill));
    }
    static Reactor* refuse(Context* context, const Error& error) {
        Reactor* reactor = context->DefaultReactor();
        reactor->Finish(status_of(error));
        return reactor;
    }

    controller::Controller& controller_;
    std::shared_ptr<Calls> calls_ = std::make_shared<Calls>();
};

}  // namespace millrace::api
