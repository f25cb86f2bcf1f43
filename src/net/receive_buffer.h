// ReceiveBuffer: the bytes of one connection that were received and not consumed, as one contiguous range of a slab.
// The slab is shared with the slices that the handler keeps, and never written where such a slice lies.
//
// Memory follows the bytes that have really come:
// - Between reads an idle connection holds nothing, and a short rest of a frame lies in a small vector. Slabs go back
// to a cache of
//   the thread, partly used ones too, so that thousands of quiet connections work with a handful of slabs.
// - While reading, a connection works in a slab of 64 KiB; of up to 1 MiB when its reads fill what they get; larger
// only when a
//   frame needs it, and then at most twice what has come so far.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/units.h"
#include "bytes/buffer.h"

namespace millrace::net {

class ReceiveBuffer {
  public:
    static constexpr std::size_t kSlabMin = 64 * kKiB;
    static constexpr std::size_t kSlabMax = kMiB;
    static constexpr std::size_t kParkedMax = 16 * kKiB;  // longer rests keep their slab between reads
    static constexpr std::size_t kRoomMin = 4 * kKiB;     // a read is not worth it with less

    explicit ReceiveBuffer(std::size_t limit) : limit_(limit) {}

    // Where to receive the next bytes, behind those that are here. `need` is the size of the frame under way, 0 where
    // unknown. Empty when the buffer holds its limit.
    bytes::MutableByteSpan space(std::size_t need);
    void received(std::size_t count);  // into the space of the last space()

    std::size_t size() const { return end_ - begin_ + parked_.size(); }
    bytes::Slice window();  // all size() bytes
    void consume(std::size_t count);

    // The reads of this turn are done: gives back what a quiet connection does not need.
    void park();
    void clear();

  private:
    std::size_t justified() const;
    void relocate(std::size_t need);
    void move_to_slab(std::size_t room, std::size_t capacity);

    const std::size_t limit_;
    bytes::SlabRef slab_;
    std::size_t begin_ = 0;  // what lies before belongs to the handler's slices, or to nobody
    std::size_t end_ = 0;
    std::vector<std::uint8_t> parked_;  // instead of slab_, between reads
    std::size_t target_ = kSlabMin;     // the slab size that the speed of the stream asks for
    std::size_t offered_ = 0;
    std::size_t received_since_park_ = 0;
    unsigned slow_rounds_ = 0;
};

}  // namespace millrace::net
