// I, table, key: an entry of an internal table (the controller's metadata). Tables by length of name, then name.
#pragma once

#include "container/state/codec.h"

namespace millrace::container::state {

struct InternalEntryRecord {
    std::string table;
    std::string entry_key;
    std::int64_t version = 1;
    std::string value;
    bool operator==(const InternalEntryRecord&) const = default;

    static constexpr Kind kKind = Kind::kInternalEntry;
    static std::string key(std::string_view table, std::string_view entry_key);
    static KeyRange range() { return range_of_prefix(kind_prefix(kKind)); }
    // Those of `table` whose keys begin with `key_prefix`.
    static KeyRange range(std::string_view table, std::string_view key_prefix = {});
    void encode_key(bytes::Writer& out) const;
    void encode_value(bytes::Writer& out) const;
    static Result<InternalEntryRecord> decode(std::string_view key, std::string_view value);
};

}  // namespace millrace::container::state
