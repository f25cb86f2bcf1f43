#include "wire/codec.h"

#include <array>
#include <limits>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/assert.h"
#include "wire/decoder.h"
#include "wire/encoder.h"
#include "wire/frame.h"

namespace millrace::wire {
namespace {

template <Command C>
std::size_t payload_size(const C& command) {
    Sizer sizer;
    C::fields(command, sizer);
    return sizer.size();
}

// One function for each code, so that finding it is one load.
template <typename Variant>
using DecodeFunction = Result<Variant> (*)(bytes::ByteSpan);

template <typename Variant, typename C>
Result<Variant> decode_into(bytes::ByteSpan payload) {
    Result<C> command = decode<C>(payload);
    if (!command) return fail(std::move(command.error()));
    return Variant(std::in_place_type<C>, std::move(*command));
}

template <typename Variant>
struct DecodeTable;

template <typename... C>
struct DecodeTable<std::variant<C...>> {
    using Variant = std::variant<C...>;
    std::array<DecodeFunction<Variant>, kHighestCode - kLowestCode + 1> by_code{};

    constexpr DecodeTable() { ((by_code[index(static_cast<std::int32_t>(C::kType))] = decode_into<Variant, C>), ...); }
    static constexpr std::size_t index(std::int32_t code) { return static_cast<std::size_t>(code - kLowestCode); }
};

template <typename Variant>
Result<Variant> decode_any(std::int32_t code, bytes::ByteSpan payload, std::string_view direction) {
    static constexpr DecodeTable<Variant> kTable;
    if (!is_known(code)) return fail(Errc::kInvalidArgument, fmt::format("frame: unknown command code {}", code));
    auto function = kTable.by_code[kTable.index(code)];
    if (function == nullptr) {
        return fail(Errc::kInvalidArgument,
                    fmt::format("{}: is no {}", to_string(static_cast<CommandType>(code)), direction));
    }
    return function(payload);
}

}  // namespace

Result<Request> decode_request(std::int32_t code, bytes::ByteSpan payload) {
    return decode_any<Request>(code, payload, "request");
}

Result<Reply> decode_reply(std::int32_t code, bytes::ByteSpan payload) {
    return decode_any<Reply>(code, payload, "reply");
}

template <Command C>
Result<C> decode(bytes::ByteSpan payload) {
    Result<C> command(std::in_place);
    Decoder decoder(payload);
    C::fields(*command, decoder);
    if (!decoder.ok()) command = fail(decoder.error(C::kType));
    return command;
}

template <Command C>
void encode(const C& command, bytes::Writer& out) {
    std::size_t size = payload_size(command);
    MILLRACE_ASSERT(size <= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()));
    std::uint8_t* at = out.grow(kFrameHeaderBytes + size);
    bytes::store_be(at, static_cast<std::int32_t>(C::kType));
    bytes::store_be(at + 4, static_cast<std::int32_t>(size));
    Encoder encoder(at + kFrameHeaderBytes);
    C::fields(command, encoder);
    MILLRACE_ASSERT(encoder.position() == at + kFrameHeaderBytes + size);
}

template <Command C>
std::size_t frame_size(const C& command) {
    return kFrameHeaderBytes + payload_size(command);
}

void encode_segment_read_header(bytes::Writer& out, std::string_view segment, std::int64_t offset, bool at_tail,
                                bool end_of_segment, std::size_t data_size) {
    constexpr std::size_t kFixed = 8 + 1 + 1 + 4;  // offset, the two flags, the data's size
    ModifiedUtf8Extent name = measure_modified_utf8(segment, kMaxStringBytes);
    std::size_t before_data = 2 + name.encoded_bytes + kFixed;
    std::size_t payload = before_data + data_size + sizeof(std::int64_t);
    MILLRACE_ASSERT(payload <= static_cast<std::size_t>(kMaxPayloadSent));

    write_frame_header(out, {CommandType::kSegmentRead, static_cast<std::int32_t>(payload)});
    out.u16(static_cast<std::uint16_t>(name.encoded_bytes));
    encode_modified_utf8(segment, name, out.grow(name.encoded_bytes));
    out.i64(offset);
    out.boolean(at_tail);
    out.boolean(end_of_segment);
    out.i32(static_cast<std::int32_t>(data_size));
}

void encode_segment_read_trailer(bytes::Writer& out, std::int64_t request_id) { out.i64(request_id); }

#define MILLRACE_WIRE_COMMAND(C)                       \
    template Result<C> decode<C>(bytes::ByteSpan);     \
    template void encode<C>(const C&, bytes::Writer&); \
    template std::size_t frame_size<C>(const C&)

