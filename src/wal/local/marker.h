// Markers: the journal's own frames. The header is encoded when the place of the marker is known.
#pragma once

#include <span>

#include "bytes/buffer.h"
#include "wal/local/frame_format.h"

namespace millrace::wal::local {

struct Marker {
    MarkerKind kind = MarkerKind::kIdle;
    bytes::SlabRef slab;
    FrameHeader header;  // container, sequence, payload_size and payload_crc are set

    std::uint64_t disk_bytes() const { return header.disk_bytes(); }
};

// `containers` in any order; of no importance for kFileEnd.
Marker make_marker(MarkerKind kind, std::vector<ContainerEntry> containers);

}  // namespace millrace::wal::local
