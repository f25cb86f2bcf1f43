// SendQueue: bytes that wait for the socket, in order. Small pieces are copied together into one buffer that is reused,
// so a turn's acknowledgements cost one iovec and no allocation; large ones are kept as they came, shared or owned.
// What a slow peer leaves here for long must not keep more memory alive than it has bytes: see release_slabs().
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include <sys/uio.h>

#include "base/units.h"
#include "bytes/buffer.h"

namespace millrace::net {

class SendQueue {
  public:
    void copy(bytes::ByteSpan data);
    void own(std::vector<std::uint8_t>&& data);
    void share(const bytes::Slice& slice);

    std::size_t bytes() const { return bytes_; }
    bool empty() const { return bytes_ == 0; }

    // Fills iovecs with the start of the queue, up to about `max_bytes`; returns how many were filled and sets `total`.
    std::size_t gather(std::span<iovec> into, std::size_t max_bytes, std::size_t& total) const;
    void sent(std::size_t count);  // the first `count` bytes are done with
    void clear();

    // The socket takes no more for now. Shared pieces that keep much larger slabs alive are copied out of them: after
    // this at most twice as much memory is held as there are bytes. Cost: each piece is looked at once.
    void release_slabs();

  private:
    static constexpr std::size_t kCopyMax = 512;         // shorter pieces are copied rather than kept
    static constexpr std::size_t kOpenMax = 64 * kKiB;   // a buffer of copies takes no more than this
    static constexpr std::size_t kSpareMax = 16 * kKiB;  // larger buffers are not kept for reuse

    struct Piece {
        std::vector<std::uint8_t> owned;
        bytes::Slice shared;
        bool open = false;  // `owned` takes more copies
        const std::uint8_t* slab_memory() const { return shared.slab()->data(); }
        bytes::ByteSpan span() const { return shared.empty() ? bytes::ByteSpan(owned) : shared.span(); }
    };

    std::deque<Piece> pieces_;
    std::size_t released_ = 0;    // pieces from the front that release_slabs() has looked at
    std::size_t front_sent_ = 0;  // of the first piece
    std::size_t bytes_ = 0;
    std::vector<std::uint8_t> spare_;
};

}  // namespace millrace::net
