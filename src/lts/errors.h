// What a caller can do about an error of long-term storage.
#pragma once

#include <string_view>

#include "base/error.h"

namespace millrace::lts {

// The same call may succeed later without anybody's doing (kUnavailable, kIo) or when space was freed (kNoSpace). The
// outcome of the failed call may be unknown.
bool is_retryable(const Error& error);

// Another owner has taken over: whoever gets this stops writing.
bool is_fenced(const Error& error);

// The error with the name of what it is about before its text: "object a/b: ...".
Error about_object(std::string_view key, const Error& error);
Error about_register(std::string_view key, const Error& error);

}  // namespace millrace::lts
