// Hashes that Pravega's clients and tools agree on. Source: segment mapping and event router rules of Pravega 0.13.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "bytes/buffer.h"

namespace millrace::bytes {

// Murmur3 x64 128, h1 = h2 = seed. Result: the two 64-bit halves.
std::array<std::uint64_t, 2> murmur3_128(ByteSpan data, std::uint64_t seed);

// The UTF-16 code units of `utf8`, little-endian, without a length: the form in which names are hashed.
std::vector<std::uint8_t> utf16le(std::string_view utf8);

// java.lang.String.hashCode of the text.
std::int32_t java_string_hash(std::string_view utf8);

// Guava's consistent hash of a 64-bit key into [0, buckets).
std::uint32_t jump_consistent_hash(std::uint64_t key, std::uint32_t buckets);

// The part of a segment's name that decides its container: transaction and transient suffixes cut off (repeatedly),
// then everything from the last ".#epoch." on. "s/x/0.#epoch.3#transaction.<32 hex>" -> "s/x/0".
std::string_view container_key(std::string_view segment_name);

// Container of a segment: jump_consistent_hash(murmur3_128(utf16le(container_key(name)), 1661405012)[0], containers).
std::uint32_t container_of(std::string_view segment_name, std::uint32_t containers);

}  // namespace millrace::bytes
