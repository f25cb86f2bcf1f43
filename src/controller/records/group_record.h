// group/<scope>/<group>
#pragma once

#include "controller/records/codec.h"

namespace millrace::controller {

struct GroupRecord {
    enum class State : std::uint8_t { kCreating = 1, kActive = 2, kUpdating = 3, kDeleting = 4 };
    State state = State::kCreating;
    ReaderGroupConfig config;
    std::optional<ReaderGroupConfig> next;  // while updating
    bool operator==(const GroupRecord&) const = default;

    static std::string prefix(std::string_view scope);
    static std::string key(std::string_view scope, std::string_view group);
    std::string encode() const;
    static Result<GroupRecord> decode(std::string_view value);
    static bool is_deleting(std::string_view value);
};

}  // namespace millrace::controller
