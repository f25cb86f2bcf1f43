#include "wire/frame.h"

#include <fmt/format.h>

namespace millrace::wire {

std::int32_t max_payload(CommandType type) {
    bool block = type == CommandType::kAppendBlock || type == CommandType::kAppendBlockEnd;
    return block ? kMaxAppendBlockReceived : kMaxPayloadReceived;
}

Result<FrameHeader> parse_frame_header(std::span<const std::uint8_t, kFrameHeaderBytes> bytes) {
    auto code = bytes::load_be<std::int32_t>(bytes.data());
    auto length = bytes::load_be<std::int32_t>(bytes.data() + 4);
    if (!is_known(code)) return fail(Errc::kInvalidArgument, fmt::format("frame: unknown command code {}", code));
    FrameHeader header{static_cast<CommandType>(code), length};
    if (length < 0) {
        return fail(Errc::kInvalidArgument,
                    fmt::format("{}: frame of negative length {}", to_string(header.type), length));
    }
    if (length > max_payload(header.type)) {
        return fail(Errc::kLimit, fmt::format("{}: frame of {} bytes, the limit is {}", to_string(header.type), length,
                                              max_payload(header.type)));
    }
    return header;
}

void write_frame_header(bytes::Writer& out, FrameHeader header) {
    out.i32(static_cast<std::int32_t>(header.type));
    out.i32(header.length);
}

Result<std::optional<Frame>> FrameParser::next() {
    bytes::ByteSpan rest = window_.subspan(at_);
    if (rest.size() < kFrameHeaderBytes) {
        missing_ = kFrameHeaderBytes - rest.size();
        return std::nullopt;
    }
    auto header = parse_frame_header(rest.first<kFrameHeaderBytes>());
    if (!header) return fail(std::move(header.error()));
    std::size_t whole = kFrameHeaderBytes + static_cast<std::size_t>(header->length);
    if (rest.size() < whole) {
        missing_ = whole - rest.size();
        return std::nullopt;
    }
    at_ += whole;
    return Frame{header->type, rest.subspan(kFrameHeaderBytes, static_cast<std::size_t>(header->length))};
}

}  // namespace millrace::wire
