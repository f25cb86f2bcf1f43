#include "net/send_queue.h"

#include <algorithm>

#include "base/assert.h"

namespace millrace::net {

void SendQueue::copy(bytes::ByteSpan data) {
    if (data.empty()) return;
    if (pieces_.empty() || !pieces_.back().open || pieces_.back().owned.size() + data.size() > kOpenMax) {
        Piece& fresh = pieces_.emplace_back();
        fresh.owned = std::move(spare_);
        fresh.owned.clear();
        fresh.open = true;
        spare_ = {};
    }
    std::vector<std::uint8_t>& into = pieces_.back().owned;
    into.insert(into.end(), data.begin(), data.end());
    bytes_ += data.size();
}

void SendQueue::own(std::vector<std::uint8_t>&& data) {
    if (data.size() <= kCopyMax) return copy(data);
    bytes_ += data.size();
    pieces_.emplace_back().owned = std::move(data);
}

void SendQueue::share(const bytes::Slice& slice) {
    if (slice.size() <= kCopyMax) return copy(slice.span());
    bytes_ += slice.size();
    pieces_.emplace_back().shared = slice;
}

std::size_t SendQueue::gather(std::span<iovec> into, std::size_t max_bytes, std::size_t& total) const {
    std::size_t count = 0;
    std::size_t skip = front_sent_;
    total = 0;
    for (const Piece& piece : pieces_) {
        if (count == into.size() || total >= max_bytes) break;
        bytes::ByteSpan rest = piece.span().subspan(skip);
        rest = rest.first(std::min(rest.size(), max_bytes - total));
        skip = 0;
        into[count++] = {const_cast<std::uint8_t*>(rest.data()), rest.size()};
        total += rest.size();
    }
    return count;
}

void SendQueue::sent(std::size_t count) {
    MILLRACE_ASSERT(count <= bytes_);
    bytes_ -= count;
    front_sent_ += count;
    while (!pieces_.empty() && front_sent_ >= pieces_.front().span().size()) {
        Piece& front = pieces_.front();
        front_sent_ -= front.span().size();
        if (front.open && front.owned.capacity() <= kSpareMax) spare_ = std::move(front.owned);
        pieces_.pop_front();
        if (released_ > 0) --released_;
    }
}

// Neighbours of one slab count together: a reply that reads on through a slab is left as it is.
void SendQueue::release_slabs() {
    while (released_ < pieces_.size()) {
        const std::uint8_t* memory = pieces_[released_].shared.empty() ? nullptr : pieces_[released_].slab_memory();
        std::size_t end = released_;
        std::size_t kept = 0;
        while (end < pieces_.size() && !pieces_[end].shared.empty() && pieces_[end].slab_memory() == memory) {
            kept += pieces_[end++].shared.size();
        }
        if (end == released_) {  // it owns its bytes
            ++released_;
            continue;
        }
        bool wasteful = kept < pieces_[released_].shared.slab()->capacity() / 2;
        for (; released_ < end; ++released_) {
            Piece& piece = pieces_[released_];
            if (!wasteful) continue;
            bytes::ByteSpan data = piece.shared.span();
            piece.owned.assign(data.begin(), data.end());
            piece.shared = {};
        }
    }
}

void SendQueue::clear() {
    pieces_.clear();
    spare_ = {};
    released_ = front_sent_ = bytes_ = 0;
}

}  // namespace millrace::net
