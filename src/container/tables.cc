#include "container/tables.h"

#include <fmt/format.h>

namespace millrace::container {

const Tables::Table* Tables::find(std::string_view table) const {
    auto found = tables_.find(table);
    return found == tables_.end() ? nullptr : &found->second;
}

std::int64_t Tables::pending_version(const Table& table, const std::string& key) {
    if (auto changed = table.pending.find(key); changed != table.pending.end()) {
        return changed->second.value ? changed->second.version : kNotExists;
    }
    auto found = table.durable.find(key);
    return found == table.durable.end() ? kNotExists : found->second.version;
}

Result<TableRecord> Tables::prepare(std::string name, std::vector<TableUpdate> updates) {
    if (name.empty() || name.size() > kMaxName) return fail(Errc::kInvalidArgument, "table name");
    Table& table = tables_[name];
    bool mismatch = false;
    std::size_t size = 0;
    for (const TableUpdate& update : updates) {
        std::size_t value_size = update.value ? update.value->size() : 0;
        if (update.key.empty() || update.key.size() > kMaxTableString || value_size > kMaxTableString) {
            return fail(Errc::kLimit, fmt::format("table entry of {} + {} bytes", update.key.size(), value_size));
        }
        size += update.key.size() + value_size + 32;
        if (update.expected_version == kAnyVersion) continue;
        std::int64_t version = pending_version(table, update.key);
        if (update.expected_version >= 0 && version == kNotExists) return fail(Errc::kNoKey, update.key);
        mismatch = mismatch || version != update.expected_version;
    }
    if (mismatch) return fail(Errc::kBadVersion);
    if (size > kMaxRecord / 2) return fail(Errc::kLimit, "table update of more than 16 MiB");
    TableRecord record;
    record.table = std::move(name);
    record.entries.reserve(updates.size());
    for (TableUpdate& update : updates) {
        std::int64_t version = next_version_++;
        table.pending[update.key] = PendingCell{update.value, version};
        record.entries.push_back({std::move(update.key), std::move(update.value), version});
    }
    return record;
}

void Tables::publish(const TableRecord& record) {
    Table& table = tables_[record.table];
    for (const TableRecord::Entry& entry : record.entries) {
        if (auto changed = table.pending.find(entry.key);
            changed != table.pending.end() && changed->second.version == entry.version) {
            table.pending.erase(changed);
        }
    }
    apply(record);
}

void Tables::apply(const TableRecord& record) {
    Table& table = tables_[record.table];
    for (const TableRecord::Entry& entry : record.entries) {
        if (entry.value)
            table.durable[entry.key] = Cell{*entry.value, entry.version};
        else
            table.durable.erase(entry.key);
        set_next_version(entry.version + 1);
    }
}

std::optional<TableEntry> Tables::get(std::string_view name, std::string_view key) const {
    const Table* table = find(name);
    if (table == nullptr) return std::nullopt;
    auto found = table->durable.find(key);
    if (found == table->durable.end()) return std::nullopt;
    return TableEntry{found->first, found->second.value, found->second.version};
}

std::vector<TableEntry> Tables::scan(std::string_view name, std::string_view prefix, std::string_view after,
                                     std::size_t limit) const {
    std::vector<TableEntry> entries;
    const Table* table = find(name);
    if (table == nullptr) return entries;
    auto at = after < prefix ? table->durable.lower_bound(prefix) : table->durable.upper_bound(after);
    for (; at != table->durable.end() && entries.size() < limit && at->first.starts_with(prefix); ++at) {
        entries.push_back({at->first, at->second.value, at->second.version});
    }
    return entries;
}

}  // namespace millrace::container
