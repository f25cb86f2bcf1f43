#include "bytes/buffer.h"

#include "base/units.h"
#include "bytes/slab_memory.h"

namespace millrace::bytes {
namespace {
std::atomic<std::size_t> slab_bytes{0};
}  // namespace

SlabRef Slab::allocate(std::size_t capacity) {
    capacity = align_up(capacity == 0 ? 1 : capacity, kPageSize);
    void* memory = allocate_slab_memory(capacity);
    MILLRACE_ASSERT(memory != nullptr);
    slab_bytes.fetch_add(capacity, std::memory_order_relaxed);
    return SlabRef(new Slab(static_cast<std::uint8_t*>(memory), capacity));
}

std::size_t Slab::live_bytes() { return slab_bytes.load(std::memory_order_relaxed); }

void Slab::release() {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    slab_bytes.fetch_sub(capacity_, std::memory_order_relaxed);
    free_slab_memory(data_, capacity_);
    delete this;
}

Slice Slice::copy_of(ByteSpan data) {
    if (data.empty()) return {};
    SlabRef slab = Slab::allocate(data.size());
    std::memcpy(slab->data(), data.data(), data.size());
    return {std::move(slab), 0, data.size()};
}

Chain Chain::sub(std::size_t offset, std::size_t size) const {
    MILLRACE_ASSERT(offset <= size_ && size <= size_ - offset);
    Chain part;
    for (const Slice& slice : slices_) {
        if (size == 0) break;
        if (offset >= slice.size()) {
            offset -= slice.size();
            continue;
        }
        std::size_t taken = std::min(size, slice.size() - offset);
        part.append(slice.sub(offset, taken));
        offset = 0;
        size -= taken;
    }
    return part;
}

}  // namespace millrace::bytes
