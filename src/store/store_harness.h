// The store without sockets: containers over memory logs, connections over captured transports, all driven step by
// step. Containers live on the connections' executor, or on another one.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "container/memory_log.h"
#include "container/state/memory_state_store.h"
#include "runtime/manual_executor.h"
#include "store/connection.h"
#include "wire/codec.h"
#include "wire/frame.h"

namespace millrace::store {

using container::kNullAttribute;

// A reply and the bytes its spans lie in.
struct Received {
    std::shared_ptr<std::vector<std::uint8_t>> bytes;
    wire::Reply reply;

    template <typename C>
    const C* as() const {
        return std::get_if<C>(&reply);
    }
};

// Takes frames off a byte string.
class ReplyReader {
  public:
    void add(bytes::ByteSpan data) { buffer_.insert(buffer_.end(), data.begin(), data.end()); }
    bool next(Received& into) {
        wire::FrameParser frames(buffer_);
        auto frame = frames.next();
        EXPECT_TRUE(frame) << "the server sent no frame";
        if (!frame || !*frame) return false;
        into.bytes = std::make_shared<std::vector<std::uint8_t>>((*frame)->payload.begin(), (*frame)->payload.end());
        auto reply = wire::decode_reply((*frame)->type, *into.bytes);
        EXPECT_TRUE(reply) << reply.error().to_string();
        if (!reply) return false;
        into.reply = std::move(*reply);
        buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(frames.consumed()));
        return true;
    }
    bool empty() const { return buffer_.empty(); }

  private:
    std::vector<std::uint8_t> buffer_;
};

class FakeTransport final : public net::Transport {
  public:
    explicit FakeTransport(runtime::Executor& executor) : executor_(executor) {}

    void need(std::size_t size) override { needed = size; }
    void pause_reading() override { paused = true; }
    void resume_reading() override {
        paused = false;
        executor_.post([this] { offer(); });
    }
    void send(bytes::ByteSpan data) override {
        if (closing) return;
        unsent_.insert(unsent_.end(), data.begin(), data.end());
        if (hold_sends || flush_posted_) return;
        flush_posted_ = true;
        executor_.post([this] { flush(); });
    }
    void send(std::vector<std::uint8_t>&& owned) override { send(bytes::ByteSpan(owned)); }
    void send(const bytes::Chain& shared) override { send(bytes::ByteSpan(shared.to_vector())); }
    std::size_t unsent_bytes() const override { return unsent_.size(); }
    void close() override { finish(net::CloseReason::kRequested); }
    void close_after_flush() override {
        closing = true;
        sent.insert(sent.end(), unsent_.begin(), unsent_.end());
        unsent_.clear();
        finish(net::CloseReason::kRequested);
    }
    bool closed() const override { return finished_; }
    runtime::Executor& executor() override { return executor_; }
    const std::string& peer() const override { return peer_; }
    std::chrono::steady_clock::time_point last_activity() const override { return activity_; }

    // ---- the client's side ----
    void receive(bytes::ByteSpan data) {
        activity_ = executor_.clock().now();
        waiting_.insert(waiting_.end(), data.begin(), data.end());
        offer();
    }
    void hang_up() { finish(net::CloseReason::kPeerReset); }
    void take_held() {
        hold_sends = false;
        flush();
        handler->on_send_low();
    }
    std::size_t unread() const { return waiting_.size(); }

    std::shared_ptr<net::Handler> handler;
    std::vector<std::uint8_t> sent;
    std::size_t needed = 0;
    bool paused = false;
    bool closing = false;
    bool hold_sends = false;

  private:
    void flush() {
        flush_posted_ = false;
        if (unsent_.empty()) return;
        sent.insert(sent.end(), unsent_.begin(), unsent_.end());
        unsent_.clear();
        if (handler != nullptr) handler->on_sent();
    }
    void offer() {
        if (paused || closing || finished_ || waiting_.empty() || waiting_.size() < needed) return;
        needed = 0;
        std::size_t consumed = handler->on_data(bytes::Slice::copy_of(waiting_));
        waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(consumed));
    }
    void finish(net::CloseReason reason) {
        if (std::exchange(finished_, true)) return;
        closing = true;
        executor_.post([last = std::exchange(handler, nullptr), reason] { last->on_closed(reason, "test"); });
    }

    runtime::Executor& executor_;
    const std::string peer_ = "test:1";
    std::vector<std::uint8_t> waiting_;
    std::vector<std::uint8_t> unsent_;
    bool finished_ = false;
    bool flush_posted_ = false;
    std::chrono::steady_clock::time_point activity_;
};

