// epoch/<scope>/<stream>/<epoch>
#pragma once

#include "controller/records/codec.h"

namespace millrace::controller {

struct EpochRecord {
    Epoch epoch;
    bool operator==(const EpochRecord&) const = default;

    static std::string prefix(const StreamName& name);
    static std::string key(const StreamName& name, std::int32_t epoch);
    std::string encode() const;
    static Result<EpochRecord> decode(std::string_view value);
};

}  // namespace millrace::controller