MILLRACE_WIRE_COMMAND(Hello);
MILLRACE_WIRE_COMMAND(KeepAlive);
MILLRACE_WIRE_COMMAND(Padding);
MILLRACE_WIRE_COMMAND(Event);
MILLRACE_WIRE_COMMAND(PartialEvent);
MILLRACE_WIRE_COMMAND(SetupAppend);
MILLRACE_WIRE_COMMAND(AppendSetup);
MILLRACE_WIRE_COMMAND(AppendBlock);
MILLRACE_WIRE_COMMAND(AppendBlockEnd);
MILLRACE_WIRE_COMMAND(ConditionalAppend);
MILLRACE_WIRE_COMMAND(ConditionalBlockEnd);
MILLRACE_WIRE_COMMAND(DataAppended);
MILLRACE_WIRE_COMMAND(ConditionalCheckFailed);
MILLRACE_WIRE_COMMAND(ReadSegment);
MILLRACE_WIRE_COMMAND(SegmentRead);
MILLRACE_WIRE_COMMAND(GetStreamSegmentInfo);
MILLRACE_WIRE_COMMAND(StreamSegmentInfo);
MILLRACE_WIRE_COMMAND(CreateSegment);
MILLRACE_WIRE_COMMAND(CreateTransientSegment);
MILLRACE_WIRE_COMMAND(SegmentCreated);
MILLRACE_WIRE_COMMAND(SealSegment);
MILLRACE_WIRE_COMMAND(SegmentSealed);
MILLRACE_WIRE_COMMAND(DeleteSegment);
MILLRACE_WIRE_COMMAND(SegmentDeleted);
MILLRACE_WIRE_COMMAND(UpdateSegmentPolicy);
MILLRACE_WIRE_COMMAND(SegmentPolicyUpdated);
MILLRACE_WIRE_COMMAND(TruncateSegment);
MILLRACE_WIRE_COMMAND(SegmentTruncated);
MILLRACE_WIRE_COMMAND(LocateOffset);
MILLRACE_WIRE_COMMAND(OffsetLocated);
MILLRACE_WIRE_COMMAND(GetSegmentAttribute);
MILLRACE_WIRE_COMMAND(SegmentAttribute);
MILLRACE_WIRE_COMMAND(UpdateSegmentAttribute);
MILLRACE_WIRE_COMMAND(SegmentAttributeUpdated);
MILLRACE_WIRE_COMMAND(MergeSegments);
MILLRACE_WIRE_COMMAND(SegmentsMerged);
MILLRACE_WIRE_COMMAND(MergeSegmentsBatch);
MILLRACE_WIRE_COMMAND(SegmentsBatchMerged);
MILLRACE_WIRE_COMMAND(FlushToStorage);
MILLRACE_WIRE_COMMAND(FlushedToStorage);
MILLRACE_WIRE_COMMAND(ListStorageChunks);
MILLRACE_WIRE_COMMAND(StorageChunksListed);
MILLRACE_WIRE_COMMAND(GetTableSegmentInfo);
MILLRACE_WIRE_COMMAND(TableSegmentInfo);
MILLRACE_WIRE_COMMAND(CreateTableSegment);
MILLRACE_WIRE_COMMAND(DeleteTableSegment);
MILLRACE_WIRE_COMMAND(UpdateTableEntries);
MILLRACE_WIRE_COMMAND(TableEntriesUpdated);
MILLRACE_WIRE_COMMAND(RemoveTableKeys);
MILLRACE_WIRE_COMMAND(TableKeysRemoved);
MILLRACE_WIRE_COMMAND(ReadTable);
MILLRACE_WIRE_COMMAND(TableRead);
MILLRACE_WIRE_COMMAND(ReadTableKeys);
MILLRACE_WIRE_COMMAND(TableKeysRead);
MILLRACE_WIRE_COMMAND(ReadTableEntries);
MILLRACE_WIRE_COMMAND(TableEntriesRead);
MILLRACE_WIRE_COMMAND(ReadTableEntriesDelta);
MILLRACE_WIRE_COMMAND(TableEntriesDeltaRead);
MILLRACE_WIRE_COMMAND(WrongHost);
MILLRACE_WIRE_COMMAND(SegmentIsSealed);
MILLRACE_WIRE_COMMAND(SegmentAlreadyExists);
MILLRACE_WIRE_COMMAND(NoSuchSegment);
MILLRACE_WIRE_COMMAND(InvalidEventNumber);
MILLRACE_WIRE_COMMAND(SegmentIsTruncated);
MILLRACE_WIRE_COMMAND(OperationUnsupported);
MILLRACE_WIRE_COMMAND(AuthTokenCheckFailed);
MILLRACE_WIRE_COMMAND(ErrorMessage);
MILLRACE_WIRE_COMMAND(TableSegmentNotEmpty);
MILLRACE_WIRE_COMMAND(TableKeyDoesNotExist);
MILLRACE_WIRE_COMMAND(TableKeyBadVersion);

#undef MILLRACE_WIRE_COMMAND

}  // namespace millrace::wire
