#include "lts/filesystem/filesystem_store.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "base/uuid.h"
#include "lts/async.h"
#include "lts/errors.h"
#include "lts/filesystem/file_steps.h"
#include "lts/filesystem/layout.h"
#include "lts/filesystem/listing.h"
#include "lts/filesystem/open_objects.h"
#include "lts/filesystem/staged_file.h"
#include "lts/register_format.h"
#include "runtime/units.h"

namespace millrace::lts {
namespace {

constexpr std::chrono::milliseconds kLockPause{5};
constexpr std::size_t kOpenObjects = 16;
constexpr std::chrono::milliseconds kOpenAgain{1000};

struct State {
    State(runtime::Executor& on, io::FileSystem& with, FilesystemOptions given, Result<Instance> mine)
        : executor(on),
          files(with),
          options(std::move(given)),
          layout(options.directory),
          instance(std::move(mine)),
          open_turn(on, 1),
          register_turn(on, 1),
          open_objects(with, on.clock(), kOpenObjects) {}

    Result<> check_open() const {
        if (closed) return fail(Errc::kClosed, "long-term storage is closed");
        return {};
    }

    runtime::Executor& executor;
    io::FileSystem& files;
    const FilesystemOptions options;
    const Layout layout;

    // An error: the directory cannot be used, and is tried again after a time, by one call at a time.
    Result<Instance> instance;
    std::chrono::steady_clock::time_point open_again_at;
    runtime::Semaphore open_turn;

