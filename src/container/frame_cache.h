// The newest frames' memory, by slab, within a byte budget: the oldest slab goes first. What has gone is read from the
// log. Slabs that nobody shares any more are used again, so that steady state maps no memory.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "bytes/buffer.h"

namespace millrace::container {

class FrameCache {
  public:
    FrameCache(std::uint64_t budget_bytes, std::size_t slab_bytes) : budget_(budget_bytes), slab_bytes_(slab_bytes) {}

    // A slab of at least `size` bytes; its id is valid until it is dropped. The newest slab is never dropped.
    std::uint64_t allocate(std::size_t size, bytes::SlabRef* slab) {
        if (size <= slab_bytes_ && !spare_.empty()) {
            *slab = std::move(spare_.back());
            spare_.pop_back();
        } else {
            *slab = bytes::Slab::allocate(std::max(size, slab_bytes_));
        }
        held_ += (*slab)->capacity();
        slabs_.push_back(*slab);
        while (held_ > budget_ && slabs_.size() > 1) drop_oldest();
        return first_ + slabs_.size() - 1;
    }

    // The slab, or none when it was dropped.
    bytes::SlabRef find(std::uint64_t id) const {
        if (id < first_ || id >= first_ + slabs_.size()) return {};
        return slabs_[id - first_];
    }
    bool holds(std::uint64_t id) const { return id >= first_ && id < first_ + slabs_.size(); }
    std::uint64_t held_bytes() const { return held_; }

  private:
    void drop_oldest() {
        bytes::SlabRef slab = std::move(slabs_.front());
        slabs_.pop_front();
        ++first_;
        held_ -= slab->capacity();
        if (slab.unique() && slab->capacity() == slab_bytes_ && spare_.size() < 4) spare_.push_back(std::move(slab));
    }

    std::uint64_t budget_;
    std::size_t slab_bytes_;
    std::uint64_t held_ = 0;
    std::uint64_t first_ = 1;  // id of slabs_.front(); 0 is no slab
    std::deque<bytes::SlabRef> slabs_;
    std::vector<bytes::SlabRef> spare_;
};

}  // namespace millrace::container
