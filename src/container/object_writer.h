// Writes one object to long-term storage: gathers the bytes of a plan's parts piece by piece, so that a large object
// takes little memory, adds the checksums, and says what the object holds. Does not decide what to write
// (storage_writer.h) and records nothing in the log.
//
// Thread rule: on the executor. One object at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "container/object_format.h"
#include "container/operation.h"
#include "lts/chunk_store.h"

namespace millrace::container {

class Segment;

// Where the bytes come from.
class SegmentSource {
  public:
    virtual ~SegmentSource() = default;
    // Appends to `out` at most `max_bytes` of what `round` (of the storage writer) has in memory of the segment from
    // `offset` on, and says how many. None: read_part() answers.
    virtual std::size_t take_part(std::size_t round, Segment& segment, std::uint64_t offset, std::size_t max_bytes,
                                  bytes::Chain& out) = 0;
    // Answers with at least one byte and at most `max_bytes`; kNotFound, kTruncated or kMerged when the range no longer
    // belongs to the segment.
    virtual void read_part(SegmentId segment, std::uint64_t offset, std::size_t max_bytes,
                           runtime::Callback<Result<bytes::Chain>> done) = 0;
};

struct ObjectPlan {
    TieredObject object;            // its data_bytes follow from the writing
    std::vector<ObjectPart> parts;  // object offsets, too
    // One for each part, in memory until the round is over; they may be gone (deleted, merged) meanwhile.
    std::vector<Segment*> segments;
    std::size_t round = 0;  // of the storage writer, that planned it

    std::uint64_t bytes() const {
        std::uint64_t sum = 0;
        for (const ObjectPart& part : parts) sum += part.size;
        return sum;
    }
};

// A part that went away meanwhile is left out; maybe there is none, and then no object.
struct WrittenObject {
    ObjectWrittenRecord record;
    std::vector<Segment*> segments;  // of the plan, one for each part
};

class ObjectWriter {
  public:
    ObjectWriter(lts::ChunkStore& store, SegmentSource& source) : store_(store), source_(source) {}
    ~ObjectWriter() { *alive_ = false; }
    ObjectWriter(const ObjectWriter&) = delete;
    ObjectWriter& operator=(const ObjectWriter&) = delete;

    bool busy() const { return static_cast<bool>(done_); }

    // Errors: the store's, or those of the source that are not about its parts.
    void write(ObjectPlan plan, runtime::Callback<Result<WrittenObject>> done);

  private:
    void go_on();
    void next_piece();
    void took(Result<bytes::Chain> piece);
    void count(std::size_t first, std::size_t taken);
    void drop_part();
    void leave_out_dropped();
    std::uint64_t expected_size() const;
    void send_piece();
    void finish();
    void end(Result<> result);

    template <typename T, typename F>
    runtime::Callback<Result<T>> guarded(F function) {
        return [alive = alive_, function = std::move(function)](Result<T> result) mutable {
            if (*alive) function(std::move(result));
        };
    }

    lts::ChunkStore& store_;
    SegmentSource& source_;
    ObjectPlan plan_;
    std::size_t part_ = 0;         // of the plan
    std::uint64_t part_done_ = 0;  // bytes of it that were taken
    ObjectChecksums checksums_;
    bytes::Chain buffer_;  // taken, not given to the store
    bool going_ = false;
    bool again_ = false;  // an answer came within the call: no deeper, once more
    std::unique_ptr<lts::Upload> upload_;
    runtime::Callback<Result<WrittenObject>> done_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace millrace::container
