// The newest frames' memory, by slab, within a budget that containers share: the oldest slab goes first. What has gone
// is read from the log. Slabs that nobody shares any more are used again, so that steady state maps no memory.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "bytes/buffer.h"
#include "container/memory_budget.h"

namespace millrace::container {

class FrameCache {
  public:
    FrameCache(std::shared_ptr<MemoryBudget> budget, std::size_t slab_bytes)
        : budget_(std::move(budget)), slab_bytes_(slab_bytes) {}
    ~FrameCache() { budget_->held(-static_cast<std::int64_t>(held_)); }
    FrameCache(const FrameCache&) = delete;
    FrameCache& operator=(const FrameCache&) = delete;

    // A slab of at least `size` bytes; its id is valid until it is dropped. The newest slab is never dropped.
    std::uint64_t allocate(std::size_t size, bytes::SlabRef* slab) {
        if (size <= slab_bytes_ && !spare_.empty()) {
            *slab = std::move(spare_.back());
            spare_.pop_back();
        } else {
            *slab = bytes::Slab::allocate(std::max(size, slab_bytes_));
        }
        count((*slab)->capacity());
        slabs_.push_back(*slab);
        trim();
        return first_ + slabs_.size() - 1;
    }

    // The slab, or none when it was dropped.
    bytes::SlabRef find(std::uint64_t id) const {
        if (id < first_ || id >= first_ + slabs_.size()) return {};
        return slabs_[id - first_];
    }
    bool holds(std::uint64_t id) const { return id >= first_ && id < first_ + slabs_.size(); }
    std::uint64_t held_bytes() const { return held_; }

    // Gives back what others want of the memory beyond the own share.
    void trim() {
        while (beyond_share() && budget_->full() && slabs_.size() > 1) drop_oldest();
    }
    bool beyond_share() const { return held_ > budget_->share(); }

  private:
    void count(std::uint64_t bytes) {
        held_ += bytes;
        budget_->held(static_cast<std::int64_t>(bytes));
    }
    void drop_oldest() {
        bytes::SlabRef slab = std::move(slabs_.front());
        slabs_.pop_front();
        ++first_;
        held_ -= slab->capacity();
        budget_->held(-static_cast<std::int64_t>(slab->capacity()));
        if (slab.unique() && slab->capacity() == slab_bytes_ && spare_.size() < 4) spare_.push_back(std::move(slab));
    }

    std::shared_ptr<MemoryBudget> budget_;
    std::size_t slab_bytes_;
    std::uint64_t held_ = 0;
    std::uint64_t first_ = 1;  // id of slabs_.front(); 0 is no slab
    std::deque<bytes::SlabRef> slabs_;
    std::vector<bytes::SlabRef> spare_;
};

}  // namespace millrace::container
