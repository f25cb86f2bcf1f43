// The bytes of a register, the same in every store: docs/formats/long-term-storage.md.
#pragma once

#include <cstdint>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "bytes/buffer.h"

namespace millrace::lts {

inline constexpr std::size_t kRegisterHeaderSize = 36;

struct RegisterContent {
    Uuid write_id;  // random, of each write: by it a writer knows its own value again
    std::vector<std::uint8_t> value;
};

std::vector<std::uint8_t> encode_register(const RegisterContent& content);

// kCorrupt, kNewerFormat.
Result<RegisterContent> decode_register(bytes::ByteSpan data);

}  // namespace millrace::lts
