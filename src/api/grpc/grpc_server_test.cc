#include "api/grpc/grpc_server.h"

#include <future>
#include <limits>
#include <map>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "controller.grpc.pb.h"
#include "controller/fake_segment_api.h"
#include "runtime/core_loop.h"

namespace millrace::api {
namespace {

namespace v1 = io::pravega::controller::stream::api::grpc::v1;
using controller::FakeSegmentApi;
using testing::HasSubstr;

// Server and client in one process, over loopback.
class GrpcServerTest : public testing::Test {
  protected:
    void SetUp() override {
        loop.start();
        controller::ControllerOptions options;
        options.controller = {"advertised", 9090};
        options.store = {"store", 12345};
        control = std::make_unique<controller::Controller>(loop, api, options);
        std::promise<bool> started;
        control->start([&](Result<> result) { started.set_value(result.has_value()); });
        ASSERT_TRUE(started.get_future().get());
        auto made = GrpcServer::start("127.0.0.1", 0, *control);
        ASSERT_TRUE(made) << made.error().to_string();
        server = std::move(*made);
        connect();
        v1::ScopeInfo scope;
        scope.set_scope("s");
        v1::CreateScopeStatus created;
        ASSERT_TRUE(stub->createScope(context().get(), scope, &created).ok());
        ASSERT_EQ(created.status(), v1::CreateScopeStatus::SUCCESS);
    }
    void TearDown() override {
        stub.reset();
        channel.reset();
        if (server) server->stop();
        if (control) {
            std::promise<void> stopped;
            control->stop([&] { stopped.set_value(); });
            stopped.get_future().get();
        }
        loop.stop();
    }
    void connect() {
        channel = grpc::CreateChannel(fmt::format("127.0.0.1:{}", server->port()), grpc::InsecureChannelCredentials());
        stub = v1::ControllerService::NewStub(channel);
    }
    std::unique_ptr<grpc::ClientContext> context(int seconds = 20) {
        auto made = std::make_unique<grpc::ClientContext>();
        made->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(seconds));
        return made;
    }
    static v1::StreamInfo stream(const std::string& name) {
        v1::StreamInfo info;
        info.set_scope("s");
        info.set_stream(name);
        return info;
    }
    static v1::StreamConfig config(const std::string& name, int segments) {
        v1::StreamConfig config;
        *config.mutable_streaminfo() = stream(name);
        config.mutable_scalingpolicy()->set_minnumsegments(segments);
        return config;
    }
    grpc::Status create(const v1::StreamConfig& config) {
        v1::CreateStreamStatus reply;
        grpc::Status status = stub->createStream(context().get(), config, &reply);
        if (status.ok()) EXPECT_EQ(reply.status(), v1::CreateStreamStatus::SUCCESS);
        return status;
    }

