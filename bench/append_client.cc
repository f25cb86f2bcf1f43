#include "append_client.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "event_bytes.h"
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
    bool listed = false;            // in Writer::refill
};

struct Writer {
    int fd = -1;
    std::vector<std::uint8_t> in = std::vector<std::uint8_t>(1 << 20);
    std::size_t used = 0;
    std::vector<std::uint8_t> out;
    std::size_t out_sent = 0;
    std::vector<Lane> lanes;  // of the segments from `first_segment` on
    std::size_t first_segment = 0;
    std::int64_t under_way = 0;
    std::vector<std::uint32_t> refill;  // segments with room in their window, closed loop; no lane waits for another
    std::size_t next_lane = 0;          // fixed rate: offset from first_segment
};

class Client {
  public:
    explicit Client(const AppendLoad& load)
        : load_(load),
          event_(event_of(load.event_bytes)),
          acked_per_segment_(static_cast<std::size_t>(load.segments)),
          segment_end_(acked_per_segment_.size()) {}

    int run() {
        prctl(PR_SET_TIMERSLACK, 1000UL);  // ns; by default each sleep is 50 us too long
        prepare(true);
        std::uint64_t begin = now_us();
        measure_from_ = begin + static_cast<std::uint64_t>(load_.warmup_seconds * 1e6);
        measure_to_ = measure_from_ + static_cast<std::uint64_t>(load_.seconds * 1e6);
        if (load_.events > 0) {
            measure_from_ = begin;
            measure_to_ = UINT64_MAX;
        }
        schedule_from_ = begin;
        loop();
        int status = report();
        if (load_.delete_segments) delete_segments();
        return status;
    }

