// CRC-32C (Castagnoli), as iSCSI: crc32c("123456789") = 0xe3069283. Wraps ISA-L, whose seed and result are inverted.
#pragma once

#include <cstdint>

#include "bytes/buffer.h"

namespace millrace::bytes {

std::uint32_t crc32c(ByteSpan data);
std::uint32_t crc32c_extend(std::uint32_t crc, ByteSpan data);  // crc32c(a ++ b) == extend(crc32c(a), b)

}  // namespace millrace::bytes
