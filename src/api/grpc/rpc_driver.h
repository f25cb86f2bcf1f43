// RpcDriver: encoded requests straight into the RPCs, without sockets and threads, for tests and the fuzzer. The
// controller behind it runs on manual time over segments in memory.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include <grpcpp/test/default_reactor_test_peer.h>

#include "api/grpc/hostile_requests.h"
#include "api/grpc/service.h"
#include "controller/controller_harness.h"

namespace millrace::api {

class RpcDriver {
  public:
    struct Outcome {
        grpc::Status status;
        std::string reply;
    };

    RpcDriver() {
        add("createScope", &ControllerRpcs::createScope);
        add("listScopes", &ControllerRpcs::listScopes);
        add("checkScopeExists", &ControllerRpcs::checkScopeExists);
        add("deleteScope", &ControllerRpcs::deleteScope);
        add("deleteScopeRecursive", &ControllerRpcs::deleteScopeRecursive);
        add("createStream", &ControllerRpcs::createStream);
        add("updateStream", &ControllerRpcs::updateStream);
        add("truncateStream", &ControllerRpcs::truncateStream);
        add("sealStream", &ControllerRpcs::sealStream);
        add("deleteStream", &ControllerRpcs::deleteStream);
        add("checkStreamExists", &ControllerRpcs::checkStreamExists);
        add("getStreamConfiguration", &ControllerRpcs::getStreamConfiguration);
        add("listStreamsInScope", &ControllerRpcs::listStreamsInScope);
        add("listStreamsInScopeForTag", &ControllerRpcs::listStreamsInScopeForTag);
        add("getCurrentSegments", &ControllerRpcs::getCurrentSegments);
        add("getEpochSegments", &ControllerRpcs::getEpochSegments);
        add("getSegments", &ControllerRpcs::getSegments);
        add("getSegmentsImmediatlyFollowing", &ControllerRpcs::getSegmentsImmediatlyFollowing);
        add("getSegmentsImmediatelyFollowing", &ControllerRpcs::getSegmentsImmediatelyFollowing);
        add("getSegmentsBetween", &ControllerRpcs::getSegmentsBetween);
        add("getURI", &ControllerRpcs::getURI);
        add("isSegmentValid", &ControllerRpcs::isSegmentValid);
        add("isStreamCutValid", &ControllerRpcs::isStreamCutValid);
        add("getControllerServerList", &ControllerRpcs::getControllerServerList);
        add("getDelegationToken", &ControllerRpcs::getDelegationToken);
        add("createReaderGroup", &ControllerRpcs::createReaderGroup);
        add("getReaderGroupConfig", &ControllerRpcs::getReaderGroupConfig);
        add("updateReaderGroup", &ControllerRpcs::updateReaderGroup);
        add("deleteReaderGroup", &ControllerRpcs::deleteReaderGroup);
        add("listSubscribers", &ControllerRpcs::listSubscribers);
        add("updateSubscriberStreamCut", &ControllerRpcs::updateSubscriberStreamCut);
        add("createKeyValueTable", &ControllerRpcs::createKeyValueTable);
        add("getCurrentSegmentsKeyValueTable", &ControllerRpcs::getCurrentSegmentsKeyValueTable);
        add("getKeyValueTableConfiguration", &ControllerRpcs::getKeyValueTableConfiguration);
        add("deleteKeyValueTable", &ControllerRpcs::deleteKeyValueTable);
        add("listKeyValueTablesInScope", &ControllerRpcs::listKeyValueTablesInScope);
        add("scale", &ControllerRpcs::scale);
        add("checkScale", &ControllerRpcs::checkScale);
        add("createTransaction", &ControllerRpcs::createTransaction);
        add("commitTransaction", &ControllerRpcs::commitTransaction);
        add("abortTransaction", &ControllerRpcs::abortTransaction);
        add("pingTransaction", &ControllerRpcs::pingTransaction);
        add("checkTransactionState", &ControllerRpcs::checkTransactionState);
        add("listCompletedTransactions", &ControllerRpcs::listCompletedTransactions);
        add("removeWriter", &ControllerRpcs::removeWriter);
        add("noteTimestampFromWriter", &ControllerRpcs::noteTimestampFromWriter);
        prepare();
    }

    bool knows(const std::string& rpc) const { return calls_.contains(rpc); }

    // No value: the bytes are no request of this RPC, so that it never sees them.
    std::optional<Outcome> call(const std::string& rpc, const std::string& request) { return calls_.at(rpc)(request); }

    // Makes what plausible requests are about; what is there stays.
    void prepare() {
        (void)t.create_scope(kHostileScope);
        (void)t.create({kHostileScope, kHostileStream}, controller::fixed(2, {"w"}));
        auto group =
            controller::group_over({{kHostileScope, kHostileStream}}, controller::ReaderGroupRetention::kManual);
        (void)t.create_group(kHostileScope, kHostileGroup, std::move(group));
        (void)t.create_table(kHostileScope, kHostileTable, {1, 4, 0, 0});
    }

    controller::Harness t;

  private:
    template <typename Request, typename Reply>
    void add(const char* name,
             grpc::ServerUnaryReactor* (ControllerRpcs::*rpc)(grpc::CallbackServerContext*, const Request*, Reply*)) {
        calls_[name] = [this, rpc](const std::string& bytes) -> std::optional<Outcome> {
            Request request;
            Reply reply;
            if (!request.ParseFromString(bytes)) return std::nullopt;
            grpc::CallbackServerContext context;
            grpc::testing::DefaultReactorTestPeer peer(&context);
            ControllerRpcs rpcs(*t.controller);
            (rpcs.*rpc)(&context, &request, &reply);
            t.executor->run_until_idle();
            if (!peer.test_status_set()) t.executor->advance(std::chrono::minutes(10));
            bool answered = peer.test_status_set();
            if (!answered) rpcs.calls().cut_off();  // the messages end here
            Outcome outcome{{grpc::StatusCode::DEADLINE_EXCEEDED, "no answer"}, reply.SerializeAsString()};
            if (answered) outcome.status = peer.test_status();
            return outcome;
        };
    }

    std::map<std::string, std::function<std::optional<Outcome>(const std::string&)>> calls_;
};

}  // namespace millrace::api