    runtime::Semaphore register_turn;  // one write of a register at a time: the others would only wait for the lock
    OpenObjects open_objects;
    std::uint64_t next_temporary = 1;
    StoreStats stats;
    bool closed = false;
};

using StateRef = std::shared_ptr<State>;

Async<> open_again(StateRef state) {
    auto turn = [&](runtime::Callback<runtime::SemaphoreUnits> granted) {
        state->open_turn.take(1, std::move(granted));
    };
    runtime::SemaphoreUnits mine = co_await runtime::await<runtime::SemaphoreUnits>(std::move(turn));
    if (state->instance) co_return Result<>();
    if (state->executor.clock().now() < state->open_again_at) co_return fail(state->instance.error());
    std::move_only_function<Result<Instance>()> work = [&files = state->files, layout = state->layout,
                                                        seed = state->executor.random().next()] {
        SeededRandom random(seed);
        return open_layout(layout, files, random);
    };
    state->instance = co_await on_pool<Instance>(state->files, std::move(work));
    state->open_again_at = state->executor.clock().now() + kOpenAgain;
    if (!state->instance) co_return fail(state->instance.error());
    co_return Result<>();
}

// Its name.
Async<std::string> new_temporary(StateRef state) {
    if (!state->instance) {
        auto opened = co_await open_again(state);
        if (!opened) co_return fail(opened.error());
    }
    co_return state->layout.temporary(state->instance->name, state->next_temporary++);
}

Result<> check_put(const State& state, const std::string& key, std::uint64_t size, std::uint64_t size_max) {
    if (auto open = state.check_open(); !open) return open;
    if (auto checked = check_key(key); !checked) return checked;
    if (size > size_max) return fail(Errc::kLimit, fmt::format("larger than {} bytes", size_max));
    return {};
}

Result<std::shared_ptr<io::File>> create_temporary(io::FileSystem& files, const std::string& temporary,
                                                   const std::string& target, std::uint64_t min_free_bytes) {
    if (min_free_bytes > 0) {
        auto left = files.free_bytes(folder_of(temporary));
        if (left && *left < min_free_bytes)
            return fail(Errc::kNoSpace, fmt::format("the disk has only {} MiB left", *left >> 20));
    }
    auto taken = files.exists(target);
    if (!taken) return fail(taken.error());
    if (*taken) return fail(Errc::kExists, "is there already");
    auto file = files.open(temporary, {.create = true, .exclusive = true, .direct = true});
    if (!file) return fail(file.error());
    return std::shared_ptr<io::File>(std::move(*file));
}

// Gives the complete and synced file its name. When it fails the object is not there.
Result<> publish(io::FileSystem& files, const std::string& temporary, const std::string& target) {
    std::string folder = folder_of(target);
    if (auto made = files.make_directories(folder); !made) return made;
    if (auto linked = files.link(temporary, target); !linked) {
        if (linked.error() == Errc::kExists) return fail(Errc::kExists, "is there already");
        return linked;
    }
    if (auto synced = files.sync_directory(folder); !synced) {
        (void)files.remove(target);  // nobody was told of it yet
        return synced;
    }
    return {};
}

Async<> remove_temporary(StateRef state, std::string temporary) {
    std::move_only_function<Result<>()> work = [&files = state->files, temporary] { return files.remove(temporary); };
    co_return co_await on_pool<void>(state->files, std::move(work));
}

Async<std::unique_ptr<StagedFile>> begin_object(StateRef state, std::string temporary, std::string key,
                                                std::uint64_t expected_size) {
    std::move_only_function<Result<std::shared_ptr<io::File>>()> work =
        [&files = state->files, temporary, reserve = state->options.min_free_bytes,
         target = state->layout.object(key)] { return create_temporary(files, temporary, target, reserve); };
    auto file = co_await on_pool<std::shared_ptr<io::File>>(state->files, std::move(work));
    if (!file) co_return fail(file.error());
    co_return std::make_unique<StagedFile>(state->files, std::move(*file), expected_size);
}

// From the written file to the object. The temporary is gone afterwards, whatever happened.
Async<> end_object(StateRef state, std::unique_ptr<StagedFile> file, std::string temporary, std::string key) {
    std::move_only_function<Result<>()> publication = [&files = state->files, temporary,
                                                       target = state->layout.object(key)] {
        Result<> published = publish(files, temporary, target);
        (void)files.remove(temporary);  // if it stays, the next start sweeps it
        return published;
    };
    std::uint64_t size = file->size();
    Result<> done = co_await file->finish(std::move(publication));
    file.reset();
    if (!done) (void)co_await remove_temporary(state, temporary);  // when it did not come so far
    if (done) {
        ++state->stats.objects_written;
        state->stats.bytes_written += size;
    }
    co_return done;
}

Async<> put(StateRef state, std::string key, bytes::Chain data) {
    if (auto checked = check_put(*state, key, data.size(), kPutSizeMax); !checked)
        co_return fail(about_object(key, checked.error()));
    auto temporary = co_await new_temporary(state);
    if (!temporary) co_return fail(about_object(key, temporary.error()));
    auto file = co_await begin_object(state, *temporary, key, data.size());
    if (!file) co_return fail(about_object(key, file.error()));
    Result<> done = co_await (*file)->append(std::move(data));
    if (done) {
        done = co_await end_object(state, std::move(*file), *temporary, key);
    } else {
        (void)co_await (*file)->settle();
        (void)co_await remove_temporary(state, *temporary);
    }
    if (!done) co_return fail(about_object(key, done.error()));
    co_return done;
}

Async<OpenObject> open_object(StateRef state, const std::string& key) {
    auto start = [&](OpenObjects::Done done) { state->open_objects.open(state->layout.object(key), std::move(done)); };
    co_return co_await runtime::await<Result<OpenObject>>(std::move(start));
}

Async<bytes::Slice> read_range(StateRef state, std::string key, std::uint64_t offset, std::uint64_t size) {
    if (auto checked = check_put(*state, key, size, kReadSizeMax); !checked)
        co_return fail(about_object(key, checked.error()));
    auto object = co_await open_object(state, key);
    ++state->stats.reads;
    if (!object && object.error() == Errc::kNotFound) co_return fail(Errc::kNotFound, "object " + key + ": not there");
    if (!object) co_return fail(about_object(key, object.error()));
    std::uint64_t actual = object->size;
    if (offset <= actual && size <= actual - offset) {
        if (size == 0) co_return bytes::Slice();
        std::uint64_t begin = offset / bytes::kPageSize * bytes::kPageSize;
        std::size_t whole = align_up(offset + size - begin, bytes::kPageSize);
        bytes::SlabRef slab = bytes::Slab::allocate(whole);
        auto count = co_await read_file(object->file, begin, {slab->data(), whole});
        if (!count) co_return fail(about_object(key, count.error()));
        actual = begin + *count;
        state->stats.bytes_read += *count;
        if (actual >= offset + size) co_return bytes::Slice(std::move(slab), offset - begin, size);
    }
    co_return fail(
        Error(Errc::kCorrupt, static_cast<std::int64_t>(actual),
              fmt::format("object {}: has {} bytes, but {} from {} were asked for", key, actual, size, offset)));
}

Async<ObjectStatus> status_of(StateRef state, std::string key) {
    if (auto checked = check_put(*state, key, 0, 0); !checked) co_return fail(about_object(key, checked.error()));
    std::move_only_function<Result<io::FileStatus>()> work = [&files = state->files, path = state->layout.object(key)] {
        return files.status(path);
    };
    auto found = co_await on_pool<io::FileStatus>(state->files, std::move(work));
    if ((!found && found.error() == Errc::kNotFound) || (found && found->directory))
        co_return fail(Errc::kNotFound, "object " + key + ": not there");
    if (!found) co_return fail(about_object(key, found.error()));
    co_return ObjectStatus{found->size, found->modified_ms};
}

Async<ListPage> list_page(StateRef state, std::string prefix, std::string after, std::size_t limit) {
    if (auto open = state->check_open(); !open) co_return fail(open.error());
    if (auto checked = check_list_prefix(prefix); !checked) co_return fail(checked.error());
    if (auto checked = check_list_prefix(after); !checked) co_return fail(checked.error());
    if (limit == 0 || limit > kListMax) co_return fail(Errc::kLimit, "a page has 1 to 1000 objects");
    ++state->stats.lists;
    std::move_only_function<Result<ListPage>()> work = [&files = state->files, root = state->layout.objects(), prefix,
                                                        after, limit] {
        return list_objects(files, root, prefix, after, limit);
    };
    co_return co_await on_pool<ListPage>(state->files, std::move(work));
}

Result<> remove_object(io::FileSystem& files, const std::string& path) {
    auto status = files.status(path);
    if (!status && status.error() == Errc::kNotFound) return {};
    if (!status) return fail(status.error());
    if (status->directory) return {};  // a folder of objects is no object
    if (auto removed = files.remove(path); !removed && removed.error() != Errc::kNotFound) return removed;
    return files.sync_directory(folder_of(path));
}

Async<> remove_key(StateRef state, std::string key) {
    if (auto checked = check_put(*state, key, 0, 0); !checked) co_return fail(about_object(key, checked.error()));
    ++state->stats.removals;
    std::move_only_function<Result<>()> work = [&files = state->files, path = state->layout.object(key)] {
        return remove_object(files, path);
    };
    Result<> removed = co_await on_pool<void>(state->files, std::move(work));
    state->open_objects.forget(state->layout.object(key));  // afterwards: so nobody has opened it again meanwhile
    if (!removed) co_return fail(about_object(key, removed.error()));
    co_return removed;
}

Result<Register> load_register(io::FileSystem& files, const std::string& path) {
    auto status = files.status(path);
    if (!status && status.error() == Errc::kNotFound) return Register{};
    if (!status) return fail(status.error());
    auto file = files.open(path, {.read_only = true});
    if (!file) return fail(file.error());
    std::vector<std::uint8_t> data(kRegisterHeaderSize + kRegisterSizeMax + 1);
    auto count = (*file)->read_blocking(0, data);
    if (!count) return fail(count.error());
    data.resize(*count);
    auto content = decode_register(data);
    if (!content) return fail(content.error());
    return Register{{to_hex(content->write_id)}, std::move(content->value)};
}

Async<Register> read_register_file(StateRef state, std::string key) {
    if (auto checked = check_put(*state, key, 0, 0); !checked) co_return fail(about_register(key, checked.error()));
    std::move_only_function<Result<Register>()> work =
        [&files = state->files, path = state->layout.register_file(key)] { return load_register(files, path); };
    auto found = co_await on_pool<Register>(state->files, std::move(work));
    if (!found) co_return fail(about_register(key, found.error()));
    co_return found;
}

struct RegisterChange {
    std::string lock, path, temporary;
    std::vector<std::uint8_t> data;
    RegisterTag expected, next;
};

Result<> store_register(io::FileSystem& files, const RegisterChange& change) {
    {
        auto file = files.open(change.temporary, {.create = true, .exclusive = true});
        if (!file) return fail(file.error());
        if (auto written = (*file)->write_blocking(0, change.data); !written) return written;
        if (auto synced = (*file)->sync_blocking(); !synced) return synced;
    }
    std::string folder = folder_of(change.path);
    if (auto made = files.make_directories(folder); !made) return made;
    if (auto renamed = files.rename(change.temporary, change.path); !renamed) return renamed;
    // Readers see it from here on. It cannot be taken back, so the sync is worth more than one attempt.
    Result<> synced;
    for (int attempts = 0; attempts < 3; ++attempts) {
        synced = files.sync_directory(folder);
        if (synced) break;
    }
    return synced;
}

// kLocked: another process is at it.
Result<RegisterTag> change_register(io::FileSystem& files, const RegisterChange& change) {
    auto lock = files.lock(change.lock);
    if (!lock) return fail(lock.error());
    auto current = load_register(files, change.path);
    if (!current) return fail(current.error());
    if (current->tag != change.expected) return fail(Errc::kBadVersion, "was changed by somebody else");
    if (auto stored = store_register(files, change); !stored) {
        (void)files.remove(change.temporary);
        return fail(stored.error());
    }
    return change.next;
}

Async<RegisterTag> write_register_file(StateRef state, std::string key, std::vector<std::uint8_t> value,
                                       RegisterTag expected) {
    if (auto checked = check_put(*state, key, value.size(), kRegisterSizeMax); !checked)
        co_return fail(about_register(key, checked.error()));
    auto turn = [&](runtime::Callback<runtime::SemaphoreUnits> granted) {
        state->register_turn.take(1, std::move(granted));
    };
    runtime::SemaphoreUnits mine = co_await runtime::await<runtime::SemaphoreUnits>(std::move(turn));
    auto temporary = co_await new_temporary(state);
    if (!temporary) co_return fail(about_register(key, temporary.error()));
    RegisterContent content{state->executor.random().uuid(), std::move(value)};
    auto change = std::make_shared<RegisterChange>();
    change->lock = state->layout.register_lock();
    change->path = state->layout.register_file(key);
    change->temporary = std::move(*temporary);
    change->data = encode_register(content);
    change->expected = std::move(expected);
    change->next.text = to_hex(content.write_id);
    auto give_up = state->executor.clock().now() + state->options.register_lock_timeout;
    for (;;) {
        std::move_only_function<Result<RegisterTag>()> work = [&files = state->files, change] {
            return change_register(files, *change);
        };
        auto changed = co_await on_pool<RegisterTag>(state->files, std::move(work));
        if (changed) co_return changed;
        if (changed.error() != Errc::kLocked) co_return fail(about_register(key, changed.error()));
        if (auto open = state->check_open(); !open) co_return fail(about_register(key, open.error()));
        if (state->executor.clock().now() >= give_up)
            co_return fail(Errc::kUnavailable, "register " + key + ": another process holds its lock");
        auto jitter = std::chrono::milliseconds(state->executor.random().below(kLockPause.count() * 2));
        co_await runtime::sleep_for(state->executor, kLockPause + jitter);
    }
}

// Calls come one after the other, but the end may come while one is under way; then it waits for it.
struct UploadCore {
    UploadCore(StateRef of, std::string name, std::uint64_t size)
        : state(std::move(of)), key(std::move(name)), expected_size(size) {}

