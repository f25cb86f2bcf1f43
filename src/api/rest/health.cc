#include "api/rest/health.h"

#include <algorithm>

namespace millrace::rest {

std::string_view to_string(HealthStatus status) {
    switch (status) {
        case HealthStatus::kFailed:
            return "FAILED";
        case HealthStatus::kDown:
            return "DOWN";
        case HealthStatus::kUnknown:
            return "UNKNOWN";
        case HealthStatus::kNew:
            return "NEW";
        case HealthStatus::kStarting:
            return "STARTING";
        case HealthStatus::kUp:
            return "UP";
    }
    return "UNKNOWN";
}

HealthStatus Health::worst() const {
    HealthStatus result = status;
    for (const Health& child : children) result = std::min(result, child.worst());
    return result;
}

const Health* Health::find(std::string_view path) const {
    const Health* at = this;
    while (!path.empty()) {
        std::string_view step = path.substr(0, path.find('/'));
        path.remove_prefix(std::min(path.size(), step.size() + 1));
        auto child = std::ranges::find(at->children, step, &Health::name);
        if (child == at->children.end()) return nullptr;
        at = &*child;
    }
    return at;
}

}  // namespace millrace::rest
