// Commands to and from bytes. Decoding trusts nothing: every length and count is held against the bytes that are there
// and against limits.h before memory is taken. Optional trailing fields of older peers keep the default of their struct
// member; bytes after the last known field are ignored. Errors name the command and the field: kInvalidArgument
// (malformed) or kLimit.
//
// A command lists its fields once, in wire order, in its static `fields(self, visitor)`. The visitor's methods:
//   value            int8, int32, int64, bool, Uuid
//   text             string; segment, token: the same under their own limits
//   blob             int32 count, bytes;  lenient_blob: a count below zero is an empty blob
//   list             int32 count, items;  lenient_list: a count below zero is an empty list
//   rest             all remaining bytes;  zeros: the same, content without meaning
//   event            an EVENT frame
//   optional         read if at least the field's size remains;  optional_blob: if at least its count remains
//   if_any           read if anything remains, then it must be whole;  lenient_list_if_any likewise
//   obsolete_blob    skipped when read, empty when written
//   table_key, table_value
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "bytes/binary.h"
#include "bytes/buffer.h"
#include "wire/commands.h"
#include "wire/limits.h"

namespace millrace::wire {

// `payload` is a frame without its header. Spans in the result lie in it.
Result<Request> decode_request(std::int32_t code, bytes::ByteSpan payload);
Result<Reply> decode_reply(std::int32_t code, bytes::ByteSpan payload);
inline Result<Request> decode_request(CommandType type, bytes::ByteSpan payload) {
    return decode_request(static_cast<std::int32_t>(type), payload);
}
inline Result<Reply> decode_reply(CommandType type, bytes::ByteSpan payload) {
    return decode_reply(static_cast<std::int32_t>(type), payload);
}

// One command whose type is known: what the append path uses, without the variant. Allocates nothing for the commands
// that hold spans. Defined for every command in codec.cc.
template <Command C>
Result<C> decode(bytes::ByteSpan payload);

// Appends the whole frame: header and payload, with all trailing fields. Strings are cut to 65,535 bytes on a character
// boundary. Nothing else is cut: who writes a command of variable size keeps frame_size() within kFrameHeaderBytes +
// kMaxPayloadSent.
template <Command C>
void encode(const C& command, bytes::Writer& out);

// What encode() will append, in bytes.
template <Command C>
std::size_t frame_size(const C& command);

// SEGMENT_READ without a copy of the data: write the header, send `data_size` bytes of data, write the trailer.
void encode_segment_read_header(bytes::Writer& out, std::string_view segment, std::int64_t offset, bool at_tail,
                                bool end_of_segment, std::size_t data_size);
void encode_segment_read_trailer(bytes::Writer& out, std::int64_t request_id);

}  // namespace millrace::wire
