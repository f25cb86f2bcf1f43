// Reads objects of long-term storage for segment reads: in blocks that are checked against the object's checksums, kept
// within a budget, shared by all who read them. A range that several ask for is loaded once. What a scan has passed is
// the first to go, so it does not flush what others use.
//
// Errors: kCorrupt (the object is missing, cut off or damaged; names the object and the place), kUnavailable and others
// of the store, which pass. Thread rule: on the executor; completions too, maybe within the call when the bytes are in
// memory.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "container/operation.h"
#include "container/tiering_options.h"
#include "lts/chunk_store.h"

namespace millrace::container {

class TierReader {
  public:
    using Done = runtime::Callback<Result<bytes::Chain>>;

    TierReader(lts::ChunkStore& store, TierReaderOptions options) : store_(store), options_(options) {}
    ~TierReader();
    TierReader(const TierReader&) = delete;
    TierReader& operator=(const TierReader&) = delete;

    // At least one byte from `offset`, at most `max_bytes`; the range lies within the object's data. `passing`: a scan
    // that will not come back.
    void read(const TieredObject& object, std::uint64_t offset, std::size_t max_bytes, bool passing, Done done);

    // These bytes are probably read next. Best effort; the result is how many of them are in memory or on the way.
    std::uint64_t will_need(const TieredObject& object, std::uint64_t offset, std::uint64_t size);

    void forget(ObjectId object);  // it was removed
    TierReaderStats stats() const { return stats_; }

  private:
    using BlockKey = std::pair<ObjectId, std::uint64_t>;
    struct Block {
        bytes::Slice data;  // empty: on the way
        std::vector<runtime::Callback<Result<>>> waiting;
        std::list<BlockKey>::iterator place;
    };
    struct Object {
        TieredObject record;
        std::vector<std::uint32_t> table;  // empty: not read yet
        bool loading = false;
        bool told = false;  // in the log, that it is damaged
        std::vector<runtime::Callback<Result<>>> waiting;
    };
    using ObjectRef = std::shared_ptr<Object>;

    ObjectRef find(const TieredObject& object);
    void with_table(const ObjectRef& object, runtime::Callback<Result<>> then);
    void table_read(const ObjectRef& object, Result<bytes::Slice> footer);
    void load(const ObjectRef& object, std::uint64_t first, std::uint64_t count);
    void fetch(const ObjectRef& object, std::uint64_t first, std::uint64_t count);
    void loaded(const ObjectRef& object, std::uint64_t first, std::uint64_t count, Result<bytes::Slice> data);
    void check(const ObjectRef& object, std::uint64_t first, std::uint64_t count, const bytes::Slice& data);
    void failed(const ObjectRef& object, std::uint64_t first, std::uint64_t count, const Error& error);
    void trim();
    Error describe(const Object& object, const Error& error, std::uint64_t offset) const;

    lts::ChunkStore& store_;
    const TierReaderOptions options_;
    absl::flat_hash_map<BlockKey, Block> blocks_;
    std::list<BlockKey> order_;  // of the blocks in memory: the next to go is in front
    absl::flat_hash_map<ObjectId, ObjectRef> objects_;
    std::uint64_t loading_bytes_ = 0;
    TierReaderStats stats_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace millrace::container
