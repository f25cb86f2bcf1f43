// scope/<scope>
#pragma once

#include "controller/records/codec.h"

namespace millrace::controller {

struct ScopeRecord {
    enum class State : std::uint8_t { kActive = 1, kDeleting = 2 };
    State state = State::kActive;
    std::int64_t creation_ms = 0;
    bool operator==(const ScopeRecord&) const = default;

    static constexpr std::string_view kPrefix = "scope/";
    static std::string key(std::string_view scope) { return std::string(kPrefix).append(scope); }
    std::string encode() const;
    static Result<ScopeRecord> decode(std::string_view value);
};

}  // namespace millrace::controller
