#include "container/log_index.h"

namespace millrace::container {

Result<> LogIndex::read(const wal::Appended& where, bytes::ByteSpan payload) {
    where_ = where;
    auto header = decode_payload(payload, *this);
    if (!header) return fail(std::move(header.error()));
    return {};
}

Result<> LogIndex::put(SegmentId segment, std::uint64_t offset, std::uint32_t size, std::size_t position) {
    if (size == 0) return {};
    Extent replaced;
    if (segments_[segment].put({offset, size, 0, 0, where_.payload.plus(position)}, &replaced)) return {};
    return fail(Errc::kCorrupt, "bytes of a segment overlap in the log");
}

Result<> LogIndex::on(const AppendRecord& record) {
    return put(record.id, record.offset, record.data_size, record.data_position);
}

Result<> LogIndex::on(const RelocateRecord& record) {
    return put(record.id, record.offset, record.data_size, record.data_position);
}

Result<> LogIndex::on(const TruncateRecord& record) {
    auto found = segments_.find(record.id);
    if (found != segments_.end()) found->second.drop_below(record.start, [](const Extent&) {});
    return {};
}

Result<> LogIndex::on(const MergeRecord& record) {
    auto source = segments_.extract(record.source);
    if (!source.empty()) segments_[record.target].splice(source.mapped(), record.target_offset);
    return {};
}

Result<> LogIndex::on(const DeleteRecord& record) {
    segments_.erase(record.id);
    return {};
}

}  // namespace millrace::container
