// TableStore: the durable entries of a container's table segments, by key and by version, in the container's state
// (docs/formats/container-state.md: kinds T and V). The container decides what is changed and when it is visible; the
// store only keeps it.
//
// Memory. Changes that the state does not have yet lie in layers, one for each batch of the StateKeeper: the newest one
// that knows a key says what it is, and the state says it of keys that no layer knows. A layer goes when its batch is
// saved. A reading holds on to the layers that were there when it was asked for, so it sees every change that was
// applied before, whenever the state answers; and all later ones up to then, so that what it gives was true at a
// moment.
//
// Thread rule: everything on the container's executor, callbacks too; a callback may run inside the call that takes it.
// A store that is destroyed destroys the callbacks it still holds without calling them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/btree_map.h>
#include <absl/container/flat_hash_map.h>

#include "base/error.h"
#include "base/ids.h"
#include "container/operation.h"
#include "container/state_keeper.h"
#include "container/types.h"

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

class TableStore {
  public:
    template <typename T>
    using Done = runtime::Callback<Result<T>>;

    explicit TableStore(StateKeeper& keeper) : keeper_(keeper) { open_layer(1); }

    // In this order: of a key that occurs twice the later change stays. Each says what it takes the place of.
    void apply(SegmentId table, std::vector<TableChange> changes);
    void drop(SegmentId table, std::uint64_t entries);
    // For replay, on the calling thread: the version of an entry, kNotExists for an absent one.
    Result<std::int64_t> version_now(SegmentId table, const std::string& key);

    // One for each key, kNotExists for an absent one. The views must be valid during the call.
    void versions(SegmentId table, const std::vector<std::string_view>& keys, Done<std::vector<std::int64_t>> done);
    // One for each key, in the order of the keys, with kNotExists for an absent one. kLimit: keys and values have more
    // than `max_bytes` together.
    void get(SegmentId table, std::vector<std::string> keys, std::size_t max_bytes, Done<std::vector<TableEntry>> done);
    // In bytewise order of the keys.
    void scan_keys(SegmentId table, KeyRange range, ScanLimit limit, Done<TableScan> done);
    // In order of the versions.
    void scan_versions(SegmentId table, VersionRange range, ScanLimit limit, Done<TableScan> done);

    std::uint64_t memory_bytes() const;  // of the layers (estimated)

    // ---- for the container ----
    void sealed(std::uint64_t batch) { open_layer(batch + 1); }
    void saved(std::uint64_t batch);
    void sweep();  // removes some of what is left of tables that are gone
    void resume(SegmentId table) { doomed_.push_back({table, false, ""}); }  // a removal that was not finished

  private:
    struct Cell {
        std::optional<std::string> value;  // none: removed
        std::int64_t version = 0;
    };
    struct Changes {
        std::map<std::string, Cell, std::less<>> by_key;
        absl::btree_map<std::int64_t, std::string> by_version;  // of what was put; by_key decides what still holds
    };
    struct Layer {
        std::uint64_t batch = 0;  // that it goes out with
        absl::flat_hash_map<SegmentId, Changes> tables;
        std::uint64_t bytes = 0;
        std::shared_ptr<Layer> next;  // a reading finds all that came after it was asked for, saved meanwhile or not
    };
    using View = std::vector<std::shared_ptr<const Layer>>;  // oldest first

    // A table that is gone, and how far the removal of its entries from the state has come.
    struct Doomed {
        SegmentId table;
        bool versions = false;  // all entries by key are gone
        std::string from;
    };

    struct Get;
    struct KeyScan;
    struct VersionScan;

    void open_layer(std::uint64_t batch);
    View view() const { return {layers_.begin(), layers_.end()}; }
    static View with_newer(View view);
    static const Cell* find(const View& view, SegmentId table, std::string_view key);
    static bool take(const ScanLimit& limit, TableScan& scan, std::size_t& bytes, TableEntry entry);
    void get_next(std::shared_ptr<Get> get);
    void scan_next_keys(std::shared_ptr<KeyScan> scan);
    void scan_next_versions(std::shared_ptr<VersionScan> scan);
    void read_versions(std::shared_ptr<VersionScan> scan, state::ScanPage page);

    StateKeeper& keeper_;
    std::deque<std::shared_ptr<Layer>> layers_;  // oldest first; the last one takes changes
    std::deque<Doomed> doomed_;
    bool sweeping_ = false;
};

}  // namespace millrace::container