    StateRef state;
    std::string key;
    std::uint64_t expected_size;
    std::string temporary;
    std::unique_ptr<StagedFile> file;
    Result<> status;  // the first error stays
    bool busy = false;
    bool over = false;  // finished or given up
    runtime::Callback<> when_idle;

    void leave() {
        busy = false;
        if (auto then = std::exchange(when_idle, nullptr)) then();
    }
};

using CoreRef = std::shared_ptr<UploadCore>;

Async<> append_step(CoreRef core, bytes::Chain data) {
    UploadCore& c = *core;
    std::uint64_t size = data.size() + (c.file == nullptr ? 0 : c.file->size());
    if (c.status) c.status = check_put(*c.state, c.key, size, kUploadSizeMax);
    if (c.status && c.file == nullptr) {
        auto temporary = co_await new_temporary(c.state);
        if (!temporary) co_return c.status = fail(temporary.error());
        c.temporary = std::move(*temporary);
        auto file = co_await begin_object(c.state, c.temporary, c.key, c.expected_size);
        if (file)
            c.file = std::move(*file);
        else
            c.status = fail(file.error());
    }
    if (c.status) c.status = co_await c.file->append(std::move(data));
    co_return c.status;
}

Async<> discard_step(CoreRef core) {
    if (auto file = std::exchange(core->file, nullptr)) {
        (void)co_await file->settle();
        file.reset();
        (void)co_await remove_temporary(core->state, core->temporary);
    }
    co_return Result<>();
}

Async<> finish_step(CoreRef core) {
    bytes::Chain nothing;
    Result<> done = co_await append_step(core, nothing);  // an empty object is an object, too
    if (!done) {
        (void)co_await discard_step(core);
        co_return done;
    }
    co_return co_await end_object(core->state, std::exchange(core->file, nullptr), core->temporary, core->key);
}

boost::asio::awaitable<void> run_step(CoreRef core, Async<> step, runtime::Callback<Result<>> done) {
    Result<> result = co_await std::move(step);
    core->leave();
    if (!result)
        done(fail(about_object(core->key, result.error())));
    else
        done({});
}

class FilesystemUpload final : public Upload {
  public:
    FilesystemUpload(StateRef state, std::string key, std::uint64_t expected_size)
        : core_(std::make_shared<UploadCore>(std::move(state), std::move(key), expected_size)) {}
    ~FilesystemUpload() override {
        if (!core_->over) end([](Result<>) {});
    }

