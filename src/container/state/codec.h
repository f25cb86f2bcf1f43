// What the records of a container's state share (docs/formats/container-state.md): the list of kinds, ranges of keys,
// and the readers of keys and values. Keys and values are byte strings, held in std::string.
//
// Each kind has a header of its own with one struct, all of the same shape:
//
//   static constexpr Kind kKind;
//   static std::string key(...);                      // of the record with these ids
//   static KeyRange range(...);                       // of all records, or of those of one segment
//   void encode_key(bytes::Writer&) const;            // asserts the limits: the container checks them before it logs
//   void encode_value(bytes::Writer&) const;
//   static Result<R> decode(std::string_view key, std::string_view value);   // kCorrupt, kNewerFormat
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "bytes/binary.h"

namespace millrace::container::state {

// First byte of a key. For ever.
enum class Kind : std::uint8_t {
    kIdentity = 0x01,  // the store's own
    kApplied = 0x02,   // the store's own
    kAttribute = 'A',
    kCounters = 'C',
    kDoomed = 'D',
    kTransient = 'E',
    kMergedName = 'G',
    kInternalEntry = 'I',
    kManifest = 'M',
    kName = 'N',
    kObject = 'O',
    kSegment = 'S',
    kTableEntry = 'T',
    kTableVersion = 'V',
};

inline constexpr std::uint8_t kValueVersion = 1;
inline constexpr std::size_t kNameLimit = 65'535;
inline constexpr std::size_t kTableKeyLimit = 8192;
inline constexpr std::size_t kTableEntryLimit = std::size_t{1} << 20;  // key and value together
inline constexpr std::size_t kInternalStringLimit = std::size_t{1} << 20;
inline constexpr std::size_t kObjectKeyLimit = 1024;
inline constexpr std::uint64_t kOffsetLimit = std::uint64_t{1} << 63;  // offsets and lengths are below

// Keys from `begin` on, up to but without `end`. An empty `end` means no end.
struct KeyRange {
    std::string begin;
    std::string end;
    bool contains(std::string_view key) const { return key >= begin && (end.empty() || key < end); }
    bool operator==(const KeyRange&) const = default;
};

// All keys that begin with `prefix`, which is not empty.
KeyRange range_of_prefix(std::string prefix);

// The smallest key above `key`.
inline std::string next_key(std::string key) { return std::move(key) + '\0'; }

std::string kind_prefix(Kind kind);
std::string segment_prefix(Kind kind, SegmentId segment);  // kinds whose key begins with a segment id

// Builds a key with `write(bytes::Writer&)`.
template <typename Write>
std::string build_key(Write write) {
    std::vector<std::uint8_t> bytes;
    bytes::Writer out(bytes);
    write(out);
    return std::string(bytes.begin(), bytes.end());
}

// Reads a key and its value and fails quietly: read everything, then ask finish().
class RecordReader {
  public:
    RecordReader(Kind kind, std::string_view key, std::string_view value);

    bytes::Reader key;    // behind the kind
    bytes::Reader value;  // behind the version

    SegmentId segment_id() { return SegmentId(at_least_one(key.u64())); }
    std::uint64_t at_least_one(std::uint64_t v) {
        require(v >= 1);
        return v;
    }
    std::uint64_t offset(std::uint64_t v) {
        require(v < kOffsetLimit);
        return v;
    }
    std::int64_t version(std::uint64_t v, std::int64_t least) {
        auto version = static_cast<std::int64_t>(v);
        require(version >= least);
        return version;
    }
    std::uint8_t enumerated(std::uint8_t least, std::uint8_t most) {
        std::uint8_t v = value.u8();
        require(v >= least && v <= most);
        return v;
    }
    // All that is left of `in`, `least` to `most` bytes.
    std::string rest(bytes::Reader& in, std::size_t least, std::size_t most) {
        require(in.ok() && in.remaining() >= least && in.remaining() <= most);
        return std::string(bytes::as_text(in.rest()));
    }
    void require(bool condition) {
        if (!condition) sound_ = false;
    }

    template <typename Record>
    Result<Record> finish(Record record, std::string_view what) {
        if (!sound_ || newer_ || !key.ok() || !value.ok() || key.remaining() > 0 || value.remaining() > 0) {
            return fail(failure(what));
        }
        return record;
    }

  private:
    Error failure(std::string_view what) const;

    bool sound_ = true;
    bool newer_ = false;
};

}  // namespace millrace::container::state
