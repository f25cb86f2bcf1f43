// Files, seen as the journal needs them: asynchronous reads and (synced) writes whose completions run on one executor,
// and blocking calls for start-up and housekeeping. Three implementations keep this contract: io_uring, a thread pool,
// and memory with faults. Rules: buffers must stay valid until the completion; completions of different operations may
// come in any order; a completion always comes, exactly once, on the executor, never from inside the call. Operations
// on a destroyed File are finished first. Thread rule: asynchronous calls on the executor's thread, blocking calls from
// any. Life cycle: the file system is destroyed on the executor's thread, or when it does not run; that finishes what
// is under way, and later calls on its files end with kClosed. The executor outlives all of them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "bytes/buffer.h"
#include "runtime/executor.h"

namespace millrace::io {

struct OpenOptions {
    bool create = false;     // create if missing
    bool exclusive = false;  // with create: fail with kExists if it is there
    bool direct = false;  // O_DIRECT: offsets, sizes and memory in units of 4 KiB; silently buffered where unsupported
    bool read_only = false;
};

class File {
  public:
    virtual ~File() = default;

    // Writes all pieces in sequence from `offset`. With `sync` the completion means: on stable storage (data, and what
    // is needed to read it back; the file's size when it is unchanged). Several writes may be in flight.
    virtual void write(std::uint64_t offset, std::vector<bytes::ByteSpan> pieces, bool sync,
                       runtime::Callback<Result<>> done) = 0;
    // Fills `target` from `offset`; the result is the count read, smaller only at the end of the file.
    virtual void read(std::uint64_t offset, bytes::MutableByteSpan target,
                      runtime::Callback<Result<std::size_t>> done) = 0;
    virtual void sync(runtime::Callback<Result<>> done) = 0;

    // Blocking: for start-up, and for housekeeping on a pool thread. Never on a core loop that serves requests.
    virtual Result<> write_blocking(std::uint64_t offset, bytes::ByteSpan data) = 0;
    virtual Result<std::size_t> read_blocking(std::uint64_t offset, bytes::MutableByteSpan target) = 0;
    virtual Result<> sync_blocking() = 0;
    virtual Result<std::uint64_t> size() = 0;
    virtual Result<> resize(std::uint64_t size) = 0;  // grows with zeros, or cuts
    // Takes room on the disk for the bytes up to `size`, so that writing them finds it allocated; a shorter file may
    // read as zeros up to there. Nothing where the file system knows no such call. kNoSpace.
    virtual Result<> reserve(std::uint64_t /*size*/) { return {}; }
};

// An exclusive lock on a file, held until destroyed or until the process ends.
class FileLock {
  public:
    virtual ~FileLock() = default;
};

struct FileStatus {
    bool directory = false;
    bool regular = false;          // a file; neither is a pipe, whose opening may wait for ever
    std::uint64_t size = 0;        // of a file
    std::int64_t modified_ms = 0;  // ms since the epoch: of the last change of the content
    std::uint64_t device = 0;      // the same for all files of a mounted file system
};

class FileSystem {
  public:
    virtual ~FileSystem() = default;

    virtual Result<std::unique_ptr<File>> open(const std::string& path, const OpenOptions& options) = 0;
    virtual Result<> make_directories(
        const std::string& path) = 0;  // with the missing parents; durable when it returns
    virtual Result<std::vector<std::string>> list(
        const std::string& directory) = 0;  // plain names, sorted, without . and ..
    virtual Result<> rename(const std::string& from, const std::string& to) = 0;  // atomic, replaces
    // Gives a file a second name, atomically; kExists when `to` is there, so of several only one succeeds. kUnsupported
    // where the file system has no hard links. Durable by sync_directory(), as a rename is.
    virtual Result<> link(const std::string& from, const std::string& to) = 0;
    virtual Result<> remove(const std::string& path) = 0;
    virtual Result<bool> exists(const std::string& path) = 0;
    virtual Result<FileStatus> status(const std::string& path) = 0;  // kNotFound
    virtual Result<> sync_directory(
        const std::string& path) = 0;  // makes creations, renames and removals in it durable
    virtual Result<std::uint64_t> free_bytes(const std::string& path) = 0;
    virtual Result<std::unique_ptr<FileLock>> lock(const std::string& path) = 0;  // kLocked when another holds it

    // Runs blocking work away from the core loops and posts `done` back to the executor. For housekeeping (zeroing
    // files).
    virtual void run_blocking(runtime::Task work, runtime::Task done) = 0;

    virtual std::string description() const = 0;  // "io_uring", "thread pool of 4", for the start-up log
};

enum class Backend { kAuto, kUring, kThreads };

// Opens the file system for one executor. kAuto takes io_uring where the kernel allows it and says in the log what was
// chosen and why (seccomp, sysctl kernel.io_uring_disabled, old kernel). kUring fails with kUnsupported where it is not
// available.
Result<std::unique_ptr<FileSystem>> make_file_system(runtime::Executor& executor, Backend backend);

}  // namespace millrace::io
