// Changes of a container's state that belong together: built on the core in one contiguous buffer (no allocation for
// each change), applied as a whole or not at all. Later changes of a batch win over earlier ones.
//
//   StateBatch batch;
//   batch.put(segment_record);
//   batch.remove(NameRecord::key(name));
//   batch.remove_range(AttributeRecord::range(id));
//   store.apply(std::move(batch), sequence, done);
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "container/state/codec.h"

namespace millrace::container::state {

class StateBatch {
  public:
    template <typename Record>
    void put(const Record& record) {
        std::size_t head = open(Change::kPut);
        bytes::Writer out(bytes_);
        record.encode_key(out);
        std::size_t key_end = bytes_.size();
        record.encode_value(out);
        close(head, key_end);
    }
    void put(std::string_view key, std::string_view value) { add(Change::kPut, key, value); }
    void remove(std::string_view key) { add(Change::kRemove, key, {}); }
    // All keys in it, those that the batch has put so far too. The store looks them up when it applies the batch and
    // needs some 50 bytes of memory for each: what may be more than 100,000 records is removed in steps, page by page.
    void remove_range(const KeyRange& range) {
        MILLRACE_ASSERT(!range.end.empty());
        if (range.begin < range.end) add(Change::kRemoveRange, range.begin, range.end);
    }

    bool empty() const { return changes_ == 0; }
    std::size_t changes() const { return changes_; }
    std::size_t size_bytes() const { return bytes_.size(); }
    void clear() {  // keeps the memory
        bytes_.clear();
        changes_ = 0;
    }

    // In order: visitor.put(key, value), visitor.remove(key), visitor.remove_range(begin, end); all std::string_view.
    template <typename Visitor>
    void for_each(Visitor&& visitor) const {
        for (std::size_t at = 0; at < bytes_.size();) {
            auto change = static_cast<Change>(bytes_[at]);
            std::size_t first_size = bytes::load_le<std::uint32_t>(&bytes_[at + 1]);
            std::size_t second_size = bytes::load_le<std::uint32_t>(&bytes_[at + 5]);
            const char* text = reinterpret_cast<const char*>(bytes_.data()) + at + kHead;
            std::string_view first(text, first_size);
            std::string_view second(text + first_size, second_size);
            at += kHead + first_size + second_size;
            switch (change) {
                case Change::kPut:
                    visitor.put(first, second);
                    break;
                case Change::kRemove:
                    visitor.remove(first);
                    break;
                case Change::kRemoveRange:
                    visitor.remove_range(first, second);
                    break;
            }
        }
    }

  private:
    enum class Change : std::uint8_t { kPut, kRemove, kRemoveRange };
    static constexpr std::size_t kHead = 9;  // change, sizes of the two parts

    std::size_t open(Change change) {
        std::size_t head = bytes_.size();
        bytes_.resize(head + kHead);
        bytes_[head] = static_cast<std::uint8_t>(change);
        return head;
    }
    void close(std::size_t head, std::size_t first_end) {
        std::size_t first_size = first_end - head - kHead;
        // The store's own kinds come first; a key of nothing would be before them.
        MILLRACE_ASSERT(first_size > 0 && bytes_[head + kHead] > static_cast<std::uint8_t>(Kind::kApplied));
        bytes::store_le(&bytes_[head + 1], static_cast<std::uint32_t>(first_size));
        bytes::store_le(&bytes_[head + 5], static_cast<std::uint32_t>(bytes_.size() - first_end));
        ++changes_;
    }
    void add(Change change, std::string_view first, std::string_view second) {
        std::size_t head = open(change);
        bytes::Writer out(bytes_);
        out.bytes(bytes::as_bytes(first));
        out.bytes(bytes::as_bytes(second));
        close(head, head + kHead + first.size());
    }

    std::vector<std::uint8_t> bytes_;
    std::size_t changes_ = 0;
};

}  // namespace millrace::container::state
