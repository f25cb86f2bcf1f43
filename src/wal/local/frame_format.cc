#include "wal/local/frame_format.h"

#include <cstring>

#include <fmt/format.h>

#include "base/units.h"
#include "bytes/binary.h"
#include "bytes/crc32c.h"

namespace millrace::wal::local {
namespace {

using bytes::load_le;
using bytes::store_le;

constexpr std::string_view kFileMagic = "MILLJRNL";
constexpr std::size_t kTableEntrySize = 24;
constexpr std::uint64_t kMaxCount = std::uint64_t{1} << 62;  // of numbers that only ever count up by one

std::uint32_t page_crc(bytes::ByteSpan page) {
    static constexpr std::uint8_t kZero[4] = {};
    std::uint32_t crc = bytes::crc32c(page.first(12));
    crc = bytes::crc32c_extend(crc, kZero);
    return bytes::crc32c_extend(crc, page.subspan(16, kFileHeaderSize - 16));
}

std::uint32_t frame_header_crc(const Uuid& journal, std::uint64_t offset, const std::uint8_t* at) {
    std::uint8_t place[24];
    store_le(place, journal.high);
    store_le(place + 8, journal.low);
    store_le(place + 16, offset);
    return bytes::crc32c_extend(bytes::crc32c(place), {at + 8, kFrameHeaderSize - 8});
}

bool is_plausible(const FrameHeader& header) {
    if (header.number.value() == 0 || header.number.value() > kMaxCount || header.sequence > kMaxCount) return false;
    if (header.epoch == 0 || header.epoch == UINT32_MAX) return false;
    if (header.behind == 0 || header.behind > header.number.value()) return false;
    if (header.payload_size > kMaxPayload) return false;
    if (!header.is_marker()) return header.sequence != 0 && header.first_kept <= header.sequence;
    bool known = header.sequence >= static_cast<std::uint64_t>(MarkerKind::kFileStart) &&
                 header.sequence <= static_cast<std::uint64_t>(MarkerKind::kClosed);
    return known && header.first_kept == 0;
}

}  // namespace

void encode(const FileHeader& header, bytes::MutableByteSpan page) {
    MILLRACE_ASSERT(page.size() == kFileHeaderSize);
    std::memset(page.data(), 0, page.size());
    std::memcpy(page.data(), kFileMagic.data(), kFileMagic.size());
    store_le(page.data() + 8, kFormatVersion);
    store_le(page.data() + 16, header.journal.high);
    store_le(page.data() + 24, header.journal.low);
    store_le(page.data() + 32, header.generation.value());
    store_le(page.data() + 40, header.file_bytes);
    store_le(page.data() + 12, page_crc(page));
}

Result<FileHeader> decode_file_header(bytes::ByteSpan page) {
    if (page.size() < kFileHeaderSize) return fail(Errc::kCorrupt, "shorter than its header");
    page = page.first(kFileHeaderSize);
    if (bytes::as_text(page.first(kFileMagic.size())) != kFileMagic) {
        return fail(Errc::kCorrupt, "it does not begin as a journal file does");
    }
    auto version = load_le<std::uint32_t>(page.data() + 8);
    if (version > kFormatVersion) {
        return fail(Errc::kNewerFormat, fmt::format("its format is version {}, this program knows up to version {}",
                                                    version, kFormatVersion));
    }
    if (version == 0 || load_le<std::uint32_t>(page.data() + 12) != page_crc(page)) {
        return fail(Errc::kCorrupt, "its header is damaged");
    }
    FileHeader header;
    header.journal.high = load_le<std::uint64_t>(page.data() + 16);
    header.journal.low = load_le<std::uint64_t>(page.data() + 24);
    header.generation = Generation(load_le<std::uint64_t>(page.data() + 32));
    header.file_bytes = load_le<std::uint64_t>(page.data() + 40);
    return header;
}

std::uint64_t frame_bytes(std::uint64_t payload_size) { return align_up(kFrameHeaderSize + payload_size, kPage); }

std::uint64_t FrameHeader::disk_bytes() const { return frame_bytes(payload_size); }

std::uint32_t encode(const FrameHeader& header, const Uuid& journal, std::uint64_t offset, std::uint8_t* at) {
    store_le(at, kFrameMagic);
    store_le(at + 8, header.generation.value());
    store_le(at + 16, header.number.value());
    store_le(at + 24, header.sequence);
    store_le(at + 32, header.first_kept);
    store_le(at + 40, header.container.value());
    store_le(at + 44, header.payload_size);
    store_le(at + 48, header.payload_crc);
    store_le(at + 52, header.chain);
    store_le(at + 56, header.behind);
    store_le(at + 60, header.epoch);
    std::uint32_t crc = frame_header_crc(journal, offset, at);
    store_le(at + 4, crc);
    return crc;
}

std::optional<DecodedFrameHeader> decode_frame_header(bytes::ByteSpan from, const Uuid& journal, Generation generation,
                                                      std::uint64_t offset) {
    if (from.size() < kFrameHeaderSize) return std::nullopt;
    const std::uint8_t* at = from.data();
    if (load_le<std::uint32_t>(at) != kFrameMagic) return std::nullopt;
    if (load_le<std::uint64_t>(at + 8) != generation.value()) return std::nullopt;
    DecodedFrameHeader decoded;
    decoded.crc = load_le<std::uint32_t>(at + 4);
    if (decoded.crc != frame_header_crc(journal, offset, at)) return std::nullopt;
    FrameHeader& header = decoded.header;
    header.generation = generation;
    header.number = FrameNumber(load_le<std::uint64_t>(at + 16));
    header.sequence = load_le<std::uint64_t>(at + 24);
    header.first_kept = load_le<std::uint64_t>(at + 32);
    header.container = ContainerId(load_le<std::uint32_t>(at + 40));
    header.payload_size = load_le<std::uint32_t>(at + 44);
    header.payload_crc = load_le<std::uint32_t>(at + 48);
    header.chain = load_le<std::uint32_t>(at + 52);
    header.behind = load_le<std::uint32_t>(at + 56);
    header.epoch = load_le<std::uint32_t>(at + 60);
    if (!is_plausible(header)) return std::nullopt;
    return decoded;
}

std::uint64_t table_payload_size(std::size_t containers) { return 8 + kTableEntrySize * containers; }

void encode_table(std::span<const ContainerEntry> entries, std::uint8_t* at) {
    store_le(at, static_cast<std::uint32_t>(entries.size()));
    store_le(at + 4, std::uint32_t{0});
    at += 8;
    for (const ContainerEntry& entry : entries) {
        store_le(at, entry.container.value());
        store_le(at + 4, std::uint32_t{0});
        store_le(at + 8, entry.next.value());
        store_le(at + 16, entry.first_kept.value());
        at += kTableEntrySize;
    }
}

std::optional<std::vector<ContainerEntry>> decode_table(bytes::ByteSpan payload) {
    bytes::Reader reader(payload);
    std::uint64_t count = reader.le32();
    reader.skip(4);
    if (!reader.ok() || reader.remaining() != count * kTableEntrySize) return std::nullopt;
    std::vector<ContainerEntry> entries(count);
    for (std::size_t i = 0; i < count; ++i) {
        ContainerEntry& entry = entries[i];
        entry.container = ContainerId(reader.le32());
        reader.skip(4);
        entry.next = LogSequence(reader.le64());
        entry.first_kept = LogSequence(reader.le64());
        bool rising = i == 0 || entries[i - 1].container < entry.container;
        if (!rising || entry.container == kMarkerContainer) return std::nullopt;
        if (entry.first_kept.value() == 0 || entry.first_kept > entry.next) return std::nullopt;
        if (entry.next.value() > kMaxCount) return std::nullopt;
    }
    return entries;
}

std::string file_name(Generation generation) { return fmt::format("{:016x}.journal", generation.value()); }

std::optional<Generation> parse_file_name(std::string_view name) {
    constexpr std::string_view kEnding = ".journal";
    if (name.size() != 16 + kEnding.size() || !name.ends_with(kEnding)) return std::nullopt;
    std::uint64_t value = 0;
    for (char c : name.substr(0, 16)) {
        if (c >= '0' && c <= '9')
            value = value * 16 + static_cast<std::uint64_t>(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value * 16 + static_cast<std::uint64_t>(c - 'a' + 10);
        else
            return std::nullopt;
    }
    if (value == 0) return std::nullopt;
    return Generation(value);
}

}  // namespace millrace::wal::local
