// SegmentApi: what other rooms (the controller) may ask of the segment store: by segment name, from any thread, routed
// to the container that owns the segment. Callbacks run on the executor that was named. Errors are the container's (see
// container.h).
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "bytes/buffer.h"
#include "container/types.h"
#include "runtime/executor.h"

namespace millrace::store {

class SegmentApi {
  public:
    template <typename T = void>
    using Done = runtime::Callback<Result<T>>;

    virtual ~SegmentApi() = default;

    virtual std::uint32_t container_count() const = 0;
    virtual ContainerId container_for(std::string_view segment) const = 0;

    virtual void create(std::string segment, container::CreateOptions options, runtime::Executor& on, Done<> done) = 0;
    virtual void seal(std::string segment, runtime::Executor& on, Done<std::int64_t> done) = 0;
    virtual void truncate(std::string segment, std::int64_t offset, runtime::Executor& on, Done<> done) = 0;
    virtual void remove(std::string segment, runtime::Executor& on, Done<> done) = 0;
    virtual void info(std::string segment, runtime::Executor& on, Done<container::SegmentInfo> done) = 0;
    virtual void update_policy(std::string segment, std::uint8_t scale_type, std::int32_t target_rate,
                               runtime::Executor& on, Done<> done) = 0;
    // Bytes from `offset` on, at most `max_bytes`, perhaps fewer; none at the segment's end. Never waits for bytes that
    // are not there yet. kTruncated: the value is where the segment begins now.
    virtual void read(std::string segment, std::int64_t offset, std::size_t max_bytes, runtime::Executor& on,
                      Done<bytes::Chain> done) = 0;
    // One event, exactly at `expected_offset`; the result is the offset behind it. See append_once.h.
    virtual void append_at(std::string segment, std::int64_t expected_offset, std::string event, runtime::Executor& on,
                           Done<std::int64_t> done) = 0;

    // Moves the sources' bytes to the target's end, in their order; each source is a segment of the target's container,
    // and ends with it. Missing sources count as done. The result has the target's length behind each.
    virtual void merge(std::string target, std::vector<std::string> sources, runtime::Executor& on,
                       Done<std::vector<std::int64_t>> done) = 0;

    // Internal tables live in the container that is named. A table is made by its first update.
    virtual void update_table(ContainerId container, std::string table, std::vector<container::TableUpdate> updates,
                              container::SpaceNeed need, runtime::Executor& on,
                              Done<std::vector<std::int64_t>> done) = 0;
    virtual void table_get(ContainerId container, std::string table, std::string key, runtime::Executor& on,
                           Done<std::optional<container::TableEntry>> done) = 0;
    virtual void table_scan(ContainerId container, std::string table, std::string prefix, std::string after,
                            std::size_t limit, runtime::Executor& on,
                            Done<std::vector<container::TableEntry>> done) = 0;
};

}  // namespace millrace::store
