#include "wal/local/marker.h"

#include <algorithm>
#include <cstring>

#include "bytes/crc32c.h"

namespace millrace::wal::local {

Marker make_marker(MarkerKind kind, std::vector<ContainerEntry> containers) {
    bool has_table = kind != MarkerKind::kFileEnd;
    std::uint64_t payload_size = has_table ? table_payload_size(containers.size()) : 0;
    Marker marker;
    marker.kind = kind;
    marker.slab = bytes::Slab::allocate(frame_bytes(payload_size));
    std::memset(marker.slab->data(), 0, marker.slab->capacity());
    std::uint8_t* payload = marker.slab->data() + kFrameHeaderSize;
    if (has_table) {
        std::sort(containers.begin(), containers.end(),
                  [](const ContainerEntry& a, const ContainerEntry& b) { return a.container < b.container; });
        encode_table(containers, payload);
    }
    marker.header.container = kMarkerContainer;
    marker.header.sequence = static_cast<std::uint64_t>(kind);
    marker.header.payload_size = static_cast<std::uint32_t>(payload_size);
    marker.header.payload_crc = bytes::crc32c({payload, payload_size});
    return marker;
}

}  // namespace millrace::wal::local
