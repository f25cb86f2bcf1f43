// Bytes of acknowledged frames as they were read from a live file: whole frames, which are checked before anything of
// them is served. The check may run on any thread, so that it costs the journal's executor nothing.
#pragma once

#include <cstdint>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "base/uuid.h"
#include "bytes/buffer.h"
#include "wal/local/journal_file.h"

namespace millrace::wal::local {

struct JournalRead {
    JournalFileRef file;                // its generation and path
    bytes::SlabRef slab;                // from frames[0] on
    std::vector<std::uint64_t> frames;  // where they begin in the file, rising; the last one is where they end
    std::uint64_t offset = 0;           // in the file: what was asked for
    std::size_t size = 0;

    std::uint64_t begin() const { return frames.front(); }
    std::uint64_t bytes() const { return frames.back() - frames.front(); }
};

// The frames of `file` that hold [offset, offset + size), size > 0, all of it acknowledged. No memory yet. On the
// journal's executor.
JournalRead plan_read(JournalFileRef file, std::uint64_t offset, std::size_t size);

// What was asked for, if header and payload of every frame hold; else kCorrupt with the place of the first one that
// does not (damaged_frame() of the error). `asker` is the container that reads.
Result<bytes::Slice> checked(const JournalRead& read, const Uuid& journal, ContainerId asker);

}  // namespace millrace::wal::local
