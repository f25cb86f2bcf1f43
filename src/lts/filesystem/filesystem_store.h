// ChunkStore on a directory: of this machine, or of a network file system that several nodes mount (with hard links,
// locks and close-to-open consistency: NFS 4). An object is written under a temporary name, synced, linked to its own
// name without replacing one that is there, and the directory synced. Layout: docs/formats/long-term-storage.md.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/error.h"
#include "io/file.h"
#include "lts/chunk_store.h"

namespace millrace::lts {

struct FilesystemOptions {
    std::string directory;                                    // made if missing
    std::uint64_t min_free_bytes = 0;                         // of the disk: below it objects are refused (kNoSpace)
    std::chrono::milliseconds register_lock_timeout{10'000};  // kUnavailable when another process holds it longer
    // A directory that cannot be used now (read-only, not ours, not there) is no error of opening: what writes fails,
    // and tries the directory again, at most once a second, until it can be used.
    bool may_be_away = false;
};

// Blocking: for start-up. kNewerFormat and kCorrupt: the directory is not one that this program may use. Removes what
// stores that ended by a crash left half-written; what living ones, also of other processes and machines, are writing
// stays. `files` works on `executor` and outlives the store and its uploads. It is best one of its own: the threads
// that sync large objects are then not those that the journal waits for.
Result<std::unique_ptr<ChunkStore>> open_filesystem_store(runtime::Executor& executor, io::FileSystem& files,
                                                          FilesystemOptions options);

}  // namespace millrace::lts
