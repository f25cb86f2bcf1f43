#include "container/table_store.h"

#include <algorithm>

#include "container/state/doomed_record.h"
#include "container/state/table_entry_record.h"
#include "container/state/table_version_record.h"

namespace millrace::container {
namespace {

using state::TableEntryRecord;
using state::TableVersionRecord;

// Of a change in a layer: nodes of two trees, three strings.
constexpr std::uint64_t kCellMemory = 200;
constexpr std::size_t kGetKeys = 64;             // read at once: each may have 1 MiB
constexpr std::size_t kPageEntries = 1000;       // of a scan by keys
constexpr std::size_t kVersionPageEntries = 32;  // each may have 1 MiB
constexpr std::uint64_t kRemovedAtOnce = 10'000;
constexpr std::size_t kSweptEntries = 10'000;
constexpr std::size_t kSweptBytes = 4 << 20;

std::int64_t end_of(const TableEntry& entry) {
    return entry.version + static_cast<std::int64_t>(kTableItemHeader + entry.key.size() + entry.value.size());
}

Result<TableEntry> decode(std::string_view key, std::string_view value) {
    auto record = TableEntryRecord::decode(key, value);
    if (!record) return fail(std::move(record.error()));
    return TableEntry{std::move(record->entry_key), std::move(record->value), record->version};
}

}  // namespace

// ---- layers ----

void TableStore::open_layer(std::uint64_t batch) {
    auto made = std::make_shared<Layer>();
    made->batch = batch;
    if (!layers_.empty()) layers_.back()->next = made;
    layers_.push_back(std::move(made));
}

void TableStore::saved(std::uint64_t batch) {
    while (layers_.size() > 1 && layers_.front()->batch <= batch) layers_.pop_front();
}

TableStore::View TableStore::with_newer(View view) {
    while (view.back()->next != nullptr) view.push_back(view.back()->next);
    return view;
}

const TableStore::Cell* TableStore::find(const View& view, SegmentId id, std::string_view key) {
    for (auto layer = view.rbegin(); layer != view.rend(); ++layer) {
        auto table = (*layer)->tables.find(id);
        if (table == (*layer)->tables.end()) continue;
        auto found = table->second.by_key.find(key);
        if (found != table->second.by_key.end()) return &found->second;
    }
    return nullptr;
}

std::uint64_t TableStore::memory_bytes() const {
    std::uint64_t bytes = 0;
    for (const auto& layer : layers_) bytes += layer->bytes;
    return bytes;
}

// ---- changes ----

void TableStore::apply(SegmentId id, std::vector<TableChange> changes) {
    Layer& layer = *layers_.back();
    Changes& table = layer.tables[id];
    state::StateBatch& out = keeper_.changes();
    for (TableChange& change : changes) {
        layer.bytes += kCellMemory + 2 * change.key.size() + (change.value ? change.value->size() : 0);
        if (change.before != kNotExists) out.remove(TableVersionRecord::key(id, change.before));
        Cell& cell = table.by_key[change.key];
        if (change.value) {
            TableEntryRecord entry{id, std::move(change.key), change.version, std::move(*change.value)};
            out.put(entry);
            cell = Cell{std::move(entry.value), change.version};
            TableVersionRecord version{id, change.version, std::move(entry.entry_key)};
            out.put(version);
            table.by_version[change.version] = std::move(version.entry_key);
        } else {
            out.remove(TableEntryRecord::key(id, change.key));
            cell = Cell{std::nullopt, change.version};
        }
    }
}

void TableStore::drop(SegmentId id, std::uint64_t entries) {
    for (auto& layer : layers_) layer->tables.erase(id);
    state::StateBatch& out = keeper_.changes();
    if (entries <= kRemovedAtOnce) {
        out.remove_range(TableEntryRecord::range(id));
        out.remove_range(TableVersionRecord::range(id));
        return;
    }
    out.put(state::DoomedRecord{id});
    resume(id);
}

void TableStore::sweep() {
    if (doomed_.empty() || sweeping_) return;
    sweeping_ = true;
    const Doomed& next = doomed_.front();
    state::KeyRange range = next.versions ? TableVersionRecord::range(next.table) : TableEntryRecord::range(next.table);
    if (!next.from.empty()) range.begin = next.from;
    keeper_.store().scan({std::move(range), kSweptEntries, kSweptBytes}, [this](Result<state::ScanPage> page) {
        sweeping_ = false;
        // Damaged files: what is left of it stays, and the next start tries again. Else the store has failed, which is
        // the keeper's.
        if (!page && page.error() == Errc::kCorrupt) doomed_.pop_front();
        if (!page) return;
        for (const auto& [key, value] : page->entries) keeper_.changes().remove(key);
        Doomed& now = doomed_.front();
        now.from = page->rest ? page->rest->begin : "";
        if (page->rest) return;
        if (!std::exchange(now.versions, true)) return;
        keeper_.changes().remove(state::DoomedRecord::key(now.table));
        doomed_.pop_front();
    });
}

// ---- versions and entries by key ----

Result<std::int64_t> TableStore::version_now(SegmentId id, const std::string& key) {
    if (const Cell* cell = find(view(), id, key)) return cell->value ? cell->version : kNotExists;
    std::string at = TableEntryRecord::key(id, key);
    std::int64_t version = kNotExists;
    auto loaded =
        keeper_.store().load({at, state::next_key(at)}, [&](std::string_view k, std::string_view v) -> Result<> {
            auto entry = decode(k, v);
            if (!entry) return fail(entry.error());
            version = entry->version;
            return {};
        });
    if (!loaded) return fail(loaded.error());
    return version;
}

void TableStore::versions(SegmentId id, const std::vector<std::string_view>& keys,
                          Done<std::vector<std::int64_t>> done) {
    std::vector<std::int64_t> versions(keys.size(), kNotExists);
    std::vector<std::string> unknown;
    std::vector<std::size_t> places;
    View now = view();
    for (std::size_t i = 0; i < keys.size(); ++i) {
        if (const Cell* cell = find(now, id, keys[i])) {
            if (cell->value) versions[i] = cell->version;
            continue;
        }
        unknown.push_back(TableEntryRecord::key(id, keys[i]));
        places.push_back(i);
    }
    if (unknown.empty()) return done(std::move(versions));
    auto asked = unknown;
    keeper_.store().multi_get(std::move(asked),
                              [versions = std::move(versions), unknown = std::move(unknown), places = std::move(places),
                               done = std::move(done)](Result<state::StateValues> read) mutable {
                                  if (!read) return done(fail(std::move(read.error())));
                                  for (std::size_t i = 0; i < places.size(); ++i) {
                                      if (!read->values[i]) continue;
                                      auto entry = decode(unknown[i], *read->values[i]);
                                      if (!entry) return done(fail(std::move(entry.error())));
                                      versions[places[i]] = entry->version;
                                  }
                                  done(std::move(versions));
                              });
}

struct TableStore::Get {
    SegmentId id;
    std::vector<std::string> keys;
    std::size_t max_bytes = 0;
    Done<std::vector<TableEntry>> done;
    View view;
    std::vector<TableEntry> entries;  // of the first keys
    std::size_t bytes = 0;

