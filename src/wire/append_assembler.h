// Puts appends together from the frames of one connection. A block of events comes as APPEND_BLOCK and
// APPEND_BLOCK_END, or as the latter alone; the event that a block cuts is completed by its end. The result refers to
// the frames' bytes and copies none.
//
// Life cycle: one per connection, from its first frame to its close. Used by the connection's core only.
// The caller keeps the payload of an APPEND_BLOCK valid and in place until the APPEND_BLOCK_END that follows was
// handled (any other frame but KEEP_ALIVE in between is an error), and the payloads that an AssembledAppend points to
// as long as it uses it. Every error is fatal: the sender is out of step, the connection must be closed without an
// answer, and nothing more be fed in.
//
// Cost: no allocation but for a new writer; one map look-up for each append, none for the writer of the append before.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <absl/container/flat_hash_map.h>

#include "base/error.h"
#include "base/ids.h"
#include "bytes/buffer.h"
#include "wire/commands_append.h"

namespace millrace::wire {

inline constexpr std::int64_t kNoCondition = -1;

struct AssembledAppend {
    std::uint64_t target = 0;  // what the caller gave when it set the writer up
    Uuid writer_id;
    std::int64_t event_number = 0;  // of the last event
    std::int32_t num_events = 0;
    std::int64_t expected_offset =
        kNoCondition;  // length that the segment must have; any negative offset of a peer is kNoCondition
    std::int64_t request_id = 0;
    bool conditional =
        false;  // came as a conditional command: is acknowledged by itself, whether it has a condition or not
    std::uint8_t piece_count = 0;
    std::array<bytes::ByteSpan, 3> piece_storage;

    std::span<const bytes::ByteSpan> pieces() const { return {piece_storage.data(), piece_count}; }  // none is empty
    std::size_t size() const {
        std::size_t sum = 0;
        for (bytes::ByteSpan piece : pieces()) sum += piece.size();
        return sum;
    }
    void add_piece(bytes::ByteSpan piece) {
        if (!piece.empty()) piece_storage[piece_count++] = piece;
    }
};

class AppendAssembler {
  public:
    // Call it for each SETUP_APPEND before looking at token or segment. A writer set up again is redirected to the new
    // target, and its event numbers start anew.
    Result<> on_setup_append(const SetupAppend& setup, std::uint64_t target);

    // The set-up failed: the writer is not set up.
    void forget(const Uuid& writer_id);

    Result<> on_append_block(const AppendBlock& block);
    Result<AssembledAppend> on_append_block_end(const AppendBlockEnd& end);
    Result<AssembledAppend> on_conditional_append(const ConditionalAppend& append);
    Result<AssembledAppend> on_conditional_block_end(const ConditionalBlockEnd& append);

    // Call it for every frame of another type. Inside a block only KEEP_ALIVE is legal.
    Result<> on_other(CommandType type);

    bool block_open() const { return block_.has_value(); }
    std::optional<std::uint64_t> target_of(const Uuid& writer_id) const;

  private:
    struct Target {
        std::uint64_t tag = 0;
        std::int64_t last_event_number = 0;  // from 0: a first number below is an error
    };

    Result<> expect_no_block(CommandType type) const;
    Target* find(const Uuid& writer_id);
    Result<AssembledAppend> conditional(CommandType type, const Uuid& writer_id, std::int64_t event_number,
                                        std::int64_t expected_offset, std::int64_t request_id, bytes::ByteSpan data);
    Result<> add_block_data(const AppendBlockEnd& end, AssembledAppend& append) const;

    absl::flat_hash_map<Uuid, Target> targets_;
    Uuid cached_id_;
    Target* cached_ = nullptr;  // of cached_id_; points into targets_, so it is dropped when that changes
    std::optional<AppendBlock> block_;
};

}  // namespace millrace::wire
