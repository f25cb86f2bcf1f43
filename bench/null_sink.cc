#include "null_sink.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <vector>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bytes/buffer.h"
#include "histogram.h"
#include "peer_socket.h"
#include "wire/codec.h"
#include "wire/frame.h"

namespace millrace::bench {
namespace {

constexpr std::size_t kBatch = 8 << 20;
constexpr std::size_t kSinkFile = 128 << 20;
constexpr std::size_t kProbeFile = 16 << 20;

int open_prewritten(const std::string& path, std::size_t file_bytes) {
    int fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0644);
    if (fd < 0) {
        std::perror(path.c_str());
        std::exit(1);
    }
    bytes::SlabRef zeros = bytes::Slab::allocate(1 << 20);
    std::memset(zeros->data(), 0, zeros->capacity());
    for (std::size_t at = 0; at < file_bytes; at += zeros->capacity()) {
        if (pwrite(fd, zeros->data(), zeros->capacity(), static_cast<off_t>(at)) < 0) std::perror("pwrite");
    }
    fsync(fd);
    return fd;
}

// Round and round in the file.
void write_synced(int fd, std::size_t file_bytes, const std::uint8_t* data, std::size_t size, std::size_t* at) {
    size = (size + 4095) / 4096 * 4096;
    if (*at + size > file_bytes) *at = 0;
    iovec piece{const_cast<std::uint8_t*>(data), size};
    if (pwritev2(fd, &piece, 1, static_cast<off_t>(*at), RWF_DSYNC) != static_cast<ssize_t>(size)) {
        std::perror("pwritev2");
        std::exit(1);
    }
    *at += size;
}

struct Peer {
    int fd = -1;
    std::vector<std::uint8_t> in;
    std::size_t used = 0;
    std::vector<std::uint8_t> out;
    std::unordered_map<std::uint64_t, std::int64_t> acked;  // writer -> last event number
};

class Sink {
  public:
    Sink(const std::string& file, const std::string& host, int port)
        : file_(open_prewritten(file, kSinkFile)),
          listener_(listen_on(host, port)),
          batch_(static_cast<std::uint8_t*>(std::aligned_alloc(bytes::kPageSize, kBatch + (20 << 20)))) {
        epoll_ = epoll_create1(0);
        set_nonblocking(listener_);
        watch(listener_, nullptr);
    }

    int run() {
        std::vector<epoll_event> events(256);
        for (;;) {
            int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
            for (int i = 0; i < n; ++i) {
                auto* peer = static_cast<Peer*>(events[static_cast<std::size_t>(i)].data.ptr);
                if (peer == nullptr)
                    accept_all();
                else if (!read_from(*peer))
                    drop(peer);
            }
            if (filled_ > 0) {
                write_synced(file_, kSinkFile, batch_.get(), filled_, &at_);
                filled_ = 0;
            }
            for (auto& peer : peers_) send_out(*peer);
        }
    }

