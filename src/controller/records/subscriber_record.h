// subscriber/<scope>/<stream>/<group's scope>/<group>
#pragma once

#include "controller/records/codec.h"

namespace millrace::controller {

// A reader group whose progress the retention of a stream looks at.
struct SubscriberRecord {
    std::int64_t generation = 0;
    Uuid group_id;
    StreamCut cut;  // empty: none reported
    bool operator==(const SubscriberRecord&) const = default;

    static std::string prefix(const StreamName& stream);
    static std::string key(const StreamName& stream, std::string_view subscriber);  // "scope/group"
    std::string encode() const;
    static Result<SubscriberRecord> decode(std::string_view value);
};

}  // namespace millrace::controller