class Harness;

class TestClient {
  public:
    TestClient(Harness& harness, runtime::Executor& executor) : transport(executor), harness_(harness) {}

    // One write; nothing runs yet but what the connection does at once.
    template <typename... C>
    void send(const C&... commands) {
        std::vector<std::uint8_t> out;
        bytes::Writer writer(out);
        (wire::encode(commands, writer), ...);
        transport.receive(out);
    }
    void send_bytes(bytes::ByteSpan data) { transport.receive(data); }

    // Runs everything, then takes what was sent so far.
    std::vector<Received> replies();
    // The only reply to the command.
    template <typename R, typename C>
    R call(const C& command) {
        send(command);
        auto all = replies();
        EXPECT_EQ(all.size(), 1u);
        if (all.size() != 1 || all[0].template as<R>() == nullptr) {
            ADD_FAILURE() << "another reply: variant " << (all.empty() ? 0 : all[0].reply.index());
            return {};
        }
        kept_.push_back(all[0].bytes);
        return *all[0].template as<R>();
    }
    bool closed() const { return transport.closed(); }

    FakeTransport transport;

  private:
    std::vector<std::shared_ptr<std::vector<std::uint8_t>>> kept_;  // payloads that returned replies point into
    Harness& harness_;
    ReplyReader reader_;
};

class Harness {
  public:
    static constexpr std::size_t kContainers = 4;

    explicit Harness(bool far_containers, StoreOptions store_options = {})
        : options(std::move(store_options)), containers_on_(far_containers ? far : loop) {
        std::vector<ContainerHandle> handles;
        for (std::size_t i = 0; i < kContainers; ++i) {
            auto records = std::make_unique<container::state::MemoryStateStore>(
                std::make_shared<container::state::MemoryStateDisk>(), containers_on_);
            containers.push_back(std::make_unique<container::SegmentContainer>(
                ContainerId(static_cast<std::uint32_t>(i)), containers_on_, container::ContainerOptions{},
                std::move(records)));
            EXPECT_TRUE(containers.back()->finish_recovery());
            auto log =
                std::make_unique<container::MemoryLog>(std::make_shared<container::MemoryLogDisk>(), containers_on_);
            logs.push_back(log.get());
            containers.back()->start(std::move(log), [](const Error& error) { ADD_FAILURE() << error.to_string(); });
            handles.push_back({containers.back().get(), &containers_on_});
        }
        router = std::make_unique<SegmentRouter>(std::move(handles));
        budgets = std::make_unique<Budgets>(options);
        credits = &budgets->credits;
        state = std::make_unique<LoopState>(loop, *router, options, *budgets);
        state->on_total_fell = [this] { loop.post([this] { state->look_at_starved(); }); };
        run();
    }
    ~Harness() {
        for (auto& client : clients) client->transport.hang_up();
        hold_logs(false);
        run();
        EXPECT_EQ(state->counters.accepted.get(), state->counters.closed.get()) << "a connection was never done with";
        EXPECT_EQ(credits->total(), 0u) << "credits were lost";
        EXPECT_EQ(budgets->reads.total(), 0u) << "read bytes were lost";
        EXPECT_EQ(budgets->standing.total(), 0u) << "standing bytes were lost";
        for (auto& container : containers) EXPECT_EQ(container->stats().waiting_reads, 0u);
    }

    void run() {
        while (loop.run_one() || far.run_one()) {
        }
    }
    TestClient& connect() {
        clients.push_back(std::make_unique<TestClient>(*this, loop));
        TestClient& client = *clients.back();
        auto connection = std::make_shared<StoreConnection>(*state, client.transport);
        state->add(connection);
        client.transport.handler = std::move(connection);
        return client;
    }
    container::MemoryLog& log_of(std::string_view segment) { return *logs[router->container_for(segment).value()]; }
    container::SegmentContainer& container_of(std::string_view segment) {
        return *containers[router->container_for(segment).value()];
    }
    void hold_logs(bool hold) {
        for (container::MemoryLog* log : logs) {
            log->hold = hold;
            if (!hold) log->acknowledge(1'000'000);
        }
    }

