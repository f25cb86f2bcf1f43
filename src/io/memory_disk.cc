#include "io/memory_disk.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace millrace::io {
namespace {

bool is_live(const PendingChange& change, std::size_t index) {
    return change.superseded.empty() || !change.superseded[index];
}

// Marks what `change` has in [begin, end) of the file as overwritten.
void supersede(PendingChange& change, std::uint64_t begin, std::uint64_t end) {
    begin = std::max(begin, change.offset);
    end = std::min(end, change.offset + change.data.size());
    if (begin >= end) return;
    if (change.superseded.empty()) change.superseded.resize(change.data.size());
    for (std::uint64_t i = begin; i < end; ++i) change.superseded[i - change.offset] = true;
}

bool wholly_superseded(const PendingChange& change) {
    return !change.superseded.empty() &&
           std::find(change.superseded.begin(), change.superseded.end(), false) == change.superseded.end();
}

// Calls run(offset in the file, bytes) for each stretch of live bytes in [begin, end) of the change's own data.
template <typename Run>
void for_live_runs(const PendingChange& change, std::size_t begin, std::size_t end, const Run& run) {
    while (begin < end) {
        if (!is_live(change, begin)) {
            ++begin;
            continue;
        }
        std::size_t stop = change.superseded.empty() ? end : begin;
        while (stop < end && is_live(change, stop)) ++stop;
        run(change.offset + begin, bytes::ByteSpan(change.data).subspan(begin, stop - begin));
        begin = stop;
    }
}

// Calls visit(sector, begin, end) for each sector of a write, with its range in the write's own data.
template <typename Visit>
void for_sectors(const PendingChange& change, const Visit& visit) {
    std::size_t begin = 0;
    while (begin < change.data.size()) {
        std::uint64_t sector = (change.offset + begin) / kSectorSize;
        std::size_t end = std::min<std::uint64_t>((sector + 1) * kSectorSize - change.offset, change.data.size());
        bool live = false;
        for (std::size_t i = begin; i < end && !live; ++i) live = is_live(change, i);
        if (live) visit(sector, begin, end);
        begin = end;
    }
}

// Completed changes in the order of their completion, then those in flight in the order of their start.
std::vector<std::shared_ptr<PendingChange>> in_order(const MemoryInode& inode) {
    auto changes = inode.pending;
    auto key = [](const auto& change) {
        return std::pair(change->completed == 0 ? UINT64_MAX : change->completed, change->id);
    };
    std::sort(changes.begin(), changes.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
    return changes;
}

}  // namespace

std::string parent_of(const std::string& normal_path) {
    std::size_t slash = normal_path.rfind('/');
    return slash == 0 || slash == std::string::npos ? "/" : normal_path.substr(0, slash);
}

std::uint64_t MemoryInode::claimed_size() const {
    std::uint64_t size = current.size();
    for (const auto& change : pending) {
        if (change->completed == 0 && !change->data.empty())
            size = std::max<std::uint64_t>(size, change->offset + change->data.size());
    }
    return size;
}

MemoryInodeRef MemoryDisk::find(const std::string& path) const {
    auto found = names_.find(path);
    return found == names_.end() ? nullptr : found->second;
}

void MemoryDisk::apply(const DirectoryOperation& operation, Names& names) {
    switch (operation.kind) {
        case DirectoryOperation::Kind::kCreate:
            names[operation.path] = operation.inode;
            break;
        case DirectoryOperation::Kind::kRename:
            names.erase(operation.from);
            names[operation.path] = operation.inode;
            break;
        case DirectoryOperation::Kind::kRemove:
            names.erase(operation.path);
            break;
    }
}

MemoryInodeRef MemoryDisk::create(const std::string& path) {
    auto inode = std::make_shared<MemoryInode>();
    inode->id = ++last_inode_;
    inode->path = path;
    directory_operations_.push_back({DirectoryOperation::Kind::kCreate, path, {}, inode});
    apply(directory_operations_.back(), names_);
    return inode;
}

void MemoryDisk::rename(const std::string& from, const std::string& to) {
    MemoryInodeRef inode = find(from);
    MILLRACE_ASSERT(inode != nullptr);
    inode->path = to;
    directory_operations_.push_back({DirectoryOperation::Kind::kRename, to, from, inode});
    apply(directory_operations_.back(), names_);
}

void MemoryDisk::link(const std::string& from, const std::string& to) {
    MemoryInodeRef inode = find(from);
    MILLRACE_ASSERT(inode != nullptr);
    inode->path = to;
    directory_operations_.push_back({DirectoryOperation::Kind::kCreate, to, {}, inode});
    apply(directory_operations_.back(), names_);
}

void MemoryDisk::remove(const std::string& path) {
    directory_operations_.push_back({DirectoryOperation::Kind::kRemove, path, {}, find(path)});
    apply(directory_operations_.back(), names_);
}

std::vector<std::string> MemoryDisk::list(const std::string& directory) const {
    std::vector<std::string> names;
    for (const auto& [path, inode] : names_) {
        if (parent_of(path) == directory) names.push_back(path.substr(path.rfind('/') + 1));
    }
    for (const std::string& path : directories_) {
        if (path != "/" && parent_of(path) == directory) names.push_back(path.substr(path.rfind('/') + 1));
    }
    std::sort(names.begin(), names.end());
    return names;
}

void MemoryDisk::sync_directory(const std::string& directory) {
    // A rename between directories is durable with its target's directory.
    std::vector<DirectoryOperation> rest;
    for (DirectoryOperation& operation : directory_operations_) {
        if (parent_of(operation.path) == directory)
            apply(operation, durable_names_);
        else
            rest.push_back(std::move(operation));
    }
    directory_operations_ = std::move(rest);
}

std::shared_ptr<PendingChange> MemoryDisk::begin_write(MemoryInode& inode, std::uint64_t offset,
                                                       std::vector<std::uint8_t> data) {
    auto change = std::make_shared<PendingChange>();
    change->id = ++last_change_;
    change->offset = offset;
    change->data = std::move(data);
    inode.pending.push_back(change);
    return change;
}

void MemoryDisk::commit(MemoryInode& inode, const std::shared_ptr<PendingChange>& change) {
    if (change->is_resize) {
        inode.durable.resize(change->new_size);
    } else {
        for_live_runs(*change, 0, change->data.size(),
                      [&](std::uint64_t offset, bytes::ByteSpan data) { inode.durable.write(offset, data); });
    }
    for (const auto& other : inode.pending) {
        if (other == change || other->completed == 0 || other->completed > change->completed) continue;
        if (change->is_resize)
            supersede(*other, change->new_size, UINT64_MAX);
        else
            for_live_runs(*change, 0, change->data.size(), [&](std::uint64_t offset, bytes::ByteSpan data) {
                supersede(*other, offset, offset + data.size());
            });
    }
    std::erase_if(inode.pending, [&](const auto& other) {
        // An untracked change of size cannot come back once something after it is durable.
        bool stale_resize = other->is_resize && other->completed < change->completed;
        return other == change || stale_resize || (other->completed != 0 && wholly_superseded(*other));
    });
}

void MemoryDisk::complete_write(MemoryInode& inode, const std::shared_ptr<PendingChange>& change, bool sync) {
    change->completed = ++completions_;
    inode.current.write(change->offset, change->data);
    if (!sync) return;
    for (const auto& earlier : in_order(inode)) {
        if (earlier->is_resize && !earlier->untracked) commit(inode, earlier);
    }
    commit(inode, change);
}

void MemoryDisk::fail_write(const std::shared_ptr<PendingChange>& change) {
    change->completed = ++completions_;
    change->untracked = true;
}

void MemoryDisk::resize(MemoryInode& inode, std::uint64_t size) {
    auto change = std::make_shared<PendingChange>();
    change->id = ++last_change_;
    change->is_resize = true;
    change->new_size = size;
    change->completed = ++completions_;
    inode.pending.push_back(change);
    inode.current.resize(size);
}

void MemoryDisk::sync(MemoryInode& inode, std::uint64_t point) {
    for (const auto& change : in_order(inode)) {
        if (change->completed != 0 && change->completed <= point && !change->untracked) commit(inode, change);
    }
}

void MemoryDisk::fail_sync(MemoryInode& inode, std::uint64_t point) {
    for (const auto& change : inode.pending) {
        if (change->completed != 0 && change->completed <= point) change->untracked = true;
    }
}

std::vector<MemoryInodeRef> MemoryDisk::reachable() const {
    std::map<std::uint64_t, MemoryInodeRef> inodes;
    for (const auto& [path, inode] : names_) inodes[inode->id] = inode;
    for (const auto& [path, inode] : durable_names_) inodes[inode->id] = inode;
    for (const auto& operation : directory_operations_) {
        if (operation.inode != nullptr) inodes[operation.inode->id] = operation.inode;
    }
    std::vector<MemoryInodeRef> result;
    for (const auto& [id, inode] : inodes) result.push_back(inode);
    return result;
}

std::uint64_t MemoryDisk::used_bytes() const {
    std::uint64_t used = 0;
    std::set<const MemoryInode*> counted;  // a file may have several names
    for (const auto& [path, inode] : names_) {
        if (counted.insert(inode.get()).second) used += inode->claimed_size();
    }
    return used;
}

std::vector<PendingSector> MemoryDisk::pending() const {
    std::vector<PendingSector> sectors;
    for (const MemoryInodeRef& inode : reachable()) {
        for (const auto& change : in_order(*inode)) {
            bool in_flight = change->completed == 0;
            if (change->is_resize) {
                sectors.push_back({inode->path, PendingSector::kResize, change->id, in_flight});
                continue;
            }
            for_sectors(*change, [&](std::uint64_t sector, std::size_t, std::size_t) {
                sectors.push_back({inode->path, sector, change->id, in_flight});
            });
        }
    }
    return sectors;
}

MemoryDisk MemoryDisk::image(const std::function<bool(const PendingSector&)>& keep,
                             std::size_t directory_operations_kept) const {
    Names survivors = durable_names_;
    for (std::size_t i = 0; i < std::min(directory_operations_kept, directory_operations_.size()); ++i) {
        apply(directory_operations_[i], survivors);
    }
    MemoryDisk result;
    result.directories_ = directories_;
    result.last_change_ = last_change_;
    for (const auto& [path, inode] : survivors) {
        auto copy = std::make_shared<MemoryInode>();
        copy->id = ++result.last_inode_;
        copy->path = path;
        copy->modified_ms = inode->modified_ms;
        SparseBytes content = inode->durable;
        for (const auto& change : in_order(*inode)) {
            bool in_flight = change->completed == 0;
            if (change->is_resize) {
                if (keep({inode->path, PendingSector::kResize, change->id, in_flight}))
                    content.resize(change->new_size);
                continue;
            }
            for_sectors(*change, [&](std::uint64_t sector, std::size_t begin, std::size_t end) {
                if (!keep({inode->path, sector, change->id, in_flight})) return;
                for_live_runs(*change, begin, end,
                              [&](std::uint64_t offset, bytes::ByteSpan data) { content.write(offset, data); });
            });
        }
        copy->current = content;
        copy->durable = content;
        result.names_[path] = copy;
    }
    result.durable_names_ = result.names_;
    return result;
}

}  // namespace millrace::io
