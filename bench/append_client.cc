#include "append_client.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "histogram.h"
#include "peer_socket.h"
#include "wire/codec.h"
#include "wire/frame.h"

namespace millrace::bench {
namespace {

constexpr std::size_t kMaxAppend = 64 << 10;

struct Lane {  // one writer on one segment
    std::int64_t sent = 0;
    std::int64_t acked = 0;
    std::deque<std::uint64_t> due;  // time of each event under way
};

struct Writer {
    int fd = -1;
    std::vector<std::uint8_t> in = std::vector<std::uint8_t>(1 << 20);
    std::size_t used = 0;
    std::vector<std::uint8_t> out;
    std::size_t out_sent = 0;
    std::vector<Lane> lanes;
    std::int64_t under_way = 0;
    std::size_t next_lane = 0;
    std::uint64_t scheduled = 0;  // events of this writer handed out so far, fixed rate
};

class Client {
  public:
    explicit Client(const AppendLoad& load) : load_(load), acked_per_segment_(static_cast<std::size_t>(load.segments)) {
        event_.resize(static_cast<std::size_t>(load.event_bytes));
        for (std::size_t i = 0; i < event_.size(); ++i) event_[i] = static_cast<std::uint8_t>(i * 2654435761U >> 13);
        // The client's own framing: type 0 and length, inside the event's size.
        bytes::store_be<std::int32_t>(event_.data(), 0);
        bytes::store_be<std::int32_t>(event_.data() + 4, load.event_bytes - 8);
    }

    int run() {
        prepare();
        std::uint64_t begin = now_us();
        measure_from_ = begin + static_cast<std::uint64_t>(load_.warmup_seconds * 1e6);
        measure_to_ = measure_from_ + static_cast<std::uint64_t>(load_.seconds * 1e6);
        schedule_from_ = begin;
        loop();
        return report();
    }

  private:
    // ---- preparation, one request at a time ----
    template <typename Command>
    void ask(Writer& writer, const Command& command) {
        bytes::Writer out(writer.out);
        wire::encode(command, out);
    }
    void flush_blocking(Writer& writer) {
        std::size_t sent = 0;
        while (sent < writer.out.size()) {
            ssize_t n = send(writer.fd, writer.out.data() + sent, writer.out.size() - sent, MSG_NOSIGNAL);
            if (n <= 0) fail("send");
            sent += static_cast<std::size_t>(n);
        }
        writer.out.clear();
    }
    void expect(Writer& writer, std::size_t replies) {
        while (replies > 0) {
            ssize_t n = recv(writer.fd, writer.in.data() + writer.used, writer.in.size() - writer.used, 0);
            if (n <= 0) fail("the server closed the connection during preparation");
            writer.used += static_cast<std::size_t>(n);
            wire::FrameParser frames(bytes::ByteSpan(writer.in.data(), writer.used));
            for (auto frame = frames.next(); frame && *frame; frame = frames.next()) {
                if ((*frame)->type == wire::CommandType::kHello) continue;
                if ((*frame)->type != wire::CommandType::kSegmentCreated &&
                    (*frame)->type != wire::CommandType::kAppendSetup) {
                    std::fprintf(stderr, "bench: unexpected reply %d\n", static_cast<int>((*frame)->type));
                    std::exit(1);
                }
                --replies;
            }
            consume(writer, frames.consumed());
        }
    }
    void prepare() {
        std::string prefix = load_.prefix.empty() ? "bench/" + std::to_string(now_us()) : load_.prefix;
        for (int s = 0; s < load_.segments; ++s) names_.push_back(prefix + "/" + std::to_string(s) + ".#epoch.0");
        epoll_ = epoll_create1(0);
        for (int w = 0; w < load_.writers; ++w) {
            auto writer = std::make_unique<Writer>();
            writer->fd = connect_to(load_.host, load_.port);
            writer->lanes.resize(names_.size());
            writer->next_lane = static_cast<std::size_t>(w) * names_.size() / static_cast<std::size_t>(load_.writers);
            ask(*writer, wire::Hello{});
            flush_blocking(*writer);
            if (w == 0) {
                for (std::size_t s = 0; s < names_.size(); ++s) {
                    wire::CreateSegment create;
                    create.request_id = static_cast<std::int64_t>(s);
                    create.segment = names_[s];
                    ask(*writer, create);
                }
                flush_blocking(*writer);
                expect(*writer, names_.size());
            }
            for (std::size_t s = 0; s < names_.size(); ++s) {
                wire::SetupAppend setup;
                setup.request_id = static_cast<std::int64_t>(s);
                setup.writer_id = writer_id(static_cast<std::size_t>(w), s);
                setup.segment = names_[s];
                ask(*writer, setup);
            }
            flush_blocking(*writer);
            expect(*writer, names_.size());
            set_nonblocking(writer->fd);
            epoll_event event{};
            event.events = EPOLLIN;
            event.data.u64 = static_cast<std::uint64_t>(w);
            epoll_ctl(epoll_, EPOLL_CTL_ADD, writer->fd, &event);
            writers_.push_back(std::move(writer));
        }
    }
    static Uuid writer_id(std::size_t writer, std::size_t segment) {
        return {0x62656e6368, static_cast<std::uint64_t>(writer) << 32 | segment};
    }

