// The journal's layouts on disk, as docs/formats/journal.md describes them: file header, frame header, table of
// containers. Pure functions over bytes; decoding never trusts a length.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "bytes/buffer.h"
#include "wal/durable_log.h"

namespace millrace::wal::local {

inline constexpr std::uint32_t kFormatVersion = 1;
inline constexpr std::size_t kPage = bytes::kPageSize;
inline constexpr std::size_t kFileHeaderSize = kPage;
inline constexpr std::uint64_t kMinFileBytes = 8 * kPage;  // header, markers, and something between
inline constexpr std::size_t kFrameHeaderSize = kHeaderRoom;
inline constexpr std::uint32_t kFrameMagic = 0x46524c4d;  // "MLRF"
inline constexpr ContainerId kMarkerContainer{0xffffffff};

using FrameNumber = NamedInt<struct FrameNumberTag, std::uint64_t>;  // in the journal, over all containers; from 1
using Generation = NamedInt<struct GenerationTag, std::uint64_t>;    // of a journal file; from 1

enum class MarkerKind : std::uint64_t { kFileStart = 1, kFileEnd = 2, kRestart = 3, kIdle = 4, kClosed = 5 };

struct FileHeader {
    Uuid journal;
    Generation generation;
    std::uint64_t file_bytes = 0;
};

void encode(const FileHeader& header, bytes::MutableByteSpan page);
// kNewerFormat, or kCorrupt with a text that says what is wrong (the caller adds the file's name).
Result<FileHeader> decode_file_header(bytes::ByteSpan page);

struct FrameHeader {
    Generation generation;
    FrameNumber number;
    std::uint64_t sequence = 0;    // LogSequence of the container, or MarkerKind
    std::uint64_t first_kept = 0;  // LogSequence; 0 in markers
    ContainerId container;
    std::uint32_t payload_size = 0;
    std::uint32_t payload_crc = 0;
    std::uint32_t chain = 0;
    std::uint32_t behind = 1;
    std::uint32_t epoch = 1;

    bool is_marker() const { return container == kMarkerContainer; }
    bool is_marker(MarkerKind kind) const { return is_marker() && sequence == static_cast<std::uint64_t>(kind); }
    // Highest frame that was on stable storage for certain when this one was sent.
    FrameNumber durable() const { return FrameNumber(number.value() - behind); }
    std::uint64_t disk_bytes() const;  // whole pages
};

// Bytes on disk of a frame with this payload.
std::uint64_t frame_bytes(std::uint64_t payload_size);

// Returns the header CRC, which the next frame carries as `chain`.
std::uint32_t encode(const FrameHeader& header, const Uuid& journal, std::uint64_t offset, std::uint8_t* at);

struct DecodedFrameHeader {
    FrameHeader header;
    std::uint32_t crc = 0;
};
// Nothing where the bytes are no header of this journal for this place, or the fields contradict each other.
std::optional<DecodedFrameHeader> decode_frame_header(bytes::ByteSpan at, const Uuid& journal, Generation generation,
                                                      std::uint64_t offset);

// What markers say of each container.
struct ContainerEntry {
    ContainerId container;
    LogSequence next;
    LogSequence first_kept;
};

std::uint64_t table_payload_size(std::size_t containers);
void encode_table(std::span<const ContainerEntry> entries, std::uint8_t* at);
std::optional<std::vector<ContainerEntry>> decode_table(bytes::ByteSpan payload);

std::string file_name(Generation generation);  // "000000000000002a.journal"
std::optional<Generation> parse_file_name(std::string_view name);
inline constexpr std::string_view kUnfinishedFile = "next.tmp";

}  // namespace millrace::wal::local
