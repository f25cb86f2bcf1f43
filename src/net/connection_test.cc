#include "net/connection.h"

#include <atomic>
#include <functional>
#include <future>
#include <mutex>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "bytes/binary.h"
#include "net/listener.h"
#include "net/test_client.h"

namespace millrace::net {
namespace {

using namespace std::chrono_literals;
using bytes::Slice;
using runtime::CoreLoop;

// Pieces of a Handler, given by the test as functions; everything it reports can be read from the test's thread.
struct Probe : Handler {
    Transport* transport = nullptr;
    std::function<std::size_t(Probe&, const Slice&)> data = [](Probe&, const Slice& window) { return window.size(); };
    std::function<void(Probe&)> eof = [](Probe& probe) { probe.transport->close_after_flush(); };
    std::atomic<std::size_t> received{0};  // consumed before, and the last window
    std::atomic<std::size_t> consumed{0};
    std::atomic<int> calls{0};
    std::atomic<int> eofs{0};
    std::atomic<int> closed{0};
    std::atomic<int> highs{0};
    std::atomic<int> lows{0};
    std::atomic<std::size_t> unsent{0};  // when something had been sent
    std::atomic<int> sents{0};
    std::atomic<CloseReason> reason{CloseReason::kRequested};
    bool inside = false;

    std::size_t on_data(const Slice& window) override {
        received = consumed + window.size();
        inside = true;
        std::size_t count = data(*this, window);
        inside = false;
        consumed += count;
        ++calls;
        return count;
    }
    void on_eof() override {
        ++eofs;
        eof(*this);
    }
    void on_closed(CloseReason why, std::string_view) override {
        EXPECT_FALSE(inside);
        reason = why;
        ++closed;
    }
    void on_sent() override {
        unsent = transport->unsent_bytes();
        ++sents;
    }
    void on_send_high() override { ++highs; }
    void on_send_low() override { ++lows; }
};

// Frames of a big-endian length and so many bytes; gives each payload to `take`.
std::function<std::size_t(Probe&, const Slice&)> frames(std::function<void(Probe&, Slice)> take) {
    return [take = std::move(take)](Probe& probe, const Slice& window) -> std::size_t {
        std::size_t done = 0;
        while (window.size() - done >= 4 && !probe.transport->closed()) {
            auto size = bytes::load_be<std::uint32_t>(window.data() + done);
            if (window.size() - done - 4 < size) {
                probe.transport->need(4 + std::size_t{size});
                break;
            }
            take(probe, window.sub(done + 4, size));
            done += 4 + size;
        }
        return done;
    };
}

std::string frame(std::string_view payload) {
    std::vector<std::uint8_t> header(4);
    bytes::store_be(header.data(), static_cast<std::uint32_t>(payload.size()));
    return std::string(bytes::as_text(header)) + std::string(payload);
}

std::string pattern(std::size_t size, std::uint64_t seed) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>((i * 31 + i / 251 + seed) & 0xff);
    return text;
}

struct ConnectionTest : testing::Test {
    CoreLoop loop{"net-test", 1};
    ConnectionOptions options;
    std::function<void(Probe&)> prepare;
    std::unique_ptr<Listener> listener;
    std::mutex mutex;
    std::vector<std::shared_ptr<Probe>> probes;

    ConnectionTest() {
        loop.start();
        auto opened = Listener::open(
            loop, {}, [this]() -> CoreLoop& { return loop; },
            [this](CoreLoop& home, Socket socket) {
                auto connection = Connection::create(home, std::move(socket), options);
                auto probe = std::make_shared<Probe>();
                probe->transport = connection.get();
                if (prepare) prepare(*probe);
                connection->start(probe);
                std::lock_guard lock(mutex);
                probes.push_back(std::move(probe));
            });
        listener = std::move(*opened);
    }
    ~ConnectionTest() override { loop.stop(); }

