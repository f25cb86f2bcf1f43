#include "container/table_segments.h"

#include <algorithm>

#include <fmt/format.h>

#include "bytes/crc32c.h"
#include "container/container_impl.h"
#include "container/table_state.h"

namespace millrace::container {

// An update, or a deletion of the whole table; in the order of arrival.
struct TableWork {
    TableBatch batch;
    bool checked = false;                // the items are what they may be
    std::vector<std::int64_t> versions;  // that the store has of the items
    TableSegments::Done<std::vector<std::int64_t>> updated;

    bool removal = false;
    bool must_be_empty = false;
    TableSegments::Done<> removed;

    void fail_with(Error error) {
        if (removal)
            removed(fail(std::move(error)));
        else
            updated(fail(std::move(error)));
    }
};

namespace {

constexpr std::int64_t kTableType = 0x01;
constexpr std::int64_t kFixedKeyTableType = 0x05;
constexpr std::int64_t kDefaultRollover = 16 << 20;
constexpr std::size_t kWorksAtOnce = 32;  // updates of a table for which the store is asked together

// What release 0.13 keeps about its index of a table: here nothing ever moves.
constexpr std::uint64_t kFirstTableAttribute = 0x100000;
constexpr std::uint64_t kTableAttributes = 6;

Result<> check_key(const TableState& table, std::string_view key) {
    if (key.empty()) return fail(Errc::kLimit, "a table key must not be empty");
    if (table.fixed() && key.size() != static_cast<std::size_t>(table.key_length)) {
        return fail(Errc::kLimit,
                    fmt::format("a key of {} bytes; this table's keys have {}", key.size(), table.key_length));
    }
    if (key.size() > kMaxTableKey) {
        return fail(Errc::kLimit, fmt::format("a key of {} bytes; at most {} are possible", key.size(), kMaxTableKey));
    }
    return {};
}

Result<> check_items(const TableState& table, const TableBatch& batch) {
    std::uint64_t total = 0;
    for (const TableUpdate& update : batch.updates) {
        if (auto key = check_key(table, update.key); !key) return key;
        std::uint64_t size = kTableItemHeader + update.key.size() + (update.value ? update.value->size() : 0);
        if (size > kTableItemBytes) {
            return fail(Errc::kLimit, fmt::format("an entry of {} bytes; key and value may have {} together",
                                                  size - kTableItemHeader, kTableItemBytes - kTableItemHeader));
        }
        if (update.expected_version < kNotExists && update.expected_version != kAnyVersion) {
            return fail(Errc::kInvalidArgument, fmt::format("version {} of a table entry", update.expected_version));
        }
        total += size;
    }
    if (total > kTableBatchBytes) return fail(Errc::kLimit, fmt::format("a table update of {} bytes", total));
    return {};
}

// A missing key wins over bad versions; tables with keys of a fixed length know only bad versions.
Result<> check_versions(const TableState& table, const TableWork& work) {
    bool missing = false;
    bool mismatch = false;
    for (std::size_t i = 0; i < work.batch.updates.size(); ++i) {
        const TableUpdate& update = work.batch.updates[i];
        if (update.expected_version == kAnyVersion) continue;
        auto pending = table.pending.find(update.key);
        std::int64_t version = pending == table.pending.end() ? work.versions[i] : pending->second.version;
        missing = missing || (version == kNotExists && update.expected_version != kNotExists);
        mismatch = mismatch || version != update.expected_version;
    }
    if (missing && !table.fixed()) return fail(Errc::kNoKey);
    if (mismatch) return fail(Errc::kBadVersion);
    return {};
}

// ---- continuation tokens: u8 1, u32 checksum of the key, the last key of the page ----

constexpr std::uint8_t kTokenVersion = 1;
constexpr std::size_t kTokenHeader = 5;

std::string make_token(const std::string& last_key) {
    std::uint8_t header[kTokenHeader] = {kTokenVersion};
    bytes::store_le(header + 1, bytes::crc32c(bytes::as_bytes(last_key)));
    return std::string(bytes::as_text({header, kTokenHeader})) + last_key;
}

Result<std::string> key_of_token(std::string_view token) {
    auto raw = bytes::as_bytes(token);
    if (raw.size() > kTokenHeader && raw.size() <= kTokenHeader + kMaxTableKey && raw[0] == kTokenVersion &&
        bytes::load_le<std::uint32_t>(raw.data() + 1) == bytes::crc32c(raw.subspan(kTokenHeader))) {
        return std::string(token.substr(kTokenHeader));
    }
    return fail(Errc::kInvalidArgument, "a continuation token that no server made");
}

Result<KeyRange> range_of(const TableState& table, TableIteration& iteration) {
    if (!table.fixed()) {
        if (!iteration.from.empty() || !iteration.to.empty()) {
            return fail(Errc::kUnsupported, "ranges are for tables with keys of a fixed length");
        }
        if (iteration.token.empty()) return KeyRange{};
        auto last = key_of_token(iteration.token);
        if (!last) return std::unexpected(last.error());
        return KeyRange{std::move(*last), true, ""};
    }
    if (!iteration.token.empty()) {
        return fail(Errc::kUnsupported, "tables with keys of a fixed length are continued by ranges, not by tokens");
    }
    for (const std::string* end : {&iteration.from, &iteration.to}) {
        if (end->empty()) continue;
        if (auto key = check_key(table, *end); !key) return std::unexpected(key.error());
    }
    if (!iteration.to.empty() && iteration.from > iteration.to)
        return fail(Errc::kLimit, "the range's ends are reversed");
    return KeyRange{std::move(iteration.from), false, std::move(iteration.to)};
}

}  // namespace

TableSegments::TableSegments(SegmentContainer::Impl& container, StateKeeper& keeper)
    : container_(container), store_(keeper) {}
TableSegments::~TableSegments() = default;

// ---- what a table is ----

AttributeValues TableSegments::attributes(const CreateOptions& options, std::int64_t created_ms) {
    bool fixed = options.key_length > 0;
    AttributeValues values = {{kCreationTime, created_ms},
                              {kRolloverSize, options.rollover_bytes > 0 ? options.rollover_bytes : kDefaultRollover},
                              {kSegmentType, fixed ? kFixedKeyTableType : kTableType}};
    if (fixed) values.emplace_back(kAttributeIdLength, options.key_length);
    for (std::uint64_t i = 0; i < kTableAttributes; ++i) {
        values.emplace_back(core_attribute(kFirstTableAttribute + i), 0);
    }
    return values;
}

namespace {

// Neither changes once it is set, so durable and pending differ at most while the segment is being made.
std::int64_t constant_attribute(const Segment& segment, const Uuid& key) {
    auto found = segment.attributes.find(key);
    if (found == segment.attributes.end()) return kNullAttribute;
    return found->second.durable != kNullAttribute ? found->second.durable : found->second.pending;
}

bool is_table(const Segment& segment) {
    std::int64_t type = constant_attribute(segment, kSegmentType);
    return type != kNullAttribute && (type & kTableType) != 0;
}

}  // namespace

void TableSegments::recognise(Segment& segment) {
    if (!is_table(segment)) return;
    segment.table = std::make_unique<TableState>();
    std::int64_t length = constant_attribute(segment, kAttributeIdLength);
    if (length != kNullAttribute) segment.table->key_length = static_cast<std::int32_t>(length);
}

// ---- the queue of a table ----

void TableSegments::update(const std::string& table, TableBatch batch, Done<std::vector<std::int64_t>> done) {
    auto work = std::make_shared<TableWork>();
    work->batch = std::move(batch);
    work->updated = std::move(done);
    enqueue(table, std::move(work), false);
}

void TableSegments::remove(const std::string& table, bool must_be_empty, Done<> done) {
    auto work = std::make_shared<TableWork>();
    work->removal = true;
    work->must_be_empty = must_be_empty;
    work->removed = std::move(done);
    enqueue(table, std::move(work), true);
}

void TableSegments::enqueue(const std::string& name, std::shared_ptr<TableWork> work, bool frees_space) {
    container_.control(frees_space ? SpaceNeed::kFrees : SpaceNeed::kOrdinary, {{container_.want(name)}, {}},
                       [this, name, work = std::move(work)](const Error* closed) {
                           if (closed != nullptr) return work->fail_with(*closed);
                           Segment* segment = container_.find_pending(name);
                           if (segment == nullptr) return refuse(*work, container_.missing(name));
                           if (segment->table == nullptr)
                               return refuse(*work, {Errc::kInvalidArgument, name + " is no table"});
                           segment->table->waiting.push_back(work);
                           run(*segment);
                       });
}

void TableSegments::run(Segment& segment) {
    TableState& table = *segment.table;
    if (table.running) return;
    table.running = true;
    while (!table.busy && !table.waiting.empty()) {
        std::shared_ptr<TableWork> work = table.waiting.front();
        // The store does not know yet what is under way: publication comes back here.
        if (work->must_be_empty && table.in_flight > 0) break;
        start(segment, work);
    }
    table.running = false;
}

// Takes the front of the queue, or asks the store which versions the front and what stands behind it replace.
void TableSegments::start(Segment& segment, const std::shared_ptr<TableWork>& first) {
    TableState& table = *segment.table;
    if (first->removal) {
        std::shared_ptr<TableWork> work = first;
        table.waiting.pop_front();
        return finish_remove(segment, *work);
    }
    std::vector<std::shared_ptr<TableWork>> works;
    std::vector<std::string_view> keys;
    std::vector<std::int64_t*> places;
    for (const auto& work : table.waiting) {
        if (work->removal || works.size() == kWorksAtOnce) break;
        if (!std::exchange(work->checked, true)) {
            if (auto items = check_items(table, work->batch); !items) {
                if (!works.empty()) {  // it is refused when it is its turn
                    work->checked = false;
                    break;
                }
                std::shared_ptr<TableWork> refused = work;
                table.waiting.pop_front();
                return refuse(*refused, items.error());
            }
        }
        works.push_back(work);
        work->versions.assign(work->batch.updates.size(), kNotExists);
        for (std::size_t i = 0; i < work->batch.updates.size(); ++i) {
            const std::string& key = work->batch.updates[i].key;
            if (table.pending.contains(key)) continue;  // it stays there until the store has answered
            keys.emplace_back(key);
            places.push_back(&work->versions[i]);
        }
    }
    table.busy = true;
    auto known = [this, id = segment.id, works = std::move(works),
                  places = std::move(places)](Result<std::vector<std::int64_t>> versions) {
        for (std::size_t i = 0; versions && i < places.size(); ++i) *places[i] = (*versions)[i];
        take_known(id, works, versions ? nullptr : &versions.error());
    };
    if (keys.empty()) return known(std::vector<std::int64_t>());
    store_.versions(segment.id, keys, std::move(known));
}

// The works go on when the store has answered, unless they were refused meanwhile.
void TableSegments::take_known(SegmentId id, const std::vector<std::shared_ptr<TableWork>>& works, const Error* error) {
    auto found = container_.segments_.find(id);
    if (found == container_.segments_.end()) return;  // gone() has refused them
    Segment& segment = *found->second;
    TableState& table = *segment.table;
    table.busy = false;
    bool was_running = std::exchange(table.running, true);
    if (container_.stopping_ && !was_running) {
        // The container's last frame may be on its way.
        fail_waiting(segment, {Errc::kClosed, "the container stops"});
    }
    for (const auto& work : works) {
        if (table.waiting.empty() || table.waiting.front() != work) break;
        table.waiting.pop_front();
        if (error == nullptr)
            finish_update(segment, *work);
        else
            refuse(*work, *error);
    }
    for (const std::string& key : std::exchange(table.settled, {})) {
        auto pending = table.pending.find(key);
        if (pending != table.pending.end() && pending->second.in_flight == 0) table.pending.erase(pending);
    }
    table.running = was_running;
    run(segment);
}

void TableSegments::finish_update(Segment& segment, TableWork& work) {
    const TableState& table = *segment.table;
    if (segment.pending.gone) return refuse(work, container_.missing(segment.name));
    if (segment.pending.sealed) return refuse(work, {Errc::kSealed, segment.name});
    if (auto conditions = check_versions(table, work); !conditions) return refuse(work, conditions.error());
    auto length = static_cast<std::int64_t>(segment.pending.length);
    if (work.batch.expected_length != kAnyTableLength && work.batch.expected_length != length) {
        return refuse(work, {Errc::kBadOffset, length});
    }
    put(segment, work);
}

void TableSegments::finish_remove(Segment& segment, TableWork& work) {
    if (segment.pending.gone) return refuse(work, container_.missing(segment.name));
    if (work.must_be_empty && segment.table->fixed()) {
        return refuse(work,
                      {Errc::kUnsupported, "deletion of a table with keys of a fixed length only if it is empty"});
    }
    if (work.must_be_empty && segment.table->entries > 0) {
        return refuse(work, {Errc::kConflict, fmt::format("the table has {} entries", segment.table->entries)});
    }
    container_.start_remove(segment, std::move(work.removed));
}

void TableSegments::put(Segment& segment, TableWork& work) {
    TableState& table = *segment.table;
    auto record = std::make_shared<TableUpdateRecord>();
    record->id = segment.id;
    record->offset = segment.pending.length;
    record->free_removals = table.fixed();
    record->entries.reserve(work.batch.updates.size());
    for (TableUpdate& update : work.batch.updates) {
        record->entries.push_back({std::move(update.key), std::move(update.value), 0, kNotExists});
    }
    std::uint64_t length = record->number();
    std::vector<std::int64_t> versions;
    versions.reserve(record->entries.size());
    for (std::size_t i = 0; i < record->entries.size(); ++i) {
        TableChange& entry = record->entries[i];
        versions.push_back(entry.version);
        auto [at, made] = table.pending.try_emplace(entry.key);
        TableState::Pending& pending = at->second;
        entry.before = made ? work.versions[i] : pending.version;
        pending.version = entry.value ? entry.version : kNotExists;
        ++pending.in_flight;
    }
    if (!record->entries.empty()) {
        container_.pipeline_.put(*record);
        segment.pending.length = length;
        ++table.in_flight;
    }
    container_.after_commit([this, segment = &segment, record = std::move(record), length,
                             versions = std::move(versions),
                             done = std::move(work.updated)](const Error* error) mutable {
        if (error != nullptr) return done(fail(*error));
        if (!record->entries.empty()) publish(*segment, *record, length);
        done(std::move(versions));
    });
}

void TableSegments::publish(Segment& segment, TableUpdateRecord& record, std::uint64_t length) {
    TableState& table = *segment.table;
    --table.in_flight;
    for (const TableChange& entry : record.entries) {
        auto pending = table.pending.find(entry.key);
        if (--pending->second.in_flight > 0) continue;
        // What the store was asked for before this moment may be answered without it.
        if (table.busy)
            table.settled.push_back(entry.key);
        else
            table.pending.erase(pending);
    }
    ++updates_;
    items_ += record.entries.size();
    segment.durable.length = length;
    segment.last_modified_ms = container_.executor.clock().wall_millis();
    container_.mark(segment);
    count(table, record);
    store_.apply(segment.id, std::move(record.entries));
    container_.serve_waiting(segment);
    run(segment);
}

// Said in order with the acknowledgements before it.
void TableSegments::refuse(TableWork& work, Error error) {
    container_.after_commit([work = std::move(work), error = std::move(error)](const Error* failed) mutable {
        work.fail_with(failed != nullptr ? *failed : std::move(error));
    });
}

void TableSegments::gone(Segment& segment) {
    if (segment.table == nullptr) return;
    entries_ -= segment.table->entries;
    store_.drop(segment.id, segment.table->entries);
    fail_waiting(segment, {Errc::kNotFound, segment.name});
}

void TableSegments::fail_waiting(Segment& segment, const Error& error) {
    if (segment.table == nullptr) return;
    for (const auto& work : std::exchange(segment.table->waiting, {})) work->fail_with(error);
}

void TableSegments::count(TableState& table, const TableUpdateRecord& record) {
    for (const TableChange& entry : record.entries) {
        bool was = entry.before != kNotExists;
        if (entry.value && !was) ++table.entries, ++entries_;
        if (!entry.value && was) --table.entries, --entries_;
    }
}

void TableSegments::count(ContainerStats& stats) const {
    stats.table_entries = entries_;
    stats.table_bytes = store_.memory_bytes();
    stats.table_updates = updates_;
    stats.table_items = items_;
}

// ---- reads ----

bool TableSegments::is_there(const NameEntry& name, SegmentId id) {
    return name.segment != nullptr && name.segment->id == id;
}

// Calls use(table, done) with durable state, or `done` with the reason why there is no such table.
template <typename T, typename Use>
void TableSegments::with_table(std::string_view name, Done<T> done, Use use) {
    auto go = [this, name = std::string(name), done = std::move(done), use = std::move(use)](const Segment* segment,
                                                                                             Error& error) mutable {
        if (segment == nullptr) return done(fail(std::move(error)));
        if (segment->table == nullptr) return done(fail(Errc::kInvalidArgument, name + " is no table"));
        // A table that is deleted loses its entries step by step: what was read meanwhile may be any part of them.
        auto told = [this, held = container_.want(name), id = segment->id, name,
                     done = std::move(done)](Result<T> result) mutable {
            if (result && !is_there(*held, id)) return done(fail(container_.missing(name)));
            done(std::move(result));
        };
        use(*segment, Done<T>(std::move(told)));
    };
    container_.with_durable(name, std::move(go));
}

void TableSegments::info(std::string_view name, Done<TableSegmentInfo> done) {
    with_table(name, std::move(done), [](const Segment& segment, Done<TableSegmentInfo> give) {
        give(TableSegmentInfo{static_cast<std::int64_t>(segment.durable.start),
                              static_cast<std::int64_t>(segment.durable.length),
                              static_cast<std::int64_t>(segment.table->entries), segment.table->key_length});
    });
}

void TableSegments::get(std::string_view name, std::vector<std::string> keys, Done<std::vector<TableEntry>> done) {
    auto read = [this, keys = std::move(keys)](const Segment& segment, Done<std::vector<TableEntry>> give) mutable {
        // One that is too long for any entry is merely absent, but where all keys have one length.
        for (const std::string& key : keys) {
            if (!segment.table->fixed() && !key.empty()) continue;
            if (auto good = check_key(*segment.table, key); !good) return give(fail(std::move(good.error())));
        }
        std::size_t overhead = std::min(keys.size() * kScanOverhead, kTableReadBytes);
        store_.get(segment.id, std::move(keys), kTableReadBytes - overhead, std::move(give));
    };
    with_table(name, std::move(done), std::move(read));
}

void TableSegments::iterate(std::string_view name, TableIteration iteration, Done<TablePage> done) {
    auto read = [this, iteration = std::move(iteration)](const Segment& segment, Done<TablePage> give) mutable {
        auto range = range_of(*segment.table, iteration);
        if (!range) return give(fail(std::move(range.error())));
        if (iteration.count <= 0) return give(TablePage{});
        ScanLimit limit{static_cast<std::size_t>(iteration.count), kTablePageBytes, iteration.values};
        auto page = [give = std::move(give)](Result<TableScan> scan) mutable {
            if (!scan) return give(fail(std::move(scan.error())));
            TablePage made{std::move(scan->entries), ""};
            if (!made.entries.empty()) made.token = make_token(made.entries.back().key);
            give(std::move(made));
        };
        store_.scan_keys(segment.id, std::move(*range), limit, std::move(page));
    };
    with_table(name, std::move(done), std::move(read));
}

namespace {

std::int64_t end_of(const TableEntry& entry) {
    return entry.version + static_cast<std::int64_t>(kTableItemHeader + entry.key.size() + entry.value.size());
}

}  // namespace

void TableSegments::delta(std::string_view name, std::int64_t position, std::int32_t count, Done<TableDelta> done) {
    auto read = [this, position, count](const Segment& segment, Done<TableDelta> give) {
        if (segment.table->fixed())
            return give(fail(Errc::kUnsupported, "deltas of a table with keys of a fixed length"));
        auto end = static_cast<std::int64_t>(segment.durable.length);
        if (position < 0 || position > end) {
            return give(fail(Errc::kLimit, fmt::format("position {} in a table of {} bytes", position, end)));
        }
        TableDelta delta;
        delta.reached_end = position == end;
        if (delta.reached_end) return give(std::move(delta));
        delta.must_forget = position < static_cast<std::int64_t>(segment.durable.start);
        if (count <= 0) {
            delta.next_position = position;
            return give(std::move(delta));
        }
        ScanLimit limit{static_cast<std::size_t>(count), kTablePageBytes, true};
        auto page = [delta, end, give = std::move(give)](Result<TableScan> scan) mutable {
            if (!scan) return give(fail(std::move(scan.error())));
            delta.reached_end = scan->complete;
            delta.next_position = scan->complete ? end : end_of(scan->entries.back());
            delta.entries = std::move(scan->entries);
            give(std::move(delta));
        };
        store_.scan_versions(segment.id, {position, false, end}, limit, std::move(page));
    };
    with_table(name, std::move(done), std::move(read));
}

// The segment as bytes: the items as release 0.13 lays them out. Those that were replaced or removed are not kept: a
// read that begins in one is told where it can go on.
void TableSegments::read(const Segment& segment, std::uint64_t offset, std::size_t max_bytes, bool waited,
                         ReadCallback done) {
    auto from = static_cast<std::int64_t>(offset);
    auto end = static_cast<std::int64_t>(segment.durable.length);
    bool sealed = segment.durable.sealed;
    ScanLimit limit{std::max<std::size_t>(max_bytes / kTableItemHeader, 1), max_bytes, true};
    auto reply = [held = container_.want(segment.name), id = segment.id, from, end, sealed, max_bytes, waited,
                  done = std::move(done)](Result<TableScan> scan) mutable {
        if (!scan) return done(fail(std::move(scan.error())));
        if (!is_there(*held, id)) return done(fail(Errc::kNotFound, "the table was deleted meanwhile"));
        std::vector<std::uint8_t> log;
        bytes::Writer out(log);
        std::int64_t first = scan->entries.empty() ? end : scan->entries.front().version;
        if (first > from) return done(fail(Error(Errc::kTruncated, first, "this part of the table's log is not kept")));
        std::int64_t next = first;
        for (const TableEntry& entry : scan->entries) {
            if (entry.version != next) break;
            out.u8(0);
            out.u32(static_cast<std::uint32_t>(entry.key.size()));
            out.u32(static_cast<std::uint32_t>(entry.value.size()));
            out.i64(kAnyVersion);
            out.bytes(bytes::as_bytes(entry.key));
            out.bytes(bytes::as_bytes(entry.value));
            next = end_of(entry);
        }
        auto skipped = static_cast<std::size_t>(from - first);
        std::size_t size = std::min(log.size() - skipped, max_bytes);
        ReadResult result;
        result.data.append(bytes::Slice::copy_of(bytes::ByteSpan(log).subspan(skipped, size)));
        bool at_end = size < max_bytes && from + static_cast<std::int64_t>(size) == end;
        result.at_tail = waited || (at_end && !sealed);
        result.end_of_segment = !waited && at_end && sealed;
        done(std::move(result));
    };
    store_.scan_versions(segment.id, {from, true, end}, limit, std::move(reply));
}

// ---- recovery ----

Result<> TableSegments::replay(Segment& segment, TableUpdateRecord&& record) {
    segment.durable.length = record.number();
    for (std::size_t i = 0; i < record.entries.size(); ++i) {
        // One by one: a key may occur several times.
        TableUpdateRecord one{segment.id, 0, false, {}};
        one.entries.push_back(std::move(record.entries[i]));
        auto before = store_.version_now(segment.id, one.entries.front().key);
        if (!before) return fail(std::move(before.error()));
        one.entries.front().before = *before;
        count(*segment.table, one);
        store_.apply(segment.id, std::move(one.entries));
    }
    return {};
}

Result<> SegmentContainer::Impl::on(TableUpdateRecord&& record) {
    auto found = replayed(record.id);
    if (!found) return fail(std::move(found.error()));
    Segment& segment = **found;
    if (segment.table == nullptr) return fail(Errc::kCorrupt, "a table update of a segment that is no table");
    if (record.offset != segment.durable.length) {
        return fail(Errc::kCorrupt,
                    fmt::format("table update at {} of a segment of {} bytes", record.offset, segment.durable.length));
    }
    segment.last_modified_ms = replay_wall_ms_;
    mark(segment);
    return table_segments_.replay(segment, std::move(record));
}

}  // namespace millrace::container
