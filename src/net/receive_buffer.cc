#include "net/receive_buffer.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/assert.h"

namespace millrace::net {

namespace {

constexpr unsigned kSlowRoundsToShrink = 16;

// A slab whose bytes from `used` on are free.
struct Region {
    bytes::SlabRef slab;
    std::size_t used = 0;
};

// Free regions of one thread, by slab size. Bounded: at most two of each of 64 KiB, 128 KiB, ... 1 MiB.
class RegionCache {
  public:
    // A region with at least `room` free bytes, in a slab of about `capacity`.
    Region take(std::size_t room, std::size_t capacity) {
        capacity = std::max(room, capacity);
        if (capacity > ReceiveBuffer::kSlabMax) return {bytes::Slab::allocate(capacity), 0};
        capacity = std::bit_ceil(std::max(capacity, ReceiveBuffer::kSlabMin));
        auto& regions = regions_[index_of(capacity)];
        while (!regions.empty()) {
            Region region = std::move(regions.back());
            regions.pop_back();
            if (region.slab.unique()) region.used = 0;
            if (capacity - region.used >= room) return region;
        }
        return {bytes::Slab::allocate(capacity), 0};
    }

    // Bytes from `used` on are free; those before may still be shared.
    void give(Region region) {
        std::size_t capacity = region.slab->capacity();
        if (capacity < ReceiveBuffer::kSlabMin || capacity > ReceiveBuffer::kSlabMax ||
            !std::has_single_bit(capacity)) {
            return;
        }
        if (region.slab.unique()) region.used = 0;
        auto& regions = regions_[index_of(capacity)];
        if (capacity - region.used < capacity / 2 || regions.size() >= kRegionsPerSize) return;
        regions.push_back(std::move(region));
    }

  private:
    static constexpr std::size_t kRegionsPerSize = 2;
    static std::size_t index_of(std::size_t capacity) {
        return static_cast<std::size_t>(std::countr_zero(capacity / ReceiveBuffer::kSlabMin));
    }
    std::array<std::vector<Region>, 5> regions_;
};
static_assert(ReceiveBuffer::kSlabMin << 4 == ReceiveBuffer::kSlabMax);

RegionCache& cache() {
    thread_local RegionCache of_this_thread;
    return of_this_thread;
}

}  // namespace

bytes::MutableByteSpan ReceiveBuffer::space(std::size_t need) {
    offered_ = 0;
    std::size_t held = size();
    if (held >= limit_) return {};
    if (slab_ && held == 0 && slab_.unique()) begin_ = end_ = 0;
    std::size_t room = slab_ ? slab_->capacity() - end_ : 0;
    need = std::min(need, limit_);
    bool completes = need > held && need - held <= room;
    bool can_complete_elsewhere = need > held && need <= justified();
    if (!slab_ || (!completes && (room < kRoomMin || can_complete_elsewhere))) relocate(need);
    offered_ = std::min(slab_->capacity() - end_, limit_ - held);
    return {slab_->data() + end_, offered_};
}

// How large a slab may be for what has come so far.
std::size_t ReceiveBuffer::justified() const { return std::max(target_, 2 * size() + kSlabMin); }

// Moves what is held to where more fits behind it: the front of this slab, or another slab.
void ReceiveBuffer::relocate(std::size_t need) {
    std::size_t held = size();
    std::size_t wanted = std::max(need, held + kRoomMin);
    std::size_t room = std::min(wanted, justified());
    std::size_t capacity = std::max(target_, room);
    if (slab_ && slab_->capacity() >= capacity && held <= begin_ && slab_.unique()) {
        std::memcpy(slab_->data(), slab_->data() + begin_, held);
        begin_ = 0;
        end_ = held;
        return;
    }
    move_to_slab(room, capacity);
}

void ReceiveBuffer::move_to_slab(std::size_t room, std::size_t capacity) {
    std::size_t held = size();
    Region fresh = cache().take(room, capacity);
    std::uint8_t* target = fresh.slab->data() + fresh.used;
    if (!parked_.empty()) {
        std::memcpy(target, parked_.data(), held);
        parked_.clear();
    } else if (held > 0) {
        std::memcpy(target, slab_->data() + begin_, held);
    }
    if (slab_) cache().give({std::move(slab_), begin_});
    slab_ = std::move(fresh.slab);
    begin_ = fresh.used;
    end_ = begin_ + held;
}

void ReceiveBuffer::received(std::size_t count) {
    MILLRACE_ASSERT(count <= offered_);
    end_ += count;
    received_since_park_ += count;
    if (count == offered_ && offered_ >= target_ / 2) target_ = std::min(2 * target_, kSlabMax);
    offered_ = 0;
}

bytes::Slice ReceiveBuffer::window() {
    if (!parked_.empty()) relocate(0);
    return slab_ ? bytes::Slice(slab_, begin_, end_ - begin_) : bytes::Slice();
}

void ReceiveBuffer::consume(std::size_t count) {
    MILLRACE_ASSERT(count <= end_ - begin_);
    begin_ += count;
}

void ReceiveBuffer::park() {
    slow_rounds_ = received_since_park_ < target_ / 4 ? slow_rounds_ + 1 : 0;
    received_since_park_ = 0;
    if (slow_rounds_ >= kSlowRoundsToShrink) {
        slow_rounds_ = 0;
        target_ = std::max(target_ / 2, kSlabMin);
    }
    std::size_t held = end_ - begin_;
    if (!slab_) return;
    if (held > kParkedMax) {
        // What is left of a giant's slab after the giant is not worth its memory.
        if (slab_->capacity() > kSlabMax && held < slab_->capacity() / 8) move_to_slab(held + kRoomMin, target_);
        return;
    }
    if (held > 0) {
        parked_.assign(slab_->data() + begin_, slab_->data() + end_);
    } else {
        parked_ = {};
    }
    cache().give({std::move(slab_), begin_});
    slab_ = {};
    begin_ = end_ = 0;
}

void ReceiveBuffer::clear() {
    slab_ = {};
    begin_ = end_ = 0;
    parked_ = {};
}

}  // namespace millrace::net
