// Every limit of the codec, in one table. A decoder checks a length or a count against these and against the bytes that
// are there before it takes memory for it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace millrace::wire {

inline constexpr std::size_t kFrameHeaderBytes = 8;  // int32 type, int32 length

// Lengths of payloads (the header is not counted).
inline constexpr std::int32_t kMaxPayloadSent =
    16'777'207;  // a whole frame of 0x00FFFFFF bytes: what every peer accepts
inline constexpr std::int32_t kMaxPayloadReceived = 16'777'207;  // of every command but the two below
inline constexpr std::int32_t kMaxAppendBlockReceived =
    17 << 20;  // APPEND_BLOCK, APPEND_BLOCK_END: a Java batch may pass 16 MiB

// Strings, in bytes of modified UTF-8.
inline constexpr std::size_t kMaxStringBytes =
    65'535;  // what the length field can say; longer ones are cut when written
inline constexpr std::size_t kMaxSegmentNameBytes = kMaxStringBytes;  // segment names: all that the field can say
inline constexpr std::size_t kMaxTokenBytes = 65'535;                 // delegation tokens

// Items of any list: keys, entries, sources, attribute updates, chunks. Bounds what a small frame of tiny items can
// make us hold.
inline constexpr std::size_t kMaxListItems = 262'144;

// Writers that one connection may set up. The Java client changes its connection after 2,000.
inline constexpr std::size_t kMaxWritersPerConnection = 16'384;

}  // namespace millrace::wire
