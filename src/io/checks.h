// What every implementation refuses before it touches the device, so that all of them refuse the same.
#pragma once

#include <cstdint>
#include <span>

#include "base/error.h"
#include "bytes/buffer.h"

namespace millrace::io {

inline bool is_aligned(std::uint64_t value) { return value % bytes::kPageSize == 0; }

template <typename Span>
Result<> check_pieces(bool direct, std::uint64_t offset, std::span<const Span> pieces) {
    if (offset > static_cast<std::uint64_t>(INT64_MAX)) return fail(Errc::kInvalidArgument, "file offset out of range");
    if (!direct) return {};
    bool aligned = is_aligned(offset);
    for (const Span& piece : pieces) {
        aligned = aligned && is_aligned(piece.size()) && is_aligned(reinterpret_cast<std::uintptr_t>(piece.data()));
    }
    if (!aligned) return fail(Errc::kInvalidArgument, "direct I/O not in units of 4 KiB");
    return {};
}

}  // namespace millrace::io
