// The bytes of the events that the append client writes and the read client expects: each tells its writer and its
// number of that writer in its segment, so that one that is lost, comes twice or at another place is seen.
#pragma once

#include <cstdint>
#include <vector>

#include "bytes/binary.h"

namespace millrace::bench {

// `size` bytes with the client's own framing (type 0 and length) inside.
inline std::vector<std::uint8_t> event_of(int size) {
    std::vector<std::uint8_t> event(static_cast<std::size_t>(size));
    for (std::size_t i = 0; i < event.size(); ++i) event[i] = static_cast<std::uint8_t>(i * 2654435761U >> 13);
    bytes::store_be<std::int32_t>(event.data(), 0);
    bytes::store_be<std::int32_t>(event.data() + 4, size - 8);
    return event;
}

inline constexpr std::size_t kStampedBytes = 24;  // events that are smaller have no stamp

inline void stamp(std::uint8_t* event, std::uint32_t writer, std::int64_t number) {
    bytes::store_be<std::uint32_t>(event + 8, writer);
    bytes::store_be<std::int64_t>(event + 12, number);
}
inline std::uint32_t writer_of(const std::uint8_t* event) { return bytes::load_be<std::uint32_t>(event + 8); }
inline std::int64_t number_of(const std::uint8_t* event) { return bytes::load_be<std::int64_t>(event + 12); }

}  // namespace millrace::bench
