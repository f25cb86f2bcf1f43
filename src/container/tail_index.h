// Where a segment's bytes are, as far as the log or memory has them: extents sorted by offset, without overlaps. After
// a merge or a start there may be gaps, of bytes that are only in long-term storage. An extent is a piece of one
// frame's payload, in the log and, while it lasts, in memory. Plain values, no pointers: what a slab id means is the
// frame cache's affair, so dropping memory touches no index.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "wal/durable_log.h"

namespace millrace::container {

struct Extent {
    std::uint64_t offset = 0;  // in the segment
    std::uint32_t size = 0;
    std::uint32_t slab_offset = 0;
    std::uint64_t slab = 0;   // 0: not in memory
    wal::LogAddress address;  // nowhere: in long-term storage, and here only for what is in memory

    bool in_log() const { return address.file != 0; }
    std::uint64_t end() const { return offset + size; }
};

class TailIndex {
  public:
    bool empty() const { return head_ == extents_.size(); }
    std::size_t size() const { return extents_.size() - head_; }
    const Extent* begin() const { return extents_.data() + head_; }
    const Extent* end() const { return extents_.data() + extents_.size(); }
    Extent* begin() { return extents_.data() + head_; }
    Extent* end() { return extents_.data() + extents_.size(); }

    // At the end of the segment.
    void add(const Extent& extent) { extents_.push_back(extent); }

    // Anywhere: takes the place of an extent with the same range, else is put where it belongs. False when it overlaps
    // partly.
    bool put(const Extent& extent, Extent* replaced) {
        auto at = std::lower_bound(extents_.begin() + static_cast<std::ptrdiff_t>(head_), extents_.end(), extent.offset,
                                   [](const Extent& e, std::uint64_t offset) { return e.offset < offset; });
        *replaced = {};
        if (at != extents_.end() && at->offset == extent.offset && at->size == extent.size) {
            *replaced = *at;
            *at = extent;
            return true;
        }
        if (at != extents_.end() && at->offset < extent.end()) return false;
        if (at != extents_.begin() + static_cast<std::ptrdiff_t>(head_) && (at - 1)->end() > extent.offset)
            return false;
        extents_.insert(at, extent);
        return true;
    }

    // The extent that holds `offset`, or end().
    const Extent* find(std::uint64_t offset) const {
        const Extent* at =
            std::upper_bound(begin(), end(), offset, [](std::uint64_t o, const Extent& e) { return o < e.offset; });
        if (at == begin()) return end();
        --at;
        return offset < at->end() ? at : end();
    }

    // Drops the extents that lie wholly below `start`; `dropped(const Extent&)` for each.
    template <typename Dropped>
    void drop_below(std::uint64_t start, Dropped dropped) {
        while (!empty() && begin()->end() <= start) {
            dropped(*begin());
            ++head_;
        }
        compact();
    }

    // Drops from the front as long as `goes(extent)`.
    template <typename Goes, typename Dropped>
    void drop_front(Goes goes, Dropped dropped) {
        while (!empty() && goes(*begin())) {
            dropped(*begin());
            ++head_;
        }
        compact();
    }

    // Calls `visit` for each extent that lies wholly within [from, to).
    template <typename Visit>
    void within(std::uint64_t from, std::uint64_t to, Visit visit) {
        Extent* at = std::lower_bound(begin(), end(), from,
                                      [](const Extent& e, std::uint64_t offset) { return e.offset < offset; });
        for (; at != end() && at->end() <= to; ++at) visit(*at);
    }

    template <typename Dropped>
    void clear(Dropped dropped) {
        for (const Extent& extent : *this) dropped(extent);
        std::vector<Extent>().swap(extents_);
        head_ = 0;
    }

    // Takes over all extents of `source`, moved up by `base`: a merge copies no bytes.
    void splice(TailIndex& source, std::uint64_t base) {
        for (Extent extent : source) {
            extent.offset += base;
            extents_.push_back(extent);
        }
        std::vector<Extent>().swap(source.extents_);
        source.head_ = 0;
    }

  private:
    void compact() {
        if (empty()) {
            extents_.clear();
            head_ = 0;
        } else if (head_ > 64 && head_ > extents_.size() / 2) {
            extents_.erase(extents_.begin(), extents_.begin() + static_cast<std::ptrdiff_t>(head_));
            head_ = 0;
        }
    }

    std::vector<Extent> extents_;
    std::size_t head_ = 0;
};

}  // namespace millrace::container
