// The service on real sockets and loops, and its SegmentApi.
#include "store/service.h"

#include <future>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "store/store_harness.h"

namespace millrace::store {
namespace {

// A client with its own socket that waits for what it expects.
class SocketClient {
  public:
    explicit SocketClient(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        timeval limit{20, 0};
        ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    }
    ~SocketClient() { ::close(socket_); }
    SocketClient(const SocketClient&) = delete;

    template <typename... C>
    void send(const C&... commands) {
        std::vector<std::uint8_t> out;
        bytes::Writer writer(out);
        (wire::encode(commands, writer), ...);
        send_bytes(out);
    }
    void send_bytes(bytes::ByteSpan data) {
        ASSERT_EQ(::send(socket_, data.data(), data.size(), MSG_NOSIGNAL), std::ssize(data));
    }
    // Nothing when the connection ends.
    std::optional<Received> next() {
        Received reply;
        std::array<std::uint8_t, 65536> buffer;
        while (!reader_.next(reply)) {
            ssize_t count = ::recv(socket_, buffer.data(), buffer.size(), 0);
            if (count <= 0) return std::nullopt;
            reader_.add({buffer.data(), static_cast<std::size_t>(count)});
        }
        return reply;
    }
    template <typename R, typename C>
    R call(const C& command) {
        send(command);
        auto reply = next();
        if (!reply || reply->template as<R>() == nullptr) {
            ADD_FAILURE() << "no such reply";
            return {};
        }
        return *(last_ = *reply).template as<R>();
    }

  private:
    int socket_;
    ReplyReader reader_;
    Received last_;
};

struct ServiceTest : testing::Test {
    runtime::CoreLoop first{"store-0", 1};
    runtime::CoreLoop second{"store-1", 2};
    std::vector<std::unique_ptr<container::SegmentContainer>> containers;
    std::unique_ptr<StoreService> service;

