#include "container/object_writer.h"

#include "base/assert.h"
#include "base/log.h"

namespace millrace::container {
namespace {
constexpr std::size_t kPiece = 4 << 20;  // given to the store at a time
}

void ObjectWriter::write(ObjectPlan plan, runtime::Callback<Result<ObjectWrittenRecord>> done) {
    MILLRACE_ASSERT(!busy());
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
    while (part_ < plan_.parts.size() && part_done_ == plan_.parts[part_].size) {
        ++part_;
        part_done_ = 0;
    }
    if (part_ == plan_.parts.size()) return finish();
    if (buffer_.size() >= kPiece) return send_piece();
    ObjectPart& part = plan_.parts[part_];
    if (part_done_ == 0) part.object_offset = checksums_.data_bytes();
    std::size_t wanted = std::min<std::uint64_t>(part.size - part_done_, kPiece - buffer_.size());
    source_.read_part(part.segment, part.offset + part_done_, wanted,
                      guarded<bytes::Chain>([this](Result<bytes::Chain> piece) { took(std::move(piece)); }));
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
    for (const bytes::Slice& slice : piece->slices()) checksums_.add(slice.span());
    part_done_ += piece->size();
    buffer_.append(*piece);
    go_on();
}

// What was taken of it stays in the object, and counts for nothing.
void ObjectWriter::drop_part() {
    plan_.parts[part_].size = 0;
    part_done_ = 0;
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
    std::erase_if(plan_.parts, [](const ObjectPart& part) { return part.size == 0; });
    if (plan_.parts.empty()) return end({});
    plan_.object.data_bytes = checksums_.data_bytes();
    buffer_.append(checksums_.footer());
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
    done(ObjectWrittenRecord{std::move(plan_.object), std::move(plan_.parts)});
}

}  // namespace millrace::container
