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

struct StoreConnection::Read {
    std::string segment;
    std::int64_t offset = 0;
    std::size_t length = 0;
    std::int64_t request_id = 0;
    std::uint64_t token = 0;
};

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
    if (waiting_reads_ >= loop_.options.waiting_reads_max) {
        return break_off(fmt::format("READ_SEGMENT of {}: {} reads wait already", request.segment, waiting_reads_));
    }
    Lane& lane = lane_of(request.segment);
    flush_lane(lane);
    auto length = static_cast<std::size_t>(std::clamp(request.suggested_length, kReadBytesMin, kReadBytesMax));
    auto read =
        std::make_unique<Read>(std::move(request.segment), request.offset, length, request.request_id, ++last_read_);
    loading_read_bytes_ += length;
    ++pending_;
    lane.on_container([this, &lane, read = std::move(read)](container::SegmentContainer& container) mutable {
        start_read(container, lane, std::move(read));
    });
}

// On the container's core.
void StoreConnection::start_read(container::SegmentContainer& container, Lane& lane, std::unique_ptr<Read> read) {
    const Read& asked = *read;
    std::uint64_t token = asked.token;
    std::size_t length = asked.length;
    auto done = [this, &lane, read = std::move(read),
                 ticket = ReadTicket(*this)](Result<container::ReadResult> result) mutable {
        ticket.use();
        bool waited = lane.waiting_reads.erase(read->token) > 0;
        lane.on_connection([this, waited, read = std::move(read), result = std::move(result)]() mutable {
            finish_read(*read, waited, std::move(result));
        });
    };
    container::ReadId id = container.read(asked.segment, asked.offset, length, std::move(done));
    if (id.value() == 0) return;  // answered, or being loaded
    lane.waiting_reads.emplace(token, id);
    lane.on_connection([this, length] {
        ++waiting_reads_;
        loading_read_bytes_ -= length;
        reconsider();
    });
}

void StoreConnection::finish_read(const Read& read, bool waited, Result<container::ReadResult> result) {
    if (waited)
        --waiting_reads_;
    else
        loading_read_bytes_ -= read.length;
    if (open_) {
        if (result)
            send_read(read, *result);
        else
            reply_error({wire::CommandType::kReadSegment, read.request_id, read.segment, read.offset}, result.error());
        flush_replies();
        check_send_queue();
        reconsider();
    }
    operation_done();
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
}

}  // namespace millrace::store
