// Where the frames of a journal file begin: one bit for each page, so 2 KiB for a file of 64 MiB, whatever is in it.
// Frames follow each other without gaps, so a frame ends where the next one begins.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "wal/local/frame_format.h"

namespace millrace::wal::local {

class FrameMap {
  public:
    // `offset` in the file, a multiple of the page.
    void mark(std::uint64_t offset) {
        std::uint64_t page = offset / kPage;
        if (page / 64 >= words_.size()) words_.resize(page / 64 + 1);
        words_[page / 64] |= std::uint64_t{1} << (page % 64);
    }

    // Begin of the frame that holds the byte at `offset`; 0 if none begins there or before it.
    std::uint64_t frame_of(std::uint64_t offset) const {
        std::uint64_t page = offset / kPage;
        if (words_.empty()) return 0;
        std::size_t index = page / 64;
        std::uint64_t mask = ~std::uint64_t{0} >> (63 - page % 64);
        if (index >= words_.size()) {
            index = words_.size() - 1;
            mask = ~std::uint64_t{0};
        }
        for (std::uint64_t word = words_[index] & mask;; word = words_[--index]) {
            if (word != 0) return (index * 64 + 63 - static_cast<std::uint64_t>(std::countl_zero(word))) * kPage;
            if (index == 0) return 0;
        }
    }

    // Begin of the first frame behind the page of `offset`; `limit` if there is none below it.
    std::uint64_t frame_behind(std::uint64_t offset, std::uint64_t limit) const {
        std::uint64_t page = offset / kPage + 1;
        for (std::size_t index = page / 64; index < words_.size(); ++index) {
            std::uint64_t word = words_[index];
            if (index == page / 64) word &= ~std::uint64_t{0} << (page % 64);
            if (word == 0) continue;
            std::uint64_t found = (index * 64 + static_cast<std::uint64_t>(std::countr_zero(word))) * kPage;
            return found < limit ? found : limit;
        }
        return limit;
    }

  private:
    std::vector<std::uint64_t> words_;
};

}  // namespace millrace::wal::local
