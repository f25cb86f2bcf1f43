#include <map>

#include <absl/container/btree_map.h>
#include <absl/container/flat_hash_map.h>

#include "container/table_store.h"

namespace millrace::container {
namespace {

// Of one entry: a node of a red-black tree with two strings, and a place in a B-tree that is three quarters full.
constexpr std::uint64_t kEntryMemory = 32 + 2 * sizeof(std::string) + sizeof(std::int64_t) + 24;

class MemoryTableStore final : public TableStore {
  public:
    void apply(SegmentId id, std::vector<TableChange> changes) override {
        Table& table = tables_[id];
        for (TableChange& change : changes) {
            if (change.value)
                put(table, std::move(change.key), std::move(*change.value), change.version);
            else
                remove(table, change.key);
        }
    }

    void drop(SegmentId id) override {
        auto found = tables_.find(id);
        if (found == tables_.end()) return;
        entries_ -= found->second.by_key.size();
        bytes_ -= found->second.bytes;
        tables_.erase(found);
    }

    void clear() override {
        tables_.clear();
        entries_ = bytes_ = 0;
    }

    void versions(SegmentId id, std::vector<std::string_view> keys, Done<std::vector<std::int64_t>> done) override {
        const Table* table = find(id);
        std::vector<std::int64_t> versions(keys.size(), kNotExists);
        for (std::size_t i = 0; table != nullptr && i < keys.size(); ++i) {
            if (auto found = table->by_key.find(keys[i]); found != table->by_key.end())
                versions[i] = found->second.version;
        }
        done(std::move(versions));
    }

    void get(SegmentId id, std::vector<std::string> keys, std::size_t max_bytes,
             Done<std::vector<TableEntry>> done) override {
        const Table* table = find(id);
        std::vector<TableEntry> entries;
        entries.reserve(keys.size());
        std::size_t bytes = 0;
        for (std::string& key : keys) {
            TableEntry& entry = entries.emplace_back(std::move(key), std::string(), kNotExists);
            bytes += entry.key.size();
            if (table != nullptr) {
                if (auto found = table->by_key.find(entry.key); found != table->by_key.end()) {
                    bytes += found->second.value.size();
                    if (bytes <= max_bytes) entry.value = found->second.value;
                    entry.version = found->second.version;
                }
            }
            if (bytes > max_bytes)
                return done(fail(Errc::kLimit, "the entries do not fit into one reply: ask for fewer"));
        }
        done(std::move(entries));
    }

    void scan_keys(SegmentId id, KeyRange range, ScanLimit limit, Done<TableScan> done) override {
        TableScan scan;
        if (const Table* table = find(id)) {
            auto at = range.after_from ? table->by_key.upper_bound(range.from) : table->by_key.lower_bound(range.from);
            auto past = [&] { return at == table->by_key.end() || (!range.to.empty() && at->first > range.to); };
            Counted counted(limit);
            for (; !past() && counted.takes(*at); ++at) scan.entries.push_back(counted.entry(*at));
            scan.complete = past();
        }
        done(std::move(scan));
    }

    void scan_versions(SegmentId id, VersionRange range, ScanLimit limit, Done<TableScan> done) override {
        TableScan scan;
        if (const Table* table = find(id)) {
            auto at = table->by_version.lower_bound(range.from);
            if (range.within && at != table->by_version.begin()) {
                auto before = std::prev(at);
                if (end_of(*before->second) > range.from) at = before;
            }
            auto past = [&] { return at == table->by_version.end() || at->first >= range.end; };
            Counted counted(limit);
            for (; !past() && counted.takes(*at->second); ++at) scan.entries.push_back(counted.entry(*at->second));
            scan.complete = past();
        }
        done(std::move(scan));
    }

    void size(SegmentId id, Done<TableSize> done) override {
        const Table* table = find(id);
        done(table == nullptr ? TableSize{} : TableSize{table->by_key.size(), table->bytes});
    }

    void for_each(SegmentId id, const std::function<void(const TableEntry&)>& visit) const override {
        const Table* table = find(id);
        if (table == nullptr) return;
        for (const auto& [key, cell] : table->by_key) visit({key, cell.value, cell.version});
    }

    TableSize total() const override { return {entries_, bytes_ + entries_ * kEntryMemory}; }

  private:
    struct Cell {
        std::string value;
        std::int64_t version = 0;
    };
    using ByKey = std::map<std::string, Cell, std::less<>>;
    struct Table {
        ByKey by_key;
        absl::btree_map<std::int64_t, const ByKey::value_type*> by_version;
        std::uint64_t bytes = 0;
    };

    // What a scan has taken so far.
    class Counted {
      public:
        explicit Counted(const ScanLimit& limit) : limit_(limit) {}
        bool takes(const ByKey::value_type& entry) {
            std::size_t size = kScanOverhead + entry.first.size() + (limit_.values ? entry.second.value.size() : 0);
            if (count_ >= limit_.count || (count_ > 0 && bytes_ + size > limit_.bytes)) return false;
            ++count_;
            bytes_ += size;
            return true;
        }
        TableEntry entry(const ByKey::value_type& entry) const {
            return {entry.first, limit_.values ? entry.second.value : std::string(), entry.second.version};
        }

      private:
        const ScanLimit limit_;
        std::size_t count_ = 0;
        std::size_t bytes_ = 0;
    };

    static std::int64_t end_of(const ByKey::value_type& entry) {
        return entry.second.version +
               static_cast<std::int64_t>(kTableItemHeader + entry.first.size() + entry.second.value.size());
    }

    const Table* find(SegmentId id) const {
        auto found = tables_.find(id);
        return found == tables_.end() ? nullptr : &found->second;
    }

    void account(Table& table, std::uint64_t added, std::uint64_t removed) {
        table.bytes += added - removed;
        bytes_ += added - removed;
    }

    void put(Table& table, std::string key, std::string value, std::int64_t version) {
        std::uint64_t size = value.size();
        auto [at, made] = table.by_key.try_emplace(std::move(key));
        if (made) {
            ++entries_;
            account(table, at->first.size() + size, 0);
        } else {
            account(table, size, at->second.value.size());
            table.by_version.erase(at->second.version);
        }
        at->second = Cell{std::move(value), version};
        table.by_version[version] = &*at;
    }

    void remove(Table& table, const std::string& key) {
        auto found = table.by_key.find(key);
        if (found == table.by_key.end()) return;
        account(table, 0, found->first.size() + found->second.value.size());
        table.by_version.erase(found->second.version);
        table.by_key.erase(found);
        --entries_;
    }

    absl::flat_hash_map<SegmentId, Table> tables_;
    std::uint64_t entries_ = 0;
    std::uint64_t bytes_ = 0;
};

}  // namespace

std::unique_ptr<TableStore> make_memory_table_store() { return std::make_unique<MemoryTableStore>(); }

}  // namespace millrace::container
