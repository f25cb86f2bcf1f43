#include "io/memory_file_system.h"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/assert.h"
#include "io/checks.h"

namespace millrace::io {
namespace {

constexpr std::uint64_t kDefaultCapacity = std::uint64_t{1} << 40;

std::string normal(const std::string& path) {
    std::string text = std::filesystem::path("/" + path).lexically_normal().string();
    while (text.size() > 1 && text.back() == '/') text.pop_back();
    while (text.size() > 1 && text[1] == '/') text.erase(0, 1);
    return text;
}

}  // namespace

struct MemoryFileSystem::State : std::enable_shared_from_this<MemoryFileSystem::State> {
    explicit State(runtime::Executor& on) : executor(on) {}

    struct Injected {
        Errc code;
        std::size_t count;
    };

    runtime::Executor& executor;
    MemoryDisk disk;
    std::map<OpKind, Injected> injected;
    std::set<std::string> broken;
    std::set<std::string> locks;
    std::uint64_t capacity = kDefaultCapacity;
    std::uint64_t operations = 0;
    std::uint64_t crash_operation = UINT64_MAX;
    bool crashed = false;
    bool hold = false;
    std::chrono::milliseconds latency{0};
    std::deque<runtime::Task> held;
    std::vector<runtime::Task> lost;  // of the crash; never run

    // Counts a mutating operation. False when the machine is down; the operation that brings it down has begun.
    bool begin_mutation() {
        if (crashed) return false;
        if (++operations >= crash_operation) crashed = true;
        return true;
    }
    Result<> check_alive() const {
        if (crashed) return fail(Errc::kIo, "simulated loss of power");
        return {};
    }
    Result<> take_fault(OpKind kind, const std::string& path) {
        if (auto found = injected.find(kind); found != injected.end()) {
            Errc code = found->second.code;
            if (--found->second.count == 0) injected.erase(found);
            return fail(code, "injected fault on " + path);
        }
        if (broken.contains(path)) return fail(Errc::kIo, "broken file " + path);
        return {};
    }
    // For a blocking call: alive, counted if it changes something, and not chosen to fail.
    Result<> enter(OpKind kind, const std::string& path, bool mutates) {
        if (auto alive = check_alive(); !alive) return alive;
        if (mutates) begin_mutation();
        return take_fault(kind, path);
    }
    bool has_room(const MemoryInode& inode, std::uint64_t end) const {
        std::uint64_t claimed = inode.claimed_size();
        if (end <= claimed) return true;
        std::uint64_t used = disk.used_bytes();
        return used <= capacity && end - claimed <= capacity - used;
    }

    // `finish` takes effect and calls back; it runs once on the executor, later, or never if the machine goes down
    // first.
    void complete_later(runtime::Task finish) {
        if (hold)
            held.push_back(std::move(finish));
        else
            dispatch(std::move(finish));
    }
    void dispatch(runtime::Task finish) {
        auto run = [self = shared_from_this(), finish = std::move(finish)]() mutable {
            if (self->crashed)
                self->lost.push_back(std::move(finish));
            else
                finish();
        };
        if (latency.count() > 0)
            executor.call_after(latency, std::move(run));
        else
            executor.post(std::move(run));
    }
};

namespace {

using StateRef = std::shared_ptr<MemoryFileSystem::State>;

class MemoryFile final : public File {
  public:
    MemoryFile(StateRef state, MemoryInodeRef inode, const OpenOptions& options)
        : state_(std::move(state)), inode_(std::move(inode)), options_(options) {}

    void write(std::uint64_t offset, std::vector<bytes::ByteSpan> pieces, bool sync,
               runtime::Callback<Result<>> done) override {
        if (!state_->begin_mutation()) return lose(std::move(done));
        Result<> checked = check_write(offset, pieces);
        if (!checked) return refuse(std::move(done), checked.error());
        auto change = state_->disk.begin_write(*inode_, offset, joined(pieces));
        Result<> fault = state_->take_fault(OpKind::kWrite, inode_->path);
        state_->complete_later([state = state_.get(), inode = inode_, change, pieces = std::move(pieces), sync,
                                fault = std::move(fault), done = std::move(done)]() mutable {
            // The caller's memory belongs to the operation until now.
            MILLRACE_ASSERT(joined(pieces) == change->data);
            inode->modified_ms = state->executor.clock().wall_millis();
            if (fault)
                state->disk.complete_write(*inode, change, sync);
            else
                state->disk.fail_write(change);
            done(std::move(fault));
        });
    }

