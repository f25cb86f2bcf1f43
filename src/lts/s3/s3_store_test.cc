// An S3 store against a fake server that fails in chosen ways.
#include "lts/s3/s3_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lts/errors.h"
#include "lts/s3/client.h"
#include "lts/testing/fake_s3.h"
#include "lts/testing/store_host.h"
#include "runtime/manual_executor.h"

namespace millrace::lts {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* kSecretText = "hidden-secret";
constexpr const char* kTokenText = "hidden-token";

S3Options make_options() {
    S3Options options;
    options.endpoint = "http://fake:8000";
    options.bucket = "bucket";
    options.part_bytes = 5 * kMiB;
    return options;
}

class Host final : public StoreHost {
  public:
    explicit Host(std::uint64_t seed = 1)
        : executor_(seed), server(make_options(), credentials, executor_.clock(), seed) {}
    runtime::Executor& executor() override { return executor_; }
    void run(const std::function<void()>& task) override { task(); }
    void wait_until(const std::function<bool()>& reached) override {
        for (int steps = 0; !reached(); ++steps) {
            ASSERT_LT(steps, 1'000'000) << "a completion is missing";
            if (!executor_.run_one()) executor_.advance(std::chrono::milliseconds(1));
        }
    }
    Result<std::unique_ptr<ChunkStore>> open() override {
        auto made = std::make_unique<FakeTransport>(executor_, server);
        transport = made.get();
        return open_s3_store(executor_, options, credentials, std::move(made), nullptr);
    }
    std::chrono::milliseconds now() const {
        return std::chrono::duration_cast<std::chrono::milliseconds>(executor_.clock().now().time_since_epoch());
    }

    runtime::ManualExecutor executor_;
    S3Options options = make_options();
    Credentials credentials{"access", Secret(kSecretText), Secret(kTokenText)};
    FakeS3 server;
    FakeTransport* transport = nullptr;
};

class S3StoreTest : public testing::Test {
  protected:
    StoreCalls calls() {
        if (store == nullptr) open();
        return {host, *store};
    }
    void open() {
        auto opened = host.open();
        ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
        store = std::move(*opened);
        host.executor_.advance(std::chrono::milliseconds(10));  // the sweep
        host.server.clear_log();
    }
    std::string field(const HttpRequest& request, const std::string& name) {
        for (const auto& [key, value] : request.headers) {
            if (key == name) return value;
        }
        return {};
    }

