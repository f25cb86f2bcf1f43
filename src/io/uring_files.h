// Files on io_uring: one ring for one core loop. Operations of a loop turn are submitted together at its end, with one
// system call; completions wake the loop through an eventfd. Several synced writes in flight cost the core almost
// nothing. Thread rule: asynchronous calls on the loop's thread. Life cycle: destroy the file system on the loop's
// thread (it waits for the device and posts the completions) or when the loop does not run; operations on files that
// outlive it end with kClosed. The loop outlives all of them.
#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <string>

#include "io/file.h"
#include "runtime/core_loop.h"

namespace millrace::io {

// The error number of the system call that failed, where the system does not offer io_uring.
std::expected<std::unique_ptr<FileSystem>, int> make_uring_file_system(runtime::CoreLoop& loop);

// The likely cause in words; `sysctl` is the value of kernel.io_uring_disabled, where it exists.
std::string explain_uring_refusal(int error_number, std::optional<int> sysctl);

}  // namespace millrace::io
