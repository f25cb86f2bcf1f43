// Where the log still has bytes that the container's state knows: read from the frames that the state includes and that
// the log has kept for the sake of those bytes. Only appends, bytes carried forward and merges say where bytes are;
// everything else about a segment is in the state.
#pragma once

#include <map>

#include "container/operation.h"
#include "container/tail_index.h"
#include "wal/durable_log.h"

namespace millrace::container {

class LogIndex final : public RecordVisitor {
  public:
    // kCorrupt.
    Result<> read(const wal::Appended& where, bytes::ByteSpan payload);

    std::map<SegmentId, TailIndex>& segments() { return segments_; }

  private:
    Result<> on(const CreateRecord&) override { return {}; }
    Result<> on(const AppendRecord& record) override;
    Result<> on(const AttributesRecord&) override { return {}; }
    Result<> on(const SealRecord&) override { return {}; }
    Result<> on(const TruncateRecord& record) override;
    Result<> on(const MergeRecord& record) override;
    Result<> on(const DeleteRecord& record) override;
    Result<> on(const TableRecord&) override { return {}; }
    Result<> on(const RelocateRecord& record) override;
    Result<> on(TableUpdateRecord&&) override { return {}; }
    Result<> on(const ObjectWrittenRecord&) override { return {}; }
    Result<> put(SegmentId segment, std::uint64_t offset, std::uint32_t size, std::size_t position);

    std::map<SegmentId, TailIndex> segments_;
    wal::Appended where_;
};

}  // namespace millrace::container
