// Options of the local journal; node/ assembles them.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/units.h"
#include "wal/durable_log.h"

namespace millrace::wal::local {

struct JournalOptions {
    std::string directory;                 // made if missing; holds only journal files
    std::uint64_t file_bytes = 64 * kMiB;  // of a journal file; pre-written with zeros, then recycled
    std::uint64_t first_file_bytes =
        16 * kMiB;                          // the very first one is smaller, so that an empty directory starts quickly
    std::uint64_t limit_bytes = 64 * kGiB;  // of all files together
    std::uint64_t min_free_bytes = 512 * kMiB;  // of the disk: below it no new file is made
    std::uint32_t max_in_flight = 4;            // synced writes at a time
    std::uint64_t max_write_bytes = 4 * kMiB;   // frames gathered into one write; a larger frame is a write of its own
    std::uint64_t max_payload_bytes = kMaxPayload;  // of a frame; a journal file must have room for it
};

// kInvalidArgument with a text. Every file (but the very first) has room for the largest frame, and the limit for four
// files: one held back, one written, one in reserve, one being recycled.
Result<> validate(const JournalOptions& options);

}  // namespace millrace::wal::local
