// The journal as /v1/health shows it. A full journal is UP: reads, truncations and deletions go on, and those who can
// free space must reach the process. That it is full, and how full, is in the details.
#pragma once

#include <string>

#include "api/rest/health.h"
#include "wal/durable_log.h"

namespace millrace::node {

// "space" is "log full" while appends wait and requests that need space are refused, else "free"; "usedBytes" and
// "limitBytes" are decimal numbers, and so is "tornTails": incomplete frames at the end that this start repaired; and
// "damagedFrames": those that reads found changed on disk since the start.
rest::Health journal_health(rest::HealthStatus status, std::string files, const wal::LogSpace& space,
                            std::uint64_t torn_tails, std::uint64_t damaged_frames);

}  // namespace millrace::node
