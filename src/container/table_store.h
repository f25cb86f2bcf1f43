// TableStore: where the durable entries of a container's table segments are, by table, by key and by version. The
// container decides what is changed and when it is visible; the store only keeps it.
//
// Thread rule: everything on the container's executor, callbacks too; a callback may run inside the call that takes it.
// Order: a read sees every change that was applied before it was asked for. A store that is destroyed destroys the
// callbacks it still holds without calling them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "container/operation.h"
#include "container/types.h"
#include "runtime/executor.h"

namespace millrace::container {

using TableChange = TableUpdateRecord::Entry;

struct KeyRange {
    std::string from;
    bool after_from = false;  // `from` itself is left out
    std::string to;           // inclusive; empty: to the end
};

struct VersionRange {
    std::int64_t from = 0;
    bool within = false;   // begin with the entry in which `from` lies, when there is one
    std::int64_t end = 0;  // exclusive
};

// A scan ends when it has `count` entries, or so many that the next one would pass `bytes`; never before the first.
struct ScanLimit {
    std::size_t count = 0;
    std::size_t bytes = 0;  // of keys and values, each entry with kScanOverhead more
    bool values = true;     // else they are left empty and not counted
};
inline constexpr std::size_t kScanOverhead = 24;

struct TableScan {
    std::vector<TableEntry> entries;
    bool complete = true;  // nothing of the range is left
};

struct TableSize {
    std::uint64_t entries = 0;
    std::uint64_t bytes = 0;  // of keys and values
};

class TableStore {
  public:
    template <typename T>
    using Done = runtime::Callback<Result<T>>;

    virtual ~TableStore() = default;

    // In this order: of a key that occurs twice the later change stays.
    virtual void apply(SegmentId table, std::vector<TableChange> changes) = 0;
    virtual void drop(SegmentId table) = 0;
    virtual void clear() = 0;  // all tables

    // One for each key, kNotExists for an absent one. The views must be valid until `done` was called or destroyed.
    virtual void versions(SegmentId table, std::vector<std::string_view> keys,
                          Done<std::vector<std::int64_t>> done) = 0;
    // One for each key, in the order of the keys, with kNotExists for an absent one. kLimit: keys and values have more
    // than `max_bytes` together.
    virtual void get(SegmentId table, std::vector<std::string> keys, std::size_t max_bytes,
                     Done<std::vector<TableEntry>> done) = 0;
    // In bytewise order of the keys.
    virtual void scan_keys(SegmentId table, KeyRange range, ScanLimit limit, Done<TableScan> done) = 0;
    // In order of the versions.
    virtual void scan_versions(SegmentId table, VersionRange range, ScanLimit limit, Done<TableScan> done) = 0;
    virtual void size(SegmentId table, Done<TableSize> done) = 0;

    // Every entry of a table, at once: what a checkpoint has to carry. A store that is itself on stable storage names
    // none.
    virtual void for_each(SegmentId table, const std::function<void(const TableEntry&)>& visit) const = 0;

    // Of all tables, with what the indexes take in memory (estimated).
    virtual TableSize total() const = 0;
};

// Everything in memory, each call completed inline.
std::unique_ptr<TableStore> make_memory_table_store();

}  // namespace millrace::container
