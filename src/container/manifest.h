// Where a segment's tiered bytes lie in long-term storage: entries sorted by segment offset, without overlaps. Together
// with the tail index it covers everything from the segment's start to its length; where both have bytes they are the
// same ones.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "container/operation.h"

namespace millrace::container {

class Manifest {
  public:
    bool empty() const { return entries_.empty(); }
    std::size_t size() const { return entries_.size(); }
    const std::vector<ManifestEntry>& entries() const { return entries_; }

    // The entry that holds `offset`, or null.
    const ManifestEntry* find(std::uint64_t offset) const {
        auto at = std::upper_bound(entries_.begin(), entries_.end(), offset,
                                   [](std::uint64_t o, const ManifestEntry& e) { return o < e.offset; });
        if (at == entries_.begin()) return nullptr;
        --at;
        return offset < at->end() ? &*at : nullptr;
    }

    bool covers(std::uint64_t from, std::uint64_t to) const {
        while (from < to) {
            const ManifestEntry* entry = find(from);
            if (entry == nullptr) return false;
            from = entry->end();
        }
        return true;
    }

    // Puts an entry in the place of those that lie wholly within it; `dropped(entry)` for each. False, and nothing is
    // changed, when it overlaps another one partly.
    template <typename Dropped>
    bool put(const ManifestEntry& entry, Dropped dropped) {
        auto first = std::lower_bound(entries_.begin(), entries_.end(), entry.offset,
                                      [](const ManifestEntry& e, std::uint64_t offset) { return e.end() <= offset; });
        auto last = first;
        while (last != entries_.end() && last->offset < entry.end()) {
            if (last->offset < entry.offset || last->end() > entry.end()) return false;
            ++last;
        }
        for (auto at = first; at != last; ++at) dropped(*at);
        if (first == last) {
            entries_.insert(first, entry);
        } else {
            *first = entry;
            entries_.erase(first + 1, last);
        }
        return true;
    }

    template <typename Dropped>
    void drop_below(std::uint64_t start, Dropped dropped) {
        auto kept = std::lower_bound(entries_.begin(), entries_.end(), start,
                                     [](const ManifestEntry& e, std::uint64_t offset) { return e.end() <= offset; });
        for (auto at = entries_.begin(); at != kept; ++at) dropped(*at);
        entries_.erase(entries_.begin(), kept);
    }

    template <typename Dropped>
    void clear(Dropped dropped) {
        for (const ManifestEntry& entry : entries_) dropped(entry);
        std::vector<ManifestEntry>().swap(entries_);
    }

    // Takes over all entries of `source`, moved up by `base`: a merge copies no bytes.
    void splice(Manifest& source, std::uint64_t base) {
        for (ManifestEntry entry : source.entries_) {
            entry.offset += base;
            entries_.push_back(entry);
        }
        std::vector<ManifestEntry>().swap(source.entries_);
    }

  private:
    std::vector<ManifestEntry> entries_;
};

}  // namespace millrace::container
