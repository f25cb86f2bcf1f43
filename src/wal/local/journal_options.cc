#include "wal/local/journal_options.h"

#include <fmt/format.h>

#include "wal/local/frame_format.h"

namespace millrace::wal::local {
namespace {

constexpr std::uint64_t kMaxInFlight = 64;

}  // namespace

Result<> validate(const JournalOptions& options) {
    auto refuse = [](std::string text) { return fail(Errc::kInvalidArgument, "journal options: " + std::move(text)); };
    if (options.directory.empty()) return refuse("no directory given");
    if (options.max_payload_bytes == 0 || options.max_payload_bytes > kMaxPayload) {
        return refuse(fmt::format("the largest payload must be from 1 to {} bytes", kMaxPayload));
    }
    if (options.file_bytes % kPage != 0 || options.first_file_bytes % kPage != 0) {
        return refuse("file sizes must be multiples of 4 KiB");
    }
    std::uint64_t least = frame_bytes(options.max_payload_bytes) + kMinFileBytes;
    if (options.file_bytes < least) {
        return refuse(fmt::format("a file of {} has no room for a frame of {}; at least {} are needed",
                                  format_bytes(options.file_bytes), format_bytes(options.max_payload_bytes),
                                  format_bytes(least)));
    }
    if (options.first_file_bytes < kMinFileBytes) return refuse("the first file is too small");
    if (options.limit_bytes / 4 < options.file_bytes) return refuse("the limit must allow at least four files");
    if (options.max_in_flight == 0 || options.max_in_flight > kMaxInFlight) {
        return refuse(fmt::format("writes in flight must be from 1 to {}", kMaxInFlight));
    }
    if (options.max_write_bytes < kPage) return refuse("a write must be allowed at least 4 KiB");
    return {};
}

}  // namespace millrace::wal::local