    Host host;
    std::unique_ptr<ChunkStore> store;
};

void expect_ok(const auto& result) { EXPECT_TRUE(result.has_value()) << result.error().to_string(); }

TEST_F(S3StoreTest, ALostReplyAfterASuccessfulPutIsASuccess) {
    auto c = calls();
    host.server.lose_next_reply("PUT");
    expect_ok(c.put("a", pattern(1000, 1)));
    EXPECT_EQ(content(*c.read("a", 0, 1000)), pattern(1000, 1).to_vector());
    EXPECT_EQ(store->stats().looked_up, 1u);
    host.server.lose_next_reply("PUT", 3);
    expect_ok(c.put("b", pattern(1000, 1)));
}

TEST_F(S3StoreTest, AnotherWritersObjectIsNotTakenForOurs) {
    auto c = calls();
    host.server.place("objects/a", pattern(1000, 1).to_vector());
    host.server.fail_next("PUT", 500, "InternalError");
    Result<> put = c.put("a", pattern(1000, 1));
    ASSERT_FALSE(put.has_value());
    EXPECT_EQ(put.error(), Errc::kExists) << "the same bytes, but not of this call";
}

TEST_F(S3StoreTest, APutThatStaysUnknownIsRetryable) {
    auto c = calls();
    host.server.fail_next("PUT", 500, "InternalError", 1000);
    auto begun = host.now();
    Result<> put = c.put("dir/object", pattern(10, 1));
    ASSERT_FALSE(put.has_value());
    EXPECT_EQ(put.error(), Errc::kUnavailable);
    EXPECT_TRUE(is_retryable(put.error()));
    EXPECT_THAT(put.error().to_string(), HasSubstr("object dir/object: http://fake:8000 answered 500 InternalError"));
    EXPECT_EQ(store->stats().retries, host.options.attempts_max - 1);
    EXPECT_LE(host.now() - begun, host.options.operation_timeout);
}

TEST_F(S3StoreTest, EveryOperationEndsWhenNothingAnswers) {
    auto c = calls();
    host.server.faults.lost_request_percent = 100;
    auto begun = host.now();
    for (const Error& error :
         {c.put("k", pattern(10, 1)).error(), c.read("k", 0, 1).error(), c.stat("k").error(), c.list("").error(),
          c.remove("k").error(), c.read_register("k").error(), c.write_register("k", "v", {}).error()})
        EXPECT_EQ(error, Errc::kUnavailable) << error.to_string();
    EXPECT_LE(host.now() - begun, std::chrono::minutes(20));
    host.server.faults.lost_request_percent = 0;
    expect_ok(c.put("k2", pattern(10, 1)));
}

TEST_F(S3StoreTest, ALostReplyOfARegisterIsReadBack) {
    auto c = calls();
    host.server.lose_next_reply("PUT");
    auto first = c.write_register("r", "one", {});
    ASSERT_TRUE(first.has_value()) << first.error().to_string();
    EXPECT_EQ(*first, c.read_register("r")->tag);
    host.server.lose_next_reply("PUT", 2);
    auto second = c.write_register("r", "two", *first);
    ASSERT_TRUE(second.has_value()) << second.error().to_string();
    EXPECT_EQ(*second, c.read_register("r")->tag);
    EXPECT_EQ(store->stats().looked_up, 2u);
}

TEST_F(S3StoreTest, AServerErrorForTheLoserOfARaceIsALoss) {
    auto c = calls();
    auto old = c.write_register("r", "one", {});
    expect_ok(c.write_register("r", "two", *old));
    host.server.fail_next("PUT", 500, "InternalError");
    auto stale = c.write_register("r", "three", *old);
    ASSERT_FALSE(stale.has_value());
    EXPECT_TRUE(is_fenced(stale.error())) << stale.error().to_string();
    EXPECT_THAT(stale.error().to_string(), HasSubstr("register r"));
}

TEST_F(S3StoreTest, AnUnknownWriteOfARegisterThatWasNotDoneIsNotALoss) {
    auto c = calls();
    auto tag = c.write_register("r", "one", {});
    host.server.fail_next("PUT", 500, "InternalError", 1000);
    auto write = c.write_register("r", "two", *tag);
    ASSERT_FALSE(write.has_value());
    EXPECT_EQ(write.error(), Errc::kUnavailable);
    EXPECT_EQ(c.read_register("r")->tag, *tag);
}

TEST_F(S3StoreTest, TagsAreSentBare) {
    auto c = calls();
    auto tag = c.write_register("r", "one", {});
    expect_ok(c.write_register("r", "two", *tag));
    EXPECT_EQ(field(host.server.log()[0], "if-none-match"), "*");
    EXPECT_EQ(field(host.server.log()[1], "if-match"), tag->text);
    EXPECT_EQ(tag->text.size(), 32u);
    EXPECT_THAT(tag->text, Not(HasSubstr("\"")));
    EXPECT_EQ(c.write_register("r", "x", {"a\r\nx-amz-acl: public"}).error(), Errc::kInvalidArgument);
}

TEST_F(S3StoreTest, ADamagedRegisterIsCorrupt) {
    auto c = calls();
    host.server.place("registers/r", {'j', 'u', 'n', 'k'});
    auto read = c.read_register("r");
    ASSERT_FALSE(read.has_value());
    EXPECT_EQ(read.error(), Errc::kCorrupt);
    EXPECT_THAT(read.error().to_string(), HasSubstr("register r"));
}

TEST_F(S3StoreTest, ThrottledRequestsWaitLonger) {
    auto c = calls();
    host.server.fail_next("PUT", 503, "SlowDown", 4);
    auto begun = host.now();
    expect_ok(c.put("a", pattern(10, 1)));
    EXPECT_GE(host.now() - begun, std::chrono::milliseconds(100 + 200 + 400 + 800));
    host.server.fail_next("GET", 429, "TooManyRequests");
    expect_ok(c.read("a", 0, 10));
    EXPECT_EQ(store->stats().throttled, 5u);
    EXPECT_EQ(store->stats().retries, 5u);
}

TEST_F(S3StoreTest, PausesAreRandomAndBounded) {
    host.options.attempts_max = 12;
    auto c = calls();
    host.server.fail_next("GET", 500, "InternalError", 11);
    std::vector<std::chrono::milliseconds> at;
    auto reading = c.start<bytes::Slice>([&](auto done) { store->read("a", 0, 1, std::move(done)); });
    for (std::size_t seen = 0; !reading->has_value();) {
        host.executor_.advance(std::chrono::milliseconds(1));
        if (host.server.log().size() > seen) {
            seen = host.server.log().size();
            at.push_back(host.now());
        }
    }
    ASSERT_EQ(at.size(), 12u);
    bool within_first_half = false;
    for (std::size_t i = 1; i < at.size(); ++i) {
        auto longest = std::min<std::int64_t>(5000, 50LL << (i - 1));
        EXPECT_LE((at[i] - at[i - 1]).count(), longest + 2);
        within_first_half = within_first_half || (at[i] - at[i - 1]).count() < longest / 2;
    }
    EXPECT_TRUE(within_first_half);
}

TEST_F(S3StoreTest, TheServersClockIsTakenOver) {
    for (std::int64_t ahead : {3'600'000, -7'200'000}) {
        host.server.faults.clock_ahead_ms = ahead;
        store.reset();
        auto opened = host.open();
        store = std::move(*opened);
        StoreCalls c(host, *store);
        std::string key = "k" + std::to_string(ahead);
        expect_ok(c.put(key, pattern(10, 1)));
        std::size_t requests = host.server.requests();
        expect_ok(c.read(key, 0, 10));
        EXPECT_EQ(host.server.requests(), requests + 1) << "the time is remembered";
    }
    host.server.faults.clock_ahead_ms = 0;  // it was set right
    StoreCalls c(host, *store);
    expect_ok(c.stat("k3600000"));  // a HEAD: its reply has no code
}

TEST_F(S3StoreTest, AHalfReplyIsAskedForAgain) {
    auto c = calls();
    expect_ok(c.put("a", pattern(100'000, 1)));
    host.server.faults.half_body_percent = 60;
    for (int i = 0; i < 10; ++i) {
        auto part = c.read("a", 10, 90'000);
        ASSERT_TRUE(part.has_value()) << part.error().to_string();
        EXPECT_EQ(content(*part), pattern(100'000, 1).sub(10, 90'000).to_vector());
    }
    EXPECT_GT(store->stats().retries, 0u);
}

TEST_F(S3StoreTest, SlowRepliesAreWaitedForUpToTheLimit) {
    auto c = calls();
    host.server.faults.delay_max = std::chrono::milliseconds(25'000);  // two of five are too late
    for (int i = 0; i < 10; ++i) expect_ok(c.put("slow/" + std::to_string(i), pattern(10, 1)));
    EXPECT_GT(store->stats().retries, 0u);
}

TEST_F(S3StoreTest, ListingsMayLagAndNothingElseDoes) {
    auto c = calls();
    host.server.faults.list_lag = std::chrono::seconds(5);
    expect_ok(c.put("a", pattern(10, 1)));
    EXPECT_THAT(c.list("")->objects, IsEmpty());
    expect_ok(c.stat("a"));
    EXPECT_EQ(c.put("a", pattern(10, 1)).error(), Errc::kExists);
    host.executor_.advance(std::chrono::seconds(6));
    EXPECT_EQ(c.list("")->objects.size(), 1u);
    expect_ok(c.remove("a"));
    EXPECT_EQ(c.list("")->objects.size(), 1u);
    EXPECT_EQ(c.stat("a").error(), Errc::kNotFound);
}

TEST_F(S3StoreTest, ListingsPassOverWhatIsNotOurs) {
    auto c = calls();
    for (const char* key : {"objects/a", "objects/b c", "objects/b d", "objects/b e", "objects/c", "other/x", "zz"})
        host.server.place(key, {1});
    for (std::size_t limit : {std::size_t{1}, std::size_t{2}, std::size_t{100}}) {
        std::vector<std::string> found;
        std::string after;
        do {
            auto page = c.list("", after, limit);
            ASSERT_TRUE(page.has_value()) << page.error().to_string();
            for (const auto& object : page->objects) found.push_back(object.key);
            after = page->next;
        } while (!after.empty());
        EXPECT_THAT(found, ElementsAre("a", "c"));
    }
}

TEST_F(S3StoreTest, AnObjectThatVanishedOrShrankIsNamed) {
    auto c = calls();
    expect_ok(c.put("d/a", pattern(1000, 1)));
    host.server.cut("objects/d/a", 600);
    auto part = c.read("d/a", 500, 200);
    ASSERT_FALSE(part.has_value());
    EXPECT_EQ(part.error(), Errc::kCorrupt);
    EXPECT_EQ(part.error().value(), 600);
    EXPECT_THAT(part.error().to_string(), HasSubstr("object d/a: has 600 bytes"));
    host.server.erase("objects/d/a");
    EXPECT_EQ(c.read("d/a", 500, 200).error(), Errc::kNotFound);
}

TEST_F(S3StoreTest, RefusalsAreFinalAndShowNoSecret) {
    host.credentials.secret_key = Secret("wrong-hidden-key");
    auto c = calls();
    Result<> put = c.put("a", pattern(10, 1));
    ASSERT_FALSE(put.has_value());
    EXPECT_EQ(put.error(), Errc::kInvalidArgument);
    EXPECT_FALSE(is_retryable(put.error()));
    EXPECT_THAT(put.error().to_string(), HasSubstr("403 SignatureDoesNotMatch"));
    EXPECT_THAT(put.error().to_string(), Not(HasSubstr("hidden")));
    EXPECT_THAT(put.error().to_string(), Not(HasSubstr("access")));
    EXPECT_EQ(store->stats().retries, 0u);
}

TEST_F(S3StoreTest, SecretsAreTakenOutOfWhatTheServerSays) {
    auto c = calls();
    host.server.fail_next("GET", 400, std::string("Bad ") + kSecretText + " and " + kTokenText + " of access");
    auto read = c.read("a", 0, 10);
    ASSERT_FALSE(read.has_value());
    EXPECT_THAT(read.error().to_string(), HasSubstr("400 Bad *** and *** of ***"));
}

TEST_F(S3StoreTest, NoRequestHoldsTheSecret) {
    auto c = calls();
    expect_ok(c.put("a", pattern(10, 1)));
    for (const HttpRequest& request : host.server.log()) {
        EXPECT_EQ(field(request, "x-amz-security-token"), kTokenText);
        EXPECT_THAT(field(request, "authorization"), HasSubstr("x-amz-security-token")) << "and it is signed";
        for (const auto& [name, value] : request.headers) EXPECT_THAT(value, Not(HasSubstr(kSecretText)));
    }
    EXPECT_THAT(store->description(), Not(HasSubstr("hidden")));
}

TEST_F(S3StoreTest, StatusesSayWhatCanBeDone) {
    auto c = calls();
    for (auto [status, code, expected] : {std::tuple{301, "PermanentRedirect", Errc::kInvalidArgument},
                                          {403, "AccessDenied", Errc::kInvalidArgument},
                                          {403, "QuotaExceeded", Errc::kNoSpace},
                                          {404, "NoSuchBucket", Errc::kInvalidArgument},
                                          {400, "EntityTooLarge", Errc::kLimit},
                                          {501, "NotImplemented", Errc::kUnsupported},
                                          {507, "InsufficientStorage", Errc::kNoSpace},
                                          {409, "Strange", Errc::kUnavailable}}) {
        host.server.fail_next("PUT", status, code);
        Result<> put = c.put("a", pattern(10, 1));
        ASSERT_FALSE(put.has_value()) << status;
        EXPECT_EQ(put.error(), expected) << status << " " << put.error().to_string();
    }
    for (auto [status, code] : {std::pair{400, "RequestTimeout"},
                                {409, "OperationAborted"},
                                {409, "ConditionalRequestConflict"},
                                {502, ""},
                                {504, ""},
                                {408, ""}}) {
        host.server.fail_next("PUT", status, code);
        expect_ok(c.put("retried/" + std::to_string(status) + code, pattern(10, 1)));
    }
}

TEST_F(S3StoreTest, ALostReplyOfACompletionIsLookedUp) {
    auto c = calls();
    auto upload = store->upload("u", 0);
    expect_ok(c.append(*upload, pattern(11 * kMiB, 1)));
    host.server.lose_next_reply("POST");
    expect_ok(c.finish_upload(*upload));
    EXPECT_EQ(c.stat("u")->size_bytes, 11 * kMiB);
    EXPECT_EQ(store->stats().looked_up, 1u);
    EXPECT_EQ(host.server.uploads(), 0u);
}

TEST_F(S3StoreTest, ACompletionWithAnErrorInItsBodyIsRepeated) {
    auto c = calls();
    auto upload = store->upload("u", 0);
    expect_ok(c.append(*upload, pattern(11 * kMiB, 1)));
    host.server.fail_next("POST", 200, "InternalError");
    expect_ok(c.finish_upload(*upload));
    EXPECT_EQ(content(*c.read("u", 5 * kMiB - 10, 20)), pattern(11 * kMiB, 1).sub(5 * kMiB - 10, 20).to_vector());
}

TEST_F(S3StoreTest, AFailedUploadIsRemovedFromTheServer) {
    auto c = calls();
    auto upload = store->upload("u", 0);
    expect_ok(c.append(*upload, pattern(6 * kMiB, 1)));
    EXPECT_EQ(host.server.uploads(), 1u);
    host.server.fail_next("PUT", 403, "AccessDenied", 1000);
    Result<> appended = c.append(*upload, pattern(12 * kMiB, 1));
    Result<> finished = appended ? c.finish_upload(*upload) : c.abort(*upload);
    EXPECT_EQ(host.server.uploads(), 0u);
    EXPECT_EQ(c.stat("u").error(), Errc::kNotFound);
    if (appended) {
        EXPECT_EQ(finished.error(), Errc::kInvalidArgument);
    }
}

TEST_F(S3StoreTest, AbandonedUploadsAreSweptWhenTheStoreOpens) {
    auto c = calls();
    auto upload = store->upload("u", 0);
    expect_ok(c.append(*upload, pattern(6 * kMiB, 1)));
    store.reset();  // as by a crash: the upload cannot be taken back any more
    upload.reset();
    host.executor_.advance(std::chrono::seconds(100));
    ASSERT_EQ(host.server.uploads(), 1u);
    open();
    EXPECT_EQ(host.server.uploads(), 1u) << "it could be another store's";
    store.reset();
    host.executor_.advance(std::chrono::hours(25));
    open();
    host.executor_.advance(std::chrono::milliseconds(100));
    EXPECT_EQ(host.server.uploads(), 0u);
}

TEST_F(S3StoreTest, RequestsAtOnceAreLimited) {
    host.options.requests_max = 3;
    auto c = calls();
    host.server.faults.delay_max = std::chrono::milliseconds(50);
    std::vector<StoreCalls::Outcome<void>> puts;
    for (int i = 0; i < 20; ++i) puts.push_back(c.start_put("p/" + std::to_string(i), pattern(10, 1)));
    for (auto& put : puts) expect_ok(c.finish<void>(put));
    EXPECT_EQ(host.transport->most_at_once(), 3u);
}

TEST_F(S3StoreTest, AClosedStoreEndsPausesAtOnce) {
    auto c = calls();
    host.server.fail_next("PUT", 503, "SlowDown", 100);
    auto put = c.start_put("a", pattern(10, 1));
    host.executor_.advance(std::chrono::milliseconds(900));
    EXPECT_FALSE(put->has_value());
    auto begun = host.now();
    store.reset();
    Result<> done = c.finish<void>(put);
    ASSERT_FALSE(done.has_value());
    EXPECT_EQ(done.error(), Errc::kClosed);
    EXPECT_LE(host.now() - begun, std::chrono::milliseconds(1));
}

TEST_F(S3StoreTest, BadOptionsAreRefused) {
    auto refused = [&](auto change) {
        host.options = make_options();
        change(host.options);
        auto opened = host.open();
        return !opened && opened.error() == Errc::kInvalidArgument;
    };
    EXPECT_TRUE(refused([](S3Options& o) { o.endpoint = "fake:8000"; }));
    EXPECT_TRUE(refused([](S3Options& o) { o.endpoint = "ftp://fake"; }));
    EXPECT_TRUE(refused([](S3Options& o) { o.endpoint = "http://user@fake"; }));
    EXPECT_TRUE(refused([](S3Options& o) { o.endpoint = "http://fake/path"; }));
    EXPECT_TRUE(refused([](S3Options& o) { o.endpoint = "http://"; }));
    EXPECT_TRUE(refused([](S3Options& o) { o.bucket = ""; }));
    EXPECT_TRUE(refused([](S3Options& o) { o.bucket = "a/b/c"; }));
    EXPECT_TRUE(refused([](S3Options& o) { o.region = "us east"; }));
    EXPECT_TRUE(refused([](S3Options& o) { o.prefix = "../x"; }));
    EXPECT_TRUE(refused([](S3Options& o) { o.requests_max = 0; }));
    EXPECT_TRUE(refused([](S3Options& o) { o.bytes_per_second_min = 0; }));
    EXPECT_FALSE(refused([](S3Options& o) { o.prefix = "a/b/"; }));
}

TEST_F(S3StoreTest, AddressesOfBothStyles) {
    S3Options options = make_options();
    options.endpoint = "https://s3.example.com:443/";
    EXPECT_EQ(resolve_endpoint(options)->origin, "https://s3.example.com");
    EXPECT_EQ(resolve_endpoint(options)->base_path, "/bucket");
    options.path_style = false;
    EXPECT_EQ(resolve_endpoint(options)->origin, "https://bucket.s3.example.com");
    EXPECT_EQ(resolve_endpoint(options)->base_path, "");
    options.endpoint = "";
    options.region = "eu-west-1";
    EXPECT_EQ(resolve_endpoint(options)->host, "bucket.s3.eu-west-1.amazonaws.com");
}

// Two owners count up in one register and write objects, on a server that fails all the time, with so little patience
// that outcomes stay unknown: what was acknowledged must be there, once.
TEST(S3StoreSeeds, AcknowledgedIsThereUnknownIsAtMostOnce) {
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        SCOPED_TRACE(seed);
        Host host(seed);
        host.options.attempts_max = 3;
        host.server.faults = {.error_percent = 10,
                              .late_error_percent = 10,
                              .slow_down_percent = 5,
                              .lost_request_percent = 5,
                              .lost_reply_percent = 10,
                              .half_body_percent = 10,
                              .delay_max = std::chrono::milliseconds(40),
                              .lost_race_is_500 = true};
        std::unique_ptr<ChunkStore> stores[2] = {std::move(*host.open()), std::move(*host.open())};
        std::uint64_t sure = 0, unknown = 0;
        std::vector<std::string> written;
        for (int round = 0; round < 15; ++round) {
            std::vector<StoreCalls::Outcome<RegisterTag>> writes;
            std::vector<StoreCalls::Outcome<void>> puts;
            for (auto& store : stores) {
                StoreCalls c(host, *store);
                auto seen = c.read_register("count");
                if (!seen) continue;
                std::uint64_t count = 0;
                if (!seen->tag.absent()) count = std::stoull(std::string(seen->value.begin(), seen->value.end()));
                writes.push_back(c.start_write("count", std::to_string(count + 1), seen->tag));
                puts.push_back(c.start_put("o/" + std::to_string(round), pattern(100, static_cast<unsigned>(round))));
            }
            StoreCalls c(host, *stores[0]);
            for (auto& write : writes) {
                auto done = c.finish<RegisterTag>(write);
                if (done)
                    ++sure;
                else if (done.error() != Errc::kBadVersion || done.error().value() == 1)
                    ++unknown;
            }
            std::size_t winners = 0;
            for (auto& put : puts) {
                auto done = c.finish<void>(put);
                if (done) ++winners;
            }
            EXPECT_LE(winners, 1u);
            if (winners == 1) written.push_back("o/" + std::to_string(round));
        }
        host.server.faults = {};
        StoreCalls c(host, *stores[1]);
        auto final = c.read_register("count");
        ASSERT_TRUE(final.has_value()) << final.error().to_string();
        std::uint64_t count = 0;
        if (!final->tag.absent()) count = std::stoull(std::string(final->value.begin(), final->value.end()));
        EXPECT_GE(count, sure);
        EXPECT_LE(count, sure + unknown);
        for (const std::string& key : written) {
            auto read = c.read(key, 0, 100);
            ASSERT_TRUE(read.has_value()) << read.error().to_string();
            EXPECT_EQ(content(*read), pattern(100, static_cast<unsigned>(std::stoul(key.substr(2)))).to_vector());
        }
    }
}

}  // namespace
}  // namespace millrace::lts
