// number/<scope>/<stream>
#pragma once

#include "controller/records/codec.h"

namespace millrace::controller {

// Of a stream that was deleted: a stream of the same name goes on behind it, so that no segment name is ever used
// twice.
struct LastNumberRecord {
    std::int32_t last_number = 0;
    bool operator==(const LastNumberRecord&) const = default;

    static std::string key(const StreamName& name);
    std::string encode() const;
    static Result<LastNumberRecord> decode(std::string_view value);
};

}  // namespace millrace::controller
