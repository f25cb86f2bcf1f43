// Files on a small pool of threads that make the blocking calls. Works everywhere; each operation costs two hand-overs.
// Thread rule: asynchronous calls from any thread. Life cycle: destroying the file system finishes what is under way;
// operations on files that outlive it end with kClosed. The executor outlives all of them.
#pragma once

#include <memory>

#include "io/file.h"

namespace millrace::io {

std::unique_ptr<FileSystem> make_thread_pool_file_system(runtime::Executor& executor);

}  // namespace millrace::io
