// A file system in memory that can fail, for tests: errors, a full disk, slow or reordered completions, flipped bits,
// and above all the loss of power at any operation. Deterministic: it uses no thread and no time but the executor's.
//
//   MemoryFileSystem disk(executor);
//   disk.crash_at(17);                        // the 17th mutating operation begins and nothing ever completes again
//   ... run the code under test until disk.crashed() ...
//   for (const CrashChoice& choice : disk.crash_choices(1000, random)) {
//       auto after = disk.restart(executor, choice);   // what a restarted process may find
//       ... recover and compare with what was acknowledged ...
//   }
//
// Thread rule: one thread, the executor's. Life cycle: files and locks may outlive the file system; completions that
// are held or lost in a crash are destroyed, without having run, together with the file system. Durability: see
// memory_disk.h. Directories made by make_directories() are durable at once, as on the real file systems.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/file.h"
#include "io/memory_disk.h"

namespace millrace::io {

enum class OpKind {
    kOpen,
    kWrite,
    kRead,
    kSync,
    kResize,
    kRename,
    kLink,
    kRemove,
    kSyncDirectory,
    kMakeDirectories,
    kLock
};

// What survives a crash: each pending sector by itself, and a prefix of the pending directory operations.
struct CrashChoice {
    std::function<bool(const PendingSector&)> keep;
    std::size_t directory_operations = 0;  // how many of the pending ones are kept, from the first
    std::string description;               // for the message of a failing test

    static CrashChoice lose_all();
    static CrashChoice keep_all();
    static CrashChoice only(const std::vector<PendingSector>& kept, std::size_t directory_operations);
};

class MemoryFileSystem final : public FileSystem {
  public:
    explicit MemoryFileSystem(runtime::Executor& executor);
    ~MemoryFileSystem() override;
    MemoryFileSystem(const MemoryFileSystem&) = delete;
    MemoryFileSystem& operator=(const MemoryFileSystem&) = delete;

    // The contract of file.h.
    Result<std::unique_ptr<File>> open(const std::string& path, const OpenOptions& options) override;
    Result<> make_directories(const std::string& path) override;
    Result<std::vector<std::string>> list(const std::string& directory) override;
    Result<> rename(const std::string& from, const std::string& to) override;
    Result<> link(const std::string& from, const std::string& to) override;
    Result<> remove(const std::string& path) override;
    Result<bool> exists(const std::string& path) override;
    Result<FileStatus> status(const std::string& path) override;
    Result<> sync_directory(const std::string& path) override;
    Result<std::uint64_t> free_bytes(const std::string& path) override;
    Result<std::unique_ptr<FileLock>> lock(const std::string& path) override;
    void run_blocking(runtime::Task work, runtime::Task done) override;
    std::string description() const override { return "memory"; }

    // Mutating operations begun so far: writes, syncs, changes of size and of names.
    std::uint64_t operations() const;

    // From the moment the k-th mutating operation (counted from 1) has begun, nothing completes and nothing changes:
    // completions are dropped, blocking calls fail with kIo. crash() does so now.
    void crash_at(std::uint64_t operation);
    void crash();
    bool crashed() const;

    // What a crash now would leave open. Any moment will do, crashed or not.
    std::vector<PendingSector> pending() const;
    std::size_t pending_directory_operations() const;
    // All outcomes if there are at most `limit`, otherwise `limit` of them: nothing, everything, and samples of varied
    // density.
    std::vector<CrashChoice> crash_choices(std::size_t limit, Random& random) const;
    // The file system that a restarted process finds: no locks, no faults, the same capacity. This one is left as it
    // is.
    std::unique_ptr<MemoryFileSystem> restart(runtime::Executor& executor, const CrashChoice& choice) const;

    // The next `count` operations of this kind fail. A failed write may still have reached the disk in part; after a
    // failed sync what it should have covered is covered by no later sync (as on Linux).
    void fail_next(OpKind kind, Errc code, std::size_t count = 1);
    void set_broken(const std::string& path, bool broken);  // kIo for all contents of this file
    void set_capacity(std::uint64_t bytes);
    void flip_bit(const std::string& path, std::uint64_t offset, unsigned bit = 0);

    // Completions come after `latency`, or are held until released. Indices are positions in the queue of held
    // completions, in the order in which operations began.
    void set_latency(std::chrono::milliseconds latency);
    void set_hold(bool hold);  // switching off releases all
    std::size_t held() const;
    void release(std::size_t count);
    void release_in_order(std::span<const std::size_t> indices);

    Result<std::vector<std::uint8_t>> content(const std::string& path) const;  // as a reader would see it

    struct State;  // shared with files, locks and operations under way

  private:
    std::shared_ptr<State> state_;
};

}  // namespace millrace::io
