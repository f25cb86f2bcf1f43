// What a disk with a file system on it may hold after a loss of power: for every file the content that is durable, and
// in order the changes that are not; the names that are durable, and in order the directory operations that are not.
// Synchronous and without faults: MemoryFileSystem adds time, errors and the crash itself.
//
// The model is no stronger than POSIX promises. A synced write makes itself durable and nothing else but earlier size
// changes of its file; sync() covers what had completed when it began; a name is durable by sync of its directory only;
// sectors of 512 bytes are the unit of a torn write, and those of one write survive independently of each other and of
// other writes.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "io/sparse_bytes.h"

namespace millrace::io {

inline constexpr std::size_t kSectorSize = 512;

// One change that a crash may keep or lose.
struct PendingSector {
    static constexpr std::uint64_t kResize = UINT64_MAX;  // as `sector`: not data but a change of the file's size

    std::string file;
    std::uint64_t sector = 0;
    std::uint64_t write_id = 0;
    bool in_flight = false;  // its completion has not been delivered
};

// A change of one file that is not durable: a write, or a change of size.
struct PendingChange {
    std::uint64_t id = 0;
    std::uint64_t completed = 0;  // position in the order of completions; 0: in flight
    bool untracked = false;       // a failed write or a failed sync: later syncs do not cover it
    bool is_resize = false;
    std::uint64_t new_size = 0;
    std::uint64_t offset = 0;
    std::vector<std::uint8_t> data;
    std::vector<bool> superseded;  // bytes that a later durable change has overwritten; empty: none
};

struct MemoryInode {
    std::uint64_t id = 0;
    std::string path;  // the newest name
    std::int64_t modified_ms = 0;
    SparseBytes current;
    SparseBytes durable;
    std::vector<std::shared_ptr<PendingChange>> pending;  // in the order of their start

    std::uint64_t claimed_size() const;  // with what writes in flight will add
};

using MemoryInodeRef = std::shared_ptr<MemoryInode>;

class MemoryDisk {
  public:
    MemoryDisk() { directories_.insert("/"); }

    // Names. `path` is normalised by the caller; parents must exist.
    MemoryInodeRef find(const std::string& path) const;
    bool is_directory(const std::string& path) const { return directories_.contains(path); }
    MemoryInodeRef create(const std::string& path);
    void make_directory(const std::string& path) { directories_.insert(path); }  // durable at once
    void remove_directory(const std::string& path) { directories_.erase(path); }
    void rename(const std::string& from, const std::string& to);
    void link(const std::string& from, const std::string& to);
    void remove(const std::string& path);
    std::vector<std::string> list(const std::string& directory) const;
    void sync_directory(const std::string& directory);

    // Contents. begin_write() puts the sectors at risk; complete_write() makes them visible, and durable with `sync`.
    std::shared_ptr<PendingChange> begin_write(MemoryInode& inode, std::uint64_t offset,
                                               std::vector<std::uint8_t> data);
    void complete_write(MemoryInode& inode, const std::shared_ptr<PendingChange>& change, bool sync);
    void fail_write(const std::shared_ptr<PendingChange>& change);
    void resize(MemoryInode& inode, std::uint64_t size);
    std::uint64_t sync_point() const { return completions_; }
    void sync(MemoryInode& inode, std::uint64_t point);  // makes durable what completed up to `point`
    void fail_sync(MemoryInode& inode,
                   std::uint64_t point);  // as Linux does: dirty pages are forgotten, the next sync succeeds

    std::uint64_t used_bytes() const;

    // The crash.
    std::vector<PendingSector> pending() const;
    std::size_t pending_directory_operations() const { return directory_operations_.size(); }
    MemoryDisk image(const std::function<bool(const PendingSector&)>& keep,
                     std::size_t directory_operations_kept) const;

  private:
    using Names = std::map<std::string, MemoryInodeRef>;
    struct DirectoryOperation {
        enum class Kind { kCreate, kRename, kRemove } kind;  // a link is the creation of a name
        std::string path;
        std::string from;  // of a rename
        MemoryInodeRef inode;
    };

    static void apply(const DirectoryOperation& operation, Names& names);
    static void commit(MemoryInode& inode, const std::shared_ptr<PendingChange>& change);
    std::vector<MemoryInodeRef> reachable() const;

    Names names_;
    Names durable_names_;
    std::set<std::string> directories_;
    std::vector<DirectoryOperation> directory_operations_;
    std::uint64_t last_inode_ = 0;
    std::uint64_t last_change_ = 0;
    std::uint64_t completions_ = 0;
};

std::string parent_of(const std::string& normal_path);

}  // namespace millrace::io
