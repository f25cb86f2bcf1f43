// table/<scope>/<table>
#pragma once

#include "controller/records/codec.h"

namespace millrace::controller {

struct TableRecord {
    enum class State : std::uint8_t { kCreating = 1, kActive = 2, kDeleting = 3 };
    State state = State::kCreating;
    std::int64_t creation_ms = 0;
    std::int32_t first_number = 0;  // of its segments
    KeyValueTableConfig config;
    bool operator==(const TableRecord&) const = default;

    // The segments follow from the record: they never change.
    std::vector<SegmentRange> segments() const;

    static std::string prefix(std::string_view scope);
    static std::string key(std::string_view scope, std::string_view table);
    std::string encode() const;
    static Result<TableRecord> decode(std::string_view value);
    static bool is_deleting(std::string_view value);  // without decoding the rest, for listings
};

}  // namespace millrace::controller
