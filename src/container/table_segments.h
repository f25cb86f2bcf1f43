// TableSegments: the table segments of one container. A table segment is a segment (its name, attributes, seal and
// deletion are those of every segment) that holds entries instead of bytes. Two kinds: hash tables (keys of any length,
// iterated in an unspecified but stable order, delta reads) and tables with keys of a fixed length (iterated in
// bytewise order, ranges). An entry's version is the offset in the segment at which its update begins.
//
// Life cycle and thread rule: those of the container that owns it. Updates of one table take effect in the order of
// their arrival; they are validated against what is in the log's pipeline and seen by readers when they are durable.
// Callbacks run on the container's executor; those of reads may run inside the call.
//
// Errors of all: kNotFound; kInvalidArgument when the segment is no table; kLimit for keys, values, ranges and
// positions that the table cannot have; kClosed.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "container/container.h"
#include "container/operation.h"
#include "container/table_store.h"

namespace millrace::container {

inline constexpr std::size_t kTablePageBytes = 2 << 20;                  // of one page of an iteration or of a delta
inline constexpr std::size_t kTableReadBytes = (16 << 20) - (32 << 10);  // of one multi-get, kScanOverhead an entry
inline constexpr std::uint64_t kTableBatchBytes = 32 << 20;  // of one update, as it counts for the segment's length
inline constexpr std::uint64_t kTableItemBytes = 1 << 20;    // of one item, header included
inline constexpr std::int64_t kAnyTableLength = -1;

struct NameEntry;

struct TableBatch {
    std::vector<TableUpdate> updates;
    std::int64_t expected_length = kAnyTableLength;  // else the segment's length must be exactly this
};

struct TableSegmentInfo {
    std::int64_t start_offset = 0;
    std::int64_t length = 0;
    std::int64_t entries = 0;
    std::int32_t key_length = 0;  // 0: hash table
};

struct TableIteration {
    std::string token;  // hash tables: from the page before; empty: from the start
    std::string from;   // fixed key length: both inclusive, empty: open
    std::string to;
    std::int32_t count = 0;
    bool values = true;
};

struct TablePage {
    std::vector<TableEntry> entries;  // none: the end
    std::string token;                // empty when there are no entries
};

struct TableDelta {
    std::vector<TableEntry> entries;  // of versions from the position on, those that are still current
    std::int64_t next_position = 0;   // 0 when there was nothing to read
    bool reached_end = false;
    bool must_forget = false;  // the position lies below the segment's start
};

struct TableState;
struct TableWork;

class TableSegments {
  public:
    template <typename T = void>
    using Done = SegmentContainer::Done<T>;

    TableSegments(SegmentContainer::Impl& container, StateKeeper& keeper);
    ~TableSegments();

    // ---- operations (creation is the container's create) ----
    // All or none. The result is the new version of each item. kNoKey (hash tables: a version is expected of an absent
    // key), kBadVersion, kBadOffset (value = length), kSealed.
    void update(const std::string& table, TableBatch batch, Done<std::vector<std::int64_t>> done);
    // kConflict: it must be empty and is not; kUnsupported: that was asked of a table with keys of a fixed length.
    void remove(const std::string& table, bool must_be_empty, Done<> done);

    // ---- reads: durable state ----
    void info(std::string_view table, Done<TableSegmentInfo> done);
    // In the order of the keys; an absent one has version kNotExists. kLimit: more than one reply can hold.
    void get(std::string_view table, std::vector<std::string> keys, Done<std::vector<TableEntry>> done);
    // kCorrupt: a token that was not made here; kUnsupported: a token for fixed keys, a range for a hash table.
    void iterate(std::string_view table, TableIteration iteration, Done<TablePage> done);
    // kUnsupported: a table with keys of a fixed length.
    void delta(std::string_view table, std::int64_t position, std::int32_t count, Done<TableDelta> done);

    // ---- for the container ----
    static AttributeValues attributes(const CreateOptions& options, std::int64_t created_ms);
    static void recognise(Segment& segment);  // by its attributes: makes its table state if it is a table
    void read(const Segment& segment, std::uint64_t offset, std::size_t max_bytes, bool waited, ReadCallback done);
    void gone(Segment& segment);  // its deletion is durable
    void fail_waiting(Segment& segment, const Error& error);
    Result<> replay(Segment& segment, TableUpdateRecord&& record);
    void load_entries(std::uint64_t entries) { entries_ = entries; }
    std::uint64_t entries() const { return entries_; }  // of all tables
    TableStore& store() { return store_; }
    void count(ContainerStats& stats) const;

  private:
    template <typename T, typename Use>
    void with_table(std::string_view name, Done<T> done, Use use);
    static bool is_there(const NameEntry& name, SegmentId id);
    void enqueue(const std::string& name, std::shared_ptr<TableWork> work, bool frees_space);
    void run(Segment& segment);
    void start(Segment& segment, const std::shared_ptr<TableWork>& work);
    void take_known(SegmentId id, const std::vector<std::shared_ptr<TableWork>>& works, const Error* error);
    void finish_update(Segment& segment, TableWork& work);
    void finish_remove(Segment& segment, TableWork& work);
    void count(TableState& table, const TableUpdateRecord& record);
    void put(Segment& segment, TableWork& work);
    void publish(Segment& segment, TableUpdateRecord& record, std::uint64_t length);
    void refuse(TableWork& work, Error error);

    SegmentContainer::Impl& container_;
    TableStore store_;
    std::uint64_t entries_ = 0;
    std::uint64_t updates_ = 0;
    std::uint64_t items_ = 0;
};

}  // namespace millrace::container
