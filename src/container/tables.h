// The container's internal tables: sorted keys with versions, validated against pending and read from durable state,
// like segments.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "base/error.h"
#include "container/operation.h"
#include "container/types.h"

namespace millrace::container {

class Tables {
  public:
    // Checks all conditions against pending state and gives the record to log, or the first error. Missing keys with a
    // version condition win over bad versions.
    Result<TableRecord> prepare(std::string table, std::vector<TableUpdate> updates);
    void publish(const TableRecord& record);  // it is durable
    void apply(const TableRecord& record);    // in replay

    std::optional<TableEntry> get(std::string_view table, std::string_view key) const;
    std::vector<TableEntry> scan(std::string_view table, std::string_view prefix, std::string_view after,
                                 std::size_t limit) const;

    std::int64_t next_version() const { return next_version_; }
    void set_next_version(std::int64_t version) { next_version_ = std::max(next_version_, version); }

  private:
    struct Cell {
        std::string value;
        std::int64_t version = 0;
    };
    struct PendingCell {
        std::optional<std::string> value;  // none: removed
        std::int64_t version = 0;          // unique to the update, removals too
    };
    struct Table {
        std::map<std::string, Cell, std::less<>> durable;
        absl::flat_hash_map<std::string, PendingCell> pending;
    };
    const Table* find(std::string_view table) const;
    // Version that a condition sees: kNotExists when the key is absent.
    static std::int64_t pending_version(const Table& table, const std::string& key);

    std::map<std::string, Table, std::less<>> tables_;
    std::int64_t next_version_ = 1;
};

}  // namespace millrace::container
