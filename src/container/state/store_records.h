// 0x01 and 0x02: what the store says of itself. Written by StateStore, never by the container.
#pragma once

#include "container/state/codec.h"

namespace millrace::container::state {

inline constexpr std::uint32_t kStateFormat = 1;

struct IdentityRecord {
    std::uint32_t format = kStateFormat;
    ContainerId container;
    bool operator==(const IdentityRecord&) const = default;

    static constexpr Kind kKind = Kind::kIdentity;
    static std::string key() { return kind_prefix(kKind); }
    void encode_key(bytes::Writer& out) const;
    void encode_value(bytes::Writer& out) const;
    // kNewerFormat also for a state of a later format.
    static Result<IdentityRecord> decode(std::string_view key, std::string_view value);
};

struct AppliedRecord {
    LogSequence through;
    bool operator==(const AppliedRecord&) const = default;

    static constexpr Kind kKind = Kind::kApplied;
    static std::string key() { return kind_prefix(kKind); }
    void encode_key(bytes::Writer& out) const;
    void encode_value(bytes::Writer& out) const;
    static Result<AppliedRecord> decode(std::string_view key, std::string_view value);
};

}  // namespace millrace::container::state
