#include "bytes/buffer.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <vector>

#include <sys/mman.h>

#include "base/units.h"

namespace millrace::bytes {
namespace {
std::atomic<std::size_t> slab_bytes{0};

// Large slabs are mapped, and given back to the system: in the heap they would leave holes that no other size fills,
// and a process that reads and writes much at once would grow to twice what it holds. Some are kept for the next one of
// their size, since new pages cost more than filling them; so that there is one, sizes are rounded up to classes. A
// sanitizer sees more when each slab is a piece of heap.
#ifdef MILLRACE_SANITIZED
constexpr std::size_t kMappedBytesMin = ~std::size_t{0};
#else
constexpr std::size_t kMappedBytesMin = 256 * kKiB;
#endif
constexpr std::size_t kSpareBytesMax = 24 * kMiB;

// Four classes from one power of two to the next: at most a fifth is never used, and pages of it that nobody touches
// take no memory.
std::size_t size_class(std::size_t size) {
    std::size_t step = std::bit_floor(size) / 4;
    return align_up(size, std::max(step, kPageSize));
}

class SpareMappings {
  public:
    void* take(std::size_t size) {
        std::lock_guard lock(mutex_);
        for (auto at = spare_.rbegin(); at != spare_.rend(); ++at) {
            if (at->size != size) continue;
            void* memory = at->memory;
            spare_.erase(std::next(at).base());
            bytes_ -= size;
            return memory;
        }
        return nullptr;
    }
    void give(void* memory, std::size_t size) {
        std::vector<Mapping> dropped;
        {
            std::lock_guard lock(mutex_);
            spare_.push_back({memory, size});
            bytes_ += size;
            std::size_t count = 0;
            for (; bytes_ > kSpareBytesMax; ++count) bytes_ -= spare_[count].size;
            auto end = spare_.begin() + static_cast<std::ptrdiff_t>(count);
            dropped.assign(spare_.begin(), end);
            spare_.erase(spare_.begin(), end);
        }
        for (const Mapping& mapping : dropped) ::munmap(mapping.memory, mapping.size);
    }

  private:
    struct Mapping {
        void* memory = nullptr;
        std::size_t size = 0;
    };
    std::mutex mutex_;
    std::vector<Mapping> spare_;  // the oldest first
    std::size_t bytes_ = 0;
};

SpareMappings& spare_mappings() {
    static auto* spare = new SpareMappings();  // outlives all slabs
    return *spare;
}

void* allocate_pages(std::size_t capacity) {
    if (capacity < kMappedBytesMin) return std::aligned_alloc(kPageSize, capacity);
    capacity = size_class(capacity);
    if (void* memory = spare_mappings().take(capacity)) return memory;
    void* memory = ::mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? nullptr : memory;
}

void free_pages(void* memory, std::size_t capacity) {
    if (capacity < kMappedBytesMin)
        std::free(memory);
    else
        spare_mappings().give(memory, size_class(capacity));
}

}  // namespace

SlabRef Slab::allocate(std::size_t capacity) {
    capacity = align_up(capacity == 0 ? 1 : capacity, kPageSize);
    void* memory = allocate_pages(capacity);
    MILLRACE_ASSERT(memory != nullptr);
    slab_bytes.fetch_add(capacity, std::memory_order_relaxed);
    return SlabRef(new Slab(static_cast<std::uint8_t*>(memory), capacity));
}

std::size_t Slab::live_bytes() { return slab_bytes.load(std::memory_order_relaxed); }

void Slab::release() {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    slab_bytes.fetch_sub(capacity_, std::memory_order_relaxed);
    free_pages(data_, capacity_);
    delete this;
}

Slice Slice::copy_of(ByteSpan data) {
    if (data.empty()) return {};
    SlabRef slab = Slab::allocate(data.size());
    std::memcpy(slab->data(), data.data(), data.size());
    return {std::move(slab), 0, data.size()};
}

Chain Chain::sub(std::size_t offset, std::size_t size) const {
    MILLRACE_ASSERT(offset + size <= size_);
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
