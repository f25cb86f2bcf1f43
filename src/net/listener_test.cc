#include "net/listener.h"

#include <atomic>
#include <future>
#include <mutex>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "base/log.h"
#include "net/test_client.h"

namespace millrace::net {
namespace {

using runtime::CoreLoop;
using testing::HasSubstr;

struct ListenerTest : testing::Test {
    CoreLoop loop{"net-0", 1};
    CoreLoop second{"net-1", 2};
    std::mutex mutex;
    std::vector<Socket> accepted;
    std::vector<CoreLoop*> homes;
    int turn = 0;

    ListenerTest() {
        loop.start();
        second.start();
    }
    ~ListenerTest() override {
        loop.stop();
        second.stop();
    }
    Result<std::unique_ptr<Listener>> open(const ListenerOptions& options) {
        return Listener::open(
            loop, options, [this]() -> CoreLoop& { return turn++ % 2 == 0 ? loop : second; },
            [this](CoreLoop& home, Socket socket) {
                EXPECT_TRUE(home.on_this_thread());
                std::lock_guard lock(mutex);
                accepted.push_back(std::move(socket));
                homes.push_back(&home);
            });
    }
    std::size_t count() {
        std::lock_guard lock(mutex);
        return accepted.size();
    }
};

TEST_F(ListenerTest, HandsSocketsToTheChosenLoops) {
    auto listener = open({.address = "localhost"});
    ASSERT_TRUE(listener);
    EXPECT_EQ((*listener)->address(), fmt::format("127.0.0.1:{}", (*listener)->port()));
    std::vector<TestClient> clients;
    for (int i = 0; i < 4; ++i) {
        clients.emplace_back((*listener)->port());
        ASSERT_TRUE(eventually([&] { return count() == static_cast<std::size_t>(i + 1); }));
    }
    EXPECT_EQ(homes, (std::vector<CoreLoop*>{&loop, &second, &loop, &second}));
    EXPECT_THAT(accepted[0].peer(), HasSubstr("127.0.0.1:"));
}

TEST_F(ListenerTest, SaysThatThePortIsTaken) {
    auto first = open({});
    ASSERT_TRUE(first);
    auto again = open({.port = (*first)->port(), .flag = "--store-port"});
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code(), Errc::kExists);
    EXPECT_EQ(again.error().message(),
              fmt::format("address already in use: 127.0.0.1:{}; another server runs there, or choose another with "
                          "--store-port",
                          (*first)->port()));
    std::uint16_t port = (*first)->port();
    (*first)->close();
    EXPECT_TRUE(eventually([&] { return open({.port = port}).has_value(); }));
}

TEST_F(ListenerTest, RefusesWhatIsNoAddress) {
    EXPECT_EQ(open({.address = "no.such.host"}).error().code(), Errc::kInvalidArgument);
    EXPECT_EQ(open({.address = "192.0.2.1"}).error().code(), Errc::kInvalidArgument);
    EXPECT_THAT(open({.address = "192.0.2.1"}).error().message(), HasSubstr("192.0.2.1"));
}

TEST_F(ListenerTest, ListensOnIpv6) {
    auto listener = open({.address = "::1"});
    if (!listener) GTEST_SKIP() << listener.error().to_string();
    EXPECT_EQ((*listener)->address(), fmt::format("[::1]:{}", (*listener)->port()));
}

TEST_F(ListenerTest, SurvivesRunningOutOfDescriptors) {
#if defined(__has_feature)
#if __has_feature(undefined_behavior_sanitizer)
    GTEST_SKIP() << "the sanitizer's check of virtual calls needs descriptors itself";
#endif
#endif
    auto listener = open({});
    ASSERT_TRUE(listener);
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    testing::internal::CaptureStderr();
    TestClient client((*listener)->port());
    ASSERT_TRUE(eventually([&] { return count() == 1; }));

    // The next free number is the first that is refused; the second client's own descriptor takes it before.
    int pending = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int lowest_free = ::dup(pending);
    ::close(lowest_free);
    rlimit low{static_cast<rlim_t>(lowest_free), before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons((*listener)->port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(pending, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_TRUE(eventually([&] { return (*listener)->pauses() >= 2; }));
    EXPECT_EQ(count(), 1u);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_TRUE(eventually([&] { return count() == 2; }));
    ::close(pending);
    log::flush();
    EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("cannot accept connections"));
}

}  // namespace
}  // namespace millrace::net
