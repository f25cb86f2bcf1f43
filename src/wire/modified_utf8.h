// Strings on the wire are Java's modified UTF-8; inside the server they are UTF-8. The two differ in U+0000 (C0 80 on
// the wire) and in characters above U+FFFF (two surrogates of three bytes each on the wire). A surrogate without its
// other half, which Java lets through, is kept as its three bytes, so that a name is echoed exactly as it came.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "bytes/buffer.h"

namespace millrace::wire {

// Accepts what java.io.DataInputStream.readUTF accepts: overlong forms and a plain zero byte too; refuses four-byte
// forms, stray continuation bytes and characters cut at the end. Replaces `out`; false leaves it unspecified.
bool decode_modified_utf8(bytes::ByteSpan in, std::string& out);

// How much of a text fits into `limit` bytes of modified UTF-8 without cutting a character.
struct ModifiedUtf8Extent {
    std::size_t source_bytes = 0;
    std::size_t encoded_bytes = 0;
};
ModifiedUtf8Extent measure_modified_utf8(std::string_view text, std::size_t limit);

// Writes the first `extent.source_bytes` of the text as `extent.encoded_bytes` bytes. Bytes that are no UTF-8 become
// U+FFFD each.
void encode_modified_utf8(std::string_view text, ModifiedUtf8Extent extent, std::uint8_t* target);

}  // namespace millrace::wire
