// Key-value tables: their life. A table is a set of table segments that tile the key space and never change; as with
// streams, every change is an intent that is carried to its end. Executor thread only.
#pragma once

#include "controller/context.h"
#include "controller/records/table_record.h"

namespace millrace::controller {

// kInvalidArgument, with the reason.
Result<> check_config(const KeyValueTableConfig& config);

class KeyValueTables {
  public:
    explicit KeyValueTables(Context& context) : context_(context) {}

    Async<CreateTableStatus> create(std::string scope, std::string table, KeyValueTableConfig config);
    Async<DeleteTableStatus> remove(std::string scope, std::string table);

    Async<> finish(std::string scope, std::string table);  // whatever it has under way

    // ---- queries: no locks, what is durable at that moment ----
    Async<std::optional<KeyValueTableConfig>> config(std::string scope, std::string table);
    Async<std::vector<SegmentRange>> segments(std::string scope, std::string table);  // kNotFound

  private:
    // A table by name with the lock held, and its record.
    struct Table {
        Table(std::string s, std::string n, const Stored<TableRecord>& r)
            : scope(std::move(s)), name(std::move(n)), stored(r) {}
        std::string scope;
        std::string name;
        Stored<TableRecord> stored;
        PendingEntry pending() const { return {PendingEntry::Kind::kTable, scope, name}; }
        StreamName stream() const;  // that its segments are named after
    };

    Async<Found<TableRecord>> stored(std::string scope, std::string table);
    Async<Found<TableRecord>> settled(std::string scope, std::string table);
    Async<> carry_on_creating(Table table);
    Async<> carry_on_deleting(Table table);

    Context& context_;
};

}  // namespace millrace::controller