    void append(bytes::Chain data, runtime::Callback<Result<>> done) override {
        if (!begin()) return refuse(std::move(done));
        runtime::spawn(core_->state->executor, "lts append",
                       run_step(core_, append_step(core_, std::move(data)), std::move(done)));
    }
    void finish(runtime::Callback<Result<>> done) override {
        if (!begin()) return refuse(std::move(done));
        core_->over = true;
        runtime::spawn(core_->state->executor, "lts finish", run_step(core_, finish_step(core_), std::move(done)));
    }
    void abort(runtime::Callback<Result<>> done) override {
        if (core_->over) return refuse(std::move(done));
        end(std::move(done));
    }

  private:
    bool begin() { return !core_->over && !std::exchange(core_->busy, true); }
    void refuse(runtime::Callback<Result<>> done) {
        Error error(Errc::kInvalidArgument, "object " + core_->key + ": the upload is over, or a call is under way");
        core_->state->executor.post(
            [done = std::move(done), error = std::move(error)]() mutable { done(fail(std::move(error))); });
    }
    void end(runtime::Callback<Result<>> done) {
        core_->over = true;
        // The core is kept by the call under way; holding it here would be a ring.
        auto discard = [weak = std::weak_ptr(core_), done = std::move(done)]() mutable {
            if (CoreRef core = weak.lock())
                runtime::spawn(core->state->executor, "lts abort", deliver<void>(discard_step(core), std::move(done)));
        };
        if (core_->busy)
            core_->when_idle = std::move(discard);
        else
            discard();
    }

