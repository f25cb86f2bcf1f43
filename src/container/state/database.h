// RocksDB behind a small blocking interface: the only file that knows RocksDB is database.cc. Thread-safe; every call
// may wait for the disk, so it runs on a pool's thread. What the calls mean: state_store.h.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/units.h"
#include "container/state/state_store.h"

namespace millrace::container::state {

struct StateResourceOptions {
    std::size_t cache_bytes = 64 * kMiB;  // blocks that were read, indices, filters, and the write buffers
    std::size_t write_buffer_bytes =
        48 * kMiB;  // of all stores; a part of cache_bytes. The fullest store flushes early
    int flush_threads = 1;
    int compaction_threads = 1;
};

// What the stores of all containers of a node share, so that memory and threads do not grow with their number.
// Thread-safe. The stores keep it alive.
class StateResources {
  public:
    explicit StateResources(StateResourceOptions options = {});
    ~StateResources();

    const StateResourceOptions& options() const { return options_; }
    std::size_t cache_used_bytes() const;  // write buffers included
    std::size_t write_buffer_used_bytes() const;
    std::uint64_t damages()
        const;  // places of the files that were found damaged while stores were open; the log names them

  private:
    friend class Database;
    struct Parts;
    const StateResourceOptions options_;
    std::unique_ptr<Parts> parts_;
};

struct DatabaseOptions {
    std::string directory;  // made when it is missing; its parent is there
    ContainerId container;
    std::size_t write_buffer_bytes = 16 * kMiB;  // flushed by itself at this size
    int open_files_max = 200;
    std::uint64_t min_free_bytes =
        0;  // of the disk, below which nothing should be written: RocksDB does not get over it
};

class Database {
  public:
    // kCorrupt (also: of another container), kNewerFormat, kLocked (in use), kNoSpace, kIo.
    static Result<std::shared_ptr<Database>> open(DatabaseOptions options, std::shared_ptr<StateResources> resources);
    ~Database();

    LogSequence written() const { return LogSequence(written_.load(std::memory_order_acquire)); }

    // kUnavailable: the disk has less than min_free_bytes.
    Result<> check_space() const;
    // All batches in one step, in order. One caller at a time. kUnavailable (the disk does not keep up):
    // nothing was written, try again later.
    Result<> write(std::span<const StateBatch* const> batches, LogSequence through);
    // Errors are final, kNoSpace too: what is in the files is right, and is opened again when there is space.
    Result<LogSequence> flush();
    Result<LogSequence> persisted();  // what the files have

    Result<StateValue> get(const std::string& key);
    Result<StateValues> multi_get(const std::vector<std::string>& keys);
    Result<ScanPage> scan(const ScanRequest& request);
    Result<> load(const KeyRange& range, const StateStore::Visit& visit);

    struct Sizes {
        std::uint64_t disk_bytes = 0;
        std::uint64_t write_buffer_bytes = 0;
        std::uint64_t reader_bytes = 0;
    };
    Sizes sizes();

  private:
    struct Rocks;
    Database(DatabaseOptions options, std::shared_ptr<StateResources> resources);
    Result<> open_files();
    Result<> check_identity();
    bool must_wait();

    const DatabaseOptions options_;
    const std::shared_ptr<StateResources> resources_;
    std::unique_ptr<Rocks> rocks_;
    std::atomic<std::uint64_t> written_{0};
};

}  // namespace millrace::container::state
