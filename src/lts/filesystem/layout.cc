#include "lts/filesystem/layout.h"

#include <map>
#include <set>

#include <fmt/format.h>

#include "base/log.h"
#include "base/uuid.h"
#include "bytes/buffer.h"

namespace millrace::lts {
namespace {

constexpr std::string_view kVersionLine = "millrace-objects 1\n";
constexpr std::string_view kProduct = "millrace-objects ";
constexpr std::size_t kVersionSizeMax = 256;
constexpr std::string_view kLockSuffix = ".lock";

Result<> check_version(const Layout& layout, io::File& file) {
    std::vector<std::uint8_t> data(kVersionSizeMax);
    auto count = file.read_blocking(0, data);
    if (!count) return fail(count.error());
    std::string_view text = bytes::as_text({data.data(), *count});
    if (text == kVersionLine) return {};
    std::string_view number = text.starts_with(kProduct) ? text.substr(kProduct.size()) : "";
    if (number.size() < 2 || number.back() != '\n' || number.find_first_not_of("0123456789\n") != number.npos ||
        number.starts_with('0'))
        return fail(Errc::kCorrupt, layout.version() + ": not the mark of a directory of objects");
    return fail(Errc::kNewerFormat, layout.version() + ": made by a newer version of Millrace");
}

// Made as objects are, so that of two stores that find none only one makes it.
Result<> make_version(const Layout& layout, io::FileSystem& files, const std::string& temporary) {
    {
        auto file = files.open(temporary, {.create = true, .exclusive = true});
        if (!file) return fail(file.error());
        if (auto written = (*file)->write_blocking(0, bytes::as_bytes(kVersionLine)); !written) return written;
        if (auto synced = (*file)->sync_blocking(); !synced) return synced;
    }
    auto linked = files.link(temporary, layout.version());
    if (!linked && linked.error() != Errc::kExists) return linked;
    if (auto removed = files.remove(temporary); !removed) return removed;
    return files.sync_directory(folder_of(layout.version()));
}

// Takes an instance for itself: afterwards nobody else can have it. Empty when it was removed meanwhile.
Result<Instance> claim(const Layout& layout, io::FileSystem& files, const std::string& name) {
    auto lock = files.lock(layout.instance_lock(name));
    if (!lock) return fail(lock.error());
    // Whoever sweeps removes the file while it holds the lock; then this is a lock on a file without a name.
    auto there = files.exists(layout.instance_lock(name));
    if (!there) return fail(there.error());
    if (!*there) return fail(Errc::kLocked);
    return Instance{name, std::move(*lock)};
}

// A temporary belongs to the dead if nobody holds its instance's lock. A listing is no snapshot: it may show a
// temporary and miss the lock that was made before it, so what has no lock in the listing is looked up.
Result<bool> is_dead(const Layout& layout, io::FileSystem& files, const std::string& instance,
                     std::map<std::string, std::unique_ptr<io::FileLock>>& dead, std::set<std::string>& living) {
    if (dead.contains(instance)) return true;
    if (living.contains(instance)) return false;
    auto there = files.exists(layout.instance_lock(instance));
    if (!there) return fail(there.error());
    return !*there;
}

Result<> remove_leftover(const Layout& layout, io::FileSystem& files, const std::string& name) {
    auto removed = files.remove(layout.temporaries() + "/" + name);
    if (!removed && removed.error() != Errc::kNotFound) return removed;
    return {};
}

Result<> sweep(const Layout& layout, io::FileSystem& files) {
    auto names = files.list(layout.temporaries());
    if (!names) return fail(names.error());
    std::set<std::string> living;
    std::map<std::string, std::unique_ptr<io::FileLock>> dead;
    for (const std::string& name : *names) {
        if (!name.ends_with(kLockSuffix)) continue;
        std::string instance = name.substr(0, name.size() - kLockSuffix.size());
        auto lock = files.lock(layout.instance_lock(instance));
        if (!lock && lock.error() != Errc::kLocked) return fail(lock.error());
        if (lock)
            dead.emplace(std::move(instance), std::move(*lock));
        else
            living.insert(std::move(instance));
    }
    std::size_t removed = 0;
    for (const std::string& name : *names) {
        if (name.ends_with(kLockSuffix)) continue;
        auto abandoned = is_dead(layout, files, name.substr(0, name.rfind('-')), dead, living);
        if (!abandoned) return fail(abandoned.error());
        if (!*abandoned) continue;
        if (auto done = remove_leftover(layout, files, name); !done) return done;
        ++removed;
    }
    for (const auto& [instance, lock] : dead) {
        if (auto done = remove_leftover(layout, files, instance + std::string(kLockSuffix)); !done) return done;
    }
    if (removed > 0) log::info("{}: removed {} half-written files", layout.temporaries(), removed);
    return {};
}

}  // namespace

std::string folder_of(const std::string& path) {
    std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

Result<Instance> open_layout(const Layout& layout, io::FileSystem& files, Random& random) {
    if (auto made = files.make_directories(layout.temporaries()); !made) return fail(made.error());
    if (auto made = files.make_directories(layout.objects()); !made) return fail(made.error());
    auto version = files.open(layout.version(), {.read_only = true});
    if (version) {
        if (auto checked = check_version(layout, **version); !checked) return fail(checked.error());
    } else if (version.error() != Errc::kNotFound) {
        return fail(version.error());
    }
    if (auto swept = sweep(layout, files); !swept) return fail(swept.error());
    Result<Instance> instance = fail(Errc::kLocked);
    for (int attempts = 0; attempts < 16 && !instance && instance.error() == Errc::kLocked; ++attempts)
        instance = claim(layout, files, to_hex(random.uuid()));
    if (!instance) return instance;
    if (!version) {
        auto made = make_version(layout, files, layout.temporary(instance->name, 0));
        if (!made) return fail(made.error());
    }
    return instance;
}

}  // namespace millrace::lts