    runtime::ManualExecutor loop;
    runtime::ManualExecutor far;
    const StoreOptions options;
    std::vector<container::MemoryLog*> logs;
    std::vector<std::unique_ptr<container::SegmentContainer>> containers;
    std::unique_ptr<SegmentRouter> router;
    std::unique_ptr<Budgets> budgets;
    CreditPool* credits = nullptr;
    std::unique_ptr<LoopState> state;
    std::vector<std::unique_ptr<TestClient>> clients;

  private:
    runtime::ManualExecutor& containers_on_;
};

inline std::vector<Received> TestClient::replies() {
    harness_.run();
    reader_.add(transport.sent);
    transport.sent.clear();
    std::vector<Received> all;
    Received next;
    while (reader_.next(next)) all.push_back(std::move(next));
    EXPECT_TRUE(reader_.empty()) << "part of a reply";
    return all;
}

// ---- short forms ----

inline constexpr Uuid kWriter{0x0001020304050607, 0x08090a0b0c0d0e0f};
inline constexpr std::int64_t kRequest = 0x0000000700000001;
inline const std::string kSegment = "scope/stream/0.#epoch.0";

inline wire::SetupAppend setup(const std::string& segment, const Uuid& writer = kWriter, std::int64_t id = kRequest) {
    return {id, writer, segment, ""};
}
inline wire::AppendBlockEnd append(std::int64_t number, std::string_view data, const Uuid& writer = kWriter,
                                   std::int64_t id = kRequest, std::int32_t events = 1) {
    return {writer, static_cast<std::int32_t>(data.size()), bytes::as_bytes(data), events, number, id};
}
inline wire::ConditionalBlockEnd conditional(std::int64_t number, std::int64_t expected, std::string_view data,
                                             std::int64_t id = kRequest, const Uuid& writer = kWriter) {
    return {writer, number, expected, bytes::as_bytes(data), id};
}
inline wire::CreateSegment create(const std::string& segment, std::int64_t id = kRequest) {
    wire::CreateSegment command;
    command.request_id = id;
    command.segment = segment;
    return command;
}
inline wire::ReadSegment read(const std::string& segment, std::int64_t offset, std::int32_t length,
                              std::int64_t id = kRequest) {
    return {segment, offset, length, "", id};
}
inline wire::GetStreamSegmentInfo info(const std::string& segment, std::int64_t id = kRequest) {
    return {id, segment, ""};
}
inline wire::SealSegment seal(const std::string& segment, std::int64_t id = kRequest) { return {id, segment, ""}; }
inline wire::DeleteSegment remove(const std::string& segment, std::int64_t id = kRequest) { return {id, segment, ""}; }
inline wire::TruncateSegment truncate(const std::string& segment, std::int64_t offset, std::int64_t id = kRequest) {
    return {id, segment, offset, ""};
}
inline std::string text(bytes::ByteSpan data) { return std::string(bytes::as_text(data)); }

inline std::vector<std::uint8_t> unhex(std::string_view hex) {
    auto digit = [](char c) { return static_cast<std::uint8_t>(c <= '9' ? c - '0' : c - 'a' + 10); };
    std::vector<std::uint8_t> out;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
        out.push_back(static_cast<std::uint8_t>(digit(hex[i]) << 4 | digit(hex[i + 1])));
    }
    return out;
}

// ---- the fixture ----

// For tests with the containers on the same core (false) and on another one (true).
struct StoreFixture : testing::TestWithParam<bool> {
    Harness& with(StoreOptions options) {
        harness_.reset();
        harness_ = std::make_unique<Harness>(GetParam(), std::move(options));
        return *harness_;
    }
    Harness& h() {
        if (harness_ == nullptr) harness_ = std::make_unique<Harness>(GetParam());
        return *harness_;
    }
    TestClient& connect() { return h().connect(); }
    TestClient& connect_with_segment(const std::string& segment = kSegment) {
        TestClient& client = connect();
        client.call<wire::SegmentCreated>(create(segment));
        return client;
    }
    TestClient& connect_with_writer() {
        TestClient& client = connect_with_segment();
        EXPECT_EQ(client.call<wire::AppendSetup>(setup(kSegment)).last_event_number, kNullAttribute);
        return client;
    }

  private:
    std::unique_ptr<Harness> harness_;
};

}  // namespace millrace::store
