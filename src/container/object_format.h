// The bytes of an object in long-term storage beside its data: checksums of its blocks, and the tail that says that it
// is whole. Format: docs/formats/objects.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "bytes/buffer.h"

namespace millrace::container {

inline constexpr std::uint32_t kObjectBlock = 64 << 10;  // bytes under one checksum
inline constexpr std::size_t kObjectTail = 32;

constexpr std::uint64_t object_blocks(std::uint64_t data_bytes) {
    return (data_bytes + kObjectBlock - 1) / kObjectBlock;
}
// The size of the whole, in whole pages of a disk: such a file is written past the file system's cache to its end.
constexpr std::uint64_t object_bytes(std::uint64_t data_bytes) {
    return align_up(data_bytes + object_blocks(data_bytes) * 4 + kObjectTail, bytes::kPageSize);
}
constexpr std::uint64_t object_footer_bytes(std::uint64_t data_bytes) { return object_bytes(data_bytes) - data_bytes; }

// Checksums of data that comes in pieces.
class ObjectChecksums {
  public:
    void add(bytes::ByteSpan data);
    std::uint64_t data_bytes() const { return data_bytes_; }
    bytes::Slice footer(std::string_view key);  // table, zeros and tail; ends the object of that key

  private:
    std::uint64_t data_bytes_ = 0;
    std::uint32_t current_ = 0;  // of the block that is being filled
    std::vector<std::uint32_t> blocks_;
};

// The table of the object of that key, of `data_bytes`. kCorrupt says in which way the footer is damaged, or that it is
// another object's.
Result<std::vector<std::uint32_t>> read_footer(bytes::ByteSpan footer, std::uint64_t data_bytes, std::string_view key);

// Position in `data` of the first block whose checksum differs, or nothing. `data` begins with block `first_block`.
std::optional<std::uint64_t> first_damaged_block(bytes::ByteSpan data, std::uint64_t first_block,
                                                 const std::vector<std::uint32_t>& table);

}  // namespace millrace::container