    void read(std::uint64_t offset, bytes::MutableByteSpan target,
              runtime::Callback<Result<std::size_t>> done) override {
        if (state_->crashed) return lose(std::move(done));
        Result<> checked = check_pieces(options_.direct, offset, std::span<const bytes::MutableByteSpan>(&target, 1));
        if (checked) checked = state_->take_fault(OpKind::kRead, inode_->path);
        if (!checked) return refuse(std::move(done), checked.error());
        state_->complete_later([inode = inode_, offset, target, done = std::move(done)]() mutable {
            done(inode->current.read(offset, target));
        });
    }

    void sync(runtime::Callback<Result<>> done) override {
        if (!state_->begin_mutation()) return lose(std::move(done));
        Result<> fault = state_->take_fault(OpKind::kSync, inode_->path);
        std::uint64_t point = state_->disk.sync_point();
        state_->complete_later(
            [state = state_.get(), inode = inode_, point, fault = std::move(fault), done = std::move(done)]() mutable {
                if (fault)
                    state->disk.sync(*inode, point);
                else
                    state->disk.fail_sync(*inode, point);
                done(std::move(fault));
            });
    }

    Result<> write_blocking(std::uint64_t offset, bytes::ByteSpan data) override {
        if (auto alive = state_->check_alive(); !alive) return alive;
        state_->begin_mutation();
        std::vector<bytes::ByteSpan> pieces{data};
        if (auto checked = check_write(offset, pieces); !checked) return checked;
        auto change = state_->disk.begin_write(*inode_, offset, joined(pieces));
        if (auto alive = state_->check_alive(); !alive) return alive;
        if (auto fault = state_->take_fault(OpKind::kWrite, inode_->path); !fault) {
            state_->disk.fail_write(change);
            return fault;
        }
        state_->disk.complete_write(*inode_, change, false);
        return {};
    }

    Result<std::size_t> read_blocking(std::uint64_t offset, bytes::MutableByteSpan target) override {
        Result<> checked = check_pieces(options_.direct, offset, std::span<const bytes::MutableByteSpan>(&target, 1));
        if (checked) checked = state_->enter(OpKind::kRead, inode_->path, false);
        if (!checked) return fail(checked.error());
        return inode_->current.read(offset, target);
    }

    Result<> sync_blocking() override {
        Result<> entered = state_->enter(OpKind::kSync, inode_->path, true);
        if (auto alive = state_->check_alive(); !alive) return alive;
        std::uint64_t point = state_->disk.sync_point();
        if (entered)
            state_->disk.sync(*inode_, point);
        else
            state_->disk.fail_sync(*inode_, point);
        return entered;
    }

    Result<std::uint64_t> size() override {
        if (auto alive = state_->check_alive(); !alive) return fail(alive.error());
        return inode_->current.size();
    }

    Result<> resize(std::uint64_t size) override {
        if (options_.read_only) return fail(Errc::kInvalidArgument, "opened read-only: " + inode_->path);
        if (auto entered = state_->enter(OpKind::kResize, inode_->path, true); !entered) return entered;
        if (!state_->has_room(*inode_, size)) return fail(Errc::kNoSpace, inode_->path);
        state_->disk.resize(*inode_, size);
        return state_->check_alive();
    }

  private:
    static std::vector<std::uint8_t> joined(const std::vector<bytes::ByteSpan>& pieces) {
        std::vector<std::uint8_t> all;
        for (bytes::ByteSpan piece : pieces) all.insert(all.end(), piece.begin(), piece.end());
        return all;
    }

