#include "read_client.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "event_bytes.h"
#include "request_loop.h"
#include "wire/codec.h"

namespace millrace::bench {
namespace {

// Where each segment begins and ends.
class Lengths final : public RequestLoad {
  public:
    struct Range {
        std::int64_t start = 0;
        std::int64_t end = 0;
    };
    explicit Lengths(const std::vector<std::string>& names) : ranges(names.size()), names_(names) {}
    bool next(std::size_t, bytes::Writer& out) override {
        if (asked_ == names_.size()) return false;
        wire::GetStreamSegmentInfo request;
        request.request_id = static_cast<std::int64_t>(asked_);
        request.segment = names_[asked_++];
        wire::encode(request, out);
        return true;
    }
    bool answered(std::size_t, const wire::Frame& answer) override {
        if (answer.type != wire::CommandType::kStreamSegmentInfo) return false;
        auto info = wire::decode<wire::StreamSegmentInfo>(answer.payload);
        if (!info) return false;
        ranges.at(static_cast<std::size_t>(info->request_id)) = {info->start_offset, info->write_offset};
        return true;
    }
    std::vector<Range> ranges;

  private:
    const std::vector<std::string>& names_;
    std::size_t asked_ = 0;
};

// The events of one segment as they come, piece by piece.
class EventCheck {
  public:
    explicit EventCheck(const std::vector<std::uint8_t>& expected) : expected_(expected) {}
    void begin(const std::string& segment, bool at_head) {
        segment_ = &segment;
        next_.clear();
        at_head_ = at_head;
        part_.clear();
        offset_ = 0;
    }
    void take(bytes::ByteSpan data) {
        std::size_t size = expected_.size();
        if (!part_.empty()) {
            std::size_t missing = std::min(size - part_.size(), data.size());
            part_.insert(part_.end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(missing));
            data = data.subspan(missing);
            if (part_.size() < size) return;
            check(part_.data());
            part_.clear();
        }
        for (; data.size() >= size; data = data.subspan(size)) check(data.data());
        part_.assign(data.begin(), data.end());
    }

  private:
    void check(const std::uint8_t* event) {
        constexpr std::size_t kStampEnd = 20;
        if (std::memcmp(event, expected_.data(), 8) != 0 ||
            std::memcmp(event + kStampEnd, expected_.data() + kStampEnd, expected_.size() - kStampEnd) != 0)
            wrong("is no event of this load");
        std::uint32_t writer = writer_of(event);
        if (writer >= 1'000'000) wrong("is of no writer");
        if (writer >= next_.size()) next_.resize(writer + 1, at_head_ ? 1 : 0);
        if (next_[writer] != 0 && number_of(event) != next_[writer]) wrong("is not the next one of its writer");
        next_[writer] = number_of(event) + 1;
        offset_ += static_cast<std::int64_t>(expected_.size());
    }
    [[noreturn]] void wrong(const char* what) const {
        std::fprintf(stderr, "bench: %s: what was read %lld bytes behind the head %s\n", segment_->c_str(),
                     static_cast<long long>(offset_), what);
        std::exit(1);
    }
    const std::vector<std::uint8_t>& expected_;
    const std::string* segment_ = nullptr;
    std::vector<std::int64_t> next_;  // by writer; 0: whatever comes
    bool at_head_ = true;             // nothing was truncated
    std::vector<std::uint8_t> part_;
    std::int64_t offset_ = 0;
};

class Scan final : public RequestLoad {
  public:
    Scan(const ReadLoad& load, const std::vector<std::string>& names, std::vector<Lengths::Range> ranges)
        : load_(load), names_(names), ranges_(std::move(ranges)), event_(event_of(load.event_bytes)) {
        for (int i = 0; i < load.connections; ++i) readers_.push_back(Reader{0, 0, EventCheck(event_), 0});
        for (std::size_t i = 0; i < readers_.size(); ++i) begin(readers_[i], i);
    }
    bool next(std::size_t connection, bytes::Writer& out) override {
        Reader& reader = readers_[connection];
        while (reader.segment < names_.size() && reader.at >= ranges_[reader.segment].end) {
            std::size_t following = reader.segment + readers_.size();
            if (following >= names_.size() && load_.seconds < 1e9) following = connection;
            begin(reader, following);
            if (++reader.fruitless > 2 * names_.size()) return false;  // all are empty
        }
        if (reader.segment >= names_.size()) return false;
        reader.fruitless = 0;
        std::int64_t size = std::min<std::int64_t>(load_.read_bytes, ranges_[reader.segment].end - reader.at);
        wire::ReadSegment request;
        request.segment = names_[reader.segment];
        request.offset = reader.at;
        request.suggested_length = static_cast<std::int32_t>(size);
        request.request_id = static_cast<std::int64_t>(connection);
        wire::encode(request, out);
        return true;
    }
    bool answered(std::size_t connection, const wire::Frame& answer) override {
        if (answer.type == wire::CommandType::kErrorMessage) {
            auto error = wire::decode<wire::ErrorMessage>(answer.payload);
            if (error) std::fprintf(stderr, "bench: %s\n", error->message.c_str());
        }
        if (answer.type != wire::CommandType::kSegmentRead) return false;
        auto read = wire::decode<wire::SegmentRead>(answer.payload);
        Reader& reader = readers_[connection];
        if (!read || read->offset != reader.at || read->data.empty()) return false;
        reader.check.take(read->data);
        reader.at += static_cast<std::int64_t>(read->data.size());
        bytes_ += static_cast<std::int64_t>(read->data.size());
        return true;
    }
    std::int64_t bytes() const { return bytes_; }

  private:
    struct Reader {
        std::size_t segment = 0;
        std::int64_t at = 0;
        EventCheck check;
        std::size_t fruitless = 0;  // segments begun since the last request
    };
    void begin(Reader& reader, std::size_t segment) {
        reader.segment = segment;
        if (segment >= names_.size()) return;
        reader.at = ranges_[segment].start;
        reader.check.begin(names_[segment], reader.at == 0);
    }

    const ReadLoad& load_;
    const std::vector<std::string>& names_;
    std::vector<Lengths::Range> ranges_;
    std::vector<std::uint8_t> event_;
    std::vector<Reader> readers_;
    std::int64_t bytes_ = 0;
};

}  // namespace

int run_read(const ReadLoad& load) {
    std::vector<std::string> names;
    for (int s = 0; s < load.segments; ++s) names.push_back(load.prefix + "/" + std::to_string(s) + ".#epoch.0");
    RequestLoop loop(load.host, load.port, static_cast<std::size_t>(load.connections), 1);
    Lengths lengths(names);
    loop.run(lengths, 60);
    Scan scan(load, names, lengths.ranges);
    double took = loop.run(scan, load.seconds);
    std::printf("read segments=%d connections=%d bytes=%lld seconds=%.3f mb_s=%.1f\n", load.segments, load.connections,
                static_cast<long long>(scan.bytes()), took, static_cast<double>(scan.bytes()) / took / 1e6);
    return 0;
}

}  // namespace millrace::bench