  private:
    void watch(int fd, Peer* peer) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = peer;
        epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
    }
    void accept_all() {
        for (int fd = accept(listener_, nullptr, nullptr); fd >= 0; fd = accept(listener_, nullptr, nullptr)) {
            int on = 1;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            set_nonblocking(fd);
            auto peer = std::make_unique<Peer>();
            peer->fd = fd;
            peer->in.resize(1 << 20);
            watch(fd, peer.get());
            peers_.push_back(std::move(peer));
        }
    }
    void drop(Peer* peer) {
        close(peer->fd);
        std::erase_if(peers_, [&](const auto& p) { return p.get() == peer; });
    }
    bool read_from(Peer& peer) {
        if (peer.used == peer.in.size()) peer.in.resize(peer.in.size() * 2);
        ssize_t n = recv(peer.fd, peer.in.data() + peer.used, peer.in.size() - peer.used, 0);
        if (n <= 0) return n < 0 && errno == EAGAIN;
        peer.used += static_cast<std::size_t>(n);
        wire::FrameParser frames(bytes::ByteSpan(peer.in.data(), peer.used));
        for (;;) {
            auto frame = frames.next();
            if (!frame) return false;
            if (!*frame) break;
            if (!handle(peer, **frame)) return false;
        }
        std::memmove(peer.in.data(), peer.in.data() + frames.consumed(), peer.used - frames.consumed());
        peer.used -= frames.consumed();
        return true;
    }
    bool handle(Peer& peer, const wire::Frame& frame) {
        bytes::Writer out(peer.out);
        switch (frame.type) {
            case wire::CommandType::kAppendBlockEnd: {
                auto end = wire::decode<wire::AppendBlockEnd>(frame.payload);
                if (!end) return false;
                std::memcpy(batch_.get() + filled_, end->data.data(), end->data.size());
                filled_ += end->data.size();
                if (filled_ >= kBatch) {
                    write_synced(file_, kSinkFile, batch_.get(), filled_, &at_);
                    filled_ = 0;
                }
                std::int64_t& last = peer.acked[end->writer_id.low];
                wire::DataAppended ack;
                ack.writer_id = end->writer_id;
                ack.event_number = end->last_event_number;
                ack.previous_event_number = last;
                ack.request_id = end->request_id;
                last = end->last_event_number;
                wire::encode(ack, out);
                return true;
            }
            case wire::CommandType::kHello: {
                wire::Hello hello;
                wire::encode(hello, out);
                return true;
            }
            case wire::CommandType::kCreateSegment: {
                auto create = wire::decode<wire::CreateSegment>(frame.payload);
                if (!create) return false;
                wire::SegmentCreated created;
                created.request_id = create->request_id;
                created.segment = create->segment;
                wire::encode(created, out);
                return true;
            }
            case wire::CommandType::kSetupAppend: {
                auto setup = wire::decode<wire::SetupAppend>(frame.payload);
                if (!setup) return false;
                peer.acked[setup->writer_id.low] = 0;
                wire::AppendSetup done;
                done.request_id = setup->request_id;
                done.segment = setup->segment;
                done.writer_id = setup->writer_id;
                done.last_event_number = 0;
                wire::encode(done, out);
                return true;
            }
            default:
                return false;
        }
    }
    static void send_out(Peer& peer) {
        std::size_t sent = 0;
        while (sent < peer.out.size()) {
            ssize_t n = send(peer.fd, peer.out.data() + sent, peer.out.size() - sent, MSG_NOSIGNAL);
            if (n < 0) break;
            sent += static_cast<std::size_t>(n);
        }
        peer.out.erase(peer.out.begin(), peer.out.begin() + static_cast<std::ptrdiff_t>(sent));
    }

    int file_;
    int listener_;
    int epoll_ = -1;
    // Ordinary memory, as a straightforward program has it: a slab would lie in huge pages.
    struct Free {
        void operator()(std::uint8_t* memory) const { std::free(memory); }
    };
    std::unique_ptr<std::uint8_t, Free> batch_;
    std::size_t filled_ = 0;
    std::size_t at_ = 0;
    std::vector<std::unique_ptr<Peer>> peers_;
};

}  // namespace

int run_null_sink(const std::string& file, const std::string& host, int port) {
    Sink sink(file, host, port);
    std::printf("null sink ready\n");
    std::fflush(stdout);
    return sink.run();
}

int run_sync_probe(const std::string& file, double seconds) {
    int fd = open_prewritten(file, kProbeFile);
    bytes::SlabRef page = bytes::Slab::allocate(4096);
    std::memset(page->data(), 1, 4096);
    Histogram times;
    std::size_t at = 0;
    std::uint64_t end = now_us() + static_cast<std::uint64_t>(seconds * 1e6);
    for (std::uint64_t begin = now_us(); begin < end; begin = now_us()) {
        write_synced(fd, kProbeFile, page->data(), 4096, &at);
        times.record(now_us() - begin);
    }
    std::printf("sync_4k writes=%llu p50_us=%llu p99_us=%llu\n", static_cast<unsigned long long>(times.total()),
                static_cast<unsigned long long>(times.percentile(50)),
                static_cast<unsigned long long>(times.percentile(99)));
    close(fd);
    unlink(file.c_str());
    return 0;
}

}  // namespace millrace::bench
