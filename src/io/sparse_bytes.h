// A byte string of any length in shared pages: a copy costs one pointer per page, pages of zeros cost nothing, a write
// copies only pages that are shared. So a crash image of a file is cheap enough to make thousands of them.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "bytes/buffer.h"

namespace millrace::io {

class SparseBytes {
  public:
    std::uint64_t size() const { return size_; }

    void resize(std::uint64_t size) {
        if (size < size_ && size % kPage != 0 && pages_[size / kPage] != nullptr) {
            Page& last = own(size / kPage);
            std::fill(last.begin() + static_cast<std::ptrdiff_t>(size % kPage), last.end(), std::uint8_t{0});
        }
        size_ = size;
        pages_.resize((size + kPage - 1) / kPage);
    }

    void write(std::uint64_t offset, bytes::ByteSpan data) {
        if (data.empty()) return;
        if (offset + data.size() > size_) resize(offset + data.size());
        while (!data.empty()) {
            std::size_t in_page = offset % kPage;
            std::size_t count = std::min<std::size_t>(kPage - in_page, data.size());
            std::size_t index = offset / kPage;
            if (pages_[index] != nullptr || !all_zero(data.first(count))) {
                std::memcpy(own(index).data() + in_page, data.data(), count);
            }
            offset += count;
            data = data.subspan(count);
        }
    }

    // The count read: smaller than the target only at the end.
    std::size_t read(std::uint64_t offset, bytes::MutableByteSpan target) const {
        if (offset >= size_) return 0;
        std::size_t total = std::min<std::uint64_t>(target.size(), size_ - offset);
        for (std::size_t done = 0; done < total;) {
            std::size_t in_page = (offset + done) % kPage;
            std::size_t count = std::min<std::size_t>(kPage - in_page, total - done);
            const auto& page = pages_[(offset + done) / kPage];
            if (page == nullptr)
                std::memset(target.data() + done, 0, count);
            else
                std::memcpy(target.data() + done, page->data() + in_page, count);
            done += count;
        }
        return total;
    }

  private:
    static constexpr std::size_t kPage = 4096;
    using Page = std::array<std::uint8_t, kPage>;

    static bool all_zero(bytes::ByteSpan data) {
        return data[0] == 0 && std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0;
    }
    Page& own(std::size_t index) {
        std::shared_ptr<Page>& page = pages_[index];
        if (page == nullptr)
            page = std::make_shared<Page>();
        else if (page.use_count() > 1)
            page = std::make_shared<Page>(*page);
        return *page;
    }

    std::uint64_t size_ = 0;
    std::vector<std::shared_ptr<Page>> pages_;
};

}  // namespace millrace::io