    // False: it is over.
    bool add(TableEntry entry) {
        bytes += entry.key.size() + entry.value.size();
        if (bytes > max_bytes) {
            done(fail(Errc::kLimit, "the entries do not fit into one reply: ask for fewer"));
            return false;
        }
        entries.push_back(std::move(entry));
        return true;
    }
};

void TableStore::get(SegmentId id, std::vector<std::string> keys, std::size_t max_bytes,
                     Done<std::vector<TableEntry>> done) {
    auto get = std::make_shared<Get>();
    get->id = id;
    get->keys = std::move(keys);
    get->max_bytes = max_bytes;
    get->done = std::move(done);
    get->view = view();
    get->entries.reserve(get->keys.size());
    get_next(std::move(get));
}

void TableStore::get_next(std::shared_ptr<Get> get) {
    std::size_t first = get->entries.size();
    std::size_t end = std::min(first + kGetKeys, get->keys.size());
    std::vector<std::string> unknown;
    std::vector<std::size_t> places;  // of the unknown ones: until the state answers the newest layer may learn of some
    for (std::size_t i = first; i < end; ++i) {
        if (find(get->view, get->id, get->keys[i]) != nullptr) continue;
        unknown.push_back(TableEntryRecord::key(get->id, get->keys[i]));
        places.push_back(i);
    }
    auto finish = [this, get, first, end, places = std::move(places)](Result<state::StateValues> read) {
        if (!read) return get->done(fail(std::move(read.error())));
        View now = with_newer(get->view);
        std::size_t next = 0;
        for (std::size_t i = first; i < end; ++i) {
            TableEntry entry{get->keys[i], "", kNotExists};
            std::optional<std::string> stored;
            if (next < places.size() && places[next] == i) stored = std::move(read->values[next++]);
            if (const Cell* cell = find(now, get->id, entry.key)) {
                if (cell->value) entry = {std::move(entry.key), *cell->value, cell->version};
            } else if (stored) {
                auto decoded = decode(TableEntryRecord::key(get->id, entry.key), *stored);
                if (!decoded) return get->done(fail(std::move(decoded.error())));
                entry = std::move(*decoded);
            }
            if (!get->add(std::move(entry))) return;
        }
        if (end == get->keys.size()) return get->done(std::move(get->entries));
        get_next(get);
    };
    if (unknown.empty()) return finish(state::StateValues{});
    keeper_.store().multi_get(std::move(unknown), std::move(finish));
}

// ---- scans ----

// False, and nothing is taken: the scan is full.
bool TableStore::take(const ScanLimit& limit, TableScan& scan, std::size_t& bytes, TableEntry entry) {
    std::size_t size = kScanOverhead + entry.key.size() + (limit.values ? entry.value.size() : 0);
    if (scan.entries.size() >= limit.count || (!scan.entries.empty() && bytes + size > limit.bytes)) return false;
    bytes += size;
    if (!limit.values) entry.value.clear();
    scan.entries.push_back(std::move(entry));
    return true;
}

struct TableStore::KeyScan {
    SegmentId id;
    state::KeyRange left;  // of the state's keys
    std::string to;
    ScanLimit limit;
    Done<TableScan> done;
    View view;
    TableScan scan;
    std::size_t bytes = 0;
};

void TableStore::scan_keys(SegmentId id, KeyRange range, ScanLimit limit, Done<TableScan> done) {
    auto scan = std::make_shared<KeyScan>();
    scan->id = id;
    scan->left = TableEntryRecord::range(id);
    if (!range.from.empty()) {
        scan->left.begin = TableEntryRecord::key(id, range.from);
        if (range.after_from) scan->left.begin = state::next_key(scan->left.begin);
    }
    if (!range.to.empty()) scan->left.end = state::next_key(TableEntryRecord::key(id, range.to));
    scan->limit = limit;
    scan->done = std::move(done);
    scan->view = view();
    scan_next_keys(std::move(scan));
}

void TableStore::scan_next_keys(std::shared_ptr<KeyScan> scan) {
    state::ScanRequest request{scan->left};
    request.max_entries = std::min(scan->limit.count - scan->scan.entries.size() + 1, kPageEntries);
    request.max_bytes = scan->limit.bytes + 1;
    keeper_.store().scan(std::move(request), [this, scan](Result<state::ScanPage> page) {
        if (!page) return scan->done(fail(std::move(page.error())));
        // What the layers say of this part of the range, by the state's keys.
        const std::string& begin = scan->left.begin;
        const std::string& end = page->rest ? page->rest->begin : scan->left.end;
        constexpr std::size_t kHead = 9;  // of a key: the kind and the segment's id
        std::map<std::string_view, const Cell*> changed;
        View now = with_newer(scan->view);
        std::string_view first = std::string_view(begin).substr(std::min(kHead, begin.size()));
        for (const auto& layer : now) {
            auto table = layer->tables.find(scan->id);
            if (table == layer->tables.end()) continue;
            for (auto at = table->second.by_key.lower_bound(first); at != table->second.by_key.end(); ++at) {
                if (TableEntryRecord::key(scan->id, at->first) >= end) break;
                changed[at->first] = &at->second;
            }
        }
        auto give = [&](TableEntry entry) { return take(scan->limit, scan->scan, scan->bytes, std::move(entry)); };
        auto next = changed.begin();
        auto give_changed = [&](std::string_view before, bool all) {  // those below `before`
            for (; next != changed.end() && (all || next->first < before); ++next) {
                if (!next->second->value) continue;
                if (!give({std::string(next->first), *next->second->value, next->second->version})) return false;
            }
            return true;
        };
        bool full = false;
        for (const auto& [key, value] : page->entries) {
            std::string_view entry_key = std::string_view(key).substr(kHead);
            full = !give_changed(entry_key, false);
            if (full) break;
            if (next != changed.end() && next->first == entry_key) continue;  // given with the next ones
            auto entry = decode(key, value);
            if (!entry) return scan->done(fail(std::move(entry.error())));
            full = !give(std::move(*entry));
            if (full) break;
        }
        full = full || !give_changed({}, true);
        scan->scan.complete = !full;
        if (full || !page->rest) return scan->done(std::move(scan->scan));
        scan->left = std::move(*page->rest);
        scan_next_keys(scan);
    });
}

struct TableStore::VersionScan {
    SegmentId id;
    VersionRange range;
    std::int64_t at = 0;
    ScanLimit limit;
    Done<TableScan> done;
    View view;
    TableScan scan;
    std::size_t bytes = 0;
};

void TableStore::scan_versions(SegmentId id, VersionRange range, ScanLimit limit, Done<TableScan> done) {
    auto scan = std::make_shared<VersionScan>();
    scan->id = id;
    scan->range = range;
    // An entry in which `from` lies begins at most its size before.
    constexpr std::int64_t kLargest = 1 << 20;
    scan->at = range.within ? std::max<std::int64_t>(range.from - kLargest, 0) : range.from;
    scan->limit = limit;
    scan->done = std::move(done);
    scan->view = view();
    scan_next_versions(std::move(scan));
}

void TableStore::scan_next_versions(std::shared_ptr<VersionScan> scan) {
    state::ScanRequest request;
    request.range = {TableVersionRecord::key(scan->id, scan->at), TableVersionRecord::key(scan->id, scan->range.end)};
    request.max_entries = kVersionPageEntries;
    keeper_.store().scan(std::move(request), [this, scan](Result<state::ScanPage> page) {
        if (!page) return scan->done(fail(std::move(page.error())));
        read_versions(scan, std::move(*page));
    });
}

void TableStore::read_versions(std::shared_ptr<VersionScan> scan, state::ScanPage page) {
    std::vector<TableVersionRecord> listed;
    std::vector<std::string> keys;
    for (const auto& [key, value] : page.entries) {
        auto record = TableVersionRecord::decode(key, value);
        if (!record) return scan->done(fail(std::move(record.error())));
        keys.push_back(TableEntryRecord::key(scan->id, record->entry_key));
        listed.push_back(std::move(*record));
    }
    std::int64_t upto = page.rest ? listed.back().version + 1 : scan->range.end;
    auto finish = [this, scan, upto, last = !page.rest, listed = std::move(listed),
                   keys](Result<state::StateValues> read) mutable {
        if (!read) return scan->done(fail(std::move(read.error())));
        View now = with_newer(scan->view);
        std::map<std::int64_t, TableEntry> found;
        for (std::size_t i = 0; i < listed.size(); ++i) {
            if (!read->values[i] || find(now, scan->id, listed[i].entry_key) != nullptr) continue;
            auto entry = decode(keys[i], *read->values[i]);
            if (!entry) return scan->done(fail(std::move(entry.error())));
            if (entry->version == listed[i].version) found[entry->version] = std::move(*entry);
        }
        for (const auto& layer : now) {
            auto table = layer->tables.find(scan->id);
            if (table == layer->tables.end()) continue;
            const auto& by_version = table->second.by_version;
            for (auto at = by_version.lower_bound(scan->at); at != by_version.end() && at->first < upto; ++at) {
                const Cell* cell = find(now, scan->id, at->second);
                if (cell != nullptr && cell->value && cell->version == at->first)
                    found[at->first] = {at->second, *cell->value, at->first};
            }
        }
        for (auto& [version, entry] : found) {
            if (version < scan->range.from && end_of(entry) <= scan->range.from) continue;
            if (take(scan->limit, scan->scan, scan->bytes, std::move(entry))) continue;
            scan->scan.complete = false;
            return scan->done(std::move(scan->scan));
        }
        if (last) return scan->done(std::move(scan->scan));
        scan->at = upto;
        scan_next_versions(scan);
    };
    if (keys.empty()) return finish(state::StateValues{});
    keeper_.store().multi_get(keys, std::move(finish));
}

}  // namespace millrace::container
