// Table segments. Keys and values are bytes in std::strings, owned: these requests outlive their frame.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "wire/command_type.h"

namespace millrace::wire {

inline constexpr std::int64_t kNoVersion = std::numeric_limits<std::int64_t>::min();  // TableKey: unconditional
inline constexpr std::int64_t kNotExists = -1;      // TableKey: must not exist; is absent
inline constexpr std::int64_t kNoTableOffset = -1;  // tableSegmentOffset: no condition

// An empty key has no version on the wire; it is read as kNoVersion.
struct TableKey {
    static constexpr std::size_t kMinWireBytes = 8;
    std::string key;
    std::int64_t version = kNoVersion;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.table_key("key", c.key, c.version);
    }
};

struct TableEntry {
    static constexpr std::size_t kMinWireBytes = 16;
    std::string key;
    std::int64_t version = kNoVersion;
    std::string value;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.table_key("key", c.key, c.version);
        v.table_value("value", c.value);
    }
};

// The obsolete prefix filter is skipped when read and written empty.
struct TableIteratorArgs {
    std::string continuation_token;
    std::string from_key;
    std::string to_key;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.optional_blob("continuationToken", c.continuation_token);
        v.obsolete_blob("prefixFilter");
        v.optional_blob("fromKey", c.from_key);
        v.optional_blob("toKey", c.to_key);
    }
};

struct TableSegmentInfo {
    static constexpr CommandType kType = CommandType::kTableSegmentInfo;
    std::int64_t request_id = 0;
    std::string segment;
    std::int64_t start_offset = 0;
    std::int64_t length = 0;
    std::int64_t entry_count = 0;
    std::int32_t key_length = 0;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.value("startOffset", c.start_offset);
        v.value("length", c.length);
        v.value("entryCount", c.entry_count);
        v.value("keyLength", c.key_length);
    }
};

struct CreateTableSegment {
    static constexpr CommandType kType = CommandType::kCreateTableSegment;
    std::int64_t request_id = 0;
    std::string segment;
    std::string delegation_token;
    bool sorted_deprecated = false;
    std::int32_t key_length = 0;
    std::int64_t rollover_size_bytes = 0;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.token("delegationToken", c.delegation_token);
        v.optional("sortedDeprecated", c.sorted_deprecated);
        v.optional("keyLength", c.key_length);
        v.optional("rolloverSizeBytes", c.rollover_size_bytes);
    }
};

struct DeleteTableSegment {
    static constexpr CommandType kType = CommandType::kDeleteTableSegment;
    std::int64_t request_id = 0;
    std::string segment;
    bool must_be_empty = false;
    std::string delegation_token;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.value("mustBeEmpty", c.must_be_empty);
        v.token("delegationToken", c.delegation_token);
    }
};

struct UpdateTableEntries {
    static constexpr CommandType kType = CommandType::kUpdateTableEntries;
    std::int64_t request_id = 0;
    std::string segment;
    std::string delegation_token;
    std::vector<TableEntry> entries;
    std::int64_t table_segment_offset = kNoTableOffset;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.token("delegationToken", c.delegation_token);
        v.lenient_list("entries", c.entries);
        v.if_any("tableSegmentOffset", c.table_segment_offset);
    }
};

struct TableEntriesUpdated {
    static constexpr CommandType kType = CommandType::kTableEntriesUpdated;
    std::int64_t request_id = 0;
    std::vector<std::int64_t> updated_versions;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.list("updatedVersions", c.updated_versions);
    }
};

struct RemoveTableKeys {
    static constexpr CommandType kType = CommandType::kRemoveTableKeys;
    std::int64_t request_id = 0;
    std::string segment;
    std::string delegation_token;
    std::vector<TableKey> keys;
    std::int64_t table_segment_offset = kNoTableOffset;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.token("delegationToken", c.delegation_token);
        v.list("keys", c.keys);
        v.if_any("tableSegmentOffset", c.table_segment_offset);
    }
};

struct ReadTable {
    static constexpr CommandType kType = CommandType::kReadTable;
    std::int64_t request_id = 0;
    std::string segment;
    std::string delegation_token;
    std::vector<TableKey> keys;  // their versions mean nothing

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.token("delegationToken", c.delegation_token);
        v.list("keys", c.keys);
    }
};

struct TableRead {
    static constexpr CommandType kType = CommandType::kTableRead;
    std::int64_t request_id = 0;
    std::string segment;
    std::vector<TableEntry> entries;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.lenient_list("entries", c.entries);
    }
};

struct ReadTableKeys {
    static constexpr CommandType kType = CommandType::kReadTableKeys;
    std::int64_t request_id = 0;
    std::string segment;
    std::string delegation_token;
    std::int32_t suggested_key_count = 0;
    TableIteratorArgs args;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.token("delegationToken", c.delegation_token);
        v.value("suggestedKeyCount", c.suggested_key_count);
        TableIteratorArgs::fields(c.args, v);
    }
};

struct TableKeysRead {
    static constexpr CommandType kType = CommandType::kTableKeysRead;
    std::int64_t request_id = 0;
    std::string segment;
    std::vector<TableKey> keys;
    std::string continuation_token;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.list("keys", c.keys);
        v.blob("continuationToken", c.continuation_token);
    }
};

struct ReadTableEntries {
    static constexpr CommandType kType = CommandType::kReadTableEntries;
    std::int64_t request_id = 0;
    std::string segment;
    std::string delegation_token;
    std::int32_t suggested_entry_count = 0;
    TableIteratorArgs args;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.token("delegationToken", c.delegation_token);
        v.value("suggestedEntryCount", c.suggested_entry_count);
        TableIteratorArgs::fields(c.args, v);
    }
};

struct TableEntriesRead {
    static constexpr CommandType kType = CommandType::kTableEntriesRead;
    std::int64_t request_id = 0;
    std::string segment;
    std::vector<TableEntry> entries;
    std::string continuation_token;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.lenient_list("entries", c.entries);
        v.blob("continuationToken", c.continuation_token);
    }
};

struct ReadTableEntriesDelta {
    static constexpr CommandType kType = CommandType::kReadTableEntriesDelta;
    std::int64_t request_id = 0;
    std::string segment;
    std::string delegation_token;
    std::int64_t from_position = 0;
    std::int32_t suggested_entry_count = 0;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.token("delegationToken", c.delegation_token);
        v.value("fromPosition", c.from_position);
        v.value("suggestedEntryCount", c.suggested_entry_count);
    }
};

struct TableEntriesDeltaRead {
    static constexpr CommandType kType = CommandType::kTableEntriesDeltaRead;
    std::int64_t request_id = 0;
    std::string segment;
    std::vector<TableEntry> entries;
    bool should_clear = false;
    bool reached_end = false;
    std::int64_t last_position = 0;

    template <typename Self, typename Visitor>
    static void fields(Self& c, Visitor& v) {
        v.value("requestId", c.request_id);
        v.segment("segment", c.segment);
        v.lenient_list("entries", c.entries);
        v.value("shouldClear", c.should_clear);
        v.value("reachedEnd", c.reached_end);
        v.value("lastPosition", c.last_position);
    }
};

}  // namespace millrace::wire
