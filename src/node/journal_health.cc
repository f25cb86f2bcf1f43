#include "node/journal_health.h"

#include <utility>

#include <fmt/format.h>

namespace millrace::node {

rest::Health journal_health(rest::HealthStatus status, std::string files, const wal::LogSpace& space,
                            std::uint64_t torn_tails, std::uint64_t damaged_frames) {
    rest::Health journal{"journal", status, {}, {}};
    journal.details = {{"files", std::move(files)},
                       {"space", space.full ? "log full" : "free"},
                       {"usedBytes", fmt::to_string(space.used_bytes)},
                       {"limitBytes", fmt::to_string(space.limit_bytes)},
                       {"tornTails", fmt::to_string(torn_tails)},
                       {"damagedFrames", fmt::to_string(damaged_frames)}};
    return journal;
}

}  // namespace millrace::node
