// Invariants stay on in release builds. Which one to use:
//   MILLRACE_ASSERT(cond)   an invariant of our own code; false means a bug: prints and aborts (fail-stop; the log
//   recovers) Result<T>               everything that a peer, a disk or a user can cause
// Never assert on bytes that came from outside.
#pragma once

namespace millrace {
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);
}

#define MILLRACE_ASSERT(condition)                               \
    (__builtin_expect(static_cast<bool>(condition), 1) ? (void)0 \
                                                       : ::millrace::assertion_failed(#condition, __FILE__, __LINE__))
