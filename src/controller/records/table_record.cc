#include "controller/records/table_record.h"

#include <limits>

#include <fmt/format.h>

#include "controller/stream_cut.h"

namespace millrace::controller {

std::vector<SegmentRange> TableRecord::segments() const { return equal_ranges(config.partitions, first_number, 0); }

std::string TableRecord::prefix(std::string_view scope) { return fmt::format("table/{}/", scope); }

std::string TableRecord::key(std::string_view scope, std::string_view table) { return prefix(scope).append(table); }

std::string TableRecord::encode() const {
    RecordWriter out;
    out.u8(static_cast<std::uint8_t>(state));
    out.i64(creation_ms);
    out.i32(first_number);
    out.i32(config.partitions);
    out.i32(config.primary_key_length);
    out.i32(config.secondary_key_length);
    out.i64(config.rollover_bytes);
    return out.take();
}

Result<TableRecord> TableRecord::decode(std::string_view value) {
    RecordReader in(value);
    TableRecord record;
    record.state = static_cast<State>(in.enumerated(1, 3));
    record.creation_ms = in.i64();
    record.first_number = in.i32();
    record.config.partitions = in.i32();
    record.config.primary_key_length = in.i32();
    record.config.secondary_key_length = in.i32();
    record.config.rollover_bytes = in.i64();
    const KeyValueTableConfig& config = record.config;
    bool possible = config.partitions >= 1 && static_cast<std::size_t>(config.partitions) <= kListLimit &&
                    record.first_number >= 0 &&
                    record.first_number <= std::numeric_limits<std::int32_t>::max() - config.partitions &&
                    config.primary_key_length >= 0 && config.secondary_key_length >= 0 && config.rollover_bytes >= 0;
    if (!possible) in.fail();
    return in.finish(record, "key-value table");
}

bool TableRecord::is_deleting(std::string_view value) {
    return value.size() > 1 && static_cast<State>(value[1]) == State::kDeleting;
}

}  // namespace millrace::controller
