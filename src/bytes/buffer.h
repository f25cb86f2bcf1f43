// Shared byte buffers. A Slab is one aligned block of memory, counted by reference; a Slice is a range of a slab (or of
// nothing) that keeps the slab alive; a Chain is a sequence of slices read as one byte string. Copying a slice or a
// chain copies no bytes. Counts are atomic, so slices may cross cores; the bytes themselves are written by one owner
// before they are shared.
//
//   SlabRef slab = Slab::allocate(1 << 20);            // 4 KiB aligned, as O_DIRECT needs
//   std::memcpy(slab->data(), src, n);
//   Slice s(slab, 0, n);                               // shares
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace millrace::bytes {

using ByteSpan = std::span<const std::uint8_t>;
using MutableByteSpan = std::span<std::uint8_t>;

inline ByteSpan as_bytes(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteSpan data) { return {reinterpret_cast<const char*>(data.data()), data.size()}; }

inline constexpr std::size_t kPageSize = 4096;

class SlabRef;

class Slab {
  public:
    // `capacity` is rounded up to whole pages; memory is page-aligned and not initialised. Never fails (out of memory
    // aborts).
    static SlabRef allocate(std::size_t capacity);

    std::uint8_t* data() { return data_; }
    const std::uint8_t* data() const { return data_; }
    std::size_t capacity() const { return capacity_; }

    Slab(const Slab&) = delete;
    Slab& operator=(const Slab&) = delete;

    static std::size_t live_bytes();  // of all slabs in the process

  private:
    friend class SlabRef;
    Slab(std::uint8_t* data, std::size_t capacity) : data_(data), capacity_(capacity) {}
    ~Slab() = default;
    void release();

    std::atomic<std::uint32_t> references_{1};
    std::uint8_t* data_;
    std::size_t capacity_;
};

class SlabRef {
  public:
    SlabRef() = default;
    SlabRef(const SlabRef& other) : slab_(other.slab_) {
        if (slab_ != nullptr) slab_->references_.fetch_add(1, std::memory_order_relaxed);
    }
    SlabRef(SlabRef&& other) noexcept : slab_(std::exchange(other.slab_, nullptr)) {}
    SlabRef& operator=(SlabRef other) noexcept {
        std::swap(slab_, other.slab_);
        return *this;
    }
    ~SlabRef() {
        if (slab_ != nullptr) slab_->release();
    }

    Slab* operator->() const { return slab_; }
    Slab& operator*() const { return *slab_; }
    explicit operator bool() const { return slab_ != nullptr; }
    bool unique() const { return slab_ != nullptr && slab_->references_.load(std::memory_order_acquire) == 1; }

  private:
    friend class Slab;
    explicit SlabRef(Slab* adopted) : slab_(adopted) {}
    Slab* slab_ = nullptr;
};

class Slice {
  public:
    Slice() = default;
    Slice(SlabRef slab, std::size_t offset, std::size_t size) : slab_(std::move(slab)), size_(size) {
        MILLRACE_ASSERT(offset + size <= slab_->capacity());
        data_ = slab_->data() + offset;
    }
    static Slice copy_of(ByteSpan data);

    const std::uint8_t* data() const { return data_; }
    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    ByteSpan span() const { return {data_, size_}; }
    const SlabRef& slab() const { return slab_; }

    Slice sub(std::size_t offset, std::size_t size) const {
        MILLRACE_ASSERT(offset <= size_ && size <= size_ - offset);
        Slice part(*this);
        part.data_ += offset;
        part.size_ = size;
        return part;
    }

  private:
    SlabRef slab_;
    const std::uint8_t* data_ = nullptr;
    std::size_t size_ = 0;
};

class Chain {
  public:
    Chain() = default;
    explicit Chain(Slice only) { append(std::move(only)); }

    void append(Slice slice) {
        if (slice.empty()) return;
        size_ += slice.size();
        slices_.push_back(std::move(slice));
    }
    void append(const Chain& other) {
        for (const Slice& slice : other.slices_) append(slice);
    }
    void clear() {
        slices_.clear();
        size_ = 0;
    }

    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    const std::vector<Slice>& slices() const { return slices_; }

    void copy_to(std::uint8_t* target) const {
        for (const Slice& slice : slices_) {
            std::memcpy(target, slice.data(), slice.size());
            target += slice.size();
        }
    }
    Chain sub(std::size_t offset, std::size_t size) const;  // shares; the range must lie within
    std::vector<std::uint8_t> to_vector() const {
        std::vector<std::uint8_t> all(size_);
        copy_to(all.data());
        return all;
    }

  private:
    std::vector<Slice> slices_;
    std::size_t size_ = 0;
};

}  // namespace millrace::bytes
