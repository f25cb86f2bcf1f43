// Table segments. What release 0.13 answers by closing the connection (a table request about another kind of segment, a
// version that cannot be, a token that no server made) is answered so here too: see error_replies.cc.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/units.h"
#include "container/table_segments.h"
#include "store/connection.h"

namespace millrace::store {

using container::SegmentContainer;
using wire::CommandType;

namespace {

// What a reply is taken to need in memory until it is sent; a page has its limit, a multi-get is guessed.
constexpr std::uint64_t kGuessedEntryBytes = 4 * kKiB;

std::vector<wire::TableEntry> to_wire(std::vector<container::TableEntry> entries) {
    std::vector<wire::TableEntry> out;
    out.reserve(entries.size());
    for (container::TableEntry& entry : entries) {
        out.push_back({std::move(entry.key), entry.version, std::move(entry.value)});
    }
    return out;
}

container::TableIteration iteration_of(wire::TableIteratorArgs& args, std::int32_t count, bool values) {
    return {std::move(args.continuation_token), std::move(args.from_key), std::move(args.to_key), count, values};
}

}  // namespace

void StoreConnection::handle(wire::CreateTableSegment& request) {
    std::int64_t id = request.request_id;
    if (request.segment.empty()) return break_off("CREATE_TABLE_SEGMENT: the name is empty");
    if (!can_be_named(request.segment)) {
        return reply_error({CommandType::kCreateTableSegment, id, request.segment, -1}, too_long_a_name());
    }
    if (request.key_length > container::kFixedKeyLengthMax) {
        return break_off(fmt::format("CREATE_TABLE_SEGMENT of {}: keys of {} bytes; at most {} are possible",
                                     request.segment, request.key_length, container::kFixedKeyLengthMax));
    }
    container::CreateOptions options;
    options.table = true;
    options.key_length = request.key_length;
    options.rollover_bytes = request.rollover_size_bytes;
    serve<void>(
        CommandType::kCreateTableSegment, id, request.segment, -1,
        [segment = request.segment, options](SegmentContainer& c, auto done) mutable {
            c.create(std::move(segment), options, std::move(done));
        },
        [this, id](std::string segment) { reply(wire::SegmentCreated{id, std::move(segment)}); });
}

void StoreConnection::handle(wire::DeleteTableSegment& request) {
    std::int64_t id = request.request_id;
    serve<void>(
        CommandType::kDeleteTableSegment, id, request.segment, -1,
        [segment = request.segment, empty = request.must_be_empty](SegmentContainer& c, auto done) mutable {
            c.tables().remove(segment, empty, std::move(done));
        },
        [this, id](std::string segment) { reply(wire::SegmentDeleted{id, std::move(segment)}); });
}

void StoreConnection::handle(wire::GetTableSegmentInfo& request) {
    std::int64_t id = request.request_id;
    serve<container::TableSegmentInfo>(
        CommandType::kGetTableSegmentInfo, id, request.segment, -1,
        [segment = request.segment](SegmentContainer& c, auto done) { c.tables().info(segment, std::move(done)); },
        [this, id](std::string segment, const container::TableSegmentInfo& info) {
            reply(wire::TableSegmentInfo{id, std::move(segment), info.start_offset, info.length, info.entries,
                                         info.key_length});
        });
}

// ---- updates ----

void StoreConnection::handle(wire::UpdateTableEntries& request) {
    std::int64_t id = request.request_id;
    container::TableBatch batch;
    batch.expected_length = request.table_segment_offset;
    batch.updates.reserve(request.entries.size());
    for (wire::TableEntry& entry : request.entries) {
        batch.updates.push_back({std::move(entry.key), std::move(entry.value), entry.version});
    }
    using Versions = std::vector<std::int64_t>;
    serve<Versions>(
        CommandType::kUpdateTableEntries, id, request.segment, request.table_segment_offset,
        [segment = request.segment, batch = std::move(batch)](SegmentContainer& c, auto done) mutable {
            c.tables().update(segment, std::move(batch), std::move(done));
        },
        [this, id](const std::string&, Versions versions) {
            reply(wire::TableEntriesUpdated{id, std::move(versions)});
        });
}

void StoreConnection::handle(wire::RemoveTableKeys& request) {
    std::int64_t id = request.request_id;
    container::TableBatch batch;
    batch.expected_length = request.table_segment_offset;
    batch.updates.reserve(request.keys.size());
    for (wire::TableKey& key : request.keys) batch.updates.push_back({std::move(key.key), std::nullopt, key.version});
    using Versions = std::vector<std::int64_t>;
    serve<Versions>(
        CommandType::kRemoveTableKeys, id, request.segment, request.table_segment_offset,
        [segment = request.segment, batch = std::move(batch)](SegmentContainer& c, auto done) mutable {
            c.tables().update(segment, std::move(batch), std::move(done));
        },
        [this, id](std::string segment, const Versions&) { reply(wire::TableKeysRemoved{id, std::move(segment)}); });
}

// ---- reads ----

// A reply may be much larger than its request: what it may need is charged as if it had been received.
void StoreConnection::handle(wire::ReadTable& request) {
    std::int64_t id = request.request_id;
    request_charge_ += std::min<std::uint64_t>(request.keys.size() * kGuessedEntryBytes, container::kTableReadBytes);
    std::vector<std::string> keys;
    keys.reserve(request.keys.size());
    for (wire::TableKey& key : request.keys) keys.push_back(std::move(key.key));
    using Entries = std::vector<container::TableEntry>;
    serve<Entries>(
        CommandType::kReadTable, id, request.segment, -1,
        [segment = request.segment, keys = std::move(keys)](SegmentContainer& c, auto done) mutable {
            c.tables().get(segment, std::move(keys), std::move(done));
        },
        [this, id](std::string segment, Entries entries) {
            reply(wire::TableRead{id, std::move(segment), to_wire(std::move(entries))});
        });
}

void StoreConnection::handle(wire::ReadTableKeys& request) {
    std::int64_t id = request.request_id;
    request_charge_ += container::kTablePageBytes;
    serve<container::TablePage>(
        CommandType::kReadTableKeys, id, request.segment, -1,
        [segment = request.segment, iteration = iteration_of(request.args, request.suggested_key_count, false)](
            SegmentContainer& c, auto done) mutable {
            c.tables().iterate(segment, std::move(iteration), std::move(done));
        },
        [this, id](std::string segment, container::TablePage page) {
            wire::TableKeysRead read{id, std::move(segment), {}, std::move(page.token)};
            read.keys.reserve(page.entries.size());
            for (auto& entry : page.entries) read.keys.push_back({std::move(entry.key), entry.version});
            reply(read);
        });
}

void StoreConnection::handle(wire::ReadTableEntries& request) {
    std::int64_t id = request.request_id;
    request_charge_ += container::kTablePageBytes;
    serve<container::TablePage>(
        CommandType::kReadTableEntries, id, request.segment, -1,
        [segment = request.segment, iteration = iteration_of(request.args, request.suggested_entry_count, true)](
            SegmentContainer& c, auto done) mutable {
            c.tables().iterate(segment, std::move(iteration), std::move(done));
        },
        [this, id](std::string segment, container::TablePage page) {
            reply(wire::TableEntriesRead{id, std::move(segment), to_wire(std::move(page.entries)),
                                         std::move(page.token)});
        });
}

void StoreConnection::handle(wire::ReadTableEntriesDelta& request) {
    std::int64_t id = request.request_id;
    request_charge_ += container::kTablePageBytes;
    serve<container::TableDelta>(
        CommandType::kReadTableEntriesDelta, id, request.segment, -1,
        [segment = request.segment, position = request.from_position, count = request.suggested_entry_count](
            SegmentContainer& c, auto done) { c.tables().delta(segment, position, count, std::move(done)); },
        [this, id](std::string segment, container::TableDelta delta) {
            reply(wire::TableEntriesDeltaRead{id, std::move(segment), to_wire(std::move(delta.entries)),
                                              delta.must_forget, delta.reached_end, delta.next_position});
        });
}

}  // namespace millrace::store