    FakeSegmentApi api;
    runtime::CoreLoop loop{"control", 1};
    std::unique_ptr<controller::Controller> control;
    std::unique_ptr<GrpcServer> server;
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<v1::ControllerService::Stub> stub;
};

TEST_F(GrpcServerTest, AStreamFromCreationToItsSegments) {
    v1::StreamConfig request = config("x", 2);
    request.mutable_retentionpolicy()->set_retentiontype(v1::RetentionPolicy::SIZE);
    request.mutable_retentionpolicy()->set_retentionparam(10);
    request.mutable_tags()->add_tag("b");
    request.mutable_tags()->add_tag("a");
    ASSERT_TRUE(create(request).ok());

    v1::StreamConfig stored;
    ASSERT_TRUE(stub->getStreamConfiguration(context().get(), stream("x"), &stored).ok());
    EXPECT_EQ(stored.streaminfo().stream(), "x");
    EXPECT_EQ(stored.scalingpolicy().minnumsegments(), 2);
    EXPECT_EQ(stored.retentionpolicy().retentiontype(), v1::RetentionPolicy::SIZE);
    EXPECT_EQ(stored.tags().tag(0), "a");

    v1::SegmentRanges ranges;
    ASSERT_TRUE(stub->getCurrentSegments(context().get(), stream("x"), &ranges).ok());
    ASSERT_EQ(ranges.segmentranges_size(), 2);
    EXPECT_EQ(ranges.segmentranges(1).segmentid().segmentid(), 1);
    EXPECT_EQ(ranges.segmentranges(1).minkey(), 0.5);
    EXPECT_EQ(ranges.segmentranges(1).maxkey(), 1.0);

    v1::StreamsInScopeRequest list;
    list.mutable_scope()->set_scope("s");
    v1::StreamsInScopeResponse page;
    ASSERT_TRUE(stub->listStreamsInScope(context().get(), list, &page).ok());
    ASSERT_EQ(page.streams_size(), 2);
    EXPECT_EQ(page.streams(0).stream(), "_MARKx");
    *list.mutable_continuationtoken() = page.continuationtoken();
    page.Clear();
    ASSERT_TRUE(stub->listStreamsInScope(context().get(), list, &page).ok());
    EXPECT_EQ(page.streams_size(), 0);
    EXPECT_EQ(page.continuationtoken().token(), list.continuationtoken().token());

    v1::SegmentId segment = ranges.segmentranges(0).segmentid();
    v1::NodeUri place;
    ASSERT_TRUE(stub->getURI(context().get(), segment, &place).ok());
    EXPECT_EQ(place.endpoint(), "store");
    EXPECT_EQ(place.port(), 12345);
    v1::ServerResponse servers;
    ASSERT_TRUE(stub->getControllerServerList(context().get(), v1::ServerRequest(), &servers).ok());
    ASSERT_EQ(servers.nodeuri_size(), 1);
    EXPECT_EQ(servers.nodeuri(0).endpoint(), "advertised");
}

TEST_F(GrpcServerTest, SuccessorsUnderBothSpellings) {
    ASSERT_TRUE(create(config("x", 1)).ok());
    v1::UpdateStreamStatus updated;
    ASSERT_TRUE(stub->updateStream(context().get(), config("x", 2), &updated).ok());
    EXPECT_EQ(updated.status(), v1::UpdateStreamStatus::SUCCESS);
    v1::SegmentId segment;
    *segment.mutable_streaminfo() = stream("x");
    v1::SuccessorResponse good, misspelt;
    ASSERT_TRUE(stub->getSegmentsImmediatelyFollowing(context().get(), segment, &good).ok());
    ASSERT_TRUE(stub->getSegmentsImmediatlyFollowing(context().get(), segment, &misspelt).ok());
    ASSERT_EQ(good.segments_size(), 2);
    EXPECT_EQ(good.segments(0).segment().segmentid().segmentid(), (1LL << 32) + 1);
    EXPECT_EQ(good.segments(0).value(0), 0);
    EXPECT_EQ(good.SerializeAsString(), misspelt.SerializeAsString());
}

TEST_F(GrpcServerTest, ErrorsHaveCodesAndReasons) {
    v1::SegmentRanges ranges;
    grpc::Status missing = stub->getCurrentSegments(context().get(), stream("none"), &ranges);
    EXPECT_EQ(missing.error_code(), grpc::StatusCode::NOT_FOUND);
    EXPECT_EQ(missing.error_message(), "no stream s/none");
    grpc::Status none = create(config("x", 0));
    EXPECT_EQ(none.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(none.error_message(), HasSubstr("at least one segment"));
    EXPECT_EQ(create(v1::StreamConfig()).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    v1::StreamConfig unknown = config("x", 1);
    unknown.mutable_scalingpolicy()->set_scaletype(static_cast<v1::ScalingPolicy::ScalingPolicyType>(7));
    EXPECT_EQ(create(unknown).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    unknown = config("x", 1);
    unknown.mutable_retentionpolicy()->set_retentiontype(static_cast<v1::RetentionPolicy::RetentionPolicyType>(9));
    EXPECT_EQ(create(unknown).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    v1::StreamInfo access = stream("x");
    access.set_accessoperation(static_cast<v1::StreamInfo::AccessOperation>(77));
    v1::DelegationToken token;
    EXPECT_EQ(stub->getDelegationToken(context().get(), access, &token).error_code(),
              grpc::StatusCode::INVALID_ARGUMENT);
    v1::StreamsInScopeRequest list;
    list.mutable_scope()->set_scope("s");
    list.mutable_continuationtoken()->set_token("garbage");
    v1::StreamsInScopeResponse page;
    EXPECT_EQ(stub->listStreamsInScope(context().get(), list, &page).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(GrpcServerTest, AScopeWithoutTablesListsNone) {
    v1::KVTablesInScopeRequest tables;
    tables.mutable_scope()->set_scope("s");
    v1::KVTablesInScopeResponse none;
    ASSERT_TRUE(stub->listKeyValueTablesInScope(context().get(), tables, &none).ok());
    EXPECT_EQ(none.kvtables_size(), 0);
    EXPECT_TRUE(none.has_continuationtoken());
}

TEST_F(GrpcServerTest, ATransactionFromItsBeginToItsEnd) {
    ASSERT_TRUE(create(config("x", 2)).ok());
    v1::CreateTxnRequest request;
    *request.mutable_streaminfo() = stream("x");
    request.set_lease(5);
    v1::CreateTxnResponse begun;
    grpc::Status status = stub->createTransaction(context().get(), request, &begun);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(), HasSubstr("lease is 5 ms"));
    request.set_lease(10'000);
    ASSERT_TRUE(stub->createTransaction(context().get(), request, &begun).ok());
    ASSERT_EQ(begun.activesegments_size(), 2);
    EXPECT_EQ(begun.activesegments(1).minkey(), 0.5);
    EXPECT_GE(begun.txnid().lowbits(), 0);

    v1::PingTxnRequest ping;
    *ping.mutable_streaminfo() = stream("x");
    *ping.mutable_txnid() = begun.txnid();
    ping.set_lease(600'001);
    v1::PingTxnStatus pinged;
    ASSERT_TRUE(stub->pingTransaction(context().get(), ping, &pinged).ok());
    EXPECT_EQ(pinged.status(), v1::PingTxnStatus::LEASE_TOO_LARGE);
    v1::TxnRequest txn;
    *txn.mutable_streaminfo() = stream("x");
    *txn.mutable_txnid() = begun.txnid();
    txn.set_timestamp(std::numeric_limits<std::int64_t>::min());
    v1::TxnState state;
    ASSERT_TRUE(stub->checkTransactionState(context().get(), txn, &state).ok());
    EXPECT_EQ(state.state(), v1::TxnState::OPEN);
    v1::TxnStatus outcome;
    ASSERT_TRUE(stub->commitTransaction(context().get(), txn, &outcome).ok());
    EXPECT_EQ(outcome.status(), v1::TxnStatus::SUCCESS);
    while (state.state() != v1::TxnState::COMMITTED)
        ASSERT_TRUE(stub->checkTransactionState(context().get(), txn, &state).ok());
    ASSERT_TRUE(stub->abortTransaction(context().get(), txn, &outcome).ok());
    EXPECT_EQ(outcome.status(), v1::TxnStatus::FAILURE);
    v1::ListCompletedTxnRequest list;
    *list.mutable_streaminfo() = stream("x");
    v1::ListCompletedTxnResponse listed;
    ASSERT_TRUE(stub->listCompletedTransactions(context().get(), list, &listed).ok());
    ASSERT_EQ(listed.response_size(), 1);
    EXPECT_EQ(listed.response(0).txnid().lowbits(), begun.txnid().lowbits());
    EXPECT_EQ(listed.response(0).status(), v1::TxnResponse::COMMITTED);
}

TEST_F(GrpcServerTest, CompletedTransactionsAreListedAsTheyWereBegun) {
    ASSERT_TRUE(create(config("x", 1)).ok());
    v1::CreateTxnRequest request;
    *request.mutable_streaminfo() = stream("x");
    request.set_lease(10'000);
    std::vector<v1::TxnId> ids;
    for (int i = 0; i < 4; ++i) {
        v1::CreateTxnResponse begun;
        ASSERT_TRUE(stub->createTransaction(context().get(), request, &begun).ok());
        ids.push_back(begun.txnid());
    }
    for (std::size_t i : {2U, 0U, 3U, 1U}) {
        v1::TxnRequest txn;
        *txn.mutable_streaminfo() = stream("x");
        *txn.mutable_txnid() = ids[i];
        v1::TxnStatus outcome;
        ASSERT_TRUE(stub->abortTransaction(context().get(), txn, &outcome).ok());
        v1::TxnState state;
        do ASSERT_TRUE(stub->checkTransactionState(context().get(), txn, &state).ok());
        while (state.state() != v1::TxnState::ABORTED);
    }
    v1::ListCompletedTxnRequest list;
    *list.mutable_streaminfo() = stream("x");
    v1::ListCompletedTxnResponse listed;
    ASSERT_TRUE(stub->listCompletedTransactions(context().get(), list, &listed).ok());
    ASSERT_EQ(listed.response_size(), 4);
    for (int i = 0; i < 4; ++i)
        EXPECT_EQ(listed.response(i).txnid().lowbits(), ids[static_cast<std::size_t>(i)].lowbits());
}

TEST_F(GrpcServerTest, Scaling) {
    ASSERT_TRUE(create(config("x", 1)).ok());
    v1::ScaleRequest request;
    *request.mutable_streaminfo() = stream("x");
    request.add_sealedsegments(0);
    for (double start : {0.5, 0.0}) {
        auto* range = request.add_newkeyranges();
        range->set_start(start);
        range->set_end(start + 0.5);
    }
    v1::ScaleResponse scaled;
    ASSERT_TRUE(stub->scale(context().get(), request, &scaled).ok());
    EXPECT_EQ(scaled.status(), v1::ScaleResponse::STARTED);
    EXPECT_EQ(scaled.epoch(), 0);
    ASSERT_EQ(scaled.segments_size(), 2);
    EXPECT_EQ(scaled.segments(0).segmentid().streaminfo().stream(), "x");
    EXPECT_EQ(scaled.segments(0).segmentid().segmentid(), (std::int64_t{1} << 32) + 1);
    EXPECT_EQ(scaled.segments(0).maxkey(), 0.5);
    v1::ScaleStatusRequest check;
    *check.mutable_streaminfo() = stream("x");
    v1::ScaleStatusResponse status;
    ASSERT_TRUE(stub->checkScale(context().get(), check, &status).ok());
    EXPECT_EQ(status.status(), v1::ScaleStatusResponse::SUCCESS);
    check.set_epoch(1);
    ASSERT_TRUE(stub->checkScale(context().get(), check, &status).ok());
    EXPECT_EQ(status.status(), v1::ScaleStatusResponse::IN_PROGRESS);
    check.set_epoch(-1);
    EXPECT_EQ(stub->checkScale(context().get(), check, &status).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    v1::ScaleResponse again;
    ASSERT_TRUE(stub->scale(context().get(), request, &again).ok());
    EXPECT_EQ(again.status(), v1::ScaleResponse::PRECONDITION_FAILED);
    EXPECT_EQ(again.segments_size(), 0);
}

TEST_F(GrpcServerTest, ReaderGroupsAndSubscribers) {
    ASSERT_TRUE(create(config("x", 1)).ok());
    v1::ReaderGroupConfiguration group;
    group.set_scope("s");
    group.set_readergroupname("g");
    group.set_readergroupid("no uuid");
    group.set_retentiontype(1);
    group.set_grouprefreshtimemillis(3000);
    *group.add_startingstreamcuts()->mutable_streaminfo() = stream("x");
    *group.add_endingstreamcuts()->mutable_streaminfo() = stream("x");
    v1::CreateReaderGroupResponse made;
    EXPECT_EQ(stub->createReaderGroup(context().get(), group, &made).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    group.set_readergroupid("11111111-2222-3333-4444-555555555555");
    group.set_retentiontype(3);
    EXPECT_EQ(stub->createReaderGroup(context().get(), group, &made).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    group.set_retentiontype(1);
    ASSERT_TRUE(stub->createReaderGroup(context().get(), group, &made).ok());
    EXPECT_EQ(made.status(), v1::CreateReaderGroupResponse::SUCCESS);
    EXPECT_EQ(made.config().SerializeAsString(), group.SerializeAsString());
    v1::SubscribersResponse subscribers;
    ASSERT_TRUE(stub->listSubscribers(context().get(), stream("x"), &subscribers).ok());
    ASSERT_EQ(subscribers.subscribers_size(), 1);
    EXPECT_EQ(subscribers.subscribers(0), "s/g");
    v1::ReaderGroupInfo which;
    which.set_scope("s");
    which.set_readergroup("none");
    v1::ReaderGroupConfigResponse found;
    ASSERT_TRUE(stub->getReaderGroupConfig(context().get(), which, &found).ok());
    EXPECT_EQ(found.status(), v1::ReaderGroupConfigResponse::RG_NOT_FOUND);
    EXPECT_TRUE(found.has_config());
}

TEST_F(GrpcServerTest, ManyCallsAtOnce) {
    std::vector<std::thread> threads;
    std::atomic<int> made = 0;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 50; ++i) made += create(config(fmt::format("x{}-{}", t, i), 1)).ok();
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(made, 200);
}

TEST_F(GrpcServerTest, MessagesHaveALimit) {
    v1::StreamConfig large = config("x", 1);
    large.mutable_tags()->add_tag(std::string(5 << 20, 't'));
    EXPECT_EQ(create(large).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_TRUE(create(config("x", 1)).ok());
}

TEST_F(GrpcServerTest, APortThatIsTaken) {
    auto second = GrpcServer::start("127.0.0.1", server->port(), *control);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error(), Errc::kExists);
    EXPECT_THAT(second.error().message(), HasSubstr(fmt::format("127.0.0.1:{}", server->port())));
    EXPECT_FALSE(GrpcServer::start("203.0.113.77", 0, *control));
}

// In a moment, on the loop.
template <typename Condition>
void wait_until(runtime::CoreLoop& loop, Condition condition) {
    while (true) {
        std::promise<bool> answer;
        loop.post([&] { answer.set_value(condition()); });
        if (answer.get_future().get()) return;
        std::this_thread::yield();
    }
}

TEST_F(GrpcServerTest, StoppingCutsOffCallsThatGetNoAnswer) {
    loop.post([this] { api.arm(FakeSegmentApi::Fault::kHang, 0); });
    grpc::Status status;
    std::thread caller([&] { status = create(config("x", 1)); });
    wait_until(loop, [this] { return api.hangs(); });
    auto begun = std::chrono::steady_clock::now();
    server->stop(std::chrono::milliseconds(100));
    EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(5));
    caller.join();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
    server.reset();
    loop.post([this] { api.let_go(); });
}

TEST_F(GrpcServerTest, AnAnswerThatIsDroppedIsTold) {
    loop.post([this] { api.arm(FakeSegmentApi::Fault::kDieBefore, 0); });
    EXPECT_EQ(create(config("x", 1)).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GrpcServerTest, CallsAreCounted) {
    ASSERT_TRUE(create(config("x", 1)).ok());
    for (int i = 0; i < 3; ++i) {
        v1::SegmentRanges reply;
        v1::GetEpochSegmentsRequest request;
        *request.mutable_streaminfo() = stream(i == 0 ? "x" : "none");
        EXPECT_EQ(stub->getEpochSegments(context().get(), request, &reply).ok(), i == 0);
    }
    std::map<std::string, RpcStats> stats;
    for (RpcStats& each : server->stats()) stats[each.method] = std::move(each);
    EXPECT_EQ(stats.size(), static_cast<std::size_t>(v1::ScopeInfo::descriptor()->file()->service(0)->method_count()));
    using Statuses = std::vector<std::pair<std::string_view, std::uint64_t>>;
    EXPECT_EQ(stats["createStream"].by_status, (Statuses{{"OK", 1}}));
    EXPECT_EQ(stats["createScope"].by_status, (Statuses{{"OK", 1}}));
    EXPECT_EQ(stats["getEpochSegments"].by_status, (Statuses{{"OK", 1}, {"NOT_FOUND", 2}}));
    EXPECT_EQ(stats["getEpochSegments"].latency.count(), 3U);
    EXPECT_EQ(stats["getEpochSegments"].under_way, 0U);
    EXPECT_TRUE(stats["deleteScope"].by_status.empty());
}

}  // namespace
}  // namespace millrace::api
