#include "api/rest/http_server.h"

#include <chrono>
#include <future>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace millrace::rest {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::StartsWith;
using namespace std::string_view_literals;

// A blocking socket that speaks whatever it is told to.
class Peer {
  public:
    explicit Peer(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
        timeval limit{10, 0};
        ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        connected_ = ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    }
    ~Peer() { ::close(socket_); }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;

    bool connected() const { return connected_; }

    bool send(std::string_view text) {
        while (!text.empty()) {
            ssize_t sent = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
            if (sent <= 0) return false;
            text.remove_prefix(static_cast<std::size_t>(sent));
        }
        return true;
    }
    // One response with a Content-Length (or none, for 204).
    std::string response() {
        while (in_.find("\r\n\r\n") == std::string::npos) {
            if (!more()) return std::exchange(in_, {});
        }
        std::size_t size = in_.find("\r\n\r\n") + 4;
        std::size_t field = in_.find("Content-Length: ");
        if (field < size) size += std::stoul(in_.substr(field + 16));
        while (in_.size() < size && more()) {
        }
        std::string first = in_.substr(0, size);
        in_.erase(0, first.size());
        return first;
    }
    std::string until_closed() {
        while (more()) {
        }
        return std::exchange(in_, {});
    }
    bool closed_by_peer() { return !more() && !timed_out_; }

  private:
    bool more() {
        char piece[4096];
        ssize_t got = ::recv(socket_, piece, sizeof piece, 0);
        timed_out_ = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
        if (got <= 0) return false;
        in_.append(piece, static_cast<std::size_t>(got));
        return true;
    }
    int socket_;
    bool connected_ = false;
    bool timed_out_ = false;
    std::string in_;
};

class HttpServerTest : public testing::Test {
  protected:
    HttpServerTest() {
        options_.port = 0;
        options_.linger = milliseconds(200);
    }
    ~HttpServerTest() override {
        stop();
        loop_.stop();
    }

