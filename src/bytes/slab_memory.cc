#include "bytes/slab_memory.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <vector>

#include <sys/mman.h>

#include "base/units.h"
#include "bytes/buffer.h"

namespace millrace::bytes {
namespace {

// A sanitizer sees more when each slab is a piece of heap.
#ifdef MILLRACE_SANITIZED
constexpr std::size_t kLargeMin = ~std::size_t{0};
#else
constexpr std::size_t kLargeMin = 256 * kKiB;
#endif
constexpr std::size_t kSpareBytesMax = 24 * kMiB;
constexpr std::size_t kBlock = 2 * kMiB;  // a huge page

std::uintptr_t address(void* memory) { return reinterpret_cast<std::uintptr_t>(memory); }

void* map(std::size_t size) {
    void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? nullptr : memory;
}

// From a whole huge page on; the huge pages that fit in are asked for. What is behind the last one stays in small
// pages, which take memory only when they are touched.
void* map_blocks(std::size_t size) {
    void* memory = map(size + kBlock - kPageSize);
    if (memory == nullptr) return nullptr;
    auto* begin = static_cast<std::uint8_t*>(memory);
    std::size_t before = align_up(address(memory), kBlock) - address(memory);
    std::size_t behind = kBlock - kPageSize - before;
    if (before > 0) ::munmap(begin, before);
    begin += before;
    if (behind > 0) ::munmap(begin + size, behind);
    (void)::madvise(begin, size / kBlock * kBlock, MADV_HUGEPAGE);  // a help: small pages do as well
    return begin;
}

// Pieces of a block, all of one size: a power of two, from kLargeMin to kBlock. A slab lies in a piece only when it
// fills nearly all of it, since memory in huge pages is there whether it is touched or not.
class Pieces {
  public:
    static bool fits(std::size_t size) {
        std::size_t piece = std::bit_ceil(size);
        return piece <= kBlock && size >= piece - piece / 8;
    }

    void* take(std::size_t size) {
        std::lock_guard lock(mutex_);
        auto& open = open_[index_of(size)];
        if (open.empty() && !open_block(size)) return nullptr;
        // Of the block that was full until lately: the others may get empty meanwhile.
        Block& block = open.front();
        unsigned place = static_cast<unsigned>(std::countr_zero(block.free));
        block.free &= block.free - 1;
        void* piece = block.memory + place * std::bit_ceil(size);
        if (block.free == 0) open.erase(open.begin());
        return piece;
    }

    void give(void* memory, std::size_t size) {
        std::uint8_t* unused = nullptr;
        {
            std::lock_guard lock(mutex_);
            std::size_t piece = std::bit_ceil(size);
            auto* begin = reinterpret_cast<std::uint8_t*>(address(memory) / kBlock * kBlock);
            auto& open = open_[index_of(size)];
            auto block = std::ranges::find(open, begin, &Block::memory);
            if (block == open.end()) block = open.insert(open.begin(), Block{begin, 0});
            block->free |= 1U << (address(memory) % kBlock / piece);
            if (block->free != all_free(piece)) return;
            open.erase(block);
            if (spare_.size() < kSpareBytesMax / kBlock)
                spare_.push_back(begin);
            else
                unused = begin;
        }
        if (unused != nullptr) ::munmap(unused, kBlock);
    }

  private:
    struct Block {
        std::uint8_t* memory = nullptr;
        std::uint32_t free = 0;  // a bit for each piece
    };
    static constexpr std::size_t kSizes = 4;
    static std::size_t index_of(std::size_t size) {
        return static_cast<std::size_t>(std::countr_zero(kBlock / std::bit_ceil(size)));
    }
    static std::uint32_t all_free(std::size_t piece) {
        return static_cast<std::uint32_t>((std::uint64_t{1} << (kBlock / piece)) - 1);
    }
    bool open_block(std::size_t size) {
        std::uint8_t* memory = nullptr;
        if (spare_.empty()) {
            memory = static_cast<std::uint8_t*>(map_blocks(kBlock));
        } else {
            memory = spare_.back();
            spare_.pop_back();
        }
        if (memory == nullptr) return false;
        open_[index_of(size)].push_back({memory, all_free(std::bit_ceil(size))});
        return true;
    }

    std::mutex mutex_;
    std::array<std::vector<Block>, kSizes> open_;  // with free pieces and used ones; the newest that got one first
    std::vector<std::uint8_t*> spare_;
};

// Slabs that get a mapping each; sizes are rounded up to classes, so that there is a spare one for the next slab.
class Mappings {
  public:
    // Four classes from one power of two to the next: at most a fifth is never used, and pages of it that nobody
    // touches take no memory.
    static std::size_t size_class(std::size_t size) {
        std::size_t step = std::bit_floor(size) / 4;
        return align_up(size, std::max(step, kPageSize));
    }

    void* take(std::size_t size) {
        size = size_class(size);
        {
            std::lock_guard lock(mutex_);
            auto found =
                std::find_if(spare_.rbegin(), spare_.rend(), [&](const Mapping& at) { return at.size == size; });
            if (found != spare_.rend()) {
                void* memory = found->memory;
                spare_.erase(std::next(found).base());
                bytes_ -= size;
                return memory;
            }
        }
        return size < kBlock ? map(size) : map_blocks(size);
    }

    void give(void* memory, std::size_t size) {
        size = size_class(size);
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

// They outlive all slabs.
Pieces& pieces() {
    static auto* made = new Pieces();
    return *made;
}
Mappings& mappings() {
    static auto* made = new Mappings();
    return *made;
}

}  // namespace

void* allocate_slab_memory(std::size_t size) {
    if (size < kLargeMin) return std::aligned_alloc(kPageSize, size);
    return Pieces::fits(size) ? pieces().take(size) : mappings().take(size);
}

void free_slab_memory(void* memory, std::size_t size) {
    if (size < kLargeMin) return std::free(memory);
    if (Pieces::fits(size)) return pieces().give(memory, size);
    mappings().give(memory, size);
}

}  // namespace millrace::bytes
