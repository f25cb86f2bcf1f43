// A file read forwards in large aligned pieces, seen as spans of any size: what is in the window costs no read and no
// copy.
#pragma once

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/units.h"
#include "io/file.h"
#include "wal/local/frame_format.h"

namespace millrace::wal::local {

class FileWindow {
  public:
    static constexpr std::uint64_t kChunk = 4 * kMiB;

    // `size` is the real size of the file, a multiple of the page.
    FileWindow(io::File& file, std::uint64_t size) : file_(&file), size_(size) {}

    // Bytes [offset, offset + size) of the file; valid until the next call. `offset` is page-aligned, the range within
    // the file.
    Result<bytes::ByteSpan> view(std::uint64_t offset, std::uint64_t size) {
        MILLRACE_ASSERT(offset % kPage == 0 && offset <= size_ && size <= size_ - offset);
        if (offset < begin_ || offset + size > end_) {
            if (auto moved = move_to(offset, align_up(size, kPage)); !moved) return fail(moved.error());
        }
        return bytes::ByteSpan(slab_->data() + (offset - begin_), size);
    }

  private:
    Result<> move_to(std::uint64_t offset, std::uint64_t size) {
        std::uint64_t kept = offset >= begin_ && offset < end_ ? end_ - offset : 0;
        std::uint64_t wanted = std::min(std::max(size, kChunk), size_ - offset);
        bytes::SlabRef target = slab_;
        if (!target || target->capacity() < wanted) target = bytes::Slab::allocate(wanted);
        kept = std::min(kept, wanted);
        if (kept > 0) std::memmove(target->data(), slab_->data() + (offset - begin_), kept);
        slab_ = std::move(target);
        begin_ = offset;
        end_ = offset + kept;
        if (kept == wanted) return {};
        auto read = file_->read_blocking(end_, {slab_->data() + kept, wanted - kept});
        if (!read) return fail(read.error());
        if (*read != wanted - kept) return fail(Errc::kIo, "the file ended while it was read");
        end_ = offset + wanted;
        return {};
    }

    io::File* file_;
    std::uint64_t size_;
    bytes::SlabRef slab_;
    std::uint64_t begin_ = 0;
    std::uint64_t end_ = 0;
};

}  // namespace millrace::wal::local