    void serve() {
        router_.add(Method::kGet, "/hello/{name}", [](const HttpRequest& request, Respond respond) {
            std::string shout(request.parameter("shout").value_or(""));
            respond(HttpResponse::json(200, "\"" + request.captures[0] + shout + "\""));
        });
        router_.add(Method::kPost, "/echo", [](const HttpRequest& request, Respond respond) {
            respond(HttpResponse::json(201, std::string(request.body)));
        });
        router_.add(Method::kGet, "/later", [this](const HttpRequest&, Respond respond) {
            loop_.call_after(milliseconds(50), [respond = std::move(respond)]() mutable {
                respond(HttpResponse::json(200, "\"later\""));
            });
        });
        router_.add(Method::kGet, "/never", [](const HttpRequest&, Respond) {});
        server_.emplace(loop_, options_, [this](HttpRequest request, Respond respond) {
            router_.dispatch(std::move(request), std::move(respond));
        });
        auto port = server_->listen();
        ASSERT_TRUE(port) << port.error().to_string();
        port_ = *port;
        loop_.start();
    }
    void stop() {
        if (!server_ || stopped_) return;
        stopped_ = true;
        std::promise<void> done;
        server_->stop([&done] { done.set_value(); });
        ASSERT_EQ(done.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
    }

    runtime::CoreLoop loop_{"http", 1};
    HttpOptions options_;
    Router router_;
    std::optional<HttpServer> server_;
    std::uint16_t port_ = 0;
    bool stopped_ = false;
};

TEST_F(HttpServerTest, ServesRequestsAndKeepsTheConnection) {
    serve();
    Peer peer(port_);
    ASSERT_TRUE(peer.send("GET /hello/w%20x?shout=%21+ HTTP/1.1\r\nHost: a\r\n\r\n"));
    std::string answer = peer.response();
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
    EXPECT_THAT(answer, HasSubstr("Content-Type: application/json\r\n"));
    EXPECT_THAT(answer, testing::EndsWith("\"w x! \""));
    ASSERT_TRUE(peer.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n1234"));
    EXPECT_THAT(peer.response(), testing::AllOf(StartsWith("HTTP/1.1 201"), HasSubstr("\r\n\r\n1234")));
    ASSERT_TRUE(peer.send("GET /later HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    EXPECT_THAT(peer.response(), HasSubstr("\"later\""));
    EXPECT_TRUE(peer.closed_by_peer());
}

TEST_F(HttpServerTest, HeadGetsTheLengthWithoutTheBody) {
    serve();
    Peer peer(port_);
    ASSERT_TRUE(peer.send("HEAD /hello/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    EXPECT_THAT(peer.until_closed(), testing::AllOf(HasSubstr("Content-Length: 3\r\n"), testing::EndsWith("\r\n\r\n")));
}

TEST_F(HttpServerTest, UnknownPathAndUnknownMethod) {
    serve();
    Peer peer(port_);
    ASSERT_TRUE(peer.send("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n"));
    EXPECT_THAT(peer.response(), StartsWith("HTTP/1.1 404"));
    ASSERT_TRUE(peer.send("PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
    EXPECT_THAT(peer.response(), testing::AllOf(StartsWith("HTTP/1.1 405"), HasSubstr("Allow: POST\r\n")));
    ASSERT_TRUE(peer.send("GET /hello/%zz HTTP/1.1\r\nHost: a\r\n\r\n"));
    EXPECT_THAT(peer.response(), StartsWith("HTTP/1.1 400"));
}

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInOrder) {
    serve();
    Peer peer(port_);
    std::string all;
    for (int i = 0; i < 50; ++i) {
        all += i % 10 == 0 ? "GET /later HTTP/1.1\r\nHost: a\r\n\r\n"
                           : "GET /hello/" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n\r\n";
    }
    ASSERT_TRUE(peer.send(all));
    for (int i = 0; i < 50; ++i) {
        EXPECT_THAT(peer.response(), HasSubstr(i % 10 == 0 ? "\"later\"" : "\"" + std::to_string(i) + "\""));
    }
}

TEST_F(HttpServerTest, GarbageIsAnswered400AndClosed) {
    serve();
    for (std::string_view garbage :
         {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls hello\r\n\r\n"sv, "\0\0\0\1\0\0\0\4abcd\r\n\r\n"sv,
          "GET / HTTP/9.9\r\n\r\n"sv, "GET / HTTP/1.1\r\nno colon\r\n\r\n"sv,
          "POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n"sv,
          "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"sv}) {
        Peer peer(port_);
        ASSERT_TRUE(peer.send(garbage));
        EXPECT_THAT(peer.response(), testing::AllOf(StartsWith("HTTP/1.1 400"), HasSubstr("Connection: close")));
        EXPECT_TRUE(peer.closed_by_peer());
    }
}

TEST_F(HttpServerTest, LimitsHeadersAndBodies) {
    serve();
    {
        Peer peer(port_);
        peer.send("GET /hello/a HTTP/1.1\r\nX: " + std::string(20 << 10, 'x') + "\r\n\r\n");
        EXPECT_THAT(peer.response(), StartsWith("HTTP/1.1 431"));
        EXPECT_TRUE(peer.closed_by_peer());
    }
    {
        Peer peer(port_);
        peer.send("POST /echo HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n");
        EXPECT_THAT(peer.response(), StartsWith("HTTP/1.1 413"));
    }
    {
        Peer peer(port_);  // one that sends all before it looks
        EXPECT_TRUE(peer.send("POST /echo HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n" + std::string(3'000'000, 'x')));
        EXPECT_THAT(peer.response(), StartsWith("HTTP/1.1 413"));
    }
    {
        Peer peer(port_);
        std::string chunks = "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (int i = 0; i < 65; ++i) chunks += "4000\r\n" + std::string(0x4000, 'x') + "\r\n";
        peer.send(chunks + "0\r\n\r\n");
        EXPECT_THAT(peer.response(), StartsWith("HTTP/1.1 413"));
    }
    Peer peer(port_);
    std::string most(1 << 20, 'y');
    ASSERT_TRUE(peer.send("POST /echo HTTP/1.1\r\nContent-Length: 1048576\r\n\r\n" + most));
    EXPECT_THAT(peer.response(), testing::AllOf(StartsWith("HTTP/1.1 201"), testing::EndsWith(most.substr(0, 100))));
}

TEST_F(HttpServerTest, AnswersExpectContinue) {
    serve();
    Peer peer(port_);
    ASSERT_TRUE(peer.send("POST /echo HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"));
    EXPECT_THAT(peer.response(), StartsWith("HTTP/1.1 100 Continue"));
    ASSERT_TRUE(peer.send("42"));
    EXPECT_THAT(peer.response(), HasSubstr("\r\n\r\n42"));
}

TEST_F(HttpServerTest, ClosesSlowAndIdlePeers) {
    options_.timeout = milliseconds(300);
    serve();
    Peer idle(port_);
    Peer partial(port_);
    ASSERT_TRUE(partial.send("GET /hello/a HT"));
    Peer body(port_);
    ASSERT_TRUE(body.send("POST /echo HTTP/1.1\r\nContent-Length: 10\r\n\r\n123"));
    Peer trickle(port_);  // a byte now and then must not extend the time
    auto begin = std::chrono::steady_clock::now();
    std::string head = "GET /hello/a HTTP/1.1\r\nX: ";
    while (trickle.send(head.substr(0, 1)) && std::chrono::steady_clock::now() < begin + std::chrono::seconds(5)) {
        head = head.substr(1) + "x";
        std::promise<void> pause;
        loop_.post([&] { loop_.call_after(milliseconds(20), [&pause] { pause.set_value(); }); });
        pause.get_future().wait();
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3));
    EXPECT_TRUE(idle.closed_by_peer());
    EXPECT_TRUE(partial.closed_by_peer());
    EXPECT_TRUE(body.closed_by_peer());
}

TEST_F(HttpServerTest, RefusesConnectionsBeyondTheLimit) {
    options_.max_connections = 2;
    serve();
    Peer first(port_);
    Peer second(port_);
    ASSERT_TRUE(first.send("GET /hello/a HTTP/1.1\r\nHost: a\r\n\r\n"));
    ASSERT_TRUE(second.send("GET /hello/a HTTP/1.1\r\nHost: a\r\n\r\n"));
    EXPECT_THAT(first.response(), StartsWith("HTTP/1.1 200"));
    EXPECT_THAT(second.response(), StartsWith("HTTP/1.1 200"));
    Peer third(port_);
    EXPECT_THAT(third.until_closed(), StartsWith("HTTP/1.1 503"));
    ASSERT_TRUE(first.send("GET /hello/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    EXPECT_THAT(first.response(), StartsWith("HTTP/1.1 200"));
    EXPECT_TRUE(first.closed_by_peer());
}

// Sessions that refuse have a limit too; whoever comes then is told all the same.
TEST_F(HttpServerTest, RefusesConnectionsBeyondTheRefusals) {
    options_.max_connections = 1;
    options_.linger = std::chrono::minutes(1);
    serve();
    Peer first(port_);
    ASSERT_TRUE(first.send("GET /hello/a HTTP/1.1\r\nHost: a\r\n\r\n"));
    EXPECT_THAT(first.response(), StartsWith("HTTP/1.1 200"));
    Peer second(port_);
    EXPECT_THAT(second.until_closed(), StartsWith("HTTP/1.1 503"));
    Peer third(port_);
    std::string answer = third.until_closed();
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 503"));
    EXPECT_THAT(answer, testing::EndsWith("\r\n\r\n{\"error\":\"too many connections\"}"));
    EXPECT_THAT(answer, testing::HasSubstr("Content-Length: 32\r\n"));
    EXPECT_EQ(answer.size() - answer.find('{'), 32u);
    EXPECT_TRUE(third.closed_by_peer());
}

TEST_F(HttpServerTest, DroppedRespondClosesTheConnection) {
    serve();
    Peer peer(port_);
    ASSERT_TRUE(peer.send("GET /never HTTP/1.1\r\nHost: a\r\n\r\n"));
    EXPECT_TRUE(peer.closed_by_peer());
}

TEST_F(HttpServerTest, StopLetsTheAnswerGoOut) {
    serve();
    Peer idle(port_);
    Peer busy(port_);
    ASSERT_TRUE(idle.send("GET /hello/a HTTP/1.1\r\nHost: a\r\n\r\n"));
    EXPECT_THAT(idle.response(), StartsWith("HTTP/1.1 200"));
    std::promise<void> asked;
    router_.add(Method::kGet, "/asked", [&](const HttpRequest&, Respond respond) {
        loop_.call_after(milliseconds(100),
                         [respond = std::move(respond)]() mutable { respond(HttpResponse::json(200, "\"asked\"")); });
        asked.set_value();
    });
    ASSERT_TRUE(busy.send("GET /asked HTTP/1.1\r\nHost: a\r\n\r\n"));
    asked.get_future().wait();
    stop();
    EXPECT_THAT(busy.until_closed(), testing::AllOf(HasSubstr("\"asked\""), HasSubstr("Connection: close")));
    EXPECT_TRUE(idle.closed_by_peer());
    EXPECT_FALSE(Peer(port_).connected());
}

TEST_F(HttpServerTest, TakenPortIsToldApart) {
    serve();
    options_.port = port_;
    HttpServer second(loop_, options_, [](HttpRequest, Respond) {});
    auto port = second.listen();
    ASSERT_FALSE(port);
    EXPECT_EQ(port.error().code(), Errc::kExists);
    options_.address = "nonsense";
    HttpServer third(loop_, options_, [](HttpRequest, Respond) {});
    EXPECT_EQ(third.listen().error().code(), Errc::kInvalidArgument);
}

TEST(HttpResponse, AnErrorIsJsonWhateverTheRequestNamed) {
    EXPECT_EQ(HttpResponse::error(404, "no \"a\\\n\"").body, R"({"error":"no \"a\\\u000a\""})");
    EXPECT_EQ(HttpResponse::error(404, std::string_view("\xff\0\xc3\xa4", 4)).body,
              "{\"error\":\"\xef\xbf\xbd\\u0000\xc3\xa4\"}");
}

TEST(ParseTarget, SplitsAndLimits) {
    HttpRequest request;
    ASSERT_TRUE(parse_target("http://host:1/a//b%2Fc/?x=1&y&=z&&x=2", request));
    EXPECT_THAT(request.path, testing::ElementsAre("a", "", "b/c"));
    EXPECT_EQ(request.parameter("x"), "1");
    EXPECT_EQ(request.parameter("y"), "");
    EXPECT_EQ(request.parameter("w"), std::nullopt);
    for (const std::string& bad : {std::string("*"), std::string("a"), std::string("/%1"), std::string("/a?%"),
                                   std::string("/") + std::string(100, '/')}) {
        HttpRequest other;
        EXPECT_FALSE(parse_target(bad, other)) << bad;
    }
}

}  // namespace
}  // namespace millrace::rest
