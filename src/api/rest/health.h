// Health of the process as a tree of components, in the terms of the REST API.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace::rest {

enum class HealthStatus : std::uint8_t { kFailed, kDown, kUnknown, kNew, kStarting, kUp };  // from worst to best

std::string_view to_string(HealthStatus status);
constexpr bool is_alive(HealthStatus status) { return status >= HealthStatus::kNew; }
constexpr bool is_ready(HealthStatus status) { return status == HealthStatus::kUp; }

struct Health {
    std::string name;
    HealthStatus status = HealthStatus::kUnknown;
    std::vector<std::pair<std::string, std::string>> details;
    std::vector<Health> children;

    // Its own status or the worst of its children's, whichever is worse.
    HealthStatus worst() const;
    // A component by its names from the root downwards, "/" between them; the empty path is the root. Null when
    // unknown.
    const Health* find(std::string_view path) const;
};

}  // namespace millrace::rest