    TestClient connect() { return TestClient(listener->port()); }
    Probe& probe(std::size_t index = 0) {
        EXPECT_TRUE(eventually([&] {
            std::lock_guard lock(mutex);
            return probes.size() > index;
        }));
        std::lock_guard lock(mutex);
        return *probes.at(index);
    }
    template <typename F>
    auto on_loop(F work) {
        std::packaged_task<decltype(work())()> task(std::move(work));
        auto done = task.get_future();
        loop.post(std::move(task));
        return done.get();
    }
    bool closed_with(CloseReason reason, Probe& which) {
        return eventually([&] { return which.closed == 1; }) && which.reason == reason;
    }
};

TEST_F(ConnectionTest, EchoesFramesSplitAtEveryByte) {
    prepare = [](Probe& probe) {
        // Without need(): every arrival is seen, whole frame or not.
        probe.data = [](Probe& p, const Slice& window) -> std::size_t {
            std::size_t done = 0;
            while (window.size() - done >= 4) {
                auto size = bytes::load_be<std::uint32_t>(window.data() + done);
                if (window.size() - done - 4 < size) break;
                p.transport->send(window.sub(done, 4 + size).span());
                done += 4 + size;
            }
            return done;
        };
    };
    std::string message = frame("first") + frame("") + frame("the third one");
    TestClient client = connect();
    Probe& server = probe();
    std::size_t sent = 0;
    for (std::size_t split = 0; split <= message.size(); ++split) {
        client.send(std::string_view(message).substr(0, split));
        ASSERT_TRUE(eventually([&] { return server.received == sent + split; }));
        client.send(std::string_view(message).substr(split));
        sent += message.size();
        ASSERT_EQ(client.receive(message.size()), message);
    }
}

TEST_F(ConnectionTest, ABigFrameGrowsWithWhatHasCome) {
    std::string big = pattern(16 * kMiB, 7);
    std::promise<bool> whole;
    prepare = [&](Probe& probe) {
        probe.data =
            frames([&](Probe&, const Slice& payload) { whole.set_value(bytes::as_text(payload.span()) == big); });
    };
    std::size_t before = bytes::Slab::live_bytes();
    std::string message = frame(big);
    TestClient client = connect();
    client.send(std::string_view(message).substr(0, 1000));
    Probe& server = probe();
    ASSERT_TRUE(eventually([&] { return server.received == 1000; }));
    EXPECT_LE(bytes::Slab::live_bytes() - before, 256 * kKiB);
    client.send(std::string_view(message).substr(1000));
    EXPECT_TRUE(whole.get_future().get());
    EXPECT_EQ(on_loop([&] { return server.calls.load(); }), 2);  // need() spares the calls in between
    EXPECT_TRUE(eventually([&] { return bytes::Slab::live_bytes() - before <= 4 * kMiB; }));
}

TEST_F(ConnectionTest, KeptSlicesStayIntact) {
    std::vector<Slice> kept;
    std::atomic<int> count{0};
    prepare = [&](Probe& probe) {
        probe.data = frames([&](Probe&, Slice payload) {
            kept.push_back(std::move(payload));
            if (kept.size() % 3 == 0) kept[kept.size() - 2] = Slice();  // holes, so that slabs are partly free
            ++count;
        });
    };
    TestClient client = connect();
    constexpr int kFrames = 400;
    for (int i = 0; i < kFrames; ++i)
        client.send(frame(pattern(static_cast<std::size_t>(i) * 97 % 60'000, static_cast<std::uint64_t>(i))));
    ASSERT_TRUE(eventually([&] { return count == kFrames; }));
    EXPECT_TRUE(on_loop([&] {
        for (std::size_t i = 0; i < kept.size(); ++i) {
            if (!kept[i].empty() && bytes::as_text(kept[i].span()) != pattern(i * 97 % 60'000, i)) return false;
        }
        kept.clear();
        return true;
    }));
}

TEST_F(ConnectionTest, PausingHoldsThePeerBack) {
    prepare = [](Probe& probe) {
        probe.data = [](Probe& p, const Slice&) -> std::size_t {
            if (p.calls == 0) {
                p.transport->pause_reading();
                return 0;
            }
            return p.received - p.consumed;
        };
    };
    constexpr std::size_t kTotal = 64 * kMiB;
    TestClient client = connect();
    Probe& server = probe();
    std::atomic<std::size_t> sent{0};
    std::jthread sender([&] {
        std::string block(kMiB, 'x');
        while (sent < kTotal) sent += client.send(block);
    });
    ASSERT_TRUE(eventually([&] { return server.calls == 1; }));
    // The sender gets stuck: what the kernel's buffers take is far less than the total.
    std::size_t last = 0;
    int still = 0;
    ASSERT_TRUE(eventually([&] {
        still = sent == last ? still + 1 : 0;
        last = sent;
        return still == 50;
    }));
    EXPECT_LT(sent, kTotal);
    EXPECT_LE(server.received, 2 * kMiB);
    on_loop([&] { server.transport->resume_reading(); });
    EXPECT_TRUE(eventually([&] { return server.consumed == kTotal; }));
}

TEST_F(ConnectionTest, ResumingOffersWhatWasLeft) {
    prepare = [](Probe& probe) {
        probe.data = [](Probe& p, const Slice&) -> std::size_t {
            p.transport->pause_reading();
            return 1;
        };
    };
    TestClient client = connect();
    Probe& server = probe();
    client.send("abc");
    for (std::size_t i = 1; i <= 3; ++i) {
        ASSERT_TRUE(eventually([&] { return server.consumed == i; }));
        on_loop([&] {
            server.transport->resume_reading();
            server.transport->resume_reading();
        });
    }
    client.end_own_half();
    EXPECT_TRUE(closed_with(CloseReason::kPeerClosed, server));
}

TEST_F(ConnectionTest, WatermarksTellTheProducer) {
    options.send_high = kMiB;
    options.send_low = 256 * kKiB;
    TestClient client = connect();
    Probe& server = probe();
    std::size_t sent = 0;
    std::string block = pattern(100'000, 1);
    while (server.highs == 0) {
        ASSERT_LT(sent, 200 * kMiB);
        on_loop([&] { server.transport->send(bytes::Chain(Slice::copy_of(bytes::as_bytes(block)))); });
        sent += block.size();
    }
    EXPECT_GT(sent, options.send_high);
    std::string expected;
    while (expected.size() < sent) expected += block;
    EXPECT_EQ(client.receive(sent), expected);
    EXPECT_TRUE(eventually([&] { return server.lows == 1; }));
    EXPECT_EQ(server.highs, 1);
    EXPECT_EQ(on_loop([&] { return server.transport->unsent_bytes(); }), 0u);
}

TEST_F(ConnectionTest, TellsWhenThePeerTakesSomething) {
    TestClient client = connect();
    Probe& server = probe();
    EXPECT_EQ(server.sents, 0);
    constexpr std::size_t kTotal = 40 * kMiB;
    for (std::size_t sent = 0; sent < kTotal; sent += kMiB) {
        on_loop([&] { server.transport->send(std::vector<std::uint8_t>(kMiB)); });
    }
    int before = server.sents;
    EXPECT_GT(before, 0) << "the kernel takes something";
    EXPECT_GT(server.unsent, 0u) << "and not everything";
    client.receive(kTotal);
    EXPECT_TRUE(eventually([&] { return server.unsent == 0; }));
    EXPECT_GT(server.sents, before);
}

// Memory that a peer which does not read makes us keep: the bytes that it will get, not what lies around them.
TEST_F(ConnectionTest, AStuckPeerKeepsNoSlabs) {
    TestClient client = connect();
    Probe& server = probe();
    for (int i = 0; i < 16; ++i) on_loop([&] { server.transport->send(std::vector<std::uint8_t>(kMiB)); });
    std::size_t before = bytes::Slab::live_bytes();
    for (int i = 0; i < 50; ++i) {
        on_loop([&] {
            bytes::SlabRef slab = bytes::Slab::allocate(kMiB);
            server.transport->send(bytes::Chain(Slice(slab, 0, 2000)));
        });
    }
    EXPECT_TRUE(eventually([&] { return bytes::Slab::live_bytes() <= before; }));
}

TEST_F(ConnectionTest, ASlowReaderIsCutOff) {
    options.send_limit = 8 * kMiB;
    TestClient client = connect();
    Probe& server = probe();
    for (int i = 0; i < 200 && server.closed == 0; ++i) {
        on_loop([&] {
            server.transport->send(std::vector<std::uint8_t>(kMiB));
            server.transport->send(bytes::as_bytes("ack"));
        });
    }
    EXPECT_TRUE(closed_with(CloseReason::kSlowReader, server));
    EXPECT_TRUE(on_loop([&] { return server.closed == 1; }));
}

TEST_F(ConnectionTest, OneLongTurnDoesNotMakeASlowReader) {
    options.send_limit = kMiB;
    options.write_per_turn = 128 * kKiB;
    prepare = [](Probe& probe) {
        probe.data = [](Probe& p, const Slice& window) {
            for (int i = 0; i < 30; ++i) p.transport->send(std::vector<std::uint8_t>(40'000));
            return window.size();
        };
    };
    TestClient client = connect();
    client.send("go");
    EXPECT_EQ(client.receive(1'200'000).size(), 1'200'000u);
    EXPECT_EQ(probe().closed, 0);
}

// What Pravega does too: the client ends its half, gets the replies that are due, and then the end.
TEST_F(ConnectionTest, HalfCloseStillGetsItsReplies) {
    std::string reply = pattern(3 * kMiB, 3);
    prepare = [&](Probe& probe) {
        probe.data = [](Probe&, const Slice& window) { return window.size(); };
        probe.eof = [this, &reply](Probe& p) {
            loop.call_after(5ms, [&p, &reply] {
                p.transport->send(bytes::as_bytes(reply));
                p.transport->close_after_flush();
            });
        };
    };
    TestClient client = connect();
    client.send("request");
    client.end_own_half();
    EXPECT_EQ(client.receive(reply.size()), reply);
    EXPECT_TRUE(client.at_end());
    EXPECT_TRUE(closed_with(CloseReason::kPeerClosed, probe()));
    EXPECT_EQ(probe().eofs, 1);
    EXPECT_EQ(probe().received, 7u);
}

// The last reply must reach a peer that goes on sending: no reset.
TEST_F(ConnectionTest, CloseAfterFlushDeliversTheLastReply) {
    std::string reply = pattern(kMiB, 5);
    prepare = [&](Probe& probe) {
        probe.data = [&reply](Probe& p, const Slice& window) {
            EXPECT_EQ(p.calls, 0);
            p.transport->send(bytes::as_bytes(reply));
            p.transport->close_after_flush();
            p.transport->send(bytes::as_bytes("too late"));
            return window.size();
        };
    };
    TestClient client = connect();
    std::jthread sender([&] { client.send(std::string(2 * kMiB, 'x')); });
    EXPECT_EQ(client.receive(reply.size()), reply);
    EXPECT_TRUE(client.at_end());
    sender.join();
    client.end_own_half();
    EXPECT_TRUE(closed_with(CloseReason::kRequested, probe()));
}

TEST_F(ConnectionTest, LingeringAndFlushingEnd) {
    options.linger_timeout = 5ms;
    options.flush_timeout = 10ms;
    TestClient stays = connect();
    Probe& lingering = probe(0);
    on_loop([&] { lingering.transport->close_after_flush(); });
    EXPECT_TRUE(closed_with(CloseReason::kRequested, lingering));

    TestClient never_reads = connect();
    Probe& flushing = probe(1);
    on_loop([&] {
        flushing.transport->send(std::vector<std::uint8_t>(32 * kMiB));
        flushing.transport->close_after_flush();
    });
    EXPECT_TRUE(closed_with(CloseReason::kRequested, flushing));
    EXPECT_TRUE(eventually([] { return Connection::live() == 0; }));
}

TEST_F(ConnectionTest, AResetIsNoticedEvenWhileNothingIsRead) {
    prepare = [](Probe& probe) { probe.transport->pause_reading(); };
    TestClient client = connect();
    client.send("never read");
    Probe& server = probe();
    client.reset();
    EXPECT_TRUE(closed_with(CloseReason::kPeerReset, server));
    EXPECT_EQ(server.calls, 0);
}

TEST_F(ConnectionTest, AResetWhileReadingAndWriting) {
    prepare = [](Probe& probe) {
        probe.data = [](Probe& p, const Slice& window) {
            p.transport->send(std::vector<std::uint8_t>(4 * kMiB));
            return window.size();
        };
    };
    TestClient client = connect();
    client.send("go");
    client.receive(1000);
    client.reset();
    EXPECT_TRUE(closed_with(CloseReason::kPeerReset, probe()));
}

TEST_F(ConnectionTest, OutOfBandDataChangesNothing) {
    prepare = [](Probe& probe) {
        probe.data = [](Probe& p, const Slice& window) {
            p.transport->send(window.span());
            return window.size();
        };
    };
    TestClient client = connect();
    client.send("!", MSG_OOB);
    client.send("hello");
    EXPECT_EQ(client.receive(5), "hello");
    client.end_own_half();
    EXPECT_TRUE(client.at_end());
    EXPECT_TRUE(closed_with(CloseReason::kPeerClosed, probe()));
}

TEST_F(ConnectionTest, MayBeClosedWithinItsHandler) {
    prepare = [](Probe& probe) {
        probe.data = [](Probe& p, const Slice& window) {
            p.transport->send(bytes::as_bytes("lost"));
            p.transport->close();
            p.transport->close();
            p.transport->close_after_flush();
            EXPECT_TRUE(p.transport->closed());
            EXPECT_EQ(p.closed, 0);
            return window.size();
        };
    };
    TestClient client = connect();
    client.send("x");
    EXPECT_TRUE(closed_with(CloseReason::kRequested, probe()));
    EXPECT_EQ(client.receive(1), "");
    on_loop([] {});
    EXPECT_EQ(probe().closed, 1);
    EXPECT_EQ(Connection::live(), 0u);
}

TEST_F(ConnectionTest, GarbageThatIsNoFrameEndsAtTheWindowLimit) {
    options.window_limit = 200'000;
    prepare = [](Probe& probe) {
        probe.data = [](Probe& p, const Slice&) -> std::size_t {
            p.transport->need(1'000'000'000);
            return 0;
        };
    };
    TestClient client = connect();
    Probe& server = probe();
    client.send(std::string(1'000'000, 'g'));
    EXPECT_TRUE(closed_with(CloseReason::kWindowLimit, server));
}

TEST_F(ConnectionTest, AThousandIdleConnectionsHoldAlmostNothing) {
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    rlimit more{files.rlim_max, files.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &more);
    if (files.rlim_max < 2200) GTEST_SKIP() << "needs 2,200 descriptors";
    prepare = [](Probe& probe) {
        probe.data = frames([](Probe& p, const Slice& payload) { p.transport->send(payload.span()); });
    };
    std::size_t before = bytes::Slab::live_bytes();
    std::vector<TestClient> clients;
    std::string message =
        frame("hello") + frame(std::string(400, 'x')).substr(0, 300);  // the second frame stays incomplete
    for (int i = 0; i < 1000; ++i) {
        clients.push_back(connect());
        clients.back().send(message);
    }
    for (TestClient& client : clients) ASSERT_EQ(client.receive(5), "hello");
    EXPECT_EQ(Connection::live(), 1000u);
    EXPECT_LE(bytes::Slab::live_bytes() - before, kMiB);
    clients.clear();
    EXPECT_TRUE(eventually([] { return Connection::live() == 0; }));
}

TEST_F(ConnectionTest, ActivityIsDated) {
    TestClient client = connect();
    Probe& server = probe();
    auto first = on_loop([&] { return server.transport->last_activity(); });
    client.send("x");
    ASSERT_TRUE(eventually([&] { return server.received == 1; }));
    EXPECT_GT(on_loop([&] { return server.transport->last_activity(); }), first);
    EXPECT_THAT(on_loop([&] { return std::string(server.transport->peer()); }), testing::StartsWith("127.0.0.1:"));
}

// A loop that stops takes its connections and their handlers with it, without on_closed().
TEST(Connection, DiesWithItsLoop) {
    auto token = std::make_shared<int>(0);
    {
        CoreLoop loop("dying", 1);
        loop.start();
        std::atomic<bool> started{false};
        auto listener = Listener::open(
            loop, {}, [&]() -> CoreLoop& { return loop; },
            [&](CoreLoop& home, Socket socket) {
                auto connection = Connection::create(home, std::move(socket));
                auto probe = std::make_shared<Probe>();
                probe->transport = connection.get();
                probe->eof = [token](Probe&) {};
                connection->start(probe);
                connection->pause_reading();
                connection->send(std::vector<std::uint8_t>(32 * kMiB));
                started = true;
            });
        TestClient client((*listener)->port());
        ASSERT_TRUE(eventually([&] { return started.load(); }));
        EXPECT_EQ(token.use_count(), 2);
        loop.stop();
    }
    EXPECT_EQ(token.use_count(), 1);
    EXPECT_EQ(Connection::live(), 0u);
}

}  // namespace
}  // namespace millrace::net