    // ---- the load ----
    void loop() {
        std::vector<epoll_event> events(64);
        for (;;) {
            std::uint64_t now = now_us();
            bool over = now >= measure_to_;
            if (over && (all_answered() || now >= measure_to_ + 30'000'000)) return;
            if (!over) {
                for (std::size_t w = 0; w < writers_.size(); ++w)
                    load_.rate > 0 ? produce_due(w, now) : produce_window(w, now);
            }
            for (auto& writer : writers_) send_some(*writer);
            int wait_ms = load_.rate > 0 ? 0 : 100;
            if (load_.rate > 0) nap();
            int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), wait_ms);
            for (int i = 0; i < n; ++i) receive(*writers_[events[static_cast<std::size_t>(i)].data.u64]);
        }
    }
    // Fixed rate: sleeps on the sockets until the next event is due, at most 100 us too long.
    void nap() {
        pollfd poll_on{epoll_, POLLIN, 0};
        timespec time{0, 100'000};
        ppoll(&poll_on, 1, &time, nullptr);
    }
    bool all_answered() const {
        return std::all_of(writers_.begin(), writers_.end(), [](const auto& w) { return w->under_way == 0; });
    }
    void produce_window(std::size_t w, std::uint64_t now) {
        Writer& writer = *writers_[w];
        std::int64_t free = load_.window - writer.under_way;
        if (free < load_.window / 10 || writer.out.size() - writer.out_sent > (1 << 20)) return;
        auto segments = static_cast<std::int64_t>(names_.size());
        std::int64_t per_lane = std::max<std::int64_t>(1, free / segments);
        while (free > 0) {
            std::int64_t count = std::min(free, per_lane);
            put(w, writer.next_lane, count, [&](std::int64_t) { return now; });
            writer.next_lane = (writer.next_lane + 1) % names_.size();
            free -= count;
        }
    }
    void produce_due(std::size_t w, std::uint64_t now) {
        Writer& writer = *writers_[w];
        double per_writer = load_.rate / static_cast<double>(writers_.size()) / 1e6;
        auto due = static_cast<std::uint64_t>(static_cast<double>(now - schedule_from_) * per_writer);
        while (writer.scheduled < due) {
            std::uint64_t first = writer.scheduled;
            auto count = names_.size() == 1 ? static_cast<std::int64_t>(due - first) : 1;
            put(w, writer.next_lane, count, [&](std::int64_t i) {
                return schedule_from_ +
                       static_cast<std::uint64_t>(static_cast<double>(first + static_cast<std::uint64_t>(i) + 1) /
                                                  per_writer);
            });
            writer.next_lane = (writer.next_lane + 1) % names_.size();
            writer.scheduled += static_cast<std::uint64_t>(count);
        }
    }
    template <typename Time>
    void put(std::size_t w, std::size_t s, std::int64_t count, Time time) {
        Writer& writer = *writers_[w];
        Lane& lane = writer.lanes[s];
        auto per_append = std::max<std::int64_t>(1, static_cast<std::int64_t>(kMaxAppend / event_.size()));
        for (std::int64_t done = 0; done < count;) {
            std::int64_t n = std::min(count - done, per_append);
            scratch_.clear();
            for (std::int64_t i = 0; i < n; ++i) {
                scratch_.insert(scratch_.end(), event_.begin(), event_.end());
                lane.due.push_back(time(done + i));
            }
            lane.sent += n;
            wire::AppendBlockEnd end;
            end.writer_id = writer_id(w, s);
            end.size_of_whole_events = static_cast<std::int32_t>(scratch_.size());
            end.data = scratch_;
            end.num_events = static_cast<std::int32_t>(n);
            end.last_event_number = lane.sent;
            end.request_id = static_cast<std::int64_t>(s);
            bytes::Writer out(writer.out);
            wire::encode(end, out);
            done += n;
        }
        writer.under_way += count;
    }
    void send_some(Writer& writer) {
        while (writer.out_sent < writer.out.size()) {
            ssize_t n =
                send(writer.fd, writer.out.data() + writer.out_sent, writer.out.size() - writer.out_sent, MSG_NOSIGNAL);
            if (n < 0 && errno == EAGAIN) {
                watch_write(writer, true);
                return;
            }
            if (n <= 0) fail("send");
            writer.out_sent += static_cast<std::size_t>(n);
        }
        writer.out.clear();
        writer.out_sent = 0;
        watch_write(writer, false);
    }
    void watch_write(Writer& writer, bool on) {
        if (writing_.size() < writers_.size()) writing_.resize(writers_.size());
        std::size_t w = 0;
        while (writers_[w].get() != &writer) ++w;
        if (writing_[w] == on) return;
        writing_[w] = on;
        epoll_event event{};
        event.events = EPOLLIN | (on ? static_cast<std::uint32_t>(EPOLLOUT) : 0U);
        event.data.u64 = w;
        epoll_ctl(epoll_, EPOLL_CTL_MOD, writer.fd, &event);
    }
    void receive(Writer& writer) {
        ssize_t n = recv(writer.fd, writer.in.data() + writer.used, writer.in.size() - writer.used, 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) fail("the server closed the connection");
        writer.used += static_cast<std::size_t>(n);
        std::uint64_t now = now_us();
        wire::FrameParser frames(bytes::ByteSpan(writer.in.data(), writer.used));
        for (auto frame = frames.next(); frame && *frame; frame = frames.next()) {
            if ((*frame)->type != wire::CommandType::kDataAppended) fail("an append was refused");
            auto ack = wire::decode<wire::DataAppended>((*frame)->payload);
            if (!ack) fail("malformed acknowledgement");
            acknowledge(writer, *ack, now);
        }
        consume(writer, frames.consumed());
    }
    void acknowledge(Writer& writer, const wire::DataAppended& ack, std::uint64_t now) {
        auto segment = static_cast<std::size_t>(ack.writer_id.low & 0xffffffff);
        Lane& lane = writer.lanes[segment];
        bool counted = now >= measure_from_ && now < measure_to_;
        while (lane.acked < ack.event_number) {
            std::uint64_t due = lane.due.front();
            lane.due.pop_front();
            ++lane.acked;
            --writer.under_way;
            if (counted) {
                ++acked_;
                ++acked_per_segment_[segment];
            }
            bool in_window = load_.rate > 0 ? due >= measure_from_ && due < measure_to_ : counted;
            if (in_window) latency_.record(now > due ? now - due : 0);
        }
    }
    static void consume(Writer& writer, std::size_t bytes) {
        std::memmove(writer.in.data(), writer.in.data() + bytes, writer.used - bytes);
        writer.used -= bytes;
    }
    [[noreturn]] static void fail(const char* what) {
        std::fprintf(stderr, "bench: %s: %s\n", what, std::strerror(errno));
        std::exit(1);
    }

    int report() {
        double events = static_cast<double>(acked_) / load_.seconds;
        auto [low, high] = std::minmax_element(acked_per_segment_.begin(), acked_per_segment_.end());
        std::int64_t unanswered = 0;
        for (const auto& writer : writers_) unanswered += writer->under_way;
        rusage usage{};
        getrusage(RUSAGE_SELF, &usage);
        std::printf(
            "append segments=%d writers=%d event_bytes=%d rate=%.0f events_s=%.0f mb_s=%.1f fairness=%.3f p50_us=%llu "
            "p99_us=%llu p999_us=%llu max_us=%llu unanswered=%lld client_cpu_s=%.2f\n",
            load_.segments, load_.writers, load_.event_bytes, load_.rate, events, events * load_.event_bytes / 1e6,
            *high == 0 ? 0.0 : static_cast<double>(*low) / static_cast<double>(*high),
            static_cast<unsigned long long>(latency_.percentile(50)),
            static_cast<unsigned long long>(latency_.percentile(99)),
            static_cast<unsigned long long>(latency_.percentile(99.9)), static_cast<unsigned long long>(latency_.max()),
            static_cast<long long>(unanswered),
            static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
        return unanswered == 0 ? 0 : 1;
    }

    AppendLoad load_;
    std::vector<std::uint8_t> event_;
    std::vector<std::uint8_t> scratch_;
    std::vector<std::string> names_;
    std::vector<std::unique_ptr<Writer>> writers_;
    std::vector<bool> writing_;
    int epoll_ = -1;
    std::uint64_t measure_from_ = 0;
    std::uint64_t measure_to_ = 0;
    std::uint64_t schedule_from_ = 0;
    std::uint64_t acked_ = 0;
    std::vector<std::uint64_t> acked_per_segment_;
    Histogram latency_;
};

}  // namespace

int run_append(const AppendLoad& load) { return Client(load).run(); }

}  // namespace millrace::bench
