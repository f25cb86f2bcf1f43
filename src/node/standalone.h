// The process of `millrace standalone`: its limits, signals, ready message and exit status around a Node.
#pragma once

#include "node/options.h"

namespace millrace::node {

inline constexpr int kExitEnded = 0;       // asked to, by SIGTERM or SIGINT
inline constexpr int kExitNotStarted = 1;  // one line on stderr says why
inline constexpr int kExitFailed = 3;      // stopped itself: what was acknowledged is safe, the next start recovers it

// Returns the exit status. Call it once, from main, before there are other threads.
int run_standalone(NodeOptions options);

}  // namespace millrace::node
