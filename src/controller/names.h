// Names: which are allowed, and those that are made of others.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "controller/types.h"

namespace millrace::controller {

inline constexpr std::string_view kSystemScope = "_system";
inline constexpr std::string_view kMarkPrefix = "_MARK";              // companion of a stream, for its watermarks
inline constexpr std::string_view kReaderGroupPrefix = "_RG";         // stream in which a reader group keeps its state
inline constexpr std::string_view kKeyValueTableSuffix = "_kvtable";  // a table's segments lie in a stream of this name
inline constexpr std::size_t kNameLength = 255;
inline constexpr std::size_t kUserNameLength = 250;

// Letters, digits, dot and dash, perhaps behind one underscore, at most kNameLength: what a scope or a stream may be
// made with.
bool is_allowed_name(std::string_view name);
// The same without the underscore, at most kUserNameLength: a reader group, a
// key-value table.
bool is_allowed_user_name(std::string_view name);
// Can something of that name exist: the alphabet of names, of any useful length (companions' names are longer than
// others). Only such names become part of a key.
bool is_possible_name(std::string_view name);
inline bool is_possible_name(const StreamName& name) {
    return is_possible_name(name.scope) && is_possible_name(name.stream);
}

Result<> check_scoped(
    std::string_view scope);  // kInvalidArgument: an empty name, which clients would ask about for ever

inline bool is_internal(std::string_view stream) { return stream.starts_with('_'); }
inline bool is_mark(std::string_view stream) {
    return stream.size() > kMarkPrefix.size() && stream.starts_with(kMarkPrefix);
}
StreamName mark_of(const StreamName& stream);
StreamName base_of(const StreamName& stream);  // of a companion: the stream it belongs to; of others: itself
StreamName reader_group_stream(std::string_view scope, std::string_view group);
StreamName key_value_table_stream(std::string_view scope, std::string_view table);

std::string to_string(const StreamName& name);                                // "scope/stream"
std::optional<StreamName> parse_scoped_name(std::string_view text);           // the reverse
std::string segment_name(const StreamName& stream, StreamSegmentId segment);  // "scope/stream/3.#epoch.1"
// "scope/stream/3.#epoch.1#transaction.<32 hex>"; the epoch is the transaction's, whatever that of the segment
std::string transaction_segment_name(const StreamName& stream, StreamSegmentId segment, const TransactionId& id);

struct ParsedSegment {
    StreamName stream;
    StreamSegmentId id;
};
std::optional<ParsedSegment> parse_segment_name(std::string_view name);  // the reverse; no part of a transaction

}  // namespace millrace::controller
