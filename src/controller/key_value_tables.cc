#include "controller/key_value_tables.h"

#include <limits>

#include <fmt/format.h>

#include "controller/names.h"
#include "controller/records/last_number_record.h"
#include "controller/streams.h"
#include "runtime/async.h"

namespace millrace::controller {

namespace {

// Clients with tables of their own, for which they ask the segment store only, take the lengths to be those of any key.
bool has_keys_of_any_length(const KeyValueTableConfig& config) {
    return config.primary_key_length == 0 && config.secondary_key_length == 0;
}

}  // namespace

Result<> check_config(const KeyValueTableConfig& config) {
    auto refused = [](std::string why) { return fail(Errc::kInvalidArgument, std::move(why)); };
    if (config.partitions < 1) {
        return refused(fmt::format("a key-value table has at least one partition, not {}", config.partitions));
    }
    if (config.partitions > kMaxSegments) {
        return refused(
            fmt::format("a key-value table has at most {} partitions, not {}", kMaxSegments, config.partitions));
    }
    if (config.primary_key_length < 0 || config.secondary_key_length < 0) {
        return refused(fmt::format("a key-value table with keys of {} and {} bytes", config.primary_key_length,
                                   config.secondary_key_length));
    }
    if (config.primary_key_length == 0 && config.secondary_key_length > 0) {
        return refused("a key-value table with secondary keys has primary keys too");
    }
    std::int64_t length = static_cast<std::int64_t>(config.primary_key_length) + config.secondary_key_length;
    if (length > container::kFixedKeyLengthMax) {
        return refused(fmt::format("both keys of a key-value table have at most {} bytes together, not {}",
                                   container::kFixedKeyLengthMax, length));
    }
    if (config.rollover_bytes < 0) return refused(fmt::format("rollover size of {} bytes", config.rollover_bytes));
    return {};
}

StreamName KeyValueTables::Table::stream() const { return key_value_table_stream(scope, name); }

// ---- operations ----

Async<CreateTableStatus> KeyValueTables::create(std::string scope, std::string table, KeyValueTableConfig config) {
    auto scoped = check_scoped(scope);
    if (!scoped) co_return fail(scoped.error());
    auto checked = check_config(config);
    if (!checked) co_return fail(checked.error());
    if (!is_allowed_user_name(table)) co_return CreateTableStatus::kInvalidTableName;
    if (!is_possible_name(scope)) co_return CreateTableStatus::kScopeNotFound;

    KeyedMutex::Lock lock = co_await context_.lock_table(scope, table);
    auto before = co_await stored(scope, table);
    if (!before) co_return fail(before.error());
    // The same request again, after it could not be told its end: the table is the one that it asked for.
    bool is_repeated =
        *before && (*before)->record.state == TableRecord::State::kCreating && (*before)->record.config == config;
    auto existing = co_await settled(scope, table);
    if (!existing) co_return fail(existing.error());
    if (*existing) co_return is_repeated ? CreateTableStatus::kSuccess : CreateTableStatus::kTableExists;

    Stored<TableRecord> made;
    std::string number_key = LastNumberRecord::key(key_value_table_stream(scope, table));
    auto last = co_await context_.metadata.get<LastNumberRecord>(scope, std::move(number_key));
    if (!last) co_return fail(last.error());
    if (*last) {
        auto enough = check_numbers((*last)->record.last_number, config.partitions);
        if (!enough) co_return fail(enough.error());
        made.record.first_number = (*last)->record.last_number + 1;
    }
    made.record.creation_ms = context_.now_ms();
    made.record.config = config;
    Table begun_table(scope, table, std::move(made));
    Batch batch;
    batch.put(TableRecord::key(scope, table), begun_table.stored.record.encode(), container::kNotExists);
    auto begun = co_await context_.commit_new_intent(begun_table.pending(), std::move(batch));
    if (!begun) co_return fail(begun.error());
    if (!*begun) co_return CreateTableStatus::kScopeNotFound;
    auto created = co_await settled(scope, table);
    if (!created) co_return fail(created.error());
    co_return CreateTableStatus::kSuccess;
}

Async<DeleteTableStatus> KeyValueTables::remove(std::string scope, std::string table) {
    KeyedMutex::Lock lock = co_await context_.lock_table(scope, table);
    auto found = co_await settled(scope, table);
    if (!found) co_return fail(found.error());
    if (!*found) co_return DeleteTableStatus::kTableNotFound;
    Table deleted(scope, table, std::move(**found));
    TableRecord& record = deleted.stored.record;
    record.state = TableRecord::State::kDeleting;
    LastNumberRecord last{record.first_number + record.config.partitions - 1};
    Batch batch;
    batch.put(TableRecord::key(scope, table), record.encode(), deleted.stored.version);
    batch.put(LastNumberRecord::key(deleted.stream()), last.encode());
    auto begun = co_await context_.commit_intent(deleted.pending(), std::move(batch));
    if (!begun) co_return fail(begun.error());
    auto gone = co_await settled(scope, table);
    if (!gone) co_return fail(gone.error());
    co_return DeleteTableStatus::kSuccess;
}

Async<> KeyValueTables::finish(std::string scope, std::string table) {
    KeyedMutex::Lock lock = co_await context_.lock_table(scope, table);
    auto found = co_await settled(scope, table);
    if (!found) co_return fail(found.error());
    co_return Result<>();
}

// ---- carrying on ----

Async<Found<TableRecord>> KeyValueTables::stored(std::string scope, std::string table) {
    auto scoped = check_scoped(scope);
    if (!scoped) co_return fail(scoped.error());
    if (!is_possible_name(scope) || !is_possible_name(table)) co_return Found<TableRecord>();
    std::string key = TableRecord::key(scope, table);
    auto found = co_await context_.metadata.get<TableRecord>(std::move(scope), std::move(key));
    co_return found;
}

Async<Found<TableRecord>> KeyValueTables::settled(std::string scope, std::string table) {
    while (true) {
        auto found = co_await stored(scope, table);
        if (!found || !*found || (*found)->record.state == TableRecord::State::kActive) co_return found;
        bool creating = (*found)->record.state == TableRecord::State::kCreating;
        Table unfinished(scope, table, std::move(**found));
        PendingEntry pending = unfinished.pending();
        Async<> carrying =
            creating ? carry_on_creating(std::move(unfinished)) : carry_on_deleting(std::move(unfinished));
        auto carried = co_await std::move(carrying);
        if (carried) continue;
        context_.retry_later(std::move(pending), carried.error());
        co_return fail(carried.error());
    }
}

Async<> KeyValueTables::carry_on_creating(Table table) {
    TableRecord& record = table.stored.record;
    container::CreateOptions options;
    options.table = true;
    if (!has_keys_of_any_length(record.config))
        options.key_length = record.config.primary_key_length + record.config.secondary_key_length;
    options.rollover_bytes = record.config.rollover_bytes;
    auto ranges = record.segments();
    auto created = co_await context_.segments.create_all(new_segments(table.stream(), ids_of(ranges), options));
    if (!created) co_return created;
    record.state = TableRecord::State::kActive;
    Batch batch;
    batch.put(TableRecord::key(table.scope, table.name), record.encode(), table.stored.version);
    batch.remove(table.pending().key());
    auto committed = co_await context_.metadata.commit(table.scope, std::move(batch));
    co_return committed;
}

Async<> KeyValueTables::carry_on_deleting(Table table) {
    auto ranges = table.stored.record.segments();
    auto removed = co_await context_.segments.remove(table.stream(), ids_of(ranges));
    if (!removed) co_return removed;
    Batch batch;
    batch.remove(TableRecord::key(table.scope, table.name), table.stored.version);
    batch.remove(table.pending().key());
    auto committed = co_await context_.commit_in_scope(table.scope, std::move(batch), Context::Joining::kExisting);
    if (!committed) co_return fail(committed.error());
    if (!*committed) {
        co_return fail(Errc::kCorrupt, fmt::format("key-value table {}/{} lies in no scope", table.scope, table.name));
    }
    co_return Result<>();
}

// ---- queries ----

Async<std::optional<KeyValueTableConfig>> KeyValueTables::config(std::string scope, std::string table) {
    auto found = co_await stored(std::move(scope), std::move(table));
    if (!found) co_return fail(found.error());
    bool exists = *found && (*found)->record.state != TableRecord::State::kDeleting;
    if (!exists) co_return std::optional<KeyValueTableConfig>();
    co_return std::optional<KeyValueTableConfig>((*found)->record.config);
}

Async<std::vector<SegmentRange>> KeyValueTables::segments(std::string scope, std::string table) {
    auto found = co_await stored(scope, table);
    if (!found) co_return fail(found.error());
    std::string name = fmt::format("{}/{}", scope, table);
    bool exists = *found && (*found)->record.state != TableRecord::State::kDeleting;
    if (!exists) co_return fail(Errc::kNotFound, fmt::format("no key-value table {}", name));
    if ((*found)->record.state == TableRecord::State::kCreating)
        co_return fail(Errc::kUnavailable, fmt::format("key-value table {} is being created", name));
    co_return (*found)->record.segments();
}

}  // namespace millrace::controller
