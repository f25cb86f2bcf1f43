#include "container/object_writer.h"

#include "base/assert.h"
#include "base/log.h"
#include "container/segment.h"

namespace millrace::container {
namespace {
constexpr std::size_t kPiece = 4 << 20;  // given to the store at a time
constexpr std::size_t kAhead = 4;        // parts whose segments are on their way from memory
}  // namespace

void ObjectWriter::write(ObjectPlan plan, runtime::Callback<Result<WrittenObject>> done) {
    MILLRACE_ASSERT(!busy() && plan.segments.size() == plan.parts.size());
    plan_ = std::move(plan);
    done_ = std::move(done);
    part_ = 0;
    part_done_ = 0;
    checksums_ = {};
    buffer_.clear();
    upload_.reset();
    go_on();
}

void ObjectWriter::go_on() {
    again_ = true;
    if (going_) return;
    going_ = true;
    while (std::exchange(again_, false)) next_piece();
    going_ = false;
}

void ObjectWriter::next_piece() {
    for (;;) {
        while (part_ < plan_.parts.size() && part_done_ == plan_.parts[part_].size) {
            ++part_;
            part_done_ = 0;
        }
        if (part_ == plan_.parts.size()) return finish();
        if (buffer_.size() >= kPiece) return send_piece();
        ObjectPart& part = plan_.parts[part_];
        if (part_done_ == 0) {
            part.object_offset = checksums_.data_bytes();
            if (part_ + kAhead < plan_.parts.size()) plan_.segments[part_ + kAhead]->prefetch();
        }
        std::size_t wanted = std::min<std::uint64_t>(part.size - part_done_, kPiece - buffer_.size());
        std::size_t first = buffer_.slices().size();
        std::size_t taken =
            source_.take_part(plan_.round, *plan_.segments[part_], part.offset + part_done_, wanted, buffer_);
        if (taken == 0) {
            auto took_it = [this](Result<bytes::Chain> piece) { took(std::move(piece)); };
            return source_.read_part(part.segment, part.offset + part_done_, wanted, guarded<bytes::Chain>(took_it));
        }
        count(first, taken);
    }
}

// Slices of the buffer from `first` on are new.
void ObjectWriter::count(std::size_t first, std::size_t taken) {
    const std::vector<bytes::Slice>& slices = buffer_.slices();
    for (; first < slices.size(); ++first) checksums_.add(slices[first].span());
    part_done_ += taken;
}

void ObjectWriter::took(Result<bytes::Chain> piece) {
    if (!piece) {
        const Error& error = piece.error();
        // Not about this part: the next one would wait for storage just as long.
        if (error == Errc::kClosed || error == Errc::kUnavailable) return end(fail(error));
        bool has_gone = error == Errc::kNotFound || error == Errc::kTruncated || error == Errc::kMerged;
        // What cannot be read must not hold up the rest.
        if (!has_gone) log::warn("bytes of a segment are not moved: {}", error.to_string());
        drop_part();
        return go_on();
    }
    std::size_t first = buffer_.slices().size();
    buffer_.append(*piece);
    count(first, piece->size());
    go_on();
}

// What was taken of it stays in the object, and counts for nothing.
void ObjectWriter::drop_part() {
    plan_.parts[part_].size = 0;
    part_done_ = 0;
}

void ObjectWriter::leave_out_dropped() {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < plan_.parts.size(); ++i) {
        if (plan_.parts[i].size == 0) continue;
        plan_.parts[kept] = plan_.parts[i];
        plan_.segments[kept++] = plan_.segments[i];
    }
    plan_.parts.resize(kept);
    plan_.segments.resize(kept);
}

// Less, if parts are dropped.
std::uint64_t ObjectWriter::expected_size() const {
    std::uint64_t data = 0;
    for (const ObjectPart& part : plan_.parts) data += part.size;
    return object_bytes(data);
}

void ObjectWriter::send_piece() {
    if (!upload_) upload_ = store_.upload(plan_.object.key, expected_size());
    upload_->append(std::exchange(buffer_, {}), guarded<void>([this](Result<> written) {
                        if (!written) return end(std::move(written));
                        go_on();
                    }));
}

void ObjectWriter::finish() {
    leave_out_dropped();
    if (plan_.parts.empty()) return end({});
    plan_.object.data_bytes = checksums_.data_bytes();
    buffer_.append(checksums_.footer(plan_.object.key));
    auto ended = guarded<void>([this](Result<> written) { end(std::move(written)); });
    if (!upload_) return store_.put_if_absent(plan_.object.key, std::exchange(buffer_, {}), std::move(ended));
    upload_->append(std::exchange(buffer_, {}),
                    guarded<void>([this, ended = std::move(ended)](Result<> written) mutable {
                        if (!written) return end(std::move(written));
                        upload_->finish(std::move(ended));
                    }));
}

void ObjectWriter::end(Result<> result) {
    upload_.reset();  // aborts it, unless it is finished
    buffer_.clear();
    auto done = std::exchange(done_, {});
    if (!result) return done(fail(result.error()));
    done(WrittenObject{{std::move(plan_.object), std::move(plan_.parts)}, std::move(plan_.segments)});
}

}  // namespace millrace::container