    CoreRef core_;
};

class FilesystemStore final : public ChunkStore {
  public:
    explicit FilesystemStore(StateRef state) : state_(std::move(state)) {}
    ~FilesystemStore() override { state_->closed = true; }

    void put_if_absent(std::string key, bytes::Chain data, runtime::Callback<Result<>> done) override {
        start<void>("lts put", put(state_, std::move(key), std::move(data)), std::move(done));
    }
    std::unique_ptr<Upload> upload(std::string key, std::uint64_t expected_size) override {
        return std::make_unique<FilesystemUpload>(state_, std::move(key), expected_size);
    }
    void read(std::string key, std::uint64_t offset, std::uint64_t size,
              runtime::Callback<Result<bytes::Slice>> done) override {
        start<bytes::Slice>("lts read", read_range(state_, std::move(key), offset, size), std::move(done));
    }
    void stat(std::string key, runtime::Callback<Result<ObjectStatus>> done) override {
        start<ObjectStatus>("lts stat", status_of(state_, std::move(key)), std::move(done));
    }
    void list(std::string prefix, std::string after, std::size_t limit,
              runtime::Callback<Result<ListPage>> done) override {
        start<ListPage>("lts list", list_page(state_, std::move(prefix), std::move(after), limit), std::move(done));
    }
    void remove(std::string key, runtime::Callback<Result<>> done) override {
        start<void>("lts remove", remove_key(state_, std::move(key)), std::move(done));
    }
    void read_register(std::string key, runtime::Callback<Result<Register>> done) override {
        start<Register>("lts read register", read_register_file(state_, std::move(key)), std::move(done));
    }
    void write_register(std::string key, std::vector<std::uint8_t> value, RegisterTag expected,
                        runtime::Callback<Result<RegisterTag>> done) override {
        start<RegisterTag>("lts write register",
                           write_register_file(state_, std::move(key), std::move(value), std::move(expected)),
                           std::move(done));
    }
    StoreStats stats() const override { return state_->stats; }
    std::string description() const override { return "file system " + state_->layout.root(); }

  private:
    template <typename T>
    void start(const char* name, Async<T> work, runtime::Callback<Result<T>> done) {
        runtime::spawn(state_->executor, name, deliver<T>(std::move(work), std::move(done)));
    }

    StateRef state_;
};

}  // namespace

Result<std::unique_ptr<ChunkStore>> open_filesystem_store(runtime::Executor& executor, io::FileSystem& files,
                                                          FilesystemOptions options) {
    if (options.directory.empty()) return fail(Errc::kInvalidArgument, "long-term storage: no directory is given");
    Layout layout(options.directory);
    auto instance = open_layout(layout, files, executor.random());
    if (!instance) {
        bool away = instance.error() != Errc::kNewerFormat && instance.error() != Errc::kCorrupt;
        if (!away || !options.may_be_away) return fail(instance.error());
        log::warn("{} cannot be used now, and is tried again: {}", options.directory, instance.error().message());
    }
    auto state = std::make_shared<State>(executor, files, std::move(options), std::move(instance));
    return std::make_unique<FilesystemStore>(std::move(state));
}

}  // namespace millrace::lts
