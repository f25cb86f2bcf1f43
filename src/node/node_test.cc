// The program itself, as a process: starts, messages, signals, exit statuses. Argument: the program's path.
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

std::string program;

constexpr std::chrono::seconds kPatience{60};  // for a start on a busy machine; not what a start may take

class Pipe {
  public:
    Pipe() { EXPECT_EQ(::pipe2(ends_, O_CLOEXEC), 0); }
    ~Pipe() {
        close_writer();
        ::close(ends_[0]);
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    int reader() const { return ends_[0]; }
    int writer() const { return ends_[1]; }
    void close_writer() {
        if (ends_[1] >= 0) ::close(ends_[1]);
        ends_[1] = -1;
    }

  private:
    int ends_[2] = {-1, -1};
};

// A running program; killed when it is still there at the end.
class Process {
  public:
    explicit Process(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), program);
        std::vector<char*> argv;
        for (std::string& argument : arguments) argv.push_back(argument.data());
        argv.push_back(nullptr);
        pid_ = ::fork();
        if (pid_ == 0) {
            ::dup2(out_.writer(), STDOUT_FILENO);
            ::dup2(err_.writer(), STDERR_FILENO);
            ::execv(argv[0], argv.data());
            ::_exit(127);
        }
        out_.close_writer();
        err_.close_writer();
    }
    ~Process() {
        if (pid_ > 0) {
            signal(SIGKILL);
            wait();
        }
    }
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    void signal(int number) { ::kill(pid_, number); }
    // From now on it cannot write to files beyond that offset.
    void limit_file_size(rlim_t bytes) {
        rlimit limit{bytes, RLIM_INFINITY};
        EXPECT_EQ(::prlimit(pid_, RLIMIT_FSIZE, &limit, nullptr), 0);
    }

    // Reads both streams until the predicate holds, or both have ended.
    template <typename Until>
    bool read(Until until) {
        auto deadline = steady_clock::now() + kPatience;
        while (!until()) {
            pollfd polled[2] = {{out_open_ ? out_.reader() : -1, POLLIN, 0},
                                {err_open_ ? err_.reader() : -1, POLLIN, 0}};
            auto left = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now()).count();
            if ((!out_open_ && !err_open_) || left <= 0) return until();
            if (::poll(polled, 2, static_cast<int>(left)) < 0) continue;
            if (polled[0].revents != 0) out_open_ = take(out_.reader(), out);
            if (polled[1].revents != 0) err_open_ = take(err_.reader(), err);
        }
        return true;
    }
    // The exit status, or minus the signal.
    int wait() {
        read([this] { return !out_open_ && !err_open_; });
        int status = 0;
        ::waitpid(std::exchange(pid_, -1), &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
    // Word -> address, of the ready message; empty when it did not come.
    std::map<std::string, std::string> ready() {
        bool complete = read([this] { return out.find("data ") != std::string::npos && out.ends_with('\n'); });
        std::map<std::string, std::string> words;
        if (!complete || !out.starts_with("millrace ready\n")) return words;
        std::istringstream lines(out.substr(out.find('\n') + 1));
        for (std::string word, value; lines >> word >> value;) words[word] = value;
        return words;
    }

    std::string out;
    std::string err;

  private:
    static bool take(int descriptor, std::string& text) {
        char piece[4096];
        ssize_t got = ::read(descriptor, piece, sizeof piece);
        if (got > 0) text.append(piece, static_cast<std::size_t>(got));
        return got > 0;
    }
    Pipe out_;
    Pipe err_;
    bool out_open_ = true;
    bool err_open_ = true;
    pid_t pid_ = -1;
};

std::uint16_t port_of(const std::string& address) {
    return static_cast<std::uint16_t>(std::stoul(address.substr(address.rfind(':') + 1)));
}

int open_socket(std::uint16_t port, bool listen, std::uint16_t* bound = nullptr) {
    int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    if (listen) {
        EXPECT_TRUE(::bind(socket, generic, size) == 0 && ::listen(socket, 1) == 0);
    } else {
        EXPECT_EQ(::connect(socket, generic, size), 0);
    }
    if (bound != nullptr && ::getsockname(socket, generic, &size) == 0) *bound = ntohs(address.sin_port);
    return socket;
}

// An HTTP exchange: "200 {...}".
std::string http(std::uint16_t port, std::string_view method, std::string_view path, std::string_view body = "") {
    int socket = open_socket(port, false);
    std::string request = fmt::format("{} {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{}",
                                      method, path, body.size(), body);
    EXPECT_EQ(::send(socket, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
    std::string answer;
    char piece[4096];
    for (ssize_t got; (got = ::recv(socket, piece, sizeof piece, 0)) > 0;)
        answer.append(piece, static_cast<std::size_t>(got));
    ::close(socket);
    std::size_t head = answer.find("\r\n\r\n");
    if (head == std::string::npos || answer.size() < 12) return answer;
    return answer.substr(9, 3) + " " + answer.substr(head + 4);
}

class StandaloneTest : public testing::Test {
  protected:
    StandaloneTest() {
        std::string name = testing::TempDir() + "/node-XXXXXX";
        directory_ = std::filesystem::canonical(::mkdtemp(name.data())).string();
    }
    ~StandaloneTest() override { std::filesystem::remove_all(directory_); }

    std::string data() const { return directory_ + "/data"; }
    std::vector<std::string> arguments(std::vector<std::string> more = {}) const {
        std::vector<std::string> all{"standalone", "--data-dir",   data(), "--controller-port", "0", "--rest-port",
                                     "0",          "--store-port", "0"};
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }

    std::string directory_;
};

TEST_F(StandaloneTest, ServesEndsAndServesAgain) {
    for (int round = 0; round < 3; ++round) {
        Process server(arguments());
        auto words = server.ready();
        ASSERT_EQ(words["data"], data()) << server.out << server.err;
        EXPECT_TRUE(words["controller"].starts_with("tcp://127.0.0.1:"));
        EXPECT_TRUE(words["rest"].starts_with("http://127.0.0.1:"));
        std::uint16_t rest = port_of(words["rest"]);
        EXPECT_EQ(http(rest, "GET", "/v1/health/status"), "200 \"UP\"");
        EXPECT_EQ(http(rest, "GET", "/v1/health/readiness"), "200 true");
        EXPECT_EQ(http(rest, "GET", "/v1/health/liveness/controller"), "200 true");
        EXPECT_THAT(http(rest, "GET", "/v1/health"),
                    HasSubstr(R"("segmentstore":{"name":"segmentstore","status":"UP")"));
        EXPECT_THAT(
            http(rest, "GET", "/v1/health/details/journal"),
            testing::AllOf(HasSubstr(R"("space":"free","usedBytes":")"), HasSubstr(R"("limitBytes":"68719476736")")));
        EXPECT_THAT(http(rest, "GET", "/v1/scopes"), HasSubstr(R"({"scopeName":"_system"})"));
        EXPECT_EQ(http(rest, "GET", "/v1/scopes/kept"),
                  round == 0 ? R"(404 {"error":"no such scope"})" : R"(200 {"scopeName":"kept"})");
        if (round == 0) {
            EXPECT_EQ(http(rest, "POST", "/v1/scopes", R"({"scopeName":"kept"})"), R"(201 {"scopeName":"kept"})");
        }
        for (const char* address : {"controller", "store"}) ::close(open_socket(port_of(words[address]), false));
        auto begun = steady_clock::now();
        server.signal(round == 1 ? SIGINT : SIGTERM);
        EXPECT_EQ(server.wait(), 0) << server.err;
        EXPECT_LT(steady_clock::now() - begun, std::chrono::seconds(2));
    }
}

TEST_F(StandaloneTest, StreamsOverRest) {
    Process server(arguments());
    auto words = server.ready();
    ASSERT_FALSE(words.empty()) << server.out << server.err;
    std::uint16_t rest = port_of(words["rest"]);
    constexpr std::string_view kStream =
        R"("scalingPolicy":{"type":"FIXED_NUM_SEGMENTS","minSegments":2},"streamTags":["t1"])";
    constexpr std::string_view kShown =
        R"({"scopeName":"s","streamName":"x","scalingPolicy":{"type":"FIXED_NUM_SEGMENTS","minSegments":2},"tags":["t1"],)"
        R"("timestampAggregationTimeout":0,"rolloverSizeBytes":0})";
    std::string create = fmt::format(R"({{"streamName":"x",{}}})", kStream);
    EXPECT_EQ(http(rest, "POST", "/v1/scopes/s/streams", create), R"(404 {"error":"no such scope"})");
    EXPECT_EQ(http(rest, "POST", "/v1/scopes", R"({"scopeName":"_s"})"), R"(400 {"error":"invalid scope name"})");
    EXPECT_EQ(http(rest, "POST", "/v1/scopes", R"({"scopeName":"s"})"), R"(201 {"scopeName":"s"})");
    EXPECT_EQ(http(rest, "POST", "/v1/scopes", R"({"scopeName":"s"})"), R"(409 {"error":"the scope exists"})");
    EXPECT_EQ(http(rest, "GET", "/v1/scopes/s/streams"), R"(200 {"streams":[]})");
    EXPECT_EQ(http(rest, "POST", "/v1/scopes/s/streams", create), fmt::format("201 {}", kShown));
    EXPECT_EQ(http(rest, "POST", "/v1/scopes/s/streams", create), R"(409 {"error":"the stream exists"})");
    EXPECT_EQ(http(rest, "GET", "/v1/scopes/s/streams/x"), fmt::format("200 {}", kShown));
    EXPECT_EQ(http(rest, "GET", "/v1/scopes/s/streams"), fmt::format(R"(200 {{"streams":[{}]}})", kShown));
    EXPECT_EQ(http(rest, "GET", "/v1/scopes/s/streams?filter_type=tag&filter_value=t1"),
              fmt::format(R"(200 {{"streams":[{}]}})", kShown));
    EXPECT_EQ(http(rest, "GET", "/v1/scopes/s/streams?filter_type=tag&filter_value=t2"), R"(200 {"streams":[]})");
    EXPECT_THAT(http(rest, "GET", "/v1/scopes/s/streams?filter_type=showInternalStreams"),
                HasSubstr(R"("streamName":"_MARKx")"));
    EXPECT_THAT(
        http(rest, "GET", "/v1/scopes/s/streams/x/scaling-events?from=0&to=99999999999999"),
        testing::AllOf(HasSubstr(R"("segments":[{"number":0,"epoch":0,)"), HasSubstr(R"("splits":0,"merges":0}])")));
    EXPECT_THAT(http(rest, "GET", "/v1/scopes/s/streams/x/scaling-events?from=9"), HasSubstr("400 "));
    EXPECT_EQ(http(rest, "DELETE", "/v1/scopes/s/streams/x"), R"(412 {"error":"the stream is not sealed"})");
    EXPECT_EQ(http(rest, "DELETE", "/v1/scopes/s"), R"(412 {"error":"the scope is not empty"})");
    EXPECT_THAT(
        http(rest, "PUT", "/v1/scopes/s/streams/x",
             R"({"scalingPolicy":{"type":"FIXED_NUM_SEGMENTS","minSegments":2},"rolloverSizeBytes":1048576})"),
        testing::AllOf(HasSubstr("200 "), HasSubstr(R"("tags":[],)"), HasSubstr(R"("rolloverSizeBytes":1048576)")));
    EXPECT_THAT(http(rest, "PUT", "/v1/scopes/s/streams/x/state", R"({"streamState":"ACTIVE"})"), HasSubstr("400 "));
    EXPECT_EQ(http(rest, "PUT", "/v1/scopes/s/streams/x/state", R"({"streamState":"SEALED"})"),
              R"(200 {"streamState":"SEALED"})");
    EXPECT_EQ(http(rest, "DELETE", "/v1/scopes/s/streams/x"), "204 ");
    EXPECT_EQ(http(rest, "DELETE", "/v1/scopes/s/streams/x"), R"(404 {"error":"no such stream"})");
    EXPECT_EQ(http(rest, "GET", "/v1/scopes/s/streams/x"), R"(404 {"error":"not found: no stream s/x"})");
    EXPECT_EQ(http(rest, "GET", "/v1/scopes/none/streams"), R"(404 {"error":"no such scope"})");
    EXPECT_EQ(http(rest, "GET", "/v1/scopes/s/readergroups"), "200 {}");
    EXPECT_EQ(http(rest, "GET", "/v1/scopes/s/readergroups/g"), R"(404 {"error":"no such reader group"})");
    EXPECT_EQ(http(rest, "DELETE", "/v1/scopes/s/readergroups/g"), R"(404 {"error":"no such reader group"})");
    EXPECT_EQ(http(rest, "DELETE", "/v1/scopes/s"), "204 ");
    EXPECT_EQ(http(rest, "DELETE", "/v1/scopes/s"), R"(404 {"error":"no such scope"})");
    EXPECT_THAT(http(rest, "GET", "/v2/scopes"), HasSubstr("404 "));
}

TEST_F(StandaloneTest, DataOutlivesAKill) {
    for (int round = 0; round < 2; ++round) {
        Process server(arguments());
        auto words = server.ready();
        ASSERT_FALSE(words.empty()) << server.out << server.err;
        std::string name = fmt::format(R"({{"scopeName":"round{}"}})", round);
        EXPECT_EQ(http(port_of(words["rest"]), "POST", "/v1/scopes", name), "201 " + name);
        server.signal(SIGKILL);
        EXPECT_EQ(server.wait(), -SIGKILL);
    }
    Process server(arguments());
    auto words = server.ready();
    std::string scopes = http(port_of(words["rest"]), "GET", "/v1/scopes");
    EXPECT_THAT(scopes, testing::AllOf(HasSubstr("round0"), HasSubstr("round1")));
}

TEST_F(StandaloneTest, StopsItselfWhenTheJournalCannotBeWritten) {
    for (const char* io : {"auto", "threads"}) {
        std::string kept = fmt::format(R"({{"scopeName":"kept-{}"}})", io);
        {
            Process server(arguments({"--io", io}));
            auto words = server.ready();
            ASSERT_FALSE(words.empty()) << server.out << server.err;
            EXPECT_EQ(http(port_of(words["rest"]), "POST", "/v1/scopes", kept), "201 " + kept);
            server.limit_file_size(0);
            EXPECT_EQ(http(port_of(words["rest"]), "POST", "/v1/scopes", R"({"scopeName":"lost"})").find("201"),
                      std::string::npos);
            EXPECT_EQ(server.wait(), 3) << server.err;
            EXPECT_THAT(server.err, HasSubstr("fatal: "));
        }
        Process again(arguments());
        EXPECT_THAT(http(port_of(again.ready()["rest"]), "GET", "/v1/scopes"), HasSubstr(kept));
    }
}

TEST_F(StandaloneTest, EndsInTimeWithClientsThatStay) {
    Process server(arguments());
    auto words = server.ready();
    ASSERT_FALSE(words.empty()) << server.out << server.err;
    std::vector<int> sockets;
    for (const char* address : {"controller", "rest", "store"}) {
        sockets.push_back(open_socket(port_of(words[address]), false));
        EXPECT_EQ(::send(sockets.back(), "\0\0", 2, MSG_NOSIGNAL), 2);
    }
    auto begun = steady_clock::now();
    server.signal(SIGTERM);
    EXPECT_EQ(server.wait(), 0) << server.err;
    EXPECT_LT(steady_clock::now() - begun, std::chrono::seconds(2));
    for (int socket : sockets) ::close(socket);
}

TEST_F(StandaloneTest, TakenPortsAreNamed) {
    for (const char* flag : {"--controller-port", "--rest-port", "--store-port"}) {
        std::uint16_t port = 0;
        int holder = open_socket(0, true, &port);
        Process server(arguments({flag, std::to_string(port)}));
        EXPECT_EQ(server.wait(), 1);
        EXPECT_EQ(server.out, "");
        EXPECT_THAT(server.err,
                    testing::AllOf(HasSubstr("millrace: "), HasSubstr(fmt::format(":{}", port)), HasSubstr(flag)))
            << flag;
        ::close(holder);
    }
}

TEST_F(StandaloneTest, DirectoryInUse) {
    Process first(arguments());
    ASSERT_FALSE(first.ready().empty()) << first.out << first.err;
    Process second(arguments());
    EXPECT_EQ(second.wait(), 1);
    EXPECT_THAT(second.err, HasSubstr("millrace: data directory " + data() + " is in use by another process (pid "));
}

TEST_F(StandaloneTest, VersionsItDoesNotKnow) {
    std::filesystem::create_directories(data());
    std::ofstream(data() + "/VERSION") << "millrace-data 999\n";
    Process newer(arguments());
    EXPECT_EQ(newer.wait(), 1);
    EXPECT_THAT(newer.err, testing::AllOf(HasSubstr(data()), HasSubstr("newer version"), HasSubstr("999")));
    std::ofstream(data() + "/VERSION") << "garbage";
    Process damaged(arguments());
    EXPECT_EQ(damaged.wait(), 1);
    EXPECT_THAT(damaged.err, testing::AllOf(HasSubstr(data() + "/VERSION"), HasSubstr("damaged")));
}

TEST_F(StandaloneTest, ContainersStayAsTheyWereMade) {
    {
        Process server(arguments({"--containers", "2", "--shards", "2"}));
        auto words = server.ready();
        ASSERT_FALSE(words.empty()) << server.out << server.err;
        EXPECT_THAT(http(port_of(words["rest"]), "GET", "/v1/health/details/segmentstore"),
                    HasSubstr(R"("containers":"2")"));
        server.signal(SIGTERM);
        EXPECT_EQ(server.wait(), 0);
    }
    {
        Process other(arguments({"--containers", "3"}));
        EXPECT_EQ(other.wait(), 1);
        EXPECT_THAT(other.err, HasSubstr("made with 2 containers"));
    }
    Process same(arguments());
    EXPECT_THAT(http(port_of(same.ready()["rest"]), "GET", "/v1/health/details/segmentstore"),
                HasSubstr(R"("containers":"2")"));
}

TEST_F(StandaloneTest, WrongCommandLines) {
    const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
        {{"standalone", "--stor-port", "1"}, "millrace: unknown option --stor-port; did you mean --store-port?\n"},
        {{"standalone", "--store-port=many"},
         "millrace: bad value \"many\" for --store-port: it must be a port number"},
        {{"standalone", "--store-port"}, "--store-port"},
        {{"standalone", "extra"}, "millrace: unexpected argument \"extra\"\n"},
        {{"standalon"}, "millrace: unknown command \"standalon\"; did you mean \"standalone\"?\n"},
        {{"standalone", "--config", "none.toml"}, "none.toml: No such file"},
        {{}, "standalone"}};
    for (const auto& [arguments, words] : cases) {
        Process process(arguments);
        EXPECT_EQ(process.wait(), 2);
        EXPECT_EQ(process.out, "");
        EXPECT_THAT(process.err, HasSubstr(words));
    }
    EXPECT_FALSE(std::filesystem::exists("millrace-data"));
}

TEST_F(StandaloneTest, HelpAndVersion) {
    Process version({"version"});
    EXPECT_EQ(version.wait(), 0);
    EXPECT_THAT(version.out, testing::MatchesRegex("millrace [0-9]+\\.[0-9]+\\.[0-9]+ \\(.*\\)\n"));
    Process help({"standalone", "--help"});
    EXPECT_EQ(help.wait(), 0);
    for (const char* word : {"--data-dir", "--advertise", "MILLRACE_STORE_PORT", "Examples:", "gRPC", "Exit status"})
        EXPECT_THAT(help.out, HasSubstr(word));
}

TEST_F(StandaloneTest, JsonLogsAreJson) {
    Process server(arguments({"--log-format", "json", "--log-level", "debug"}));
    ASSERT_FALSE(server.ready().empty()) << server.out << server.err;
    server.signal(SIGTERM);
    EXPECT_EQ(server.wait(), 0);
    std::istringstream lines(server.err);
    int count = 0;
    for (std::string line; std::getline(lines, line); ++count)
        EXPECT_TRUE(line.starts_with("{\"time\":") && line.ends_with("}")) << line;
    EXPECT_GT(count, 0);
}

}  // namespace

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    if (argc != 2) {
        fmt::print(stderr, "usage: node_test PROGRAM\n");
        return 2;
    }
    program = argv[1];
    return RUN_ALL_TESTS();
}
