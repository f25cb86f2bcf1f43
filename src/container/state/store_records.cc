#include "container/state/store_records.h"

namespace millrace::container::state {

void IdentityRecord::encode_key(bytes::Writer& out) const { out.u8(static_cast<std::uint8_t>(kKind)); }

void IdentityRecord::encode_value(bytes::Writer& out) const {
    out.u8(kValueVersion);
    out.le32(format);
    out.le32(container.value());
}

Result<IdentityRecord> IdentityRecord::decode(std::string_view key, std::string_view value) {
    RecordReader in(kKind, key, value);
    IdentityRecord record;
    record.format = in.value.le32();
    record.container = ContainerId(in.value.le32());
    in.require(record.format >= 1);
    auto result = in.finish(record, "identity");
    if (result && result->format > kStateFormat) {
        return fail(Errc::kNewerFormat, "the container's state was written by a newer version of the program");
    }
    return result;
}

void AppliedRecord::encode_key(bytes::Writer& out) const { out.u8(static_cast<std::uint8_t>(kKind)); }

void AppliedRecord::encode_value(bytes::Writer& out) const {
    out.u8(kValueVersion);
    out.le64(through.value());
}

Result<AppliedRecord> AppliedRecord::decode(std::string_view key, std::string_view value) {
    RecordReader in(kKind, key, value);
    return in.finish(AppliedRecord{LogSequence(in.value.le64())}, "applied sequence");
}

}  // namespace millrace::container::state
