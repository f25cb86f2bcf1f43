// Any bytes as a payload of the container's log: the decoder answers, and what it takes it would write the same.
#include <cstdint>
#include <vector>

#include "base/assert.h"
#include "container/operation.h"

namespace millrace::container {
namespace {

// Writes every record again.
class Rewriter final : public RecordVisitor {
  public:
    explicit Rewriter(bytes::ByteSpan payload) : payload_(payload) {}

    Result<> on(const CreateRecord& record) override { return put(record); }
    Result<> on(const AttributesRecord& record) override { return put(record); }
    Result<> on(const SealRecord& record) override { return put(record); }
    Result<> on(const TruncateRecord& record) override { return put(record); }
    Result<> on(const MergeRecord& record) override { return put(record); }
    Result<> on(const DeleteRecord& record) override { return put(record); }
    Result<> on(const TableRecord& record) override { return put(record); }
    Result<> on(TableUpdateRecord&& record) override { return put(record); }
    Result<> on(const ObjectWrittenRecord& record) override { return put(record); }
    Result<> on(const AppendRecord& record) override {
        std::uint8_t head[kRecordHeader + kAppendFixedWriter];
        writer.bytes({head, encode_append_head(record, head)});
        return put_data(record.data_position, record.data_size);
    }
    Result<> on(const RelocateRecord& record) override {
        std::uint8_t head[kRecordHeader + kRelocateFixed];
        writer.bytes({head, encode_relocate_head(record, head)});
        return put_data(record.data_position, record.data_size);
    }

    std::vector<std::uint8_t> again = std::vector<std::uint8_t>(kPayloadHeader);
    bytes::Writer writer{again};

  private:
    template <typename Record>
    Result<> put(const Record& record) {
        encode(record, writer);
        return {};
    }
    Result<> put_data(std::size_t position, std::size_t size) {
        MILLRACE_ASSERT(position <= payload_.size() && size <= payload_.size() - position);
        writer.bytes(payload_.subspan(position, size));
        return {};
    }

    bytes::ByteSpan payload_;
};

// Flags and filler that this version does not know are taken and not kept, so the second writing decides.
std::vector<std::uint8_t> rewritten(bytes::ByteSpan payload, bool& taken) {
    Rewriter rewriter(payload);
    auto header = decode_payload(payload, rewriter);
    taken = header.has_value();
    if (taken) encode_payload_header(*header, rewriter.again.data());
    return std::move(rewriter.again);
}

}  // namespace
}  // namespace millrace::container

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace millrace::container;
    bool taken = false;
    std::vector<std::uint8_t> first = rewritten({data, size}, taken);
    if (!taken) return 0;
    std::vector<std::uint8_t> second = rewritten(first, taken);
    MILLRACE_ASSERT(taken && first == second);
    return 0;
}
