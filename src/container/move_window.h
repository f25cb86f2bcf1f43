// What one round of the storage writer takes from the log. The frames that memory has are held until the round ends,
// whatever the cache drops meanwhile; the rest is read once, in the order of the log, however many segments share it.
// A round is about as large as a container's share of the cache (TieringOptions::round_bytes), so memory stays bounded.
//
//   for (const Extent& extent : planned) window.add(extent, cache.find(extent.slab));
//   if (auto bytes = window.find(extent)) ...            // at once
//   else if (window.covers(extent)) window.load(log, extent, again);
//
// Thread rule: on the container's executor.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/error.h"
#include "bytes/buffer.h"
#include "container/tail_index.h"
#include "runtime/executor.h"
#include "wal/durable_log.h"

namespace millrace::container {

class MoveWindow {
  public:
    MoveWindow() = default;
    ~MoveWindow() { *alive_ = false; }
    MoveWindow(const MoveWindow&) = delete;
    MoveWindow& operator=(const MoveWindow&) = delete;

    // Before the first find(). `slab`: the frame that holds the extent, if it is in memory.
    void add(const Extent& extent, bytes::SlabRef slab);
    // The frame that has the extent is held already.
    bool holds(const Extent& extent) const {
        return extent.slab - first_held_ < held_.size() && static_cast<bool>(held_[extent.slab - first_held_]);
    }
    void clear();  // the round is over; what is being read is dropped, and so is who waits for it

    // The extent's bytes, if they are in memory.
    bytes::Slice find(const Extent& extent);
    // Whether they are, or will be after load().
    bool covers(const Extent& extent);
    // Set when the log has read them and found the frame damaged: they will not be there. What lies around that frame
    // is. Valid until clear().
    const Error* damage(const Extent& extent);
    // Reads what is not in memory and not damaged; `done` when the extent's bytes are there, or are known to be
    // damaged, or with the log's error. Never from inside the call.
    void load(wal::DurableLog& log, const Extent& extent, runtime::Callback<Result<>> done);

  private:
    struct Piece {
        std::uint64_t begin = 0;
        std::uint64_t end = 0;
        bytes::Slice data;
        std::optional<Error> damage;  // then without data
    };
    struct Range {
        std::uint64_t file = 0;
        std::uint64_t begin = 0;
        std::uint64_t end = 0;
        bool asked = false;
        std::vector<Piece> pieces;  // one, unless frames are damaged; all of the range when it is read
        std::vector<runtime::Callback<Result<>>> waiting;

        bool is_read() const { return !pieces.empty() && pieces.back().end == end; }
    };
    void seal();
    Range* range_of(const Extent& extent);
    const Piece* piece_of(const Extent& extent);
    void ask(wal::DurableLog& log, std::size_t index);
    void read(wal::DurableLog& log, std::size_t index, std::uint64_t begin, std::uint64_t end);
    void took(wal::DurableLog& log, std::size_t index, std::uint64_t begin, std::uint64_t end,
              Result<bytes::Slice> read);
    void tell(Range& range, const Result<>& outcome);

    std::vector<bytes::SlabRef> held_;  // by slab id, from first_held_ on
    std::uint64_t first_held_ = 0;
    std::vector<Range> ranges_;  // sorted and joined by seal()
    bool sealed_ = false;
    std::uint64_t round_ = 0;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace millrace::container
