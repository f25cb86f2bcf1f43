#include "bytes/crc32c.h"

#include <algorithm>

#include <isa-l/crc.h>

namespace millrace::bytes {

std::uint32_t crc32c_extend(std::uint32_t crc, ByteSpan data) {
    constexpr std::size_t kMaxPiece = std::size_t{1} << 30;  // the library counts in int
    while (!data.empty()) {
        std::size_t piece = std::min(data.size(), kMaxPiece);
        // The library's signature lacks const; it does not write.
        crc = ~crc32_iscsi(const_cast<unsigned char*>(data.data()), static_cast<int>(piece), ~crc);
        data = data.subspan(piece);
    }
    return crc;
}

std::uint32_t crc32c(ByteSpan data) { return crc32c_extend(0, data); }

}  // namespace millrace::bytes
