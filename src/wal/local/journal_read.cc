#include "wal/local/journal_read.h"

#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/assert.h"
#include "bytes/crc32c.h"

namespace millrace::wal::local {
namespace {

// What is wrong with the frame in `data`; empty: nothing.
std::string flaw(bytes::ByteSpan data, const Uuid& journal, Generation generation, std::uint64_t offset,
                 ContainerId asker) {
    auto decoded = decode_frame_header(data, journal, generation, offset);
    if (!decoded || decoded->header.disk_bytes() != data.size())
        return fmt::format("the frame's header is not valid any more, container {} asked for it", asker.value());
    const FrameHeader& header = decoded->header;
    if (bytes::crc32c(data.subspan(kFrameHeaderSize, header.payload_size)) == header.payload_crc) return {};
    if (header.is_marker()) return "the table of containers does not match its checksum";
    return fmt::format("frame {} of container {} does not match its checksum", header.sequence,
                       header.container.value());
}

}  // namespace

JournalRead plan_read(JournalFileRef file, std::uint64_t offset, std::size_t size) {
    MILLRACE_ASSERT(size > 0);
    JournalRead read;
    read.offset = offset;
    read.size = size;
    std::uint64_t at = file->frames.frame_of(offset);
    MILLRACE_ASSERT(at >= kFileHeaderSize);
    read.frames.push_back(at);
    while (at < offset + size) {
        at = file->frames.frame_behind(at, file->acknowledged_end);
        read.frames.push_back(at);
    }
    read.file = std::move(file);
    return read;
}

Result<bytes::Slice> checked(const JournalRead& read, const Uuid& journal, ContainerId asker) {
    for (std::size_t i = 0; i + 1 < read.frames.size(); ++i) {
        std::uint64_t begin = read.frames[i];
        std::uint64_t end = read.frames[i + 1];
        bytes::ByteSpan data(read.slab->data() + (begin - read.begin()), end - begin);
        std::string what = flaw(data, journal, read.file->generation, begin, asker);
        if (what.empty()) continue;
        return fail(damaged_frame_error(
            {begin, end}, fmt::format("journal file {} is damaged at offset {}: {}", read.file->path, begin, what)));
    }
    return bytes::Slice(read.slab, read.offset - read.begin(), read.size);
}

}  // namespace millrace::wal::local
