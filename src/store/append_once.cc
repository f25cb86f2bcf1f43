#include "store/append_once.h"

#include <memory>
#include <optional>
#include <utility>

namespace millrace::store {

namespace {

constexpr Uuid kServerAsWriter{0x6d696c6c72616365, 1};

Result<std::int64_t> result_of(const container::AppendOutcome& outcome, const std::string& segment) {
    switch (outcome.status) {
        case container::AppendStatus::kAppended:
            return outcome.end_offset;
        case container::AppendStatus::kSealed:
            return fail(Errc::kSealed, segment);
        case container::AppendStatus::kNoSuchSegment:
            return fail(Errc::kNotFound, segment);
        case container::AppendStatus::kBadEventNumber:
            return fail(Errc::kConflict, "two appends of the server met in " + segment);
        case container::AppendStatus::kBadOffset:
            return fail(Errc::kBadOffset, segment);
        case container::AppendStatus::kFatal:
            return fail(Errc::kClosed, "the container has failed");
    }
    return fail(Errc::kClosed);
}

// Kept by the callbacks of the container, the last of which says that the container has forgotten the session.
class AppendOnce final : public container::AppendSink, public std::enable_shared_from_this<AppendOnce> {
  public:
    AppendOnce(container::SegmentContainer& container, std::string segment, std::int64_t expected_offset,
               std::string event, container::SegmentContainer::Done<std::int64_t> done)
        : container_(container), event_(std::move(event)), expected_offset_(expected_offset), done_(std::move(done)) {
        session_.writer_id = kServerAsWriter;
        session_.segment_name = std::move(segment);
        session_.sink = this;
    }

    void start() {
        container_.setup_append(session_, [self = shared_from_this()](Result<std::int64_t> last) {
            if (last)
                self->append(*last);
            else
                self->result_ = fail(last.error());
            // Behind the append, so its outcome has come before.
            self->container_.close_append(self->session_, [self] { self->done_(std::move(self->result_)); });
        });
    }

    void on_outcomes(std::span<const container::AppendOutcome> outcomes, std::uint64_t) override {
        for (const container::AppendOutcome& outcome : outcomes) result_ = result_of(outcome, session_.segment_name);
    }

  private:
    void append(std::int64_t last_number) {
        container::AppendRequest request;
        request.session = &session_;
        request.event_number = last_number == container::kNullAttribute ? 1 : last_number + 1;
        request.event_count = 1;
        request.expected_offset = expected_offset_;
        request.conditional = true;
        request.pieces[0] = bytes::as_bytes(event_);
        container::AppendBatch batch;
        batch.requests.push_back(request);
        container_.append(std::move(batch));
    }

    container::SegmentContainer& container_;
    const std::string event_;
    const std::int64_t expected_offset_;
    container::SegmentContainer::Done<std::int64_t> done_;
    container::AppendSession session_;
    Result<std::int64_t> result_ = fail(Errc::kUnavailable, "the append was dropped: the log is full");
};

}  // namespace

void append_once(container::SegmentContainer& container, std::string segment, std::int64_t expected_offset,
                 std::string event, container::SegmentContainer::Done<std::int64_t> done) {
    std::make_shared<AppendOnce>(container, std::move(segment), expected_offset, std::move(event), std::move(done))
        ->start();
}

}  // namespace millrace::store