    ServiceTest() {
        std::vector<ContainerHandle> handles;
        for (std::uint32_t i = 0; i < 4; ++i) {
            runtime::CoreLoop& home = i % 2 == 0 ? first : second;
            auto state = std::make_unique<container::state::MemoryStateStore>(
                std::make_shared<container::state::MemoryStateDisk>(), home);
            containers.push_back(std::make_unique<container::SegmentContainer>(
                ContainerId(i), home, container::ContainerOptions{}, std::move(state)));
            EXPECT_TRUE(containers.back()->finish_recovery());
            containers.back()->start(
                std::make_unique<container::MemoryLog>(std::make_shared<container::MemoryLogDisk>(), home),
                [](const Error&) {});
            handles.push_back({containers.back().get(), &home});
        }
        StoreOptions options;
        options.address = "127.0.0.1";
        service = std::make_unique<StoreService>(options, std::vector{&first, &second}, std::move(handles));
        EXPECT_TRUE(service->start());
        first.start();
        second.start();
    }
    ~ServiceTest() override {
        std::promise<void> stopped;
        service->stop([&] { stopped.set_value(); });
        EXPECT_EQ(stopped.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
        EXPECT_EQ(service->stats().connections, 0u);
        EXPECT_EQ(service->stats().outstanding_bytes, 0u);
        EXPECT_EQ(service->stats().read_reply_bytes, 0u);
        EXPECT_EQ(service->stats().standing_bytes, 0u);
        first.stop();
        second.stop();
    }

    // Calls the interface of other rooms and waits.
    template <typename T, typename Call>
    Result<T> ask(Call call) {
        std::promise<Result<T>> promise;
        bool there = false;
        call(first, [&](Result<T> result) {
            there = first.on_this_thread();
            promise.set_value(std::move(result));
        });
        Result<T> result = promise.get_future().get();
        EXPECT_TRUE(there) << "the callback runs where it was asked for";
        return result;
    }
};

TEST_F(ServiceTest, ManyConnectionsOnManySegments) {
    constexpr int kClients = 8;
    std::vector<std::unique_ptr<SocketClient>> clients;
    for (int i = 0; i < kClients; ++i) clients.push_back(std::make_unique<SocketClient>(service->port()));
    for (int i = 0; i < kClients; ++i) {
        SocketClient& client = *clients[static_cast<std::size_t>(i)];
        std::string segment = "scope/s" + std::to_string(i) + "/0.#epoch.0";
        Uuid writer{1, static_cast<std::uint64_t>(i)};
        EXPECT_EQ(client.call<wire::Hello>(wire::Hello{17, 5}).high_version, 16);
        client.call<wire::SegmentCreated>(create(segment));
        client.send(setup(segment, writer));
        for (int n = 1; n <= 100; ++n) client.send(append(n, "0123456789", writer));
        EXPECT_EQ(client.next()->as<wire::AppendSetup>()->last_event_number, kNullAttribute);
    }
    for (int i = 0; i < kClients; ++i) {
        SocketClient& client = *clients[static_cast<std::size_t>(i)];
        std::int64_t acknowledged = kNullAttribute;
        while (acknowledged != 100) {
            auto reply = client.next();
            ASSERT_TRUE(reply);
            ASSERT_NE(reply->as<wire::DataAppended>(), nullptr);
            EXPECT_EQ(reply->as<wire::DataAppended>()->previous_event_number, acknowledged);
            acknowledged = reply->as<wire::DataAppended>()->event_number;
        }
        std::string segment = "scope/s" + std::to_string(i) + "/0.#epoch.0";
        EXPECT_EQ(client.call<wire::SegmentRead>(read(segment, 0, 2000)).data.size(), 1000u);
    }
    EXPECT_EQ(service->stats().connections, static_cast<std::uint64_t>(kClients));
    EXPECT_EQ(service->stats().appends, 800u);
    EXPECT_EQ(service->stats().append_bytes, 8000u);
}

TEST_F(ServiceTest, TheGoldenAppendsThroughASocket) {
    SocketClient client(service->port());
    client.call<wire::SegmentCreated>(create(kSegment));
    client.send_bytes(unhex(
        "00000001000000330000000700000001000102030405060708090a0b0c0d0e0f001773636f70652f73747265616d2f302e2365706f6368"
        "2e300000"
        "000000030000001d000102030405060708090a0b0c0d0e0f000000000000000568656c6c6f"
        "000000040000002c000102030405060708090a0b0c0d0e0f0000000d000000000000000100000000000000010000000700000001"
        "0000000300000038000102030405060708090a0b0c0d0e0f00000000000000056576656e740000000000000005736576656efffffffe00"
        "000006"
        "000000000000"
        "0000000400000033000102030405060708090a0b0c0d0e0f0000001a000000070005746869726400000003000000000000000400000007"
        "00000001"
        "0000000300000038000102030405060708090a0b0c0d0e0f00000000000000056576656e740000000000000005736576656effffffff00"
        "000006"
        "000000000000"
        "000000040000002c000102030405060708090a0b0c0d0e0f0000001a000000000000000200000000000000060000000700000001"
        "0000006400000000"
        "000000030000002d000102030405060708090a0b0c0d0e0f00000000000000056576656e74fffffffe000000080000000000000000"
        "000000040000002c000102030405060708090a0b0c0d0e0f0000000d0000000000000002000000000000000b0000000700000001"));
    std::int64_t acknowledged = 0;
    bool alive = false;
    while (acknowledged < 11) {
        auto reply = client.next();
        ASSERT_TRUE(reply);
        if (reply->as<wire::KeepAlive>() != nullptr) alive = true;
        if (const auto* ack = reply->as<wire::DataAppended>()) acknowledged = ack->event_number;
    }
    EXPECT_TRUE(alive);
    EXPECT_EQ(client.call<wire::SegmentRead>(read(kSegment, 0, 1000)).data.size(), 99u);
}

TEST_F(ServiceTest, GarbageClosesItsOwnConnectionOnly) {
    SocketClient good(service->port());
    good.call<wire::SegmentCreated>(create(kSegment));
    for (int i = 0; i < 4; ++i) {
        SocketClient bad(service->port());
        bad.send_bytes(bytes::as_bytes("GET / HTTP/1.1\r\n\r\n"));
        EXPECT_FALSE(bad.next());
    }
    EXPECT_EQ(good.call<wire::StreamSegmentInfo>(info(kSegment)).write_offset, 0);
    EXPECT_EQ(service->stats().broken, 4u);
}

TEST_F(ServiceTest, AReaderThatGoesAwayHarmsNobody) {
    SocketClient writer(service->port());
    writer.call<wire::SegmentCreated>(create(kSegment));
    writer.call<wire::AppendSetup>(setup(kSegment));
    {
        SocketClient reader(service->port());
        reader.send(read(kSegment, 0, 100));
    }
    SocketClient reader(service->port());
    reader.send(read(kSegment, 0, 100));
    writer.call<wire::DataAppended>(append(1, "more"));
    EXPECT_EQ(text(reader.next()->as<wire::SegmentRead>()->data), "more");
}

TEST_F(ServiceTest, OtherRoomsReachSegmentsByName) {
    SegmentApi& api = service->api();
    EXPECT_EQ(api.container_count(), 4u);
    for (int i = 0; i < 8; ++i) {
        std::string name = "scope/api" + std::to_string(i) + "/0.#epoch.0";
        container::CreateOptions options;
        ASSERT_TRUE(ask<void>([&](auto& on, auto done) { api.create(name, options, on, std::move(done)); }));
        auto again = ask<void>([&](auto& on, auto done) { api.create(name, options, on, std::move(done)); });
        EXPECT_EQ(again.error(), Errc::kExists);
        ASSERT_TRUE(ask<void>([&](auto& on, auto done) { api.update_policy(name, 2, 10, on, std::move(done)); }));
        auto truncated = ask<void>([&](auto& on, auto done) { api.truncate(name, 5, on, std::move(done)); });
        EXPECT_EQ(truncated.error(), Errc::kTruncated);
        EXPECT_EQ(*ask<std::int64_t>([&](auto& on, auto done) { api.seal(name, on, std::move(done)); }), 0);
        auto state = ask<container::SegmentInfo>([&](auto& on, auto done) { api.info(name, on, std::move(done)); });
        ASSERT_TRUE(state);
        EXPECT_TRUE(state->sealed);
        ASSERT_TRUE(ask<void>([&](auto& on, auto done) { api.remove(name, on, std::move(done)); }));
        auto gone = ask<container::SegmentInfo>([&](auto& on, auto done) { api.info(name, on, std::move(done)); });
        EXPECT_EQ(gone.error(), Errc::kNotFound);
    }
}

TEST_F(ServiceTest, OtherRoomsAskForTraffic) {
    SocketClient writer(service->port());
    writer.call<wire::SegmentCreated>(create(kSegment));
    writer.call<wire::AppendSetup>(setup(kSegment));
    writer.call<wire::DataAppended>(append(1, "more"));
    std::size_t busy = 0;
    for (std::uint32_t i = 0; i < 4; ++i) {
        auto all = ask<std::vector<container::SegmentTraffic>>(
            [&](auto& on, auto done) { service->traffic_api().traffic(ContainerId(i), on, std::move(done)); });
        ASSERT_TRUE(all);
        for (const container::SegmentTraffic& one : *all) EXPECT_EQ(one.segment, kSegment);
        busy += all->size();
    }
    EXPECT_EQ(busy, 1u);
}

TEST_F(ServiceTest, OtherRoomsKeepTablesInAContainer) {
    SegmentApi& api = service->api();
    for (std::uint32_t i = 0; i < 4; ++i) {
        ContainerId id(i);
        std::vector<container::TableUpdate> updates{{"a/1", "one", container::kNotExists},
                                                    {"a/2", "two", container::kAnyVersion}};
        auto versions = ask<std::vector<std::int64_t>>([&](auto& on, auto done) {
            api.update_table(id, "t", updates, container::SpaceNeed::kOrdinary, on, std::move(done));
        });
        ASSERT_TRUE(versions);
        auto refused = ask<std::vector<std::int64_t>>([&](auto& on, auto done) {
            api.update_table(id, "t", updates, container::SpaceNeed::kOrdinary, on, std::move(done));
        });
        EXPECT_EQ(refused.error(), Errc::kBadVersion);
        auto entry = ask<std::optional<container::TableEntry>>(
            [&](auto& on, auto done) { api.table_get(id, "t", "a/1", on, std::move(done)); });
        ASSERT_TRUE(entry && *entry);
        EXPECT_EQ((*entry)->value, "one");
        EXPECT_EQ((*entry)->version, versions->front());
        auto all = ask<std::vector<container::TableEntry>>(
            [&](auto& on, auto done) { api.table_scan(id, "t", "a/", "a/1", 10, on, std::move(done)); });
        ASSERT_TRUE(all);
        ASSERT_EQ(all->size(), 1u);
        EXPECT_EQ(all->front().key, "a/2");
    }
}

}  // namespace
}  // namespace millrace::store
