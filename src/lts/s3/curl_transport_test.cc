// What only a socket shows. The server answers as the fake S3 does; requests are not signed here unless it matters.
#include "lts/s3/curl_transport.h"

#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lts/s3/s3_store.h"
#include "lts/testing/fake_http_server.h"
#include "lts/testing/store_host.h"

namespace millrace::lts {
namespace {

using testing::HasSubstr;

S3Options make_options() {
    S3Options options;
    options.bucket = "bucket";
    options.access_key = "access";
    options.secret_key = Secret("hidden");
    options.request_timeout = std::chrono::milliseconds(300);
    options.bytes_per_second_min = 64 * kMiB;
    options.connect_timeout = std::chrono::milliseconds(1000);
    return options;
}

class CurlHost final : public LoopHost {
  public:
    CurlHost() : server_(options, {"access", Secret("hidden"), {}}, clock_, 1), http(server_) {
        options.endpoint = http.endpoint();
    }
    runtime::CoreLoop& loop() { return loop_; }
    Result<std::unique_ptr<ChunkStore>> open() override { return open_s3_store(loop_, options, nullptr); }

    S3Options options = make_options();

  private:
    SystemClock clock_;
    FakeS3 server_;

  public:
    FakeHttpServer http;
};

class CurlTransportTest : public testing::Test {
  protected:
    ~CurlTransportTest() override {
        host.run([this] { store.reset(); });
    }
    StoreCalls calls() {
        if (store == nullptr) host.run([this] { store = std::move(*host.open()); });
        return {host, *store};
    }

    CurlHost host;
    std::unique_ptr<ChunkStore> store;
};

void expect_ok(const auto& result) { EXPECT_TRUE(result.has_value()) << result.error().to_string(); }

TEST_F(CurlTransportTest, ConnectionsAreUsedAgain) {
    auto c = calls();
    for (int i = 0; i < 20; ++i) expect_ok(c.put("k/" + std::to_string(i), pattern(1000, 1)));
    EXPECT_LE(host.http.connections(), 2u);
}

TEST_F(CurlTransportTest, AKeptConnectionMayHaveDied) {
    auto c = calls();
    for (int i = 0; i < 5; ++i) {
        expect_ok(c.put("k/" + std::to_string(i), pattern(3'000'000, 1)));
        host.http.drop_connections();
    }
    EXPECT_EQ(content(*c.read("k/4", 0, 3'000'000)), pattern(3'000'000, 1).to_vector());
}

TEST_F(CurlTransportTest, NoRequestIsRepeatedBehindOurBack) {
    auto c = calls();
    for (int i = 0; i < 5; ++i) {
        host.http.with([](FakeS3& server) { server.lose_next_reply("PUT"); });
        expect_ok(c.put("once/" + std::to_string(i), pattern(i % 2 == 0 ? 0 : 100'000, 1)));
    }
    std::size_t served = 0;
    host.http.with([&](FakeS3& server) { served = server.requests(); });
    std::uint64_t sent = 0;
    host.run([&] { sent = store->stats().requests; });
    EXPECT_EQ(served, sent);
}

TEST_F(CurlTransportTest, BrokenAndMissingRepliesAreRepeated) {
    auto c = calls();
    host.http.with([](FakeS3& server) { server.faults = {.lost_reply_percent = 20, .half_body_percent = 30}; });
    for (unsigned i = 0; i < 10; ++i) {
        expect_ok(c.put("b/" + std::to_string(i), pattern(200'000, i)));
        auto part = c.read("b/" + std::to_string(i), 7, 150'000);
        ASSERT_TRUE(part.has_value()) << part.error().to_string();
        EXPECT_EQ(content(*part), pattern(200'000, i).sub(7, 150'000).to_vector());
    }
}

TEST_F(CurlTransportTest, ASlowServerIsTimedOut) {
    host.options.attempts_max = 1;
    auto c = calls();
    expect_ok(c.put("slow", pattern(10, 1)));
    host.http.with([](FakeS3& server) { server.faults.delay_max = std::chrono::milliseconds(4'000); });
    auto begun = std::chrono::steady_clock::now();
    auto status = c.stat("slow");
    ASSERT_FALSE(status.has_value());
    EXPECT_EQ(status.error(), Errc::kUnavailable);
    EXPECT_THAT(status.error().to_string(), HasSubstr("object slow: http://127.0.0.1:"));
    EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(10));
    host.http.drop_connections();
    host.http.with([](FakeS3& server) { server.faults = {}; });
}

TEST_F(CurlTransportTest, NobodyListens) {
    host.options.endpoint = "http://127.0.0.1:1";
    host.options.attempts_max = 2;
    auto c = calls();
    Result<> put = c.put("a", pattern(10, 1));
    ASSERT_FALSE(put.has_value());
    EXPECT_EQ(put.error(), Errc::kUnavailable);
    EXPECT_THAT(put.error().to_string(), HasSubstr("127.0.0.1"));
}

TEST_F(CurlTransportTest, RepliesAreBounded) {
    host.http.with([](FakeS3& server) { server.place("objects/large", std::vector<std::uint8_t>(1 << 20)); });
    std::unique_ptr<HttpTransport> transport;
    host.run([&] { transport = make_curl_transport(host.loop(), host.options); });
    auto send = [&](std::size_t limit) {
        HttpRequest request;
        request.method = "GET";
        request.origin = host.http.endpoint();
        request.target = "/bucket/none";
        request.headers = {{"host", "127.0.0.1"}};
        request.response_size_max = limit;
        StoreCalls c = calls();
        return c.call<HttpResponse>([&](auto done) { transport->send(std::move(request), std::move(done)); });
    };
    EXPECT_EQ(send(1000)->status, 403);
    EXPECT_EQ(send(10).error(), Errc::kLimit);
    host.run([&] { transport.reset(); });
}

TEST_F(CurlTransportTest, ClosingEndsWhatIsUnderWay) {
    auto c = calls();
    expect_ok(c.put("a", pattern(10, 1)));
    host.http.with([](FakeS3& server) { server.faults.delay_max = std::chrono::milliseconds(4'000); });
    auto read = c.start<bytes::Slice>([&](auto done) { store->read("a", 0, 10, std::move(done)); });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    host.run([this] { store.reset(); });
    auto result = c.finish<bytes::Slice>(read);
    if (!result) {
        EXPECT_EQ(result.error(), Errc::kClosed);
    }
    host.http.drop_connections();
    host.http.with([](FakeS3& server) { server.faults = {}; });
}

TEST_F(CurlTransportTest, LargePayloadsAreHashedOnThePool) {
    runtime::BlockingPool pool({.name = "hash", .threads = 1, .queue_limit = 1});
    host.options.part_bytes = 5 * kMiB;
    host.options.request_timeout = std::chrono::seconds(20);
    host.run([&] { store = std::move(*open_s3_store(host.loop(), host.options, &pool)); });
    auto c = calls();
    std::vector<StoreCalls::Outcome<void>> puts;  // more than the pool takes: the rest is hashed on the loop
    for (unsigned i = 0; i < 8; ++i) puts.push_back(c.start_put("h/" + std::to_string(i), pattern(400'000, i)));
    for (auto& put : puts) expect_ok(c.finish<void>(put));
    host.run([this] { store.reset(); });
    pool.stop();
}

}  // namespace
}  // namespace millrace::lts