    Result<> check_write(std::uint64_t offset, const std::vector<bytes::ByteSpan>& pieces) const {
        if (options_.read_only) return fail(Errc::kInvalidArgument, "opened read-only: " + inode_->path);
        Result<> checked = check_pieces(options_.direct, offset, std::span<const bytes::ByteSpan>(pieces));
        if (!checked) return checked;
        std::uint64_t end = offset;
        for (bytes::ByteSpan piece : pieces) end += piece.size();
        if (!state_->has_room(*inode_, end)) return fail(Errc::kNoSpace, inode_->path);
        return {};
    }

    template <typename Done>
    void refuse(Done done, Error error) {
        state_->complete_later(
            [done = std::move(done), error = std::move(error)]() mutable { done(fail(std::move(error))); });
    }
    template <typename Done>
    void lose(Done done) {
        state_->lost.push_back([done = std::move(done)]() mutable { done(fail(Errc::kIo)); });
    }

    StateRef state_;
    MemoryInodeRef inode_;
    OpenOptions options_;
};

class MemoryLock final : public FileLock {
  public:
    MemoryLock(StateRef state, std::string path) : state_(std::move(state)), path_(std::move(path)) {}
    ~MemoryLock() override { state_->locks.erase(path_); }

  private:
    StateRef state_;
    std::string path_;
};

}  // namespace

MemoryFileSystem::MemoryFileSystem(runtime::Executor& executor) : state_(std::make_shared<State>(executor)) {}

MemoryFileSystem::~MemoryFileSystem() {
    // A dropped completion may own files, and so this state: break the ring. Destroying one may lose others.
    while (!state_->held.empty() || !state_->lost.empty()) {
        auto held = std::exchange(state_->held, {});
        auto lost = std::exchange(state_->lost, {});
    }
}

Result<std::unique_ptr<File>> MemoryFileSystem::open(const std::string& given, const OpenOptions& options) {
    std::string path = normal(given);
    MemoryDisk& disk = state_->disk;
    MemoryInodeRef inode = disk.find(path);
    bool creates = inode == nullptr && options.create && !disk.is_directory(path);
    if (auto entered = state_->enter(OpKind::kOpen, path, creates); !entered) return fail(entered.error());
    if (disk.is_directory(path)) return fail(Errc::kInvalidArgument, "is a directory: " + path);
    if (inode != nullptr && options.create && options.exclusive) return fail(Errc::kExists, path);
    if (inode == nullptr) {
        if (disk.find(parent_of(path)) != nullptr)
            return fail(Errc::kInvalidArgument, "not a directory: " + parent_of(path));
        if (!creates || !disk.is_directory(parent_of(path))) return fail(Errc::kNotFound, path);
        inode = disk.create(path);
        inode->modified_ms = state_->executor.clock().wall_millis();
        if (auto alive = state_->check_alive(); !alive) return fail(alive.error());
    }
    return std::make_unique<MemoryFile>(state_, std::move(inode), options);
}

Result<> MemoryFileSystem::make_directories(const std::string& given) {
    std::string path = normal(given);
    MemoryDisk& disk = state_->disk;
    bool mutates = !disk.is_directory(path);
    if (auto entered = state_->enter(OpKind::kMakeDirectories, path, mutates); !entered) return entered;
    if (auto alive = state_->check_alive(); !alive) return alive;
    std::vector<std::string> missing;
    for (std::string at = path; !disk.is_directory(at); at = parent_of(at)) {
        if (disk.find(at) != nullptr) return fail(Errc::kInvalidArgument, "not a directory: " + at);
        missing.push_back(at);
    }
    for (const std::string& directory : missing) disk.make_directory(directory);
    return {};
}

Result<std::vector<std::string>> MemoryFileSystem::list(const std::string& given) {
    std::string directory = normal(given);
    if (auto alive = state_->check_alive(); !alive) return fail(alive.error());
    if (state_->disk.find(directory) != nullptr) return fail(Errc::kInvalidArgument, "not a directory: " + directory);
    if (!state_->disk.is_directory(directory)) return fail(Errc::kNotFound, directory);
    return state_->disk.list(directory);
}

Result<> MemoryFileSystem::rename(const std::string& given_from, const std::string& given_to) {
    std::string from = normal(given_from);
    std::string to = normal(given_to);
    MemoryDisk& disk = state_->disk;
    if (auto entered = state_->enter(OpKind::kRename, from, true); !entered) return entered;
    if (disk.is_directory(from)) return fail(Errc::kUnsupported, "rename of a directory: " + from);
    if (disk.find(from) == nullptr || !disk.is_directory(parent_of(to)))
        return fail(Errc::kNotFound, from + " to " + to);
    if (disk.is_directory(to)) return fail(Errc::kInvalidArgument, "is a directory: " + to);
    if (from != to) disk.rename(from, to);
    return state_->check_alive();
}

Result<> MemoryFileSystem::link(const std::string& given_from, const std::string& given_to) {
    std::string from = normal(given_from);
    std::string to = normal(given_to);
    MemoryDisk& disk = state_->disk;
    if (auto entered = state_->enter(OpKind::kLink, from, true); !entered) return entered;
    if (disk.is_directory(from)) return fail(Errc::kUnsupported, "link to a directory: " + from);
    if (disk.find(from) == nullptr || !disk.is_directory(parent_of(to)))
        return fail(Errc::kNotFound, from + " to " + to);
    if (disk.is_directory(to) || disk.find(to) != nullptr) return fail(Errc::kExists, to);
    disk.link(from, to);
    return state_->check_alive();
}

Result<> MemoryFileSystem::remove(const std::string& given) {
    std::string path = normal(given);
    MemoryDisk& disk = state_->disk;
    if (auto entered = state_->enter(OpKind::kRemove, path, true); !entered) return entered;
    if (disk.is_directory(path)) {
        if (path == "/" || !disk.list(path).empty())
            return fail(Errc::kInvalidArgument, "directory not empty: " + path);
        disk.remove_directory(path);
    } else {
        if (disk.find(path) == nullptr) return fail(Errc::kNotFound, path);
        disk.remove(path);
    }
    return state_->check_alive();
}

Result<bool> MemoryFileSystem::exists(const std::string& given) {
    std::string path = normal(given);
    if (auto alive = state_->check_alive(); !alive) return fail(alive.error());
    return state_->disk.find(path) != nullptr || state_->disk.is_directory(path);
}

Result<FileStatus> MemoryFileSystem::status(const std::string& given) {
    std::string path = normal(given);
    if (auto alive = state_->check_alive(); !alive) return fail(alive.error());
    if (state_->disk.is_directory(path)) return FileStatus{.directory = true};
    MemoryInodeRef inode = state_->disk.find(path);
    if (inode == nullptr) return fail(Errc::kNotFound, path);
    return FileStatus{.regular = true, .size = inode->current.size(), .modified_ms = inode->modified_ms};
}

Result<> MemoryFileSystem::sync_directory(const std::string& given) {
    std::string path = normal(given);
    if (auto entered = state_->enter(OpKind::kSyncDirectory, path, true); !entered) return entered;
    if (auto alive = state_->check_alive(); !alive) return alive;
    if (!state_->disk.is_directory(path)) return fail(Errc::kNotFound, path);
    state_->disk.sync_directory(path);
    return {};
}

Result<std::uint64_t> MemoryFileSystem::free_bytes(const std::string& path) {
    if (auto alive = state_->check_alive(); !alive) return fail(alive.error());
    if (auto there = exists(path); there && !*there) return fail(Errc::kNotFound, path);
    std::uint64_t used = state_->disk.used_bytes();
    return used >= state_->capacity ? 0 : state_->capacity - used;
}

Result<std::unique_ptr<FileLock>> MemoryFileSystem::lock(const std::string& given) {
    std::string path = normal(given);
    MemoryDisk& disk = state_->disk;
    bool creates = disk.find(path) == nullptr;
    if (auto entered = state_->enter(OpKind::kLock, path, creates); !entered) return fail(entered.error());
    if (auto alive = state_->check_alive(); !alive) return fail(alive.error());
    if (disk.is_directory(path)) return fail(Errc::kInvalidArgument, "is a directory: " + path);
    if (!disk.is_directory(parent_of(path))) return fail(Errc::kNotFound, path);
    if (creates) disk.create(path);
    if (!state_->locks.insert(path).second) return fail(Errc::kLocked, path);
    return std::make_unique<MemoryLock>(state_, path);
}

void MemoryFileSystem::run_blocking(runtime::Task work, runtime::Task done) {
    state_->dispatch([state = state_.get(), work = std::move(work), done = std::move(done)]() mutable {
        work();
        state->dispatch(std::move(done));
    });
}

std::uint64_t MemoryFileSystem::operations() const { return state_->operations; }
void MemoryFileSystem::crash_at(std::uint64_t operation) { state_->crash_operation = operation; }
void MemoryFileSystem::crash() { state_->crashed = true; }
bool MemoryFileSystem::crashed() const { return state_->crashed; }
std::vector<PendingSector> MemoryFileSystem::pending() const { return state_->disk.pending(); }
std::size_t MemoryFileSystem::pending_directory_operations() const {
    return state_->disk.pending_directory_operations();
}

std::unique_ptr<MemoryFileSystem> MemoryFileSystem::restart(runtime::Executor& executor,
                                                            const CrashChoice& choice) const {
    auto after = std::make_unique<MemoryFileSystem>(executor);
    after->state_->disk = state_->disk.image(choice.keep, choice.directory_operations);
    after->state_->capacity = state_->capacity;
    return after;
}

void MemoryFileSystem::fail_next(OpKind kind, Errc code, std::size_t count) {
    if (count == 0)
        state_->injected.erase(kind);
    else
        state_->injected.insert_or_assign(kind, State::Injected{code, count});
}

void MemoryFileSystem::set_broken(const std::string& path, bool broken) {
    if (broken)
        state_->broken.insert(normal(path));
    else
        state_->broken.erase(normal(path));
}

void MemoryFileSystem::set_capacity(std::uint64_t bytes) { state_->capacity = bytes; }

void MemoryFileSystem::flip_bit(const std::string& path, std::uint64_t offset, unsigned bit) {
    MemoryInodeRef inode = state_->disk.find(normal(path));
    MILLRACE_ASSERT(inode != nullptr && offset < inode->current.size() && bit < 8);
    for (SparseBytes* content : {&inode->current, &inode->durable}) {
        std::uint8_t byte = 0;
        if (content->read(offset, {&byte, 1}) == 0) continue;
        byte ^= static_cast<std::uint8_t>(1u << bit);
        content->write(offset, {&byte, 1});
    }
}

void MemoryFileSystem::set_latency(std::chrono::milliseconds latency) { state_->latency = latency; }

void MemoryFileSystem::set_hold(bool hold) {
    state_->hold = hold;
    if (!hold) release(held());
}

std::size_t MemoryFileSystem::held() const { return state_->held.size(); }

void MemoryFileSystem::release(std::size_t count) {
    MILLRACE_ASSERT(count <= held());
    for (; count > 0; --count) {
        runtime::Task next = std::move(state_->held.front());
        state_->held.pop_front();
        state_->dispatch(std::move(next));
    }
}

void MemoryFileSystem::release_in_order(std::span<const std::size_t> indices) {
    std::vector<runtime::Task> chosen;
    std::set<std::size_t> taken;
    for (std::size_t index : indices) {
        MILLRACE_ASSERT(index < held() && taken.insert(index).second);
        chosen.push_back(std::move(state_->held[index]));
    }
    std::deque<runtime::Task> rest;
    for (std::size_t i = 0; i < held(); ++i) {
        if (!taken.contains(i)) rest.push_back(std::move(state_->held[i]));
    }
    state_->held = std::move(rest);
    for (runtime::Task& task : chosen) state_->dispatch(std::move(task));
}

Result<std::vector<std::uint8_t>> MemoryFileSystem::content(const std::string& path) const {
    MemoryInodeRef inode = state_->disk.find(normal(path));
    if (inode == nullptr) return fail(Errc::kNotFound, path);
    std::vector<std::uint8_t> all(inode->current.size());
    inode->current.read(0, all);
    return all;
}

}  // namespace millrace::io