    // Sets up every writer again and adds up the event numbers that the server still knows.
    int verify() {
        prepare(false);
        std::printf("verify segments=%d writers=%d events=%lld\n", load_.segments, load_.writers,
                    static_cast<long long>(known_events_));
        return 0;
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
                bool expected = (*frame)->type == wire::CommandType::kSegmentCreated ||
                                (*frame)->type == wire::CommandType::kAppendSetup ||
                                (*frame)->type == wire::CommandType::kSegmentDeleted;
                if (!expected) {
                    std::fprintf(stderr, "bench: unexpected reply %d\n", static_cast<int>((*frame)->type));
                    std::exit(1);
                }
                if ((*frame)->type == wire::CommandType::kAppendSetup) {
                    auto setup = wire::decode<wire::AppendSetup>((*frame)->payload);
                    if (!setup) fail("malformed reply");
                    known_events_ += std::max<std::int64_t>(0, setup->last_event_number);
                }
                --replies;
            }
            consume(writer, frames.consumed());
        }
    }
    void prepare(bool create_segments) {
        std::string prefix = load_.prefix.empty() ? "bench/" + std::to_string(now_us()) : load_.prefix;
        for (int s = 0; s < load_.segments; ++s) names_.push_back(prefix + "/" + std::to_string(s) + ".#epoch.0");
        epoll_ = epoll_create1(0);
        for (int w = 0; w < load_.writers; ++w) {
            auto writer = std::make_unique<Writer>();
            writer->fd = connect_to(load_.host, load_.port);
            std::size_t share = names_.size();
            if (load_.segments_per_writer > 0)
                share = std::min(share, static_cast<std::size_t>(load_.segments_per_writer));
            writer->lanes.resize(share);
            writer->first_segment =
                static_cast<std::size_t>(w) * names_.size() / static_cast<std::size_t>(load_.writers);
            for (std::size_t s : segments_of(*writer)) list(*writer, s);
            ask(*writer, wire::Hello{});
            flush_blocking(*writer);
            if (w == 0 && create_segments) {
                for (std::size_t s = 0; s < names_.size(); ++s) {
                    wire::CreateSegment create;
                    create.request_id = static_cast<std::int64_t>(s);
                    create.segment = names_[s];
                    ask(*writer, create);
                }
                flush_blocking(*writer);
                expect(*writer, names_.size());
            }
            for (std::size_t s : segments_of(*writer)) {
                wire::SetupAppend setup;
                setup.request_id = static_cast<std::int64_t>(s);
                setup.writer_id = writer_id(static_cast<std::size_t>(w), s);
                setup.segment = names_[s];
                ask(*writer, setup);
            }
            flush_blocking(*writer);
            expect(*writer, writer->lanes.size());
            set_nonblocking(writer->fd);
            epoll_event event{};
            event.events = EPOLLIN;
            event.data.u64 = static_cast<std::uint64_t>(w);
            epoll_ctl(epoll_, EPOLL_CTL_ADD, writer->fd, &event);
            writers_.push_back(std::move(writer));
        }
    }
    // As if a second tier kept pace: what is acknowledged is cut off, so that the log's files are used again. On a
    // connection of its own; the replies only have to come.
    void truncate_segments() {
        if (load_.truncate_bytes == 0 || acked_total_ < truncate_at_) return;
        truncate_at_ = acked_total_ + load_.truncate_bytes / load_.event_bytes;
        if (truncator_.fd < 0) {
            truncator_.fd = connect_to(load_.host, load_.port);
            ask(truncator_, wire::Hello{});
        }
        for (std::size_t s = 0; s < names_.size(); ++s) {
            if (segment_end_[s] == 0) continue;
            wire::TruncateSegment request;
            request.request_id = static_cast<std::int64_t>(s);
            request.segment = names_[s];
            request.truncation_offset = segment_end_[s];
            ask(truncator_, request);
        }
        flush_blocking(truncator_);
        while (recv(truncator_.fd, truncator_.in.data(), truncator_.in.size(), MSG_DONTWAIT) > 0) {
        }
    }
    // The log's space comes free for the next run.
    void delete_segments() {
        Writer& writer = *writers_.front();
        set_blocking(writer.fd);
        for (std::size_t s = 0; s < names_.size(); ++s) {
            wire::DeleteSegment request;
            request.request_id = static_cast<std::int64_t>(s);
            request.segment = names_[s];
            ask(writer, request);
        }
        flush_blocking(writer);
        expect(writer, names_.size());
    }
    Lane& lane_of(Writer& writer, std::size_t segment) const {
        return writer.lanes[(segment + names_.size() - writer.first_segment) % names_.size()];
    }
    std::vector<std::size_t> segments_of(const Writer& writer) const {
        std::vector<std::size_t> all;
        for (std::size_t i = 0; i < writer.lanes.size(); ++i) all.push_back((writer.first_segment + i) % names_.size());
        return all;
    }
    static Uuid writer_id(std::size_t writer, std::size_t segment) {
        return {0x62656e6368, static_cast<std::uint64_t>(writer) << 32 | segment};
    }

    // ---- the load ----
    void loop() {
        std::vector<epoll_event> events(64);
        bool paced = load_.rate > 0;
        for (;;) {
            std::uint64_t now = now_us();
            bool over = now >= measure_to_ || (load_.events > 0 && sent_ >= load_.events);
            if (over && all_answered()) {
                measure_to_ = std::min(measure_to_, now);
                return;
            }
            if (now >= measure_to_ && now - measure_to_ >= 30'000'000) return;
            if (!over) {
                if (paced)
                    produce_due(now);
                else
                    for (std::size_t w = 0; w < writers_.size(); ++w) produce_window(w, now);
            }
            for (auto& writer : writers_) send_some(*writer);
            if (paced) sleep_until(due_time(scheduled_));
            int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), paced ? 0 : 100);
            for (int i = 0; i < n; ++i) receive(*writers_[events[static_cast<std::size_t>(i)].data.u64]);
            truncate_segments();
        }
    }
    // Ends earlier when a socket has something.
    void sleep_until(std::uint64_t time_us) {
        std::uint64_t now = now_us();
        std::uint64_t left = std::min<std::uint64_t>(time_us > now ? time_us - now : 0, 100'000);
        pollfd poll_on{epoll_, POLLIN, 0};
        timespec time{0, static_cast<long>(left * 1000)};
        ppoll(&poll_on, 1, &time, nullptr);
    }
    bool all_answered() const {
        return std::all_of(writers_.begin(), writers_.end(), [](const auto& w) { return w->under_way == 0; });
    }

    // Closed loop: each lane has a window of its own and is filled again when a tenth of it is free, so that the
    // events per segment are the server's choice, not the client's.
    void list(Writer& writer, std::size_t s) {
        if (std::exchange(lane_of(writer, s).listed, true)) return;
        writer.refill.push_back(static_cast<std::uint32_t>(s));
    }
    void produce_window(std::size_t w, std::uint64_t now) {
        Writer& writer = *writers_[w];
        std::int64_t window = std::max<std::int64_t>(1, load_.window / static_cast<std::int64_t>(writer.lanes.size()));
        std::size_t taken = 0;
        while (taken < writer.refill.size() && writer.out.size() - writer.out_sent <= (1 << 20)) {
            std::size_t s = writer.refill[taken++];
            Lane& lane = lane_of(writer, s);
            lane.listed = false;
            std::int64_t count = window - (lane.sent - lane.acked);
            if (count == 0 || count < window / 10) continue;
            if (load_.events > 0) count = std::min(count, load_.events - sent_);
            if (count > 0) put(w, s, count, [&](std::int64_t) { return now; });
        }
        writer.refill.erase(writer.refill.begin(), writer.refill.begin() + static_cast<std::ptrdiff_t>(taken));
    }

    // Fixed rate: one schedule of evenly spaced times for all writers, in turn, which never waits for the server.
    std::uint64_t due_time(std::uint64_t event) const {
        return schedule_from_ + static_cast<std::uint64_t>(static_cast<double>(event + 1) * 1e6 / load_.rate);
    }
    void produce_due(std::uint64_t now) {
        for (std::uint64_t due = due_time(scheduled_); due <= now; due = due_time(++scheduled_)) {
            std::size_t w = scheduled_ % writers_.size();
            Writer& writer = *writers_[w];
            put(w, (writer.first_segment + writer.next_lane) % names_.size(), 1, [&](std::int64_t) { return due; });
            writer.next_lane = (writer.next_lane + 1) % writer.lanes.size();
        }
    }
    template <typename Time>
    void put(std::size_t w, std::size_t s, std::int64_t count, Time time) {
        Writer& writer = *writers_[w];
        Lane& lane = lane_of(writer, s);
        auto per_append = std::max<std::int64_t>(1, static_cast<std::int64_t>(kMaxAppend / event_.size()));
        for (std::int64_t done = 0; done < count;) {
            std::int64_t n = std::min(count - done, per_append);
            scratch_.clear();
            for (std::int64_t i = 0; i < n; ++i) {
                scratch_.insert(scratch_.end(), event_.begin(), event_.end());
                std::uint8_t* event = scratch_.data() + scratch_.size() - event_.size();
                if (event_.size() >= kStampedBytes) stamp(event, static_cast<std::uint32_t>(w), lane.sent + i + 1);
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
        sent_ += count;
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
        Lane& lane = lane_of(writer, segment);
        segment_end_[segment] = std::max(segment_end_[segment], ack.current_segment_write_offset);
        bool counted = now >= measure_from_ && now < measure_to_;
        while (lane.acked < ack.event_number) {
            std::uint64_t due = lane.due.front();
            lane.due.pop_front();
            ++lane.acked;
            --writer.under_way;
            ++acked_total_;
            if (counted) {
                ++acked_;
                ++acked_per_segment_[segment];
            }
            bool in_window = load_.rate > 0 ? due >= measure_from_ && due < measure_to_ : counted;
            if (in_window) latency_.record(now > due ? now - due : 0);
        }
        if (load_.rate == 0) list(writer, segment);
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
        double seconds = static_cast<double>(measure_to_ - measure_from_) / 1e6;
        double events = static_cast<double>(acked_) / seconds;
        auto [low, high] = std::minmax_element(acked_per_segment_.begin(), acked_per_segment_.end());
        std::int64_t unanswered = 0;
        for (const auto& writer : writers_) unanswered += writer->under_way;
        rusage usage{};
        getrusage(RUSAGE_SELF, &usage);
        std::printf(
            "append segments=%d writers=%d event_bytes=%d rate=%.0f events_s=%.0f mb_s=%.1f fairness=%.3f p50_us=%llu "
            "p99_us=%llu p999_us=%llu max_us=%llu unanswered=%lld events=%lld seconds=%.3f client_cpu_s=%.2f\n",
            load_.segments, load_.writers, load_.event_bytes, load_.rate, events, events * load_.event_bytes / 1e6,
            *high == 0 ? 0.0 : static_cast<double>(*low) / static_cast<double>(*high),
            static_cast<unsigned long long>(latency_.percentile(50)),
            static_cast<unsigned long long>(latency_.percentile(99)),
            static_cast<unsigned long long>(latency_.percentile(99.9)), static_cast<unsigned long long>(latency_.max()),
            static_cast<long long>(unanswered), static_cast<long long>(acked_total_), seconds,
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
    std::uint64_t scheduled_ = 0;    // events handed out, fixed rate
    std::int64_t sent_ = 0;          // all of them
    std::int64_t acked_total_ = 0;   // all of them
    std::int64_t known_events_ = 0;  // that the server knew at set-up
    std::uint64_t acked_ = 0;        // within the window
    std::vector<std::uint64_t> acked_per_segment_;
    std::vector<std::int64_t> segment_end_;  // as acknowledged
    Writer truncator_;
    std::int64_t truncate_at_ = 0;  // acknowledged events
    Histogram latency_;
};

}  // namespace

int run_append(const AppendLoad& load) { return Client(load).run(); }
int run_verify(const AppendLoad& load) { return Client(load).verify(); }

}  // namespace millrace::bench
