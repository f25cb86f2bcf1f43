// Reads. One reply each, without a copy of the data; those at the tail of an open segment wait until there is something
// to say.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "store/connection.h"

namespace millrace::store {

namespace {

constexpr std::int32_t kReadBytesMin = 8;
constexpr std::int32_t kReadBytesMax = 2 * 1024 * 1024;
constexpr std::size_t kCopiedBytesMax = 4 * 1024;  // less is sent together with the rest of the reply

}  // namespace

// Goes with a read's callback. A callback that dies without having been called (the read was cancelled) reports back
// all the same.
class StoreConnection::ReadTicket {
  public:
    explicit ReadTicket(StoreConnection& connection) : connection_(&connection) {}
    ReadTicket(ReadTicket&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)) {}
    ReadTicket& operator=(ReadTicket&&) = delete;
    ~ReadTicket() {
        if (connection_ == nullptr) return;
        connection_->executor().post([connection = connection_] { connection->operation_done(); });
    }
    void use() { connection_ = nullptr; }

  private:
    StoreConnection* connection_;
};

void StoreConnection::handle(wire::ReadSegment& request) {
    std::size_t waiting = waiting_reads_ + postponed_reads_.size();
    if (waiting >= loop_.options.waiting_reads_max) {
        return break_off(fmt::format("READ_SEGMENT of {}: {} reads wait already", request.segment, waiting));
    }
    if (!take_standing("READ_SEGMENT", request.segment)) return;
    auto length = static_cast<std::size_t>(std::clamp(request.suggested_length, kReadBytesMin, kReadBytesMax));
    begin_read(std::make_unique<Read>(std::move(request.segment), request.offset, length, request.request_id));
}

void StoreConnection::begin_read(std::unique_ptr<Read> read) {
    Lane& lane = lane_of(read->segment);
    flush_lane(lane);
    read->token = ++last_read_;
    read->granted = loop_.reads.share(read->length);
    loading_read_bytes_ += read->granted;
    take_read_bytes(read->granted);
    ++pending_;
    lane.on_container([this, &lane, read = std::move(read)](container::SegmentContainer& container) mutable {
        start_read(container, lane, std::move(read));
    });
}

// On the container's core.
void StoreConnection::start_read(container::SegmentContainer& container, Lane& lane, std::unique_ptr<Read> read) {
    const Read& asked = *read;
    std::uint64_t token = asked.token;
    std::size_t length = asked.granted;
    auto done = [this, &lane, read = std::move(read),
                 ticket = ReadTicket(*this)](Result<container::ReadResult> result) mutable {
        ticket.use();
        bool waited = lane.waiting_reads.erase(read->token) > 0;
        lane.on_connection([this, waited, read = std::move(read), result = std::move(result)]() mutable {
            finish_read(std::move(read), waited, std::move(result));
        });
    };
    container::ReadId id = container.read(asked.segment, asked.offset, length, std::move(done));
    if (id.value() == 0) return;  // answered, or being loaded
    lane.waiting_reads.emplace(token, id);
    lane.on_connection([this, length] {
        ++waiting_reads_;
        loading_read_bytes_ -= length;
        give_read_bytes(length);
        reconsider();
    });
}

void StoreConnection::finish_read(std::unique_ptr<Read> read, bool waited, Result<container::ReadResult> result) {
    if (waited) --waiting_reads_;
    std::size_t loaded = waited ? 0 : read->granted;
    loading_read_bytes_ -= loaded;
    if (open_ && waited && result && must_postpone(*result)) {
        postponed_reads_.push_back(std::move(read));
        result = {};
        reconsider();
        return operation_done();
    }
    if (open_) {
        if (result)
            send_read(*read, *result);
        else
            reply_error({wire::CommandType::kReadSegment, read->request_id, read->segment, read->offset},
                        result.error());
        flush_replies();
    }
    give_read_bytes(loaded);
    give_standing(read->segment);
    check_send_queue();
    reconsider();
    operation_done();
}

// What wakes a waiting read may wake thousands, of clients that do not read their replies. They are read again when
// there is room; nothing is lost by it but the moment.
bool StoreConnection::must_postpone(const container::ReadResult& result) const {
    if (result.data.empty()) return false;
    if (send_blocked_) return true;
    return loop_.reads.full() && (read_bytes_ > 0 || result.data.size() > loop_.reads.share(result.data.size()));
}

void StoreConnection::resume_reads() {
    resume_posted_ = false;
    while (open_ && !postponed_reads_.empty() && !must_wait()) {
        std::unique_ptr<Read> read = std::move(postponed_reads_.front());
        postponed_reads_.pop_front();
        begin_read(std::move(read));
    }
    reconsider();
}

void StoreConnection::send_read(const Read& read, const container::ReadResult& result) {
    std::size_t size = result.data.size();
    loop_.counters.read_bytes.add(size);
    wire::encode_segment_read_header(writer_, read.segment, read.offset, result.at_tail, result.end_of_segment, size);
    if (size <= kCopiedBytesMax) {
        if (size > 0) result.data.copy_to(writer_.grow(size));
    } else {
        flush_replies();
        transport_->send(result.data);
    }
    wire::encode_segment_read_trailer(writer_, read.request_id);
    flush_replies();
    queued_read_bytes_ += size;
    take_read_bytes(size);
    settle_sent();
}

// ---- read bytes ----

void StoreConnection::take_read_bytes(std::uint64_t bytes) {
    read_bytes_ += bytes;
    loop_.reads.take(bytes);
}

void StoreConnection::give_read_bytes(std::uint64_t bytes) {
    MILLRACE_ASSERT(bytes <= read_bytes_);
    read_bytes_ -= bytes;
    if (loop_.reads.give_back(bytes) && loop_.on_total_fell) loop_.on_total_fell();
}

// Replies leave in order; what else is unsent counts as theirs.
void StoreConnection::settle_sent() {
    std::uint64_t unsent = transport_ == nullptr ? 0 : transport_->unsent_bytes();
    if (queued_read_bytes_ <= unsent) return;
    give_read_bytes(std::exchange(queued_read_bytes_, unsent) - unsent);
}

}  // namespace millrace::store
