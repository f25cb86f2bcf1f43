// O, object id: an object in long-term storage, from the intent to write it until it is known to be deleted.
#pragma once

#include "container/state/codec.h"

namespace millrace::container::state {

using ObjectId = NamedInt<struct StoredObjectIdTag, std::uint64_t>;  // unique for ever within the container, from 1

enum class ObjectKind : std::uint8_t { kChunk = 1, kPack = 2 };
enum class ObjectState : std::uint8_t { kWriting = 1, kLive = 2, kDoomed = 3 };

struct ObjectRecord {
    ObjectId id;
    ObjectKind kind = ObjectKind::kChunk;
    ObjectState state = ObjectState::kWriting;
    std::uint64_t size = 0;
    std::uint64_t live_bytes = 0;  // that manifests name; 0 unless the object is live
    std::string key_name;          // in long-term storage
    bool operator==(const ObjectRecord&) const = default;

    static constexpr Kind kKind = Kind::kObject;
    static std::string key(ObjectId id);
    static KeyRange range() { return range_of_prefix(kind_prefix(kKind)); }
    void encode_key(bytes::Writer& out) const;
    void encode_value(bytes::Writer& out) const;
    static Result<ObjectRecord> decode(std::string_view key, std::string_view value);
};

}  // namespace millrace::container::state
